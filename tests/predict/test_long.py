"""A document far longer than any window passes through, in the memory of one batch of windows."""

from __future__ import annotations

import itertools

import jax
import pytest

from t5coref.core.document import Annotation, Document
from t5coref.model import Format, Model
from t5coref.predict import Predictor, decode_batch, error_of
from t5coref.train.inputs import demo_stories

WORDS = 13_000


@pytest.fixture(scope="module")
def novel():
    words: list[str] = []
    sentences = []
    for story in itertools.cycle(demo_stories(count=40, seed=9)):
        sentences += [(len(words) + a, len(words) + b) for a, b in story.sentences]
        words += story.words
        if len(words) >= WORDS:
            break
    return Document(doc_id="novel", words=tuple(words), sentences=tuple(sentences),
                    annotation=Annotation())  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("carry", [False, True])
def test_thirteen_thousand_words(model, novel, carry):
    options = {"window": 512, "max_clusters": 40, "max_depth": 4, "carry": carry}
    long = Model(model.config, model.params, model.tokenizer, Format("full-copy", options))
    predictor = Predictor(long, batch_size=8, target_ratio=2, devices=jax.devices()[:1])
    before = decode_batch._cache_size()
    (found,) = predictor.predict([novel])
    assert error_of(found) is None
    assert found.words == novel.words
    ends = [end for _, end, _ in found.annotation.mentions()]
    assert max(ends) > 0.9 * len(novel.words)
    # Windows of one padded length, in full batches and a last one: no program depends on the text.
    assert decode_batch._cache_size() - before <= 3

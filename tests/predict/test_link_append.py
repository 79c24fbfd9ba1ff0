"""link-append through the predictor: own budgets, both ways of generating, learning by heart."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import jax
import pytest

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError
from t5coref.core.metrics import score_corpus
from t5coref.decode.search import Beam
from t5coref.model import Format, Model, from_scratch
from t5coref.nn.t5 import T5Config
from t5coref.predict import Predictor, error_of
from t5coref.tokenizer import Tokenizer
from t5coref.train import train
from t5coref.train.optimizers import adamw

WORDS = ("Anna", "saw", "the", "dog", ".", "it", "saw", "her", ".", "she", "fed", "it", ".")
STORY = Document(
    doc_id="story", words=WORDS, sentences=((0, 5), (5, 9), (9, 13)),
    annotation=Annotation((((0, 1), (7, 8), (9, 10)), ((2, 4), (5, 6), (11, 12)))),
)  # fmt: skip
LONGEST = 12


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    text, marks = " ".join(WORDS), "coref: wb | _ ** ## -> ;; [0123456789 ] None [+ E] ?"
    return Tokenizer.train([text, text, marks], 80, ())


@pytest.fixture(scope="module")
def model(tokenizer) -> Model:
    config = T5Config(
        vocab_size=tokenizer.size, emb_dim=16, num_heads=2, num_encoder_layers=1,
        num_decoder_layers=1, head_dim=8, mlp_dim=32,
    )  # fmt: skip
    options = {"window": 100, "longest": LONGEST}
    return from_scratch(config, tokenizer, format=Format("link-append", options), seed=3)


def under(model: Model, constraint: str) -> Model:
    options = {**model.format.options, "constraint": constraint}
    return dataclasses.replace(model, format=Format("link-append", options))


def heard(predictor: Predictor) -> list:
    """Will hold the (turns, answers) of the predictor."""
    said = []
    linearization = predictor.linearization

    class Listening(type(linearization)):
        def turns(self, doc):
            conversation = super().turns(doc)
            pending = next(conversation, None)
            while pending is not None:
                answers = yield pending
                said.extend(zip(pending, answers, strict=True))
                try:
                    pending = conversation.send(answers)
                except StopIteration as stop:
                    return stop.value
            return Annotation()

    linearization.__class__ = Listening
    return said


@pytest.mark.parametrize("constraint", ["strict", "reference"])
def test_answers_end_within_their_budget(model, constraint):
    predictor = Predictor(under(model, constraint), batch_size=2, devices=jax.devices()[:1])
    said = heard(predictor)
    documents = [dataclasses.replace(STORY, doc_id=str(i)) for i in range(3)]
    found = list(predictor.predict(documents))
    assert [error_of(d) for d in found] == [None] * 3
    assert [d.annotation for d in found] == [found[0].annotation] * 3
    assert len(said) == 9
    # The documents go side by side: first sentences first.
    assert [turn.index for turn, _ in said] == sorted(turn.index for turn, _ in said)
    marks = set(predictor.linearization.rules.inventory.ids)
    for turn, answer in said:
        assert 1 <= len(answer.actions) <= LONGEST
        if constraint == "strict":
            assert answer.actions[-1] == 1
            assert set(answer.actions.tolist()) <= marks | set(turn.source.tolist())


def test_beams_need_a_constraint(model):
    with pytest.raises(ConfigError, match="constraint strict"):
        Predictor(under(model, "reference"), search=Beam(2), devices=jax.devices()[:1])


@pytest.mark.slow
@pytest.mark.parametrize("min_mentions", [1, 2])
def test_a_document_is_learnt_by_heart(tokenizer, tmp_path, min_mentions):
    config = T5Config(
        vocab_size=1, emb_dim=64, num_heads=4, num_encoder_layers=1, num_decoder_layers=1,
        head_dim=16, mlp_dim=128, dropout_rate=0.0,
    )  # fmt: skip
    options = {"window": 100, "longest": 64, "min_mentions": min_mentions}
    model = from_scratch(config, tokenizer, format=Format("link-append", options), seed=1)
    result = train(
        model=model,
        train_set=[STORY],
        dev_set=[STORY],
        output_dir=tmp_path,
        steps=400,
        batch_size=3,
        optimizer=functools.partial(adamw, peak=5e-3, decay="constant"),
        eval_every=40,
        stop_at=1.0,
        devices=jax.devices()[:1],
    )
    assert result.scores["conll"] == 1.0
    trained = Model.load(result.best)
    for constraint in ("strict", "reference"):
        predictor = Predictor(under(trained, constraint), batch_size=1, devices=jax.devices()[:1])
        (found,) = predictor.predict([STORY.with_annotation(None)])
        scores = score_corpus([(STORY.annotation.clusters, found.annotation.clusters)])
        assert scores["conll"].f1 == 1.0
        sure = list(itertools.chain.from_iterable(found.annotation.confidences))
        assert all(0 < p <= 1 for confidence in sure for p in confidence)

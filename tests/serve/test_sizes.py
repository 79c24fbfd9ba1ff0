"""How much work a document is before it is predicted."""

from __future__ import annotations

import pytest

from t5coref.core.given_mentions import with_mentions
from t5coref.mentions.sources import OwnMentions, ToldPredictor
from t5coref.model import Format, from_scratch
from t5coref.nn.t5 import T5Config
from t5coref.predictors import predictor_of
from t5coref.serve.sizes import of_words, one_of_each, sizer
from t5coref.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def reader(tokenizer):
    """A model of a format that is told the mentions."""
    format = Format("iterative-text", {"window": 192})
    config = T5Config(
        vocab_size=1, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1,
        head_dim=8, mlp_dim=32,
    )  # fmt: skip
    words = Tokenizer(tokenizer.model, format.symbols)
    return predictor_of(from_scratch(config, words, format=format))


def test_documents_whose_mentions_are_not_known_yet(reader):
    """They are as long as with one mention for four words."""
    size_of, marked = sizer(ToldPredictor(OwnMentions(), reader)), sizer(reader)
    for words in (0, 1, 9, 40, 300):
        document = of_words(words)
        likely = with_mentions(document, [(w, w + 1) for w in range(0, words, 4)], "predicted")
        assert size_of(document) == marked(likely)
    assert size_of(of_words(300)).rows > 1
    known = with_mentions(of_words(40), [(0, 1)], "given")
    assert size_of(known) == marked(known)


def test_warming_up_goes_on_to_documents_of_two_windows(reader):
    size_of = sizer(ToldPredictor(OwnMentions(), reader))
    sizes = [size_of(document) for document in one_of_each(size_of, 5000)]
    assert [size.bucket for size in sizes] == [64, 96, 128, 192]
    assert sizes[-1].rows <= 2

"""Texts and documents in, predictions out: one, many, endless, impossible."""

from __future__ import annotations

import itertools

import pytest

import t5coref
from t5coref import Document, Pipeline, Prediction
from t5coref.api.prediction import ERROR as OURS
from t5coref.core.errors import DocumentError
from t5coref.predict import ERROR

TEXT = "the dog saw it and she saw him near the old house ."

ODD = {
    "empty": "",
    "blank": " \t\r\n\u3000",
    "one word": "dog",
    "emoji": "👩‍👩‍👧 saw 🐕 .",
    "line ends": "The dog\r\nsaw it.\r\n\r\nShe saw him.\r\n",
    "no-break": "\ufeffthe\u00a0dog  saw\u200bit",
    "long": " ".join([TEXT] * 8),
    "one long word": "dog" * 60,
}


@pytest.fixture(scope="module")
def coref(model_folder):
    return t5coref.load(model_folder, batch_size=2)


def clusters(prediction):
    return prediction.document.annotation.clusters


def test_one_text_and_many(coref):
    texts = [*ODD.values()]
    many = list(coref.predict(iter(texts)))
    assert [p.text for p in many] == texts
    assert [p.document.doc_id for p in many[:2]] == ["text-0", "text-1"]
    assert all(p.error is None for p in many)
    for found in many:
        for mention in found.mentions:
            assert found.text[mention.start_char : mention.end_char] == mention.text
            assert 0 <= mention.probability <= 1
    assert sum(len(p.clusters) for p in many) > 3
    for name in ("empty", "one word", "long"):
        one = coref.predict(ODD[name])
        assert isinstance(one, Prediction)
        assert clusters(one) == clusters(many[list(ODD).index(name)])


def test_documents(coref):
    given = Document(
        doc_id="mine", words=tuple(TEXT.split()), extra={"genre": "tale", "error": "an old one"}
    )
    found = coref.predict(given)
    assert found.document.doc_id == "mine"
    assert found.document.extra == {"genre": "tale"}
    assert clusters(found) == clusters(coref.predict(TEXT))


def test_streams_are_read_a_round_ahead(marker):
    texts = (f"word {n} of many" for n in itertools.count())
    stream = Pipeline(marker).predict(texts)
    assert marker.read == 0
    first = list(itertools.islice(stream, 6))
    assert marker.read == 8
    assert [p.text.split()[1] for p in first] == [str(n) for n in range(6)]
    assert list(Pipeline(marker).predict([])) == []


def test_what_cannot_be_predicted_stops_nothing(marker):
    torn = "half of a pair: \ud83d !"
    document = Document(doc_id="mine", words=("\udc00",))
    found = list(Pipeline(marker).predict(["a b", torn, "impossible", document, "c d"]))
    assert [p.text for p in found[::2]] == ["a b", "impossible", "c d"]
    assert [p.error is None for p in found] == [True, False, False, False, True]
    assert "character 16 is U+D83D, half of a surrogate pair" in found[1].error
    assert found[2].error == "it is impossible"
    assert found[3].document.doc_id == "mine"
    for one, message in ((torn, "U\\+D83D"), ("impossible", "it is impossible")):
        with pytest.raises(DocumentError, match=message):
            Pipeline(marker).predict(one)


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", bytearray(b"x"), {"a text": "by name"}])
def test_what_is_no_text(marker, wrong):
    with pytest.raises(DocumentError, match=f"got {type(wrong).__name__} .*expected a text"):
        Pipeline(marker).predict(wrong)
    stream = Pipeline(marker).predict(["a b", wrong, "never read"])
    assert next(stream).text == "a b"
    with pytest.raises(DocumentError, match=f"got {type(wrong).__name__} "):
        next(stream)


def test_errors_of_the_caller_come_after_what_was_read(marker):
    def texts():
        yield from ("a b", "c d", "e f", "g h", "i j")
        raise KeyError("the caller's own")

    found, stream = [], Pipeline(marker).predict(texts())
    with pytest.raises(KeyError, match="the caller's own"):
        found.extend(stream)
    assert len(found) == 5


def test_the_key_of_errors():
    """Predictions know it without importing what needs jax."""
    assert OURS == ERROR


def test_languages(marker):
    assert Pipeline(marker).predict("I saw her.").mentions[0].pronoun is True
    found = Pipeline(marker, language="nl").predict("Hij zag het.")
    assert found.mentions[0].pronoun is None
    assert repr(Pipeline(marker, language="nl")) == "Pipeline(Marker, language='nl')"

"""Where mentions come from, and that whoever is told them is not told clusters."""

from __future__ import annotations

import dataclasses
import json

import pytest

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, DocumentError
from t5coref.core.given_mentions import MENTIONS, given, with_mentions
from t5coref.corpora import jsonl
from t5coref.mentions.sources import (
    FileMentions,
    GoldMentions,
    GoldToo,
    NoMentions,
    OwnMentions,
    ProposedMentions,
    ToldPredictor,
    with_gold,
)
from t5coref.predict import error_of

GOLD = Annotation((((0, 1), (2, 3)), ((0, 3),)))
STORY = Document(doc_id="d", words=tuple("abcd"), annotation=GOLD)
RAW = Document(doc_id="r", words=tuple("abcd"))


class Linker:
    """Puts all mentions that it is told into one cluster; remembers what it has seen."""

    round_size, memory = 2, None
    needs_mentions = True

    def __init__(self):
        self.seen = []

    @property
    def identity(self):
        return {"model": "linker", "round_size": 2}

    def predict(self, documents):
        for document in documents:
            self.seen.append(document)
            yield document.with_annotation(Annotation((given(document).spans,)))


class Proposer:
    """Finds the first two words."""

    round_size, memory = 3, None
    identity = {"model": "proposer"}  # noqa: RUF012

    def predict(self, documents):
        for document in documents:
            assert document.annotation is None or document is STORY
            yield with_mentions(document, [(0, 2)], "predicted")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.jsonl"

    def write(*documents):
        jsonl.write(documents, path)
        return str(path)

    return write


def told(source, *documents):
    linker = Linker()
    predictor = ToldPredictor(source, linker)
    found = list(predictor.predict(documents))
    assert [d.doc_id for d in found] == [d.doc_id for d in documents]
    assert all(d.annotation is None for d in linker.seen)
    json.dumps(predictor.identity)
    return found, predictor


def test_gold_mentions_without_their_clusters():
    stale = with_mentions(STORY, [(3, 4)], "predicted")
    found, predictor = told(GoldMentions(), STORY, RAW, stale)
    assert given(found[0]) == given(found[2]) == (((0, 3), (0, 1), (2, 3)), "gold")
    assert found[0].annotation == Annotation((((0, 1), (0, 3), (2, 3)),))
    assert "document 'r' has no annotation; expected one" in error_of(found[1])
    assert found[1].annotation == Annotation()
    assert predictor.identity["mentions"] == {"source": "gold"}


def test_proposed_mentions_know_nothing_of_gold():
    found, predictor = told(ProposedMentions(Proposer(), "runs/m"), STORY, RAW)
    other = dataclasses.replace(STORY, annotation=Annotation((((1, 4),),)))
    assert found[0] == told(ProposedMentions(Proposer(), "runs/m"), other)[0][0]
    assert [given(d) for d in found] == [(((0, 2),), "predicted")] * 2
    assert predictor.identity["mentions"]["proposer"] == {"model": "proposer"}


def test_mentions_of_a_file(file):
    own = with_mentions(RAW, [(1, 2), (3, 4)], "predicted")
    found, predictor = told(FileMentions(file(own, STORY)), RAW, STORY)
    assert given(found[0]) == (((1, 2), (3, 4)), "predicted")
    assert given(found[1]) == (((0, 3), (0, 1), (2, 3)), "given")
    before = predictor.identity["mentions"]["sha256"]
    assert FileMentions(file(own)).identity["sha256"] != before


def test_files_that_do_not_fit(file):
    other = Document(doc_id="r", words=tuple("abc"))
    nothing = Document(doc_id="n", words=("a",))
    found, _ = told(FileMentions(file(other, nothing)), RAW, STORY, nothing)
    assert "'r' has other words in" in error_of(found[0])
    assert "'d' is not in" in error_of(found[1])
    assert "'n' gives no mentions" in error_of(found[2])
    with pytest.raises(ConfigError, match="two documents 'r'"):
        FileMentions(file(RAW, RAW))


def test_mentions_that_documents_carry():
    found, _ = told(OwnMentions(), with_mentions(STORY, [(1, 2)], "given"))
    assert given(found[0]) == (((1, 2),), "given")
    with pytest.raises(ConfigError, match=r"document 'd' gives none; expected --mentions gold"):
        told(OwnMentions(), STORY)


def test_a_proposer_for_documents_that_carry_none():
    """In their order, whichever carry some."""
    carries = with_mentions(RAW, [(1, 3)], "given")
    own = [dataclasses.replace(carries, doc_id=name) for name in ("o", "p")]
    last = dataclasses.replace(RAW, doc_id="s")
    source = OwnMentions(Proposer())
    found, predictor = told(source, STORY, own[0], RAW, own[1], last)
    carried, proposed = (((1, 3),), "given"), (((0, 2),), "predicted")
    assert [given(d) for d in found] == [proposed, carried, proposed, carried, proposed]
    assert predictor.identity["mentions"] == {
        "source": "documents, else predicted", "proposer": {"model": "proposer"},
    }  # fmt: skip
    assert source.name == "the model's proposer"


def test_no_mentions():
    stale = with_mentions(STORY, [(3, 4)], "predicted")
    (left,) = NoMentions()([stale])
    assert MENTIONS not in left.extra
    assert left.annotation == STORY.annotation
    assert NoMentions().identity == {"source": "none"}


def test_rounds_and_memory_are_those_of_the_predictor():
    linker = Linker()
    predictor = ToldPredictor(GoldMentions(), linker)
    assert predictor.round_size == 2
    predictor.memory = "learned"
    assert linker.memory == predictor.memory == "learned"


def test_gold_beside_proposed():
    assert given(with_gold(with_mentions(STORY, [(1, 2), (0, 1)], "predicted"))) == (
        ((0, 3), (0, 1), (1, 2), (2, 3)), "predicted",
    )  # fmt: skip
    with pytest.raises(DocumentError, match="'r' has no annotation"):
        with_gold(with_mentions(RAW, [(1, 2)], "predicted"))
    both = GoldToo(Proposer())
    found = list(both.predict([STORY, RAW]))
    assert given(found[0]).spans == ((0, 3), (0, 2), (0, 1), (2, 3))
    assert found[0].annotation == GOLD
    assert "has no annotation" in error_of(found[1])
    assert both.identity == {"model": "proposer", "with_gold": True}

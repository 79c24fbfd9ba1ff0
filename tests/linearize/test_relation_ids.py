"""relation-ids: clusters that are known, marked in the source."""

from __future__ import annotations

import pytest
from formats import document, mentions
from hypothesis import given, settings
from hypothesis import strategies as st
from relations import STORY, make, related, typed

from t5coref.core.document import Annotation, Relation
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.core.triples import Triple
from t5coref.linearize import replay, round_trip


@settings(max_examples=60, deadline=None)
@given(doc=related())
def test_clusters_that_are_given_stay_as_they_are(tokenizer, doc):
    """Relations between those that have a mark come back, whatever else the clusters are."""
    back = round_trip(typed(tokenizer, "relation-ids"), doc)
    gold = doc.annotation
    assert (back.clusters, back.types) == (gold.clusters, gold.types)
    marked = {c for _, _, c in mentions(doc, in_sentences=False)}
    wanted = {r for r in gold.relations if r.head != r.tail and {r.head, r.tail} <= marked}
    assert list(back.relations) == sorted(wanted, key=lambda r: (r.head, r.tail, r.type))


@settings(max_examples=40, deadline=None)
@given(doc=related(max_words=30), window=st.integers(9, 40))
def test_marked_windows(tokenizer, doc, window):
    """They hold the text once it is stripped of the marks, which are balanced; none is too long."""
    lin = typed(tokenizer, "relation-ids", window=window)
    marked = lin.marked(doc)
    plain = lin.pieces(doc)
    covered = 0
    for turn, own in marked:
        without, found = lin.without_marks(turn)
        assert len(turn.source) <= window
        end = turn.offset + len(without.source) - 1
        assert without.source[:-1].tolist() == plain.ids[turn.offset : end].tolist()
        assert turn.offset <= covered <= end
        covered = end
        assert sorted({k for _, k in found}) == list(range(len(own)))
        for (start, stop), number in found:
            words = without.word[start:stop]
            span = int(words[words >= 0][0]), int(words[words >= 0][-1]) + 1
            assert span in doc.annotation.clusters[own[number]]
    assert covered == len(plain)


def test_marks_of_predicted_clusters_take_gold_relations_as_they_fit(tokenizer):
    lin = typed(tokenizer, "relation-ids")
    gold = STORY.annotation
    # One mention of Anna is missed, Ben is found twice, "her dog" is not found.
    predicted = STORY.with_annotation(Annotation((((5, 6),), ((0, 1),)), types=("X", "X")))
    ((turn, own),) = lin.marked(predicted)
    assert own == [1, 0]
    actions = lin.oracle(turn, gold)
    assert lin.section.read(actions.tolist()) == [Triple(0, 1, 0), Triple(0, 1, 2)]
    back = replay(lin, predicted, [actions])
    assert back == Annotation(
        predicted.annotation.clusters, (Relation(1, 0, "a"), Relation(1, 0, "c")), types=("X", "X")
    )


def test_relations_need_clusters(tokenizer):
    lin = typed(tokenizer, "relation-ids")
    with pytest.raises(MismatchError, match="document 'd' has no clusters"):
        next(lin.turns(document("the dog")))
    with pytest.raises(ConfigError, match="expected 2 to 500"):
        make(tokenizer, "relation-ids", max_clusters=501)

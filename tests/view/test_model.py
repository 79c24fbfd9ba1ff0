"""What a page shows: plain annotations, and predictions beside their key."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import documents

from t5coref.core.document import Annotation, Document, Relation
from t5coref.core.errors import MismatchError
from t5coref.view import Status, compared, plain
from t5coref.view.model import aligned

WORDS = ("Ada", "saw", "her", "dog", "and", "it", "ran")


def document(*clusters, relations=(), types=None, words=WORDS):
    annotation = Annotation(tuple(clusters), tuple(relations), types=types)
    return Document(doc_id="d", words=words, annotation=annotation)


@st.composite
def pairs(draw):
    """A key and a prediction of one text, both with relations."""
    key = draw(documents())
    n = len(key.words)

    def annotated(annotation):
        most = len(annotation.clusters) - 1
        relations = () if most < 0 else draw(
            st.lists(
                st.builds(
                    Relation, st.integers(0, most), st.integers(0, most), st.sampled_from("ab")
                ),
                max_size=6,
            )
        )  # fmt: skip
        return key.with_annotation(Annotation(annotation.clusters, tuple(relations)))

    if n == 0:
        return key, key
    span = st.integers(0, n - 1).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(start + 1, min(n, start + 4)))
    )
    cluster = st.lists(span, min_size=1, max_size=4).map(tuple)
    if key.annotation.clusters:
        cluster |= st.sampled_from(key.annotation.clusters)
    found = Annotation(tuple(draw(st.lists(cluster, max_size=4))))
    return annotated(key.annotation), annotated(found)


def hard(document):
    """Relations as sets of mentions: the definition of the hard metric, written once more."""
    clusters = [frozenset(c) for c in document.annotation.clusters]
    return {(clusters[r.head], clusters[r.tail], r.type) for r in document.annotation.relations}


def test_plain_keeps_the_order_of_clusters_and_their_types():
    view = plain(
        document(
            [(0, 1), (2, 3)], [(5, 6)], [(1, 2)], types=("PER", None, None),
            relations=[Relation(0, 1, "owns"), Relation(0, 1, "owns")],
        )
    )  # fmt: skip
    assert [(e.name, e.type, e.size) for e in view.entities] == [
        ("Ada", "PER", 2), ("it", None, 1), ("saw", None, 1),
    ]  # fmt: skip
    assert [(f.head, f.tail, f.type, f.status) for f in view.facts] == [(0, 1, "owns", None)]
    # A lone mention wears no colour, unless it has a relation or a type.
    assert [e.hue is None for e in view.entities] == [False, False, True]
    assert view.errors == 0


def test_marks_of_a_comparison():
    key = document([(0, 1), (2, 3)], [(3, 4), (5, 6)])
    found = document([(0, 1)], [(2, 3), (3, 4), (6, 7)])
    marks = {(m.start, m.end, m.entity): m.status for m in compared(found, key).marks}
    assert marks == {
        (0, 1, 0): Status.RIGHT,
        (2, 3, 0): Status.LOST,
        (2, 3, 1): Status.MISPLACED,
        (3, 4, 1): Status.RIGHT,
        (5, 6, 1): Status.MISSED,
        (6, 7, 1): Status.EXTRA,
    }
    assert compared(found, key).errors == 3


def test_facts_of_a_comparison_are_right_by_the_hard_metric_alone():
    dog, wrong, ran = [(3, 4), (5, 6)], [(3, 4)], [(6, 7)]
    key = document([(0, 1)], dog, ran, relations=[
        Relation(0, 1, "owns"), Relation(0, 2, "saw"), Relation(2, 0, "of"),
    ])  # fmt: skip
    found = document([(0, 1)], wrong, ran, relations=[
        Relation(0, 1, "owns"), Relation(2, 0, "of"), Relation(1, 0, "saw"),
    ])  # fmt: skip
    facts = {(f.head, f.tail, f.type): f.status for f in compared(found, key).facts}
    assert facts == {
        (0, 1, "owns"): Status.NEAR,
        (0, 2, "saw"): Status.MISSED,
        (2, 0, "of"): Status.RIGHT,
        (1, 0, "saw"): Status.EXTRA,
    }


def test_types_that_differ_are_both_known():
    key = document([(0, 1)], [(3, 4)], types=("PER", "ANIMAL"))
    found = document([(0, 1)], [(3, 4)], types=("ORG", None))
    entities = compared(found, key).entities
    assert [(e.type, e.key_type) for e in entities] == [("ORG", "PER"), ("ANIMAL", None)]


def test_equal_clusters_correspond_before_larger_overlaps():
    gold = [[(0, 1)], [(0, 1), (1, 2), (2, 3)]]
    found = [[(0, 1), (1, 2), (2, 3), (3, 4)], [(0, 1)]]
    assert aligned(gold, found) == [(0, 1), (1, 0)]


@given(pairs())
def test_comparisons_count_as_the_metrics_do(pair):
    key, found = pair
    view = compared(found, key)
    gold_spans = {span for c in key.annotation.clusters for span in c}
    found_spans = {span for c in found.annotation.clusters for span in c}
    of_status = {status: set() for status in Status}
    for m in view.marks:
        of_status[m.status].add((m.start, m.end))
    assert of_status[Status.MISSED] == gold_spans - found_spans
    assert of_status[Status.EXTRA] == found_spans - gold_spans
    assert of_status[Status.LOST] | of_status[Status.MISPLACED] <= gold_spans & found_spans
    # Every mention of either side is marked once for each of its clusters.
    for document_, absent in (
        (key, {Status.EXTRA, Status.MISPLACED}),
        (found, {Status.MISSED, Status.LOST}),
    ):
        sizes = Counter(m.entity for m in view.marks if m.status not in absent)
        clusters = sorted(len(c) for c in document_.annotation.clusters)
        assert sorted(sizes.values()) == clusters
    # A relation is right if and only if the hard metric counts it.
    right = {(f.head, f.tail, f.type) for f in view.facts if f.status == Status.RIGHT}
    assert bool(right) == bool(hard(key) & hard(found))
    assert len(right) >= len(hard(key) & hard(found))


@given(documents())
def test_a_document_compared_with_itself_is_right(document_):
    view = compared(document_, document_)
    assert view.errors == 0
    assert {m.status for m in view.marks} <= {Status.RIGHT}
    assert [e.name for e in view.entities] == [e.name for e in plain(document_).entities]


def test_a_document_without_prediction_is_all_missed():
    key = document([(0, 1)])
    view = compared(Document(doc_id="d", words=WORDS), key)
    assert [m.status for m in view.marks] == [Status.MISSED]


def test_texts_of_different_lengths_are_refused():
    with pytest.raises(MismatchError, match="7 words in the key and 1 in the prediction"):
        compared(document(words=("Ada",)), document())
    with pytest.raises(MismatchError, match="no annotation"):
        compared(document(), Document(doc_id="d", words=WORDS))

"""Runs: their sums, their scores step by step, and how sure they are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_pairs import PAIRS

from t5coref.core.document import Annotation, Document
from t5coref.core.metrics import Scorer
from t5coref.report import Case, Kind, Run, summary
from t5coref.report.bootstrap import conll_f1


def run_of(pairs, name="run", **options):
    cases = []
    for n, (document, key, response) in enumerate(pairs):
        gold = document.with_annotation(Annotation(key))
        object.__setattr__(gold, "doc_id", f"d{n}")
        cases.append(Case.of(gold, gold.with_annotation(Annotation(response)), **options))
    return Run(name, cases)


CORPORA = st.lists(PAIRS, min_size=1, max_size=3)


@settings(max_examples=30)
@given(CORPORA)
def test_mending_goes_from_the_score_to_a_perfect_one(pairs):
    run = run_of(pairs)
    scores = run.scores(remove_singletons=False)
    perfect = Scorer(("conll",))
    for _, key, _ in pairs:
        perfect.add(key, key)
    assert run.mended[0] == pytest.approx(scores["conll"].f1)
    assert run.mended[-1] == pytest.approx(perfect.compute()["conll"].f1)
    assert len(run.mended) == len(Kind) + 1


@settings(max_examples=30)
@given(CORPORA)
def test_the_summary_adds_up(pairs):
    first, second = run_of(pairs), run_of([(d, k, k) for d, k, _ in pairs], "gold")
    out = summary([first, second])["runs"]
    total = sum(len(case.corrections) for case in first.cases)
    assert sum(kind["count"] for kind in out[0]["errors"].values()) == total
    for kind in out[0]["errors"].values():
        assert sum(kind["by_type"].values()) == kind["count"] <= kind["mentions"]
    per_document = out[0]["per_document"].values()
    assert sum(sum(document["errors"].values()) for document in per_document) == total
    assert all(kind["count"] == 0 for kind in out[1]["errors"].values())
    links = sum(len(cluster) - 1 for case in first.cases for cluster in case.key)
    assert sum(row["count"] for row in out[0]["anaphors"]["key"]) == links
    assert "conll_minus_first" not in out[0]
    low, high = out[1]["conll_minus_first"]
    assert -1e-9 <= low <= high


def test_the_interval_of_documents_that_are_all_alike_is_their_score():
    scorers = []
    for _ in range(4):
        scorer = Scorer(("conll",))
        scorer.add([[1, 2, 3], [4, 5]], [[1, 2], [4, 5, 3]])
        scorers.append(scorer)
    low, high = conll_f1(scorers).bounds()
    assert low == pytest.approx(high) == pytest.approx(scorers[0].compute()["conll"].f1)


def test_the_interval_holds_what_drawing_by_hand_gives():
    right, wrong = Scorer(("conll",)), Scorer(("conll",))
    right.add([[1, 2]], [[1, 2]])
    wrong.add([[1, 2]], [])
    drawn = conll_f1([right, wrong]).drawn
    # Of two documents: both wrong, one of each, both right.
    one_of_each = Scorer(("conll",))
    one_of_each.merge(right)
    one_of_each.merge(wrong)
    middle = one_of_each.compute()["conll"].f1
    expected = {0.0, round(middle, 9), 1.0}
    assert {round(float(value), 9) for value in drawn} == expected


def test_singletons_can_be_left_out():
    words = tuple("abcdef")
    key = Document(doc_id="d", words=words, annotation=Annotation((((0, 1), (1, 2)),)))
    response = key.with_annotation(Annotation((((0, 1), (1, 2)), ((3, 4),))))
    assert [c.kind for c in Case.of(key, response).corrections] == [Kind.EXTRA_ENTITY]
    assert Case.of(key, response, smallest=2).corrections == ()


def test_a_document_that_a_run_lacks_has_all_its_entities_missed():
    key = Document(doc_id="d", words=tuple("abc"), annotation=Annotation((((0, 1), (1, 2)),)))
    case = Case.of(key, None)
    assert case.missing
    assert [c.kind for c in case.corrections] == [Kind.MISSED_ENTITY]

"""GAP's scorer against its definition written down a second time, and its corner cases."""

from __future__ import annotations

import numpy as np
import pytest

from t5coref.core.errors import FormatError
from t5coref.downstream.pronouns import gap, gap_scorer
from t5coref.downstream.pronouns.example import Candidate, PronounExample
from t5coref.downstream.pronouns.gap_scorer import Counts
from t5coref.downstream.pronouns.metrics import Prediction
from t5coref.downstream.pronouns.persons import with_persons

HE, SHE = ("he", "his", "HIM"), ("she", "Her", "hers")


@pytest.mark.parametrize("seed", range(30))
def test_against_a_second_definition(seed):
    random = np.random.default_rng(seed)
    gold, system = {}, {}
    for i in range(40):
        pronoun = str(random.choice([*HE, *SHE]))
        gold[f"e{i}"] = pronoun, tuple(bool(x) for x in random.integers(0, 2, 2))
        if random.integers(8):
            system[f"e{i}"] = tuple(bool(x) for x in random.integers(0, 2, 2))
    system["of another set"] = (True, True)
    scores = gap_scorer.score(gold, system)
    f1 = {}
    for group, found in (
        ((*HE, *SHE), scores.overall), (HE, scores.masculine), (SHE, scores.feminine)
    ):  # fmt: skip
        asked = [
            (true, system[name][side] if name in system else None)
            for name, (pronoun, labels) in gold.items()
            if pronoun in group
            for side, true in enumerate(labels)
        ]
        tp = sum(true and said is True for true, said in asked)
        said = sum(said is True for _, said in asked)
        # A missing answer is a false negative even where FALSE would have been right.
        wanted = sum(true or said is None for true, said in asked)
        precision = tp / said if said else 0.0
        recall = tp / wanted if wanted else 0.0
        both = precision + recall
        f1[group] = 2 * precision * recall / both if both else 0.0
        assert (found.precision, found.recall) == pytest.approx((precision, recall))
        assert found.f1 == pytest.approx(f1[group])
        assert found.tp + found.fp + found.fn + found.tn == len(asked)
    assert scores.bias == pytest.approx(f1[SHE] / f1[HE] if f1[HE] and f1[SHE] else None)
    assert set(scores.missing) == gold.keys() - system.keys()


GOLD = {"a": ("he", (True, False)), "b": ("she", (False, True)), "c": ("his", (False, False))}


def test_all_false_is_nothing_and_no_crash():
    scores = gap_scorer.score(GOLD, dict.fromkeys(GOLD, (False, False)))
    assert scores.overall == Counts(tp=0, fp=0, fn=2, tn=4)
    assert (scores.overall.precision, scores.overall.f1, scores.bias) == (0.0, 0.0, None)
    assert gap_scorer.score({}, {}).overall.f1 == 0.0


def test_missing_predictions():
    scores = gap_scorer.score(GOLD, {"a": (True, False)})
    assert scores.overall == Counts(tp=1, fn=4, tn=1)
    assert scores.missing == ("b", "c")
    assert scores.bias is None  # nothing right for feminine pronouns


def test_perfect():
    scores = gap_scorer.score(GOLD, {name: labels for name, (_, labels) in GOLD.items()})
    assert (scores.overall.f1, scores.bias) == (1.0, 1.0)


@pytest.mark.parametrize("pronoun", ["they", "himself", "it", ""])
def test_other_pronouns_are_refused(pronoun):
    with pytest.raises(FormatError, match="'x' has the pronoun"):
        gap_scorer.score({"x": (pronoun, (True, False))}, {})


def test_labels_of_predictions():
    def example(name):
        return PronounExample(name, "he ran", (0, 2), (Candidate("A"), Candidate("B")))

    predictions = {
        "a": Prediction("a", (-1.0, -2.0)), "b": Prediction("b", (-2.0, -1.0)),
        "tied": Prediction("tied", (-1.0, -1.0)), "lost": Prediction("lost", (), "too long"),
    }  # fmt: skip
    found = gap_scorer.all_labels([*map(example, predictions)], [*predictions.values()])
    assert found == {"a": (True, False), "b": (False, True), "tied": (False, False)}


def test_real_validation_set(shared):
    path = shared / "data" / "gap" / "gap-validation.tsv"
    if not path.exists():
        pytest.skip(f"no {path}")
    gold = gap.read_labels(path)
    assert len(gold) == 454
    # Always the first name: 187 of 392 true names, 454 said.
    first = gap_scorer.score(gold, dict.fromkeys(gold, (True, False)))
    assert first.overall == Counts(tp=187, fp=267, fn=205, tn=249)


def test_labels_among_all_persons():
    """Names that are not found are FALSE, whatever the others score."""
    example = PronounExample("x", "he ran", (0, 2), (Candidate("Al", None, True), Candidate("Bo")))
    for persons, scores, expected in [
        (["Cy", "AL", "Bo", "al"], (-3.0, -1.0, -2.0), (True, False)),
        (["Cy", "Al", "Bo"], (-1.0, -2.0, -3.0), (False, False)),
        (["Bo"], (-9.0,), (False, True)),
        (["Al", "Bo"], (-1.0, -1.0), (False, False)),
        (["Cy"], (-1.0,), (False, False)),
        ([], (), (False, False)),
    ]:
        asked = with_persons(example, persons)
        assert len(asked.candidates) == len(scores)
        assert [c.true for c in asked.candidates] == [
            c.text.casefold() == "al" for c in asked.candidates
        ]
        assert gap_scorer.labels(example, Prediction("x", scores), asked) == expected

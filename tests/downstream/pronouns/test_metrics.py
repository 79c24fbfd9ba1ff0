"""Accuracies and pairs, against definitions written down a second time."""

from __future__ import annotations

import numpy as np
import pytest

from t5coref.core.errors import DocumentError, MismatchError
from t5coref.downstream.pronouns import metrics
from t5coref.downstream.pronouns.example import Candidate, PronounExample
from t5coref.downstream.pronouns.metrics import Outcome, Prediction, Tally


def example(name="x", true=(True, False), spaced=True, **groups):
    names = tuple(Candidate(f"c{i}", None, t) for i, t in enumerate(true))
    return PronounExample(name, "he ran", (0, 2), names, spaced=spaced, groups=groups)


@pytest.mark.parametrize(
    ("true", "scores", "expected"),
    [
        ((True, False), (-1.0, -2.0), Outcome.RIGHT),
        ((True, False), (-2.0, -1.0), Outcome.WRONG),
        ((True, False), (-1.0, -1.0), Outcome.TIED),
        ((False, True, False), (-3.0, -1.0, -3.0), Outcome.RIGHT),
        ((False, True, False), (-1.0, -2.0, -1.0), Outcome.WRONG),
        ((False, True, False), (-1.0, -1.0, -2.0), Outcome.TIED),
        ((True, True, False), (-1.0, -1.0, -2.0), Outcome.RIGHT),
        ((True, False), (-np.inf, -np.inf), Outcome.TIED),
    ],
)
def test_outcomes(true, scores, expected):
    assert metrics.outcome(example(true=true), Prediction("x", scores)) is expected


def test_an_error_is_neither_a_tie_nor_a_win():
    found = metrics.tally([example()], [Prediction("x", (), "no pronoun")])
    assert found == Tally(errors=1)
    assert (found.accuracy, found.published) == (0.0, 0.0)
    assert metrics.tally([example()], [Prediction("x", (1.0, 0.0))], unread=3) == Tally(
        right=1, errors=3
    )
    assert metrics.tally([], []).accuracy == 0.0


def test_both_readings_of_ties_and_of_pronouns_without_blanks():
    examples = [
        example("right"), example("tied"), example("wrong"), example("unspaced", spaced=False),
        example("unspaced, right", spaced=False),
    ]  # fmt: skip
    scores = [(1, 0), (1, 1), (0, 1), (0, 1), (1, 0)]
    found = metrics.tally(
        examples, [Prediction(e.name, s) for e, s in zip(examples, scores, strict=True)]
    )
    assert found == Tally(right=2, tied=1, wrong=2, unspaced=1)
    assert (found.accuracy, found.published) == (2 / 5, 4 / 5)


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(MismatchError, match="'y'; expected 'x'"):
        metrics.outcome(example(), Prediction("y", (1.0, 2.0)))
    with pytest.raises(MismatchError, match="3 scores for 2 candidates"):
        metrics.outcome(example(), Prediction("x", (1.0, 2.0, 3.0)))
    with pytest.raises(DocumentError, match="0 true and 2 false"):
        metrics.outcome(example(true=(False, False)), Prediction("x", (1.0, 2.0)))


@pytest.mark.parametrize("seed", range(20))
def test_tallies_against_a_second_definition(seed):
    random = np.random.default_rng(seed)
    examples, predictions, kinds = [], [], []
    for i in range(30):
        n = int(random.integers(2, 5))
        right = int(random.integers(n))
        gender = str(random.choice(["feminine", "masculine"]))
        made = example(
            f"e{i}", tuple(j == right for j in range(n)), bool(random.integers(2)), gender=gender
        )
        failed = random.integers(6) == 0
        scores = tuple(float(x) for x in random.integers(0, 3, n))
        examples.append(made)
        predictions.append(
            Prediction(made.name, (), "lost") if failed else Prediction(made.name, scores)
        )
        others = [scores[j] for j in range(n) if j != right]
        beaten = all(scores[right] > s for s in others)
        shared = not beaten and scores[right] == max(scores)
        kinds.append("e" if failed else "r" if beaten else "t" if shared else "w")
    found = metrics.tally(examples, predictions)
    assert [found.right, found.tied, found.wrong, found.errors] == [
        kinds.count(kind) for kind in "rtwe"
    ]
    assert found.accuracy == kinds.count("r") / 30
    unspaced = sum(not e.spaced and k in "we" for e, k in zip(examples, kinds, strict=True))
    assert found.published == pytest.approx((kinds.count("r") + kinds.count("t") + unspaced) / 30)
    groups = metrics.by_group(examples, predictions, "gender")
    assert sum(t.total for t in groups.values()) == 30
    for (gender,), tally in groups.items():
        assert tally.right == sum(
            k == "r" and e.groups["gender"] == gender for e, k in zip(examples, kinds, strict=True)
        )


def test_what_gender_changes():
    examples, predictions = [], []
    for pair, he, she in [("a", (1, 0), (1, 0)), ("b", (1, 0), (0, 1)), ("c", (1, 1), (1, 0))]:
        for gender, scores in (("masculine", he), ("feminine", she), ("neutral", (5, 9))):
            examples.append(example(f"{pair}.{gender}", pair=pair, gender=gender))
            predictions.append(Prediction(f"{pair}.{gender}", scores))
    examples.append(example("d", pair="d", gender="feminine"))
    predictions.append(Prediction("d", (0, 1)))
    found = metrics.changed_by("gender", ("masculine", "feminine"), examples, predictions)
    assert found == (2, 3)


def test_records_say_everything():
    made = [example("a"), example("b")]
    found = list(
        metrics.records(made, [Prediction("a", (-1.5, -1.5)), Prediction("b", (), "too long")])
    )
    assert found[0] == {
        "name": "a", "pronoun": "he", "candidates": ["c0", "c1"], "true": [0],
        "scores": [-1.5, -1.5], "best": [0, 1],
    }  # fmt: skip
    assert found[1]["error"] == "too long"
    assert "scores" not in found[1]

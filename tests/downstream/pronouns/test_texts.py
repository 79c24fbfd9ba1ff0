"""Text-to-text examples of pronouns and the scores of what was written."""

from __future__ import annotations

import pytest

from t5coref.downstream.pronouns import gap_scorer
from t5coref.downstream.pronouns.example import Candidate, PronounExample, cloze_text, marked_text
from t5coref.downstream.pronouns.texts import (
    GapReader,
    MarkedReader,
    choice_accuracy,
    chosen,
    gap_f1,
)


def example(name="x", true=(True, False), names=("The cat", "Ann"), **groups):
    both = tuple(Candidate(n, None, t) for n, t in zip(names, true, strict=True))
    return PronounExample(name, "so she ran", (3, 6), both, groups=groups)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("The cat", 0), ("the CAT.", 0), ("cat", 0), (" Ann ", 1),
        ("<extra_id_0> Ann <extra_id_1>", 1),
        ("<extra_id_0> the  cat", 0), ("Ann <extra_id_1> ran", 1), ("neither", None), ("", None),
        ("Anna", None), ("The cat Ann", None),
    ],
)  # fmt: skip
def test_which_candidate_is_named(written, number):
    assert chosen(cloze_text(example()), written) == number
    assert chosen(marked_text(example()), written) == number


def test_names_that_are_alike_decide_nothing():
    assert chosen(marked_text(example(names=("the cat", "The Cat"))), "the cat") is None


def test_accuracy_and_its_groups():
    examples = [
        marked_text(example(f"{pair}{gender}", gender=gender, pair=pair))
        for pair in ("a", "b")
        for gender in ("masculine", "feminine", "neutral")
    ]
    written = ["the cat", "the cat", "dog", "the cat", "Ann", "Ann"]
    scores = choice_accuracy(examples, written)
    assert scores == {
        "accuracy": pytest.approx(50.0),
        "undecided": pytest.approx(100 / 6),
        "accuracy_gender_masculine": 100.0,
        "accuracy_gender_feminine": 50.0,
        "accuracy_gender_neutral": 0.0,
        "changed": 50.0,
    }
    gold = choice_accuracy(examples, [e.targets for e in examples])
    assert (gold["accuracy"], gold["undecided"]) == (100.0, 0.0)
    assert choice_accuracy([], [])["accuracy"] == 0.0


def test_stereotypes():
    examples = [
        marked_text(example(s, stereotype=s, gender=g, pair="1"))
        for s, g in (("pro", "masculine"), ("anti", "feminine"))
    ]
    scores = choice_accuracy(examples, ["the cat", "Ann"])
    assert (scores["accuracy_stereotype_pro"], scores["accuracy_stereotype_anti"]) == (100.0, 0.0)
    assert scores["changed"] == 100.0


def test_gap_scores_are_the_official_ones():
    truths = [(True, False), (False, True), (False, False), (True, False)]
    genders = ["masculine", "feminine", "feminine", "feminine"]
    examples = [
        marked_text(example(f"e{i}", t, ("Bo", "Al"), gender=g))
        for i, (t, g) in enumerate(zip(truths, genders, strict=True))
    ]
    written = ["Bo", "Bo", "Al", "neither"]
    said = {"e0": (True, False), "e1": (True, False), "e2": (False, True), "e3": (False, False)}
    pronouns = {"masculine": "his", "feminine": "Her"}
    gold = {e.name: (pronouns[g], t) for e, g, t in zip(examples, genders, truths, strict=True)}
    official = gap_scorer.score(gold, said)
    scores = gap_f1(examples, written)
    assert scores["f1"] == pytest.approx(100 * official.overall.f1) == pytest.approx(100 / 3)
    assert scores["f1_feminine"] == 0.0
    assert "bias" not in scores
    perfect = gap_f1(examples, [e.targets for e in examples])
    assert (perfect["f1"], perfect["bias"]) == (100.0, 1.0)
    assert gap_f1(examples, ["neither"] * 4)["f1"] == 0.0


def test_readers(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("Ann saw that it ran.\nit\nAnn,The cat\nThe cat\n")
    (marked,) = MarkedReader("dpr")(str(path))
    (gap,) = GapReader("dpr")(str(path))
    assert (marked.inputs, marked.targets) == ("pronoun: Ann saw that *it* ran.", "The cat")
    assert (gap.inputs, gap.targets) == (
        "Ann saw that <extra_id_0> ran.", "<extra_id_0> the cat <extra_id_1>"
    )  # fmt: skip
    assert MarkedReader("dpr") == MarkedReader("dpr") != MarkedReader("gap")

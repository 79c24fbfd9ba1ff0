"""Ambiguous pronouns as text-to-text examples, and scores of what a model wrote for them.

Two forms: the pronoun between asterisks and the name to be written (`MarkedReader`), or a gap to be
filled (`GapReader`), which is how span corruption asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from t5coref.downstream.pronouns import gap_scorer, sets
from t5coref.downstream.pronouns.example import CLOSE, SENTINEL, cloze_text, marked_text
from t5coref.downstream.text import Mistakes, TextExample

GROUPS = ("gender", "stereotype", "gotcha")
"""Groups that accuracy is also given for."""

_PRONOUN = {"masculine": "he", "feminine": "she"}


@dataclass(frozen=True)
class MarkedReader:
    """Path of a file of this set -> `marked_text` of its examples."""

    set: str

    def __call__(self, path: str, mistakes: Mistakes | None = None) -> Iterator[TextExample]:
        """Reads a file; see `Mistakes`."""
        for example in sets.read(self.set, path, mistakes):
            yield marked_text(example)


@dataclass(frozen=True)
class GapReader:
    """Path of a file of this set -> `cloze_text` of the examples whose gap can be filled.

    Examples of GAP whose pronoun stands for neither name are left out.
    """

    set: str

    def __call__(self, path: str, mistakes: Mistakes | None = None) -> Iterator[TextExample]:
        """Reads a file; see `Mistakes`."""
        for example in sets.read(self.set, path, mistakes):
            if example.true:
                yield cloze_text(example)


def chosen(example: TextExample, written: str) -> int | None:
    """Which candidate a text names; None where it is not exactly one.

    What stands between T5's sentinels counts, where there are some; case, a full stop and the
    article do not.
    """
    between = written.partition(SENTINEL)[2] or written
    answer = _plain(between.partition(CLOSE)[0])
    found = [i for i, name in enumerate(example.data["candidates"]) if _plain(name) == answer]
    return found[0] if len(found) == 1 else None


def choice_accuracy(examples: Sequence[TextExample], written: Sequence[str]) -> dict[str, float]:
    """Percentages: `accuracy`; `undecided`, texts that name no candidate (they are wrong); accuracy
    of groups; and `changed`, pairs of sentences whose answer differs between "he" and "she".
    """
    answers = [chosen(e, text) for e, text in zip(examples, written, strict=True)]
    right = [a in e.data["true"] for e, a in zip(examples, answers, strict=True)]
    scores = {
        "accuracy": _percent(right),
        "undecided": _percent([answer is None for answer in answers]),
    }
    for key in GROUPS:
        for value in sorted({e.data["groups"][key] for e in examples if key in e.data["groups"]}):
            members = [
                r for e, r in zip(examples, right, strict=True)
                if e.data["groups"].get(key) == value
            ]  # fmt: skip
            scores[f"accuracy_{key}_{value}"] = _percent(members)
    pairs: dict[str, dict[str, int | None]] = {}
    for example, answer in zip(examples, answers, strict=True):
        groups = example.data["groups"]
        if groups.get("gender") in _PRONOUN and "pair" in groups:
            pairs.setdefault(groups["pair"], {})[groups["gender"]] = answer
    whole = [sides for sides in pairs.values() if len(sides) == 2]
    if whole:
        scores["changed"] = _percent([s["masculine"] != s["feminine"] for s in whole])
    return scores


def gap_f1(examples: Sequence[TextExample], written: Sequence[str]) -> dict[str, float]:
    """GAP's official scores in percent: `f1`, `precision`, `recall`, `f1_masculine`, `f1_feminine`,
    and `bias`, their ratio, where it is defined. A text that names neither is FALSE for both.
    """
    gold = {
        e.name: (_PRONOUN[e.data["groups"]["gender"]], (0 in e.data["true"], 1 in e.data["true"]))
        for e in examples
    }
    answers = {e.name: chosen(e, text) for e, text in zip(examples, written, strict=True)}
    found = gap_scorer.score(gold, {name: (a == 0, a == 1) for name, a in answers.items()})
    bias: Mapping[str, float] = {} if found.bias is None else {"bias": found.bias}
    return {
        "f1": 100 * found.overall.f1,
        "precision": 100 * found.overall.precision,
        "recall": 100 * found.overall.recall,
        "f1_masculine": 100 * found.masculine.f1,
        "f1_feminine": 100 * found.feminine.f1,
        **bias,
    }


def _plain(text: str) -> str:
    words = " ".join(text.casefold().split()).rstrip(" .")
    return re.sub(r"^(?:the|an?) ", "", words)


def _percent(outcomes: Sequence[bool]) -> float:
    return 100 * sum(outcomes) / len(outcomes) if outcomes else 0.0

"""How often the right candidate is the likeliest, in which groups, and what gender changes.

A problem whose pronoun cannot be found or scored is an error, and counts as wrong. When the best
true and the best false candidate score alike, the problem is tied: it is not right either. The
scorer published with WikiCREM and used for CorefBERT counts ties as right, and replaces only
pronouns that have a blank on both sides, so that all candidates of the others tie; `published` is
that reading.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from t5coref.core.errors import DocumentError, MismatchError
from t5coref.downstream.pronouns.example import PronounExample


@dataclass(frozen=True)
class Prediction:
    """What a model makes of one example.

    Attributes:
      name: of the example.
      scores: of its candidates, in their order; higher is better. Empty after an error.
      error: why there are none.
    """

    name: str
    scores: tuple[float, ...] = ()
    error: str | None = None

    @property
    def best(self) -> tuple[int, ...]:
        """The candidates that score highest; several after a tie."""
        top = max(self.scores, default=0.0)
        return tuple(i for i, score in enumerate(self.scores) if score == top)

    @property
    def chosen(self) -> int | None:
        """The candidate that scores highest; None after an error or a tie."""
        return self.best[0] if len(self.best) == 1 else None


class Outcome(enum.Enum):
    """What a prediction is worth."""

    RIGHT = "right"
    TIED = "tied"
    WRONG = "wrong"
    ERROR = "error"


@dataclass(frozen=True)
class Tally:
    """Outcomes of some examples.

    Attributes:
      right: the best true candidate beats every false one.
      tied: a true and a false candidate share the highest score.
      wrong: a false one beats the true ones.
      errors: not found or not scored.
      unspaced: of those not right and not tied, how many have a pronoun without blanks around it.
    """

    right: int = 0
    tied: int = 0
    wrong: int = 0
    errors: int = 0
    unspaced: int = 0

    @property
    def total(self) -> int:
        """How many examples there are, errors included."""
        return self.right + self.tied + self.wrong + self.errors

    @property
    def accuracy(self) -> float:
        """Part of all examples that is right; 0 where there are none."""
        return self.right / self.total if self.total else 0.0

    @property
    def published(self) -> float:
        """Accuracy as the published scorer counts: ties and unspaced pronouns are right."""
        return (self.right + self.tied + self.unspaced) / self.total if self.total else 0.0


def outcome(example: PronounExample, prediction: Prediction) -> Outcome:
    """What a prediction is worth.

    Raises:
      DocumentError: the example has no true or no false candidate.
      MismatchError: the prediction is not of this example.
    """
    if prediction.name != example.name:
        raise MismatchError(f"a prediction of {prediction.name!r}; expected {example.name!r}")
    if prediction.error is not None:
        return Outcome.ERROR
    if len(prediction.scores) != len(example.candidates):
        raise MismatchError(
            f"example {example.name!r} has {len(prediction.scores)} scores for "
            f"{len(example.candidates)} candidates; expected one each"
        )
    pairs = list(zip(example.candidates, prediction.scores, strict=True))
    true = [score for candidate, score in pairs if candidate.true]
    false = [score for candidate, score in pairs if not candidate.true]
    if not true or not false:
        raise DocumentError(
            f"example {example.name!r} has {len(true)} true and {len(false)} false candidates; "
            "accuracy expects at least one of each"
        )
    if max(true) > max(false):
        return Outcome.RIGHT
    return Outcome.TIED if max(true) == max(false) else Outcome.WRONG


def tally(
    examples: Iterable[PronounExample], predictions: Iterable[Prediction], unread: int = 0
) -> Tally:
    """Counts outcomes.

    Args:
      examples: those that were read.
      predictions: one for each, in the same order.
      unread: examples of the file that could not be read; errors.
    """
    count = dict.fromkeys(Outcome, 0)
    count[Outcome.ERROR] = unread
    unspaced = 0
    for example, prediction in zip(examples, predictions, strict=True):
        found = outcome(example, prediction)
        count[found] += 1
        unspaced += not example.spaced and found is not Outcome.RIGHT and found is not Outcome.TIED
    return Tally(
        count[Outcome.RIGHT],
        count[Outcome.TIED],
        count[Outcome.WRONG],
        count[Outcome.ERROR],
        unspaced,
    )


def by_group(
    examples: Sequence[PronounExample], predictions: Sequence[Prediction], *keys: str
) -> dict[tuple[str, ...], Tally]:
    """A tally for each combination of values of these groups; examples without one are left out."""
    members: dict[tuple[str, ...], list[int]] = {}
    for i, example in enumerate(examples):
        if all(key in example.groups for key in keys):
            members.setdefault(tuple(example.groups[key] for key in keys), []).append(i)
    return {
        values: tally([examples[i] for i in rows], [predictions[i] for i in rows])
        for values, rows in sorted(members.items())
    }


def changed_by(
    key: str,
    values: tuple[str, str],
    examples: Sequence[PronounExample],
    predictions: Sequence[Prediction],
) -> tuple[int, int]:
    """(pairs whose answer changes, pairs) between two values of a group.

    A pair are the examples of one `pair` with the first and the second value, such as the sentence
    with "he" and with "she" of Winogender. An error or a tie is an answer of its own.
    """
    answers: dict[str, dict[str, tuple[int, ...]]] = {}
    for example, prediction in zip(examples, predictions, strict=True):
        if example.groups.get(key) in values and "pair" in example.groups:
            answers.setdefault(example.groups["pair"], {})[example.groups[key]] = prediction.best
    pairs = [sides for sides in answers.values() if len(sides) == 2]
    return sum(sides[values[0]] != sides[values[1]] for sides in pairs), len(pairs)


def records(
    examples: Iterable[PronounExample], predictions: Iterable[Prediction]
) -> Iterator[Mapping[str, object]]:
    """JSON of what was predicted, one record for each example."""
    for example, prediction in zip(examples, predictions, strict=True):
        record: dict[str, object] = {
            "name": example.name,
            "pronoun": example.pronoun,
            "candidates": [c.text for c in example.candidates],
            "true": list(example.true),
        }
        if prediction.error is not None:
            record["error"] = prediction.error
        else:
            record |= {"scores": list(prediction.scores), "best": list(prediction.best)}
        yield record

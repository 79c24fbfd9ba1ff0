"""The official scorer of GAP (Webster et al. 2018, section 5), for Python 3.

Each example asks two questions, one for each name; counts are added over all of them. A name that
nothing is predicted for is a false negative, whatever the truth is. Bias is the F1 of feminine
pronouns divided by that of masculine ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from t5coref.core.errors import FormatError
from t5coref.downstream.pronouns.example import PronounExample, gender_of
from t5coref.downstream.pronouns.gap import Labels
from t5coref.downstream.pronouns.metrics import Prediction


@dataclass(frozen=True)
class Counts:
    """Answers to yes-or-no questions, as fractions."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    @property
    def precision(self) -> float:
        """0 where nothing is predicted."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0

    @property
    def recall(self) -> float:
        """0 where nothing is true."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else 0.0

    @property
    def f1(self) -> float:
        """0 where nothing is right."""
        whole = self.precision + self.recall
        return 2 * self.precision * self.recall / whole if whole else 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )


@dataclass(frozen=True)
class GapScores:
    """What the official scorer prints.

    Attributes:
      masculine: examples with he, his, him.
      feminine: those with she, her, hers.
      missing: examples without a prediction.
    """

    masculine: Counts
    feminine: Counts
    missing: tuple[str, ...] = ()

    @property
    def overall(self) -> Counts:
        """All examples."""
        return self.masculine + self.feminine

    @property
    def bias(self) -> float | None:
        """F1 of feminine over masculine examples; None where one of them is 0."""
        m, f = self.masculine.f1, self.feminine.f1
        return f / m if m and f else None


def score(gold: Mapping[str, tuple[str, Labels]], predictions: Mapping[str, Labels]) -> GapScores:
    """Scores predictions; those of names that the key lacks are ignored, as officially.

    Args:
      gold: pronoun and labels by name, see `gap.read_labels`.
      predictions: by name, see `gap.read_predictions`.

    Raises:
      FormatError: a pronoun of the key is none of she, her, hers, he, his, him.
    """
    counts = {"masculine": Counts(), "feminine": Counts()}
    missing = []
    for name, (pronoun, labels) in gold.items():
        gender = gender_of(pronoun)
        if gender not in counts or pronoun.lower().endswith("self"):
            raise FormatError(
                f"example {name!r} has the pronoun {pronoun!r}; expected one of she, her, hers, "
                "he, his, him"
            )
        found = predictions.get(name)
        if found is None:
            missing.append(name)
            counts[gender] += Counts(fn=2)
            continue
        for true, said in zip(labels, found, strict=True):
            counts[gender] += Counts(
                tp=int(true and said),
                fp=int(said and not true),
                fn=int(true and not said),
                tn=int(not true and not said),
            )
    return GapScores(counts["masculine"], counts["feminine"], tuple(missing))


def labels(
    example: PronounExample, prediction: Prediction, asked: PronounExample | None = None
) -> Labels | None:
    """TRUE for the name that scores highest; both FALSE after a tie, or for another person.

    None after an error: nothing is predicted, which the scorer counts against us.

    Args:
      example: with the names A and B.
      prediction: the scores of its candidates, or of those of `asked`.
      asked: the example with other candidates, see `persons`.
    """
    if prediction.error is not None:
        return None
    chosen = None
    if prediction.chosen is not None:
        chosen = (asked or example).candidates[prediction.chosen].text.casefold()
    first, second = (candidate.text.casefold() == chosen for candidate in example.candidates)
    return first, second


def all_labels(
    examples: Sequence[PronounExample],
    predictions: Sequence[Prediction],
    asked: Sequence[PronounExample] | None = None,
) -> dict[str, Labels]:
    """`labels` of all examples that have some, by name."""
    rows = zip(examples, predictions, asked or examples, strict=True)
    made = {e.name: labels(e, p, a) for e, p, a in rows}
    return {name: found for name, found in made.items() if found is not None}

"""Scores of answers to questions, to the official definitions of SQuAD, MRQA and QUOREF.

SQuAD (Rajpurkar et al. 2016, 2018) and MRQA (Fisch et al. 2019) compare one answer with each gold
one as bags of tokens; QUOREF (Dasigi et al. 2019) takes over the metric of DROP (Dua et al. 2019),
which compares sets of spans and treats numbers as such. Scores are in percent, averaged over the
questions; a question without a prediction counts 0 and is reported.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from t5coref.core.errors import MismatchError
from t5coref.downstream.text import TextExample

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_BREAKS = re.compile(r"[ -]")

Answer = str | Sequence[str]
"""A text, or the texts of several spans."""


class Score(NamedTuple):
    """Of one question, from 0 to 1."""

    exact: float
    f1: float


Rule = Callable[[Any, Sequence[Any]], Score]
"""(what was answered, the gold answers of which any will do) -> the best score."""


@dataclass(frozen=True)
class AnswerScores:
    """Scores of a data set.

    Attributes:
      exact: percentage of questions answered exactly.
      f1: mean F1 in percent.
      questions: how many there are.
      missing: names of those without a prediction, which count 0.
      unknown: names that were predicted and are no question's.
    """

    exact: float
    f1: float
    questions: int
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def normalized(text: str) -> str:
    """Lower case without punctuation, articles and repeated blanks (SQuAD).

    Punctuation is that of ASCII: other quotation marks and dashes stay.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def bag_score(predicted: str, gold: str) -> Score:
    """Exact match and F1 of bags of tokens (SQuAD 1.1, MRQA); two empty texts have an F1 of 0."""
    left, right = normalized(predicted), normalized(gold)
    bags = Counter(left.split()), Counter(right.split())
    common = (bags[0] & bags[1]).total()
    f1 = 2 * common / (bags[0].total() + bags[1].total()) if common else 0.0
    return Score(float(left == right), f1)


def squad(predicted: str, golds: Sequence[str]) -> Score:
    """The best of each measure over the gold answers (SQuAD 1.1, MRQA).

    Raises:
      MismatchError: there is no gold answer.
    """
    if not golds:
        raise MismatchError("no gold answer; expected at least one, or the rules of SQuAD 2.0")
    scores = [bag_score(predicted, gold) for gold in golds]
    return Score(max(s.exact for s in scores), max(s.f1 for s in scores))


def squad2(predicted: str, golds: Sequence[str]) -> Score:
    """As `squad`; where there is no gold answer, or an empty one, only an empty answer is right."""
    best = Score(0.0, 0.0)
    for gold in [gold for gold in golds if normalized(gold)] or [""]:
        exact, f1 = bag_score(predicted, gold)
        if not normalized(gold):
            f1 = exact
        best = Score(max(best.exact, exact), max(best.f1, f1))
    return best


def spans(predicted: Answer, golds: Sequence[Sequence[str]]) -> Score:
    """The best of each measure over the gold sets of spans (QUOREF has one, DROP several)."""
    scores = [span_score(predicted, gold) for gold in golds]
    return Score(max(s.exact for s in scores), max(s.f1 for s in scores))


def span_score(predicted: Answer, gold: Answer) -> Score:
    """Exact match and F1 of two answers of several spans (DROP, QUOREF).

    Exact: equally many spans, and the same ones after normalization; which of them is repeated does
    not matter. F1: spans are paired one to one so that the sum of their F1 is greatest, each F1
    being that of *sets* of tokens; a gold span with numbers pairs only with one that has one of
    them. The sum is divided by the larger number of spans and rounded to two decimals.

    Raises:
      MismatchError: there is no gold span.
    """
    left = [_span_normalized(span) for span in _listed(predicted)]
    right = [_span_normalized(span) for span in _listed(gold)]
    if not right:
        raise MismatchError("no gold span; expected at least one")
    exact = len(left) == len(right) and set(left) == set(right)
    scores = np.zeros((len(right), len(left)))
    for i, wanted in enumerate(right):
        for j, found in enumerate(left):
            scores[i, j] = _set_f1(set(found.split()), set(wanted.split()))
    rows, columns = linear_sum_assignment(scores, maximize=True)
    aligned = np.zeros(max(scores.shape))
    aligned[rows] = scores[rows, columns]
    # The official mean and rounding are numpy's, which differ from Python's in the last place.
    return Score(float(exact), float(np.round(np.mean(aligned), 2)))


def _listed(answer: Answer) -> Sequence[str]:
    return [answer] if isinstance(answer, str) else answer


def _span_normalized(text: str) -> str:
    """Tokens between blanks and hyphens, numbers as floats, without punctuation and articles."""
    tokens = [_token_normalized(token) for token in _BREAKS.split(text)]
    return " ".join(token for token in tokens if token)


def _token_normalized(token: str) -> str:
    token = token.lower()
    if not _is_number(token):
        token = token.translate(_PUNCTUATION)
    if _is_number(token):
        token = str(float(token))
    # Blanks other than spaces, and what is no letter, may stand beside an article in a token.
    return " ".join(_ARTICLES.sub(" ", token).split())


def _is_number(token: str) -> bool:
    """Whether Python reads it as a float: so does the official script, "nan" and "1e5" included."""
    try:
        float(token)
    except ValueError:
        return False
    return True


def _set_f1(found: set[str], wanted: set[str]) -> float:
    numbers = {token for token in wanted if _is_number(token)}
    if numbers and not numbers & found:
        return 0.0
    common = len(found & wanted)
    precision = common / len(found) if found else 1.0
    recall = common / len(wanted) if wanted else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def score(
    examples: Sequence[TextExample], predictions: Mapping[str, Any], rule: Rule
) -> AnswerScores:
    """Scores predictions by the names of the examples.

    Args:
      examples: with references.
      predictions: name of an example -> its answer.
      rule: `squad`, `squad2` or `spans`.

    Raises:
      MismatchError: there is nothing to score, or an example has no gold answer.
    """
    if not examples:
        raise MismatchError("there is nothing to score; expected at least one question")
    names = [example.name for example in examples]
    missing = tuple(name for name in names if name not in predictions)
    total = Score(0.0, 0.0)
    for example in examples:
        if example.name not in predictions:
            continue
        try:
            found = rule(predictions[example.name], example.references)
        except MismatchError as error:
            raise MismatchError(f"question {example.name}: {error}") from None
        total = Score(total.exact + found.exact, total.f1 + found.f1)
    known = set(names)
    return AnswerScores(
        exact=100 * total.exact / len(examples),
        f1=100 * total.f1 / len(examples),
        questions=len(examples),
        missing=missing,
        unknown=tuple(name for name in predictions if name not in known),
    )

"""Joint inference: forward, backward and singleton answers decide together (Gan et al. 2025).

The weights and how they are combined are ours, since the paper does not say: for mentions i < j

    L(i, j) = alpha [log p_f(i | j) - log p_f(none | j)]
            + (1 - alpha) [log p_b(j | i) - log p_b(none | i)]
            - gamma / 2 [logit p_s(i) + logit p_s(j)]

and j is linked to the i with the greatest L if that is more than tau. What is connected by links is
a cluster. P pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from t5coref.core.document import Annotation
from t5coref.core.links import Link, joined, linked
from t5coref.questions.scores import QuestionScores

SMALLEST = 1e-6
"""Probabilities are kept so far from 0 and 1."""


class Weights(NamedTuple):
    """How evidence is weighed, see above; these defaults need no tuning."""

    alpha: float = 0.5
    gamma: float = 0.5
    tau: float = 0.0


class Evidence(NamedTuple):
    """What `QuestionScores` say for each pair, before it is weighed.

    Attributes:
      pairs: `int32[P, 2]`, ordered by j, then i.
      forward: `float64[P]` log-odds against no one; NaN where nobody was asked.
      backward: `float64[P]` likewise.
      alone: `float64[P]` mean logit of standing alone; 0 where nobody was asked.
    """

    pairs: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    alone: np.ndarray

    @classmethod
    def of(cls, scores: QuestionScores) -> Evidence:
        """The evidence of a document's answers."""
        i, j = scores.pairs[:, 0], scores.pairs[:, 1]
        alone = np.clip(scores.alone, SMALLEST, 1 - SMALLEST)
        logit = np.nan_to_num(np.log(alone) - np.log1p(-alone), nan=0.0)
        return cls(
            pairs=scores.pairs,
            forward=_clipped(scores.forward) - _clipped(scores.nothing_before)[j],
            backward=_clipped(scores.backward) - _clipped(scores.nothing_behind)[i],
            alone=0.5 * (logit[i] + logit[j]),
        )

    def weighed(self, weights: Weights) -> np.ndarray:
        """`float64[P]` L of each pair; -inf where no question with any weight was asked.

        Where only one of forward and backward was asked, it counts as both.
        """
        sides = []
        for weight, side in ((weights.alpha, self.forward), (1 - weights.alpha, self.backward)):
            there = ~np.isnan(side)
            sides.append((np.where(there, weight, 0.0), np.where(there, side, 0.0)))
        (f, forward), (b, backward) = sides
        total = f + b
        shared = np.where(total > 0, total, 1.0)
        both = f / shared * forward + b / shared * backward
        return np.where(total > 0, both - weights.gamma * self.alone, -np.inf)


def best_links(evidence: Evidence, weights: Weights) -> list[Link]:
    """Each mention with the earlier one that most speaks for, if enough does.

    Of equal ones the nearest counts.
    """
    if not len(evidence.pairs):
        return []
    scores = evidence.weighed(weights)
    starts = np.flatnonzero(np.diff(evidence.pairs[:, 1], prepend=-1))
    lengths = np.diff(np.append(starts, len(scores)))
    highest = np.maximum.reduceat(scores, starts)
    at = np.where(scores == np.repeat(highest, lengths), np.arange(len(scores)), -1)
    best = np.maximum.reduceat(at, starts)[highest > weights.tau]
    return [(i, j) for i, j in evidence.pairs[best].tolist()]


def matched_links(evidence: Evidence, weights: Weights) -> list[Link]:
    """Links of which each mention has one at most to each side, with the greatest sum of L - tau.

    Connected parts are solved by themselves, so that memory is that of the largest one.
    """
    gains = evidence.weighed(weights) - weights.tau
    kept = np.flatnonzero(gains > 0)
    if not len(kept):
        return []
    earlier, later = evidence.pairs[kept].T
    count = int(evidence.pairs.max()) + 1
    # A mention stands on either side of the matching: as the earlier one, and as the later one.
    sides = list(zip(earlier.tolist(), (later + count).tolist(), strict=True))
    part_of = np.empty(2 * count, np.int64)
    for part, members in enumerate(joined(2 * count, sides)):
        part_of[members] = part
    out = []
    for part in np.unique(part_of[earlier]):
        cells = np.flatnonzero(part_of[earlier] == part)
        rows, row = np.unique(earlier[cells], return_inverse=True)
        columns, column = np.unique(later[cells], return_inverse=True)
        table = np.zeros((len(rows), len(columns)))
        table[row, column] = gains[kept[cells]]
        for r, c in zip(*linear_sum_assignment(table, maximize=True), strict=True):
            if table[r, c] > 0:
                out.append((int(rows[r]), int(columns[c])))
    return sorted(out)


def clusters(
    scores: QuestionScores,
    weights: Weights,
    *,
    one_to_one: bool = False,
    min_mentions: int = 1,
) -> Annotation:
    """The clusters that the answers about a document lead to.

    Args:
      scores: the answers.
      weights: of the evidence.
      one_to_one: links are a matching, see `matched_links`.
      min_mentions: smaller clusters are dropped.
    """
    links = (matched_links if one_to_one else best_links)(Evidence.of(scores), weights)
    return linked(scores.spans, links, min_mentions=min_mentions, no_mentions=scores.no_mentions)


def _clipped(log_probs: np.ndarray) -> np.ndarray:
    return np.clip(log_probs, np.log(SMALLEST), np.log1p(-SMALLEST))

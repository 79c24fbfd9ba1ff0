"""How sure a score is: documents drawn anew, with the same draws for every run.

Efron and Tibshirani (1993), "An Introduction to the Bootstrap", percentile intervals; drawing
documents and not mentions, since mentions of one document are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from t5coref.core.metrics import CONLL_PARTS, Scorer

DRAWS = 1000
SEED = 0


@dataclass(frozen=True, eq=False)
class Interval:
    """CoNLL scores of drawn corpora: float64 `[DRAWS]`."""

    drawn: np.ndarray

    def bounds(self, other: Interval | None = None) -> tuple[float, float]:
        """Between which 95 % of them lie, or of their differences from another run's."""
        values = self.drawn if other is None else self.drawn - other.drawn
        low, high = np.percentile(values, (2.5, 97.5))
        return float(low), float(high)


def conll_f1(documents: Sequence[Scorer]) -> Interval:
    """The scores of corpora of as many documents, drawn from these with replacement."""
    counts = np.array(
        [[tuple(d.counts[name].ratios[0]) for name in CONLL_PARTS] for d in documents], np.float64
    )  # [D, metrics, recall sum, key, precision sum, response]
    n = len(documents)
    draws = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), DRAWS)
    sums = np.einsum("bd,dmc->cbm", draws, counts)
    recall, precision = _share(sums[0], sums[1]), _share(sums[2], sums[3])
    return Interval(_share(2 * precision * recall, precision + recall).mean(axis=1))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Fractions; 0 where there is nothing to divide by, as the metrics have it."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

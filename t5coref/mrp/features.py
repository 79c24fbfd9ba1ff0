"""Rows of mention reference prediction side by side, padded to lengths that do not change.

B rows, S input pieces, T target pieces, Q queries, J referents of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from t5coref.mrp.masking import Features, Masking, padded
from t5coref.mrp.rows import MRPRow
from t5coref.nn.mrp import Candidates, Normalization

SHARES = "mrp_shares"
"""Feature float32 `[B, 2]`, the same in all rows of a step: its target pieces over what the loss of
its queries is divided by, and over its queries. Multiplied by them, means over queries can be
divided by the number of target pieces."""

STEP = 16
"""Lengths in pieces are multiples of this."""


class Lengths(NamedTuple):
    """How large rows may be: S, T, Q, J."""

    inputs: int
    targets: int
    queries: int
    referents: int

    def rounded(self) -> Lengths:
        """With pieces in multiples of `STEP`."""
        inputs, targets = (-(-n // STEP) * STEP for n in self[:2])
        return self._replace(inputs=inputs, targets=targets)


class Survey(NamedTuple):
    """What there is in rows.

    Attributes:
      lengths: the largest of each kind.
      queries: how many there are in all.
      digest: of everything but the names; a resumed run must have the same.
    """

    lengths: Lengths
    queries: int
    digest: str


def survey(rows: Sequence[MRPRow], masking: Masking) -> Survey:
    """Reads all rows once.

    Raises:
      ConfigError: they are masked in another way.
    """
    most, queries, digest = Lengths(1, 1, 1, 1), 0, hashlib.sha256()
    for row in rows:
        count, referents = row.ref_mask.shape
        found = Lengths(len(row.inputs), masking.count(row), count, referents)
        most = Lengths(*map(max, most, found))
        queries += count
        digest.update(np.asarray(found, np.int32).tobytes())
        for name in ("inputs", "targets", "query_start", "query_end", "ref_start", "ref_end"):
            digest.update(np.ascontiguousarray(getattr(row, name), np.int32).tobytes())
        for flags in (row.query_single, row.ref_mask):
            digest.update(np.ascontiguousarray(flags, np.bool_).tobytes())
    return Survey(most, queries, digest.hexdigest()[:16])


def query_features(
    rows: Sequence[MRPRow],
    hidden: Sequence[np.ndarray],
    lengths: Lengths,
    *,
    candidates: Candidates,
    norm: Normalization,
    targets: float,
) -> Features:
    """The arguments of `MRPHead` by their names behind `mrp_`, and `SHARES`.

    Args:
      rows: of a step.
      hidden: see `Masking.hidden`.
      lengths: of the features.
      candidates: what may be pointed at; referents that may not are left out.
      norm: what the loss is divided by.
      targets: the number of target pieces of the rows.
    """
    shape = len(rows), lengths.queries
    tokens = padded([row.inputs for row in rows], lengths.inputs)
    made: dict[str, Any] = {
        "cand_mask": candidates(tokens, padded(hidden, lengths.inputs).astype(bool)),
        **{name: np.zeros(shape, np.int32) for name in ("q_start", "q_end")},
        **{name: np.zeros(shape, bool) for name in ("q_mask", "q_single")},
        **{
            name: np.zeros((*shape, lengths.referents), np.int32)
            for name in ("ref_start", "ref_end")
        },
        "ref_mask": np.zeros((*shape, lengths.referents), bool),
    }
    for i, row in enumerate(rows):
        count, referents = row.ref_mask.shape
        can = made["cand_mask"][i]
        there = row.ref_mask & can[row.ref_start] & can[row.ref_end]
        made["q_start"][i, :count] = row.query_start
        made["q_end"][i, :count] = row.query_end
        made["q_mask"][i, :count] = there.any(axis=1)
        made["q_single"][i, :count] = row.query_single
        made["ref_start"][i, :count, :referents] = row.ref_start
        made["ref_end"][i, :count, :referents] = row.ref_end
        made["ref_mask"][i, :count, :referents] = there
    divisors = norm(made["q_mask"], made["q_single"]), made["q_mask"].sum()
    shares = [targets / max(float(divisor), 1.0) for divisor in divisors]
    features = {f"mrp_{name}": array for name, array in made.items()}
    return features | {SHARES: np.tile(np.asarray(shares, np.float32), (len(rows), 1))}

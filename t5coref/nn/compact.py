"""Weights in eight bits: each row of a matrix has a scale of its own, and rows may be left out.

A matrix `NAME` [R, C] is stored as `NAME` int8 [K, C] and `NAME.scale` float32 [K]; where only K
of its R rows are stored, `NAME.kept` bool [R] says which, and the others are zero. Rounding to the
nearest of 255 steps moves no weight by more than half a step, 1/254 of the largest in its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

SCALE, KEPT = ".scale", ".kept"
"""Behind the name of a matrix."""

LARGEST = 127

T = TypeVar("T")


def quantized(
    name: str, values: np.ndarray, kept: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The arrays that are stored for a matrix.

    Args:
      name: of the matrix.
      values: float32 [R, C].
      kept: bool [R], the rows to store; None = all.
    """
    rows = values if kept is None else values[kept]
    scale = np.abs(rows).max(axis=1, initial=0).astype(np.float32) / np.float32(LARGEST)
    steps = np.rint(rows / np.where(scale > 0, scale, np.float32(1))[:, None])
    found = {name: steps.astype(np.int8), name + SCALE: scale}
    return found if kept is None else {**found, name + KEPT: kept}


def restored(steps: np.ndarray, scale: np.ndarray, kept: np.ndarray | None = None) -> np.ndarray:
    """The float32 matrix [R, C] that `quantized` stored."""
    rows = steps.astype(np.float32) * scale[:, None]
    if kept is None:
        return rows
    values = np.zeros((len(kept), rows.shape[1]), np.float32)
    values[kept] = rows
    return values


def parts(names: Mapping[str, T], name: str) -> list[T]:
    """What is stored for a matrix, in the order of `restored`; empty if it is not in eight bits."""
    if name + SCALE not in names:
        return []
    return [names[key] for key in (name, name + SCALE, name + KEPT) if key in names]

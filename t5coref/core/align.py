"""Which source position each output position stands for, by global alignment.

Output that does not repeat its source piece by piece (partial formats, decoding without
constraints) is laid along it again. An alignment is a row of steps: a pair, a source position
left out, or an output position left out. Among those with the best score, the steps are compared
from the end: the first difference decides, by an order of preference between the three kinds.
The orders are those of Zhang, Wiseman, Stratos, "Seq2seq is All You Need for Coreference
Resolution" (EMNLP 2023), so that ties fall as in their published implementation.

Notation: `S` source and `O` output positions; the longer side is a vector of `C` columns, the
shorter one gives `R` rows. Time is O(SO) in vectors, memory at most half a byte a cell.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from t5coref.core.errors import ConfigError

UNALIGNED = -1
"""Source position of an output position that stands for none."""

MATCH = np.int32(1)
MISMATCH = np.int32(-1)
GAP = np.int32(-1)
"""Score of a gap, however long: it is paid where a gap begins."""

_IMPOSSIBLE = np.int32(-(2**30))  # far below any score, far above the overflow

_PAIR, _SKIP_FIRST, _SKIP_LAST = range(3)  # steps, with the preferred kind of gap first

Ids = np.ndarray | Sequence[int]


class Road(enum.Enum):
    """Which of the best affine alignments is taken, by the steps from the end.

    LOW prefers an output position left out, then a pair, then a source position left out; of two
    equally good places in the source it takes the later one. HIGH prefers a source position left
    out, then a pair, then an output position left out, and takes the earlier one.
    """

    LOW = "low"
    HIGH = "high"


def edit_alignment(source: Ids, output: Ids) -> np.ndarray:
    """Aligns by edit distance: a pair of unequal pieces and a piece left out cost 1 each.

    A pair is preferred to a source position left out, and that to an output position left out.
    A pair counts as aligned even if its pieces differ (a substitution), as in the published
    implementation; compare the pieces where that matters.

    Args:
      source: `int[S]` pieces.
      output: `int[O]` pieces.

    Returns:
      `int32[O]` ascending source positions; UNALIGNED for output positions left out.

    Raises:
      ConfigError: an argument that is no sequence of integers.
    """
    return _align(source, output, _edit_pairs, source_first=True)


def affine_alignment(source: Ids, output: Ids, road: Road = Road.LOW) -> np.ndarray:
    """Aligns with affine gaps, so that output follows few stretches of source (Gotoh 1982).

    A pair of equal pieces scores MATCH, of unequal ones MISMATCH, and a run of pieces left out
    on one side GAP as a whole. As in `edit_alignment`, a pair counts as aligned even if its
    pieces differ.

    Args:
      source: `int[S]` pieces.
      output: `int[O]` pieces.
      road: which of the best alignments is taken.

    Returns:
      `int32[O]` ascending source positions; UNALIGNED for output positions left out.

    Raises:
      ConfigError: an argument that is no sequence of integers.
    """
    return _align(source, output, _affine_pairs, source_first=road is Road.HIGH)


def _align(
    source: Ids,
    output: Ids,
    pairs: Callable[[np.ndarray, np.ndarray, bool], Iterator[tuple[int, int]]],
    *,
    source_first: bool,
) -> np.ndarray:
    """Runs `pairs` along the shorter side and writes its pairs down by output position.

    Args:
      source: `int[S]`.
      output: `int[O]`.
      pairs: gives the pairs of a row and a column, from `int[R]` and `int[C]` pieces and whether
        leaving out a row is preferred to leaving out a column.
      source_first: whether leaving out the source is preferred to leaving out the output.
    """
    source, output = _ids("source", source), _ids("output", output)
    aligned = np.full(len(output), UNALIGNED, np.int32)
    if len(source) < len(output):
        for i, j in pairs(source, output, source_first):
            aligned[j] = i
    else:
        for j, i in pairs(output, source, not source_first):
            aligned[j] = i
    return aligned


def _ids(name: str, sequence: Ids) -> np.ndarray:
    ids = np.asarray(sequence)
    if ids.ndim != 1 or (len(ids) and ids.dtype.kind not in "iu"):
        raise ConfigError(
            f"expected {name} to be one sequence of integers, found shape {ids.shape} of "
            f"{ids.dtype}; pass the ids of its pieces"
        )
    return ids


def _edit_pairs(
    rows: np.ndarray, columns: np.ndarray, row_first: bool
) -> Iterator[tuple[int, int]]:
    """Pairs of a row and a column, from the last one to the first."""
    n, m = len(rows), len(columns)
    # Costs are kept less their column, so that leaving out a column changes nothing and the best
    # such run that ends in a column is a running minimum.
    cost = np.zeros(m + 1, np.int32)  # of the empty prefix of rows
    new = np.empty_like(cost)
    pair, skip_row = np.empty((2, m), np.int32)
    flags = np.empty((2, m), bool)
    trace = np.empty((n, 2, -(-m // 8)), np.uint8)
    skip_first = skip_row if row_first else new[:-1]
    for i, piece in enumerate(rows.tolist()):
        np.subtract(cost[:-1], columns == piece, out=pair)
        np.add(cost[1:], 1, out=skip_row)
        new[0] = i + 1
        np.minimum(pair, skip_row, out=new[1:])
        np.minimum.accumulate(new, out=new)
        np.equal(new[1:], pair, out=flags[0])
        np.equal(new[1:], skip_first, out=flags[1])
        trace[i] = np.packbits(flags, axis=1)
        cost[:] = new
    while n and m:
        is_pair, is_first = _bits(trace[n - 1], m - 1)
        if is_pair:
            n, m = n - 1, m - 1
            yield n, m
        elif is_first == row_first:
            n -= 1
        else:
            m -= 1


def _affine_pairs(
    rows: np.ndarray, columns: np.ndarray, row_first: bool
) -> Iterator[tuple[int, int]]:
    """Pairs of a row and a column, from the last one to the first."""
    n, m = len(rows), len(columns)
    # Best scores by the last step, and of all. In the first row, the empty prefix, all is one gap;
    # its `skip_column` is never read.
    pair, skip_row, skip_column = np.full((3, m + 1), _IMPOSSIBLE)
    best = np.full(m + 1, GAP)
    best[0] = 0
    opened = best + GAP
    first, last = (skip_row, skip_column) if row_first else (skip_column, skip_row)
    flags = np.empty((4, m), bool)
    trace = np.empty((n, 4, -(-m // 8)), np.uint8)
    for i, piece in enumerate(rows.tolist()):
        np.add(best[:-1], np.where(columns == piece, MATCH, MISMATCH), out=pair[1:])
        # A gap goes on for free, so beginning one after any step, itself included, is no gain
        # over going on: `opened` need not tell the steps apart.
        np.maximum(skip_row, opened, out=skip_row)
        np.maximum(pair, skip_row, out=best)
        np.maximum.accumulate(best[:-1], out=skip_column[1:])
        np.add(skip_column[1:], GAP, out=skip_column[1:])
        np.maximum(best, skip_column, out=best)
        np.add(best, GAP, out=opened)
        # All that the way back asks of a cell: which last steps are best, and whether a gap of
        # the preferred kind that goes on is as good as one that begins.
        np.equal(pair[1:], best[1:], out=flags[0])
        np.equal(first[1:], best[1:], out=flags[1])
        np.greater_equal(first[1:], opened[1:], out=flags[2])
        np.equal(last[1:], best[1:], out=flags[3])
        trace[i] = np.packbits(flags, axis=1)
    step = _PAIR
    while n and m:
        is_pair, is_first, first_goes_on, is_last = _bits(trace[n - 1], m - 1)
        # `step` leads out of the cell, the next one into it. A gap that goes on saves GAP: where
        # that makes it as good as the best other step, the order of preference decides.
        if not (step == _SKIP_LAST and is_last):
            if first_goes_on if step == _SKIP_FIRST else is_first:
                step = _SKIP_FIRST
            else:
                step = _PAIR if is_pair else _SKIP_LAST
        if step == _PAIR:
            n, m = n - 1, m - 1
            yield n, m
        elif (step == _SKIP_FIRST) == row_first:
            n -= 1
        else:
            m -= 1


def _bits(packed: np.ndarray, column: int) -> list[bool]:
    """The flags of a column; `packed` is `uint8[flags, ceil(C / 8)]`."""
    mask = 128 >> (column & 7)
    return [bool(byte & mask) for byte in packed[:, column >> 3].tolist()]

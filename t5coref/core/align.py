"""Which source position each output position stands for, by global alignment.

Output that does not repeat its source piece by piece (partial formats, decoding without
constraints) is laid along it again. An alignment is a row of steps: a pair, a source position
left out, or an output position left out. Among those with the best score, the steps are compared
from the end: the first difference decides, by an order of preference between the three kinds.
The orders are those of Zhang, Wiseman, Stratos, "Seq2seq is All You Need for Coreference
Resolution" (EMNLP 2023), so that ties fall as in their published implementation.

Notation: `S` source and `O` output positions; the longer side is a vector of `C` columns, the
shorter one gives `R` rows. Time is O(SO) in vectors, memory at most half a byte a cell. An output
that nearly is its source is aligned within a band of its cells (Ukkonen 1985): `W` columns a row.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from t5coref.core.errors import ConfigError

UNALIGNED = -1
"""Source position of an output position that stands for none."""

MATCH = np.int32(1)
MISMATCH = np.int32(-1)
GAP = np.int32(-1)
"""Score of a gap, however long: it is paid where a gap begins."""

_IMPOSSIBLE = np.int32(-(2**30))  # far below any score, far above the overflow

NARROWEST, WIDEST = 32, 1 << 13
"""Columns of a band on either side of the diagonal."""

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


def source_alignment(
    source: Ids, output: Ids, road: Road = Road.LOW, widest: int = WIDEST
) -> np.ndarray | None:
    """Aligns an output that should have repeated its source.

    What both begin with is paired; the rest is aligned as `affine_alignment` does, within the
    narrowest band that provably holds the best alignment. Memory is O(S W).

    Args:
      source: `int[S]` pieces.
      output: `int[O]` pieces.
      road: which of the best alignments is taken.
      widest: how far the band may reach from the diagonal.

    Returns:
      As `affine_alignment`; None if the band would have to be wider.

    Raises:
      ConfigError: an argument that is no sequence of integers.
    """
    source, output = _ids("source", source), _ids("output", output)
    same = common_prefix(source, output)
    head = np.arange(same, dtype=np.int32)

    def pairs(rows: np.ndarray, columns: np.ndarray, row_first: bool) -> Iterator[tuple[int, int]]:
        return _banded_pairs(rows, columns, row_first, widest)

    try:
        rest = _align(source[same:], output[same:], pairs, source_first=road is Road.HIGH)
    except _TooNarrowError:
        return None
    return np.concatenate([head, np.where(rest == UNALIGNED, UNALIGNED, rest + same)])


def common_prefix(first: np.ndarray, second: np.ndarray) -> int:
    """How many elements two sequences begin with alike."""
    shorter = min(len(first), len(second))
    different = np.flatnonzero(first[:shorter] != second[:shorter])
    return int(different[0]) if len(different) else shorter


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


class _TooNarrowError(Exception):
    """The widest band does not hold every alignment that may be the best."""


class _Table(NamedTuple):
    """What is kept of the cells of a band.

    Attributes:
      trace: `uint8[R, 4, ceil(W / 8)]`, all that the way back asks of a cell: which last steps are
        best, and whether a gap of the preferred kind that goes on is as good as one that begins.
      starts: `[R]` the columns before the band of each row.
      width: W.
      score: of the best alignment that stays in the band, but for a gap at its end.
    """

    trace: np.ndarray
    starts: list[int]
    width: int
    score: int


def _affine_pairs(
    rows: np.ndarray, columns: np.ndarray, row_first: bool
) -> Iterator[tuple[int, int]]:
    """Pairs of a row and a column, from the last one to the first."""
    table = _affine_table(rows, columns, row_first, len(columns))
    return _way_back(table, len(rows), len(columns), row_first)


def _banded_pairs(
    rows: np.ndarray, columns: np.ndarray, row_first: bool, widest: int
) -> Iterator[tuple[int, int]]:
    """As `_affine_pairs`, from a band that every best alignment stays in.

    Raises:
      _TooNarrowError: there is no such band.
    """
    n, m = len(rows), len(columns)
    if not n:
        return iter(())
    half = min(NARROWEST, widest)
    while True:
        table = _affine_table(rows, columns, row_first, half)
        # Leaving the band leaves out so many columns, or rows, that what remains cannot score more
        # than this. Equally good alignments would have to be compared, hence `>`.
        outside = max(min(n, m - half - 1), n - half - 2) + GAP
        if 2 * half + 1 >= m or table.score > outside:
            return _way_back(table, n, m, row_first)
        if half == widest:
            raise _TooNarrowError
        half = min(2 * half, widest)


def _affine_table(rows: np.ndarray, columns: np.ndarray, row_first: bool, half: int) -> _Table:
    """Scores the cells at most `half` columns from the diagonal, row by row."""
    n, m = len(rows), len(columns)
    width = min(m, 2 * half + 1)
    starts = [min(max(i - half, 0), m - width) for i in range(n)]
    # Best scores by the last step, and of all. In the first row, the empty prefix, all is one gap;
    # its `skip_column` is never read.
    pair, skip_row, skip_column = np.full((3, width + 1), _IMPOSSIBLE)
    best = np.full(width + 1, GAP)
    best[0] = 0
    opened = best + GAP
    first, last = (skip_row, skip_column) if row_first else (skip_column, skip_row)
    flags = np.empty((4, width), bool)
    trace = np.empty((n, 4, -(-width // 8)), np.uint8)
    before = 0
    for i, (piece, start) in enumerate(zip(rows.tolist(), starts, strict=True)):
        if start > before:
            for scores in (best, opened, skip_row):
                scores[:-1] = scores[1:]
                scores[-1] = _IMPOSSIBLE
            before = start
        equal = columns[start : start + width] == piece
        np.add(best[:-1], np.where(equal, MATCH, MISMATCH), out=pair[1:])
        # A gap goes on for free, so beginning one after any step, itself included, is no gain
        # over going on: `opened` need not tell the steps apart.
        np.maximum(skip_row, opened, out=skip_row)
        np.maximum(pair, skip_row, out=best)
        np.maximum.accumulate(best[:-1], out=skip_column[1:])
        np.add(skip_column[1:], GAP, out=skip_column[1:])
        np.maximum(best, skip_column, out=best)
        np.add(best, GAP, out=opened)
        np.equal(pair[1:], best[1:], out=flags[0])
        np.equal(first[1:], best[1:], out=flags[1])
        np.greater_equal(first[1:], opened[1:], out=flags[2])
        np.equal(last[1:], best[1:], out=flags[3])
        trace[i] = np.packbits(flags, axis=1)
    ends = before + width == m
    return _Table(trace, starts, width, int(best[-1] if ends else best.max() + GAP))


def _way_back(table: _Table, n: int, m: int, row_first: bool) -> Iterator[tuple[int, int]]:
    """Pairs of a row and a column, from the last one to the first."""
    by_row = _SKIP_FIRST if row_first else _SKIP_LAST
    by_column = _SKIP_LAST if row_first else _SKIP_FIRST
    step = _PAIR
    if n and table.starts[-1] + table.width < m:
        m, step = table.starts[-1] + table.width, by_column
    while n and m:
        start = table.starts[n - 1]
        if m == start:  # there is no other way within the band
            n, step = n - 1, by_row
            continue
        is_pair, is_first, first_goes_on, is_last = _bits(table.trace[n - 1], m - start - 1)
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
        elif step == by_row:
            n -= 1
        else:
            m -= 1


def _bits(packed: np.ndarray, column: int) -> list[bool]:
    """The flags of a column; `packed` is `uint8[flags, ceil(C / 8)]`."""
    mask = 128 >> (column & 7)
    return [bool(byte & mask) for byte in packed[:, column >> 3].tolist()]

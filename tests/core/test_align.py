"""Alignments against all alignments of tiny inputs, a plain memoised search, and by hand."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from t5coref.core import align
from t5coref.core.align import (
    UNALIGNED,
    Road,
    affine_alignment,
    common_prefix,
    edit_alignment,
    source_alignment,
)
from t5coref.core.errors import ConfigError

# An alignment is a string of steps: a pair, a source position left out, an output position left
# out. ORDERS names their preference, read from the end.
PAIR, SOURCE, OUTPUT = "pso"
ORDERS = {
    "edit": (PAIR, SOURCE, OUTPUT),
    Road.LOW: (OUTPUT, PAIR, SOURCE),
    Road.HIGH: (SOURCE, PAIR, OUTPUT),
}


def ours(kind, source, output) -> list[int]:
    if kind == "edit":
        found = edit_alignment(source, output)
    else:
        found = affine_alignment(source, output, kind)
    assert found.dtype == np.int32
    return found.tolist()


def step_score(kind, step: str, neighbour: str | None, equal: bool) -> int:
    if kind == "edit":
        return 0 if step == PAIR and equal else -1
    if step == PAIR:
        return 1 if equal else -1
    return 0 if step == neighbour else -1


def positions(steps, n_output: int) -> list[int]:
    aligned, i, j = [UNALIGNED] * n_output, 0, 0
    for step in steps:
        if step == PAIR:
            aligned[j] = i
        i += step != OUTPUT
        j += step != SOURCE
    return aligned


def all_alignments(n: int, m: int):
    if not n and not m:
        yield ""
    if n and m:
        yield from (steps + PAIR for steps in all_alignments(n - 1, m - 1))
    if n:
        yield from (steps + SOURCE for steps in all_alignments(n - 1, m))
    if m:
        yield from (steps + OUTPUT for steps in all_alignments(n, m - 1))


def score(kind, steps, source, output) -> int:
    total = i = j = 0
    before = None
    for step in steps:
        total += step_score(kind, step, before, step == PAIR and source[i] == output[j])
        i += step != OUTPUT
        j += step != SOURCE
        before = step
    return total


def exhaustive(kind, source, output) -> list[int]:
    """The best of all alignments; among those the first in preference, read from the end."""
    steps = min(
        all_alignments(len(source), len(output)),
        key=lambda steps: (
            -score(kind, steps, source, output),
            [ORDERS[kind].index(step) for step in reversed(steps)],
        ),
    )
    return positions(steps, len(output))


def memoised(kind, source, output) -> list[int]:
    """The same by recursion over what is left; a gap is paid at its end, where it cannot go on."""

    @functools.cache
    def best(i: int, j: int, after: str | None) -> tuple[int, str]:
        """The best score of prefixes that `after` follows, and the preferred steps to it."""
        if not i and not j:
            return 0, ""
        options = []
        for step in ORDERS[kind]:
            if (i or step == OUTPUT) and (j or step == SOURCE):
                equal = step == PAIR and source[i - 1] == output[j - 1]
                total, steps = best(i - (step != OUTPUT), j - (step != SOURCE), step)
                options.append((total + step_score(kind, step, after, equal), steps + step))
        return max(options, key=lambda option: option[0])  # the first of equals

    return positions(best(len(source), len(output), None)[1], len(output))


kinds = pytest.mark.parametrize("kind", ORDERS, ids=str)


def sequences(longest: int):
    """Few kinds of pieces, so that there are many ties."""
    return st.integers(1, 3).flatmap(lambda k: st.lists(st.integers(1, k), max_size=longest))


@kinds
@given(source=sequences(5), output=sequences(5))
@example(source=[], output=[])
@example(source=[], output=[1, 2])
@example(source=[1, 2], output=[])
@example(source=[1, 1, 1], output=[1, 1, 1, 1, 1])
@example(source=[1, 1, 1, 1, 1], output=[2, 2, 2])
def test_best_and_preferred_of_all_alignments(kind, source, output):
    assert ours(kind, source, output) == exhaustive(kind, source, output)


@kinds
@given(source=sequences(24), output=sequences(24))
@example(source=[1] * 20, output=[1] * 9)
@example(source=[1] * 9, output=[2] * 20)
def test_agrees_with_memoised_search(kind, source, output):
    assert ours(kind, source, output) == memoised(kind, source, output)


@given(source=sequences(40), output=sequences(40))
def test_exchanging_the_sides_exchanges_the_roads(source, output):
    pairs = {(i, j) for j, i in enumerate(ours(Road.LOW, source, output)) if i != UNALIGNED}
    mirrored = {(i, j) for i, j in enumerate(ours(Road.HIGH, output, source)) if j != UNALIGNED}
    assert pairs == mirrored


@kinds
@given(source=sequences(40), output=sequences(40))
def test_source_positions_ascend(kind, source, output):
    found = [i for i in ours(kind, source, output) if i != UNALIGNED]
    assert all(a < b for a, b in itertools.pairwise(found))
    assert all(0 <= i < len(source) for i in found)


@kinds
@given(sequences(40))
def test_equal_sequences_align_one_to_one(kind, sequence):
    assert ours(kind, sequence, sequence) == list(range(len(sequence)))


@kinds
def test_distinct_pieces_left_out_are_found_exactly(kind):
    rng = np.random.default_rng(0)
    source = rng.permutation(700)
    kept = np.flatnonzero(rng.random(700) < 0.3)
    assert ours(kind, source, source[kept]) == kept.tolist()


def ids(text: str) -> list[int]:
    return [ord(letter) for letter in text]


@pytest.mark.parametrize(
    ("source", "output", "edit", "low", "high"),
    [
        # Two places are equally good: the low road takes the later, the high road the earlier.
        ("aba", "a", [2], [2], [0]),
        ("a", "aa", [-1, 0], [0, -1], [-1, 0]),
        # Edit distance cares for pieces only (all cost 3) and takes the last ones. In affine
        # scores "bxc" needs two gaps (2 - 2); "b...c" and "bc..." need one each (2 - 1).
        ("bcbxc", "bc", [2, 4], [0, 4], [0, 1]),
        # A substitution counts as a pair: one mismatch (-1) is better than two gaps (-2) ...
        ("abc", "axc", [0, 1, 2], [0, 1, 2], [0, 1, 2]),
        # ... but two mismatches are no better, and both roads prefer a gap.
        ("ab", "xy", [0, 1], [-1, -1], [-1, -1]),
        ("abc", "x", [2], [-1], [-1]),
        ("", "ab", [-1, -1], [-1, -1], [-1, -1]),
    ],
)
def test_by_hand(source, output, edit, low, high):
    found = [ours(kind, ids(source), ids(output)) for kind in ORDERS]
    assert found == [edit, low, high]


def test_low_road_is_the_default():
    assert affine_alignment(ids("aba"), ids("a")).tolist() == [2]


def test_integers_of_any_width():
    source = np.array([7, 200, 7], np.uint8)
    output = np.array([200, -7, 70_000], np.int32)
    for kind in ORDERS:
        assert ours(kind, source, output) == memoised(kind, source.tolist(), output.tolist())
        assert ours(kind, output, source) == memoised(kind, output.tolist(), source.tolist())


def test_arguments_are_left_alone():
    source, output = np.array([1, 2, 1]), np.array([1])
    affine_alignment(source, output)
    edit_alignment(source, output)
    assert source.tolist() == [1, 2, 1]
    assert output.tolist() == [1]


def without_prefix(source, output, road) -> list[int]:
    same = common_prefix(np.asarray(source), np.asarray(output))
    rest = affine_alignment(source[same:], output[same:], road).tolist()
    return [*range(same), *(UNALIGNED if i == UNALIGNED else i + same for i in rest)]


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(align, "NARROWEST", 1)


@pytest.mark.parametrize("road", list(Road))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=sequences(40), output=sequences(40))
@example(source=[1] * 30, output=[2] * 3)
@example(source=[1, 2, 3], output=[1, 3] + [2] * 30)
@example(source=[], output=[1])
def test_a_band_changes_nothing_behind_the_equal_beginnings(narrow, road, source, output):
    found = source_alignment(source, output, road)
    assert found is not None
    assert found.dtype == np.int32
    assert found.tolist() == without_prefix(source, output, road)


@given(st.data())
def test_a_band_holds_a_long_copy_with_few_errors(data):
    source = np.random.default_rng(data.draw(st.integers(0, 99))).integers(1, 9, 600)
    output = source.tolist()
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(output) - 1))
        output[at : at + data.draw(st.integers(0, 3))] = data.draw(sequences(3))
    found = source_alignment(source, output)
    assert found is not None
    assert found.tolist() == without_prefix(source, output, Road.LOW)


def bands_tried(monkeypatch, source, output) -> list[int]:
    """The widths of the bands that are tried."""
    widths = []
    table = align._affine_table

    def counted(rows, columns, row_first, half):
        made = table(rows, columns, row_first, half)
        widths.append(made.width)
        assert made.trace.nbytes <= len(rows) * 4 * -(-made.width // 8)
        return made

    monkeypatch.setattr(align, "_affine_table", counted)
    source_alignment(source, output)
    return widths


def test_memory_grows_with_the_errors_and_not_with_the_text(monkeypatch):
    source = np.random.default_rng(0).permutation(6000)
    few = np.delete(source, [3, 2000, 2001, 4000])
    assert bands_tried(monkeypatch, source, few) == [65]
    many = np.delete(source, np.arange(1000, 1100))
    assert bands_tried(monkeypatch, source, many)[-1] == 257


def test_fails_closed_where_the_band_would_be_too_wide():
    source = np.random.default_rng(0).permutation(300)
    output = np.delete(source, np.arange(5, 105))
    assert source_alignment(source, output, widest=64) is None
    found = source_alignment(source, output)
    assert found is not None
    assert found.tolist() == np.delete(np.arange(300), np.arange(5, 105)).tolist()


@pytest.mark.parametrize("bad", [[[1, 2]], [1.5], ["a"], 3])
@pytest.mark.parametrize("align", [edit_alignment, affine_alignment])
def test_not_a_sequence_of_integers(align, bad):
    with pytest.raises(ConfigError, match="expected source"):
        align(bad, [1])
    with pytest.raises(ConfigError, match="expected output"):
        align([1], bad)

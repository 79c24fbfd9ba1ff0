"""The benchmark of iterative generation: both loops find the same, and what it prints."""

from __future__ import annotations

import iterative
import pytest


def test_table():
    result = iterative.Result("iterative-ids", "tiny", 256, 2, 60, 0.5, 4.0, 20, 60, 1)
    assert result.ratio == 8
    assert iterative.table([result]).splitlines()[-1] == (
        "| iterative-ids | tiny | 256 | 30.0 | 0.250 | 2.00 | **8.00** | 10.0 | 30.0 | 1 of 2 |"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", iterative.FORMATS)
def test_both_loops_find_the_same(name):
    result = iterative.measure(name, "tiny", pieces=64, documents=2, repeats=1, drafts=(2, 4))
    assert result.identical == result.documents == 2
    assert result.their_calls == result.mentions > 8

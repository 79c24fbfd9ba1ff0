"""Answers of windows put together, against one look at each of them."""

from __future__ import annotations

import numpy as np
import pytest

from t5coref.linearize.questions import (
    BACKWARD,
    FORWARD,
    NO,
    NONE,
    NULL,
    SINGLETON,
    YES,
    Asked,
    Questionnaire,
    QuestionTurn,
)
from t5coref.questions import QuestionScores

HANDLES = 6
NOTHING = np.zeros(0, np.int32)


def turn(asked, handles):
    asked = np.asarray(asked, np.int32)
    return QuestionTurn("d", 0, 0, NOTHING, NOTHING, asked=asked, handles=handles)


def answered(rng, window, nulls):
    """Random log-probabilities of the legal answers."""
    rows = rng.standard_normal((len(window.turn.asked), HANDLES + 4))
    for row, (task, handle) in zip(rows, window.turn.asked.tolist(), strict=True):
        legal = np.zeros(HANDLES + 4, bool)
        if task == SINGLETON:
            legal[[HANDLES + YES, HANDLES + NO]] = True
            legal[HANDLES + NULL] = nulls
        else:
            side = slice(handle) if task == FORWARD else slice(handle + 1, window.turn.handles)
            legal[side] = True
            legal[HANDLES + NONE] = True
        row[~legal] = -np.inf
        row[legal] -= np.log(np.exp(row[legal]).sum())
    return rows


@pytest.mark.parametrize("nulls", [False, True])
def test_answers_of_two_windows(nulls):
    rng = np.random.default_rng(0)
    spans = [(k, k + 1) for k in range(6)]
    first = [(FORWARD, 1), (FORWARD, 2), (BACKWARD, 0), (SINGLETON, 1), (SINGLETON, 0)]
    second = [(BACKWARD, 1), (FORWARD, 2), (BACKWARD, 0), (SINGLETON, 2)]
    windows = [Asked(turn(first, 4), [0, 1, 2, 4]), Asked(turn(second, 3), [2, 3, 5])]
    answers = [answered(rng, w, nulls) for w in windows]
    found = QuestionScores.of(Questionnaire(spans, windows), answers)

    said: dict[tuple[int, int], dict[int, float]] = {}
    nothing = {FORWARD: {}, BACKWARD: {}}
    alone, null = {}, {}
    for window, rows in zip(windows, answers, strict=True):
        for (task, handle), row in zip(window.turn.asked.tolist(), rows, strict=True):
            me = window.mentions[handle]
            if task == SINGLETON:
                p = np.exp(row[HANDLES:])
                alone[me], null[me] = p[YES] + p[NULL], p[NULL]
                continue
            nothing[task][me] = row[HANDLES + NONE]
            for other, value in enumerate(row[:HANDLES]):
                if np.isfinite(value):
                    pair = tuple(sorted((me, window.mentions[other])))
                    said.setdefault(pair, {})[task] = value
    pairs = sorted(said, key=lambda pair: pair[::-1])
    assert found.spans == tuple(spans)
    assert list(map(tuple, found.pairs.tolist())) == pairs
    for name, task in (("forward", FORWARD), ("backward", BACKWARD)):
        expected = [said[pair].get(task, np.nan) for pair in pairs]
        np.testing.assert_array_equal(getattr(found, name), expected)
    for name, table, empty in (
        ("nothing_before", nothing[FORWARD], np.nan),
        ("nothing_behind", nothing[BACKWARD], np.nan),
        ("alone", alone, np.nan),
        ("null", null, 0.0),
    ):
        expected = [table.get(m, empty) for m in range(len(spans))]
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-12)
    assert found.no_mentions == [m for m in null if null[m] > alone[m] - null[m]]


def test_nothing_is_asked():
    found = QuestionScores.of(Questionnaire([], []), [])
    assert found.pairs.shape == (0, 2)
    assert len(found.forward) == len(found.alone) == len(found.no_mentions) == 0
    single = Asked(turn([(FORWARD, 0)], 1), [0])
    row = np.full((1, HANDLES + 4), -np.inf)
    row[0, HANDLES + NONE] = 0
    found = QuestionScores.of(Questionnaire([(0, 1)], [single]), [row])
    assert found.pairs.shape == (0, 2)
    assert found.nothing_before.tolist() == [0]

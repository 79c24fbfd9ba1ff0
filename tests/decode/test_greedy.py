"""Greedy search and its guesses: the outcome is that of step-by-step search in plain Python."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import walks
from searches import HashModel, greedy_search, rows_of, run_greedy, width_of
from walks import CASES, IDS

from t5coref.core import automaton
from t5coref.core.automaton import DONE, Source
from t5coref.core.errors import ConfigError
from t5coref.decode import draft
from t5coref.decode.constraint import Tables
from t5coref.decode.search import Greedy
from t5coref.linearize import Answer, Turn

ROWS, WIDTH, STEPS = 40, 12, 48
DRAFTS = (3,)  # compiles fastest
CHECKED = 8  # rows that are searched in Python too


class Batch:
    """Random sources, budgets and logits for a format."""

    def __init__(self, lin, seed, *, forced=None, tight=False):
        rng = np.random.default_rng(seed)
        self.lin = lin
        self.sources = [walks.random_source(rng, lin, WIDTH) for _ in range(ROWS - 1)]
        self.sources.append(np.zeros(WIDTH, np.int32))  # no document
        least = [automaton.shortest(lin.rules, s) for s in self.sources]
        room = rng.integers(0, 1 + STEPS - max(least), ROWS)
        self.budgets = np.asarray(least) if tight else np.minimum(STEPS, least + room)
        self.forced = [()] * (ROWS - 1)
        if forced is not None:
            self.budgets[:] = STEPS
            self.forced = [forced(rng, lin, s) for s in self.sources[:-1]]
        self.rows = rows_of(self.sources, self.budgets, STEPS, self.forced)
        self.pieces = np.asarray(self.rows.sources)
        self.model = HashModel.random(rng, lin, ROWS)
        self.tables = Tables.of(lin.rules)

    def found(self, drafts, memory=None):
        memory = draft.empty() if memory is None else memory
        model = HashModel(*map(jnp.asarray, self.model))
        width = width_of(self.lin)
        found, memory = run_greedy(model, self.tables, self.rows, memory, STEPS, width, drafts)
        return jax.device_get(found), memory

    def expected(self, row):
        source = Source(self.pieces[row], self.lin.rules.marks)
        budget, model = int(self.budgets[row]), self.model.of_row(row)
        return greedy_search(self.lin, source, budget, model, STEPS, self.forced[row])

    def check(self, found):
        """Against the search in Python; rows without a document take no part."""
        for row in range(CHECKED):
            wanted = self.expected(row)
            length = found.lengths[row, 0]
            assert length == len(wanted.actions)
            assert found.actions[row, 0, :length].tolist() == wanted.actions
            np.testing.assert_allclose(found.scores[row, 0], wanted.total, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(
                found.log_probs[row, 0, :length], wanted.log_probs, rtol=1e-4, atol=1e-4
            )
            assert not np.any(found.actions[row, 0, length:])
            assert not np.any(found.log_probs[row, 0, length:])
        assert found.lengths[-1, 0] == 0
        assert found.scores[-1, 0] == 0
        assert not np.any(found.actions[-1])


def assert_same(found, other):
    np.testing.assert_array_equal(found.actions, other.actions)
    np.testing.assert_array_equal(found.lengths, other.lengths)
    np.testing.assert_allclose(found.scores, other.scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.log_probs, other.log_probs, rtol=1e-5, atol=1e-5)


FAST = [
    (n, r)
    for n, r in CASES
    if n != "relation-integer-free"
    and (r == "strict" or n in ("full-copy", "full-token", "partial"))
]
SLOW = [pytest.param(*c, marks=pytest.mark.slow) for c in CASES if c not in FAST]


@pytest.mark.parametrize(("name", "rule"), [*FAST, *SLOW])
def test_guessing_finds_what_a_search_in_python_finds(tokenizer, name, rule):
    """With an empty memory, and with one of other documents."""
    lin = walks.make(tokenizer, name, rule)
    memory = None
    for seed in (0, 1):
        batch = Batch(lin, seed)
        found, memory = batch.found(DRAFTS, memory)
        batch.check(found)
        longest = found.lengths.max()
        assert longest / DRAFTS[-1] <= found.calls <= longest
        if rule == "strict":
            assert np.all(found.lengths[:, 0] <= batch.budgets)
        if rule == "strict" and not lin.rules.anywhere:
            # Where text may be quoted from any place, random models are not to be guessed.
            assert found.calls < longest


# The shortest output of partial-unmarked is its end alone, and so it is of some others.
@pytest.mark.parametrize("name", [n for n in walks.BRACKETS if n != "partial-unmarked"])
def test_what_is_copied_is_guessed(tokenizer, name):
    """With steps for nothing else, every guess holds, or does so once it was seen."""
    batch = Batch(walks.make(tokenizer, name), 5, tight=True)
    found, memory = batch.found(DRAFTS)
    again, _ = batch.found(DRAFTS, memory)
    fewest = math.ceil(found.lengths.max() / DRAFTS[-1])
    if name == "partial":
        # Marks are no copies; there is no guess of them without a memory.
        assert again.calls == fewest < found.calls
    else:
        assert found.calls == again.calls == fewest


def check_drafts(lin, several):
    cold = Batch(lin, 2)
    found, _ = cold.found((1,))
    cold.check(found)
    assert found.calls == found.lengths.max()
    for drafts in several:
        guessed, memory = cold.found(drafts)
        assert_same(guessed, found)
        assert guessed.calls <= found.calls
        # Having seen these very documents, more guesses hold.
        again, _ = cold.found(drafts, memory)
        assert_same(again, found)
        assert again.calls <= found.calls
    other = Batch(lin, 3)
    assert_same(other.found(drafts, memory)[0], other.found((1,))[0])


def test_any_guesses_find_the_same(tokenizer):
    check_drafts(walks.make(tokenizer, "full-copy"), [DRAFTS, (2, 5)])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rule"), CASES, ids=IDS)
def test_any_guesses_find_the_same_for_every_format(tokenizer, name, rule):
    check_drafts(walks.make(tokenizer, name, rule), [DRAFTS, (2, 5), (4, 8, 16)])


def some_actions(rng, lin, pieces):
    """The beginning of an output, cut anywhere."""
    source = Source(pieces, lin.rules.marks)
    budget = automaton.shortest(lin.rules, pieces) + 12
    tokens = [token for _, _, token in walks.walk(rng, lin.rules, source, budget)][:-1]
    return tokens[: rng.integers(0, len(tokens))]


@pytest.mark.parametrize("name", ["full-copy", "full-token", "integer-free"])
def test_forced_beginnings(tokenizer, name):
    batch = Batch(walks.make(tokenizer, name), 4, forced=some_actions)
    assert max(map(len, batch.forced)) > 8
    found, memory = batch.found(DRAFTS)
    batch.check(found)
    again, _ = batch.found(DRAFTS, memory)
    assert_same(again, found)
    for row, tokens in enumerate(batch.forced):
        assert found.actions[row, 0, : len(tokens)].tolist() == tokens
        assert not np.any(found.log_probs[row, 0, : len(tokens)])


@pytest.mark.parametrize("name", walks.BRACKETS)
def test_a_thousand_outputs_end_in_time_and_read_back(tokenizer, name):
    """More than a hundred of each format; what was opened is found again."""
    lin = walks.make(tokenizer, name)
    opening = lin.tokenizer.symbol("<m>")
    opened = ended = 0
    for seed in range(10, 14):
        batch = Batch(lin, seed)
        found, _ = batch.found(DRAFTS)
        for row, pieces in enumerate(batch.sources[:-1]):
            length = found.lengths[row, 0]
            actions = found.actions[row, 0, :length]
            source = Source(batch.pieces[row], lin.rules.marks)
            budget = int(batch.budgets[row])
            assert length <= budget
            assert walks.follow(lin.rules, source, actions.tolist(), budget).mode == DONE
            word = np.where(np.isin(pieces, lin.rules.marks), -1, np.arange(len(pieces)))
            turn = Turn("d", 0, 0, pieces, word.astype(np.int32))
            clusters = lin.read(turn, Answer(actions)).clusters
            assert sum(len(c) for c in clusters) == np.sum(actions == opening)
            assert all(len(set(c)) == len(c) for c in clusters)
            opened += int(np.sum(actions == opening))
            ended += 1
    assert ended == 4 * (ROWS - 1)
    assert opened > ended / 2


@pytest.mark.parametrize("drafts", [(), (0, 2), (2, 2), (4, 2)])
def test_drafts_have_to_ascend(drafts):
    with pytest.raises(ConfigError, match="expected ascending numbers from 1 on"):
        Greedy(drafts)

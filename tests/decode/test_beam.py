"""Beam search against one in plain Python that sorts all candidates."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import walks
from searches import HashModel, beam_search, greedy_search, rows_of, run_beam, width_of
from walks import CASES, IDS

from t5coref.core import automaton
from t5coref.core.automaton import DONE, Source
from t5coref.core.errors import ConfigError
from t5coref.decode import draft
from t5coref.decode.constraint import Tables
from t5coref.decode.search import Beam
from t5coref.linearize import Answer, Turn

ROWS, WIDTH, STEPS = 7, 8, 32


class Batch:
    """Random sources, budgets and logits for a format; the last row holds no document."""

    def __init__(self, lin, seed, *, rows=ROWS, longest=WIDTH, steps=STEPS, forced=None):
        rng = np.random.default_rng(seed)
        self.lin, self.steps = lin, steps
        self.sources = [walks.random_source(rng, lin, longest) for _ in range(rows - 1)]
        least = [automaton.shortest(lin.rules, s) for s in self.sources]
        self.budgets = [int(n + rng.integers(0, 1 + steps - n)) for n in least]
        self.forced = [()] * (rows - 1)
        if forced:
            self.budgets = [steps] * (rows - 1)
            self.forced = [forced(rng, lin, s) for s in self.sources]
        blank = np.zeros(longest, np.int32)
        self.rows = rows_of([*self.sources, blank], [*self.budgets, 9], steps, self.forced)
        self.pieces = np.asarray(self.rows.sources)
        self.model = HashModel.random(rng, lin, rows)
        self.tables = Tables.of(lin.rules)

    def found(self, beams, penalty, *, drafts=(1,), memory=None):
        model = HashModel(*map(jnp.asarray, self.model))
        memory = draft.empty() if memory is None else memory
        width = width_of(self.lin)
        found, self.memory = run_beam(
            model, self.tables, self.rows, memory, jnp.float32(penalty), self.steps, width, beams,
            drafts,
        )  # fmt: skip
        return jax.device_get(found)

    def problem(self, row):
        source = Source(self.pieces[row], self.lin.rules.marks)
        return self.lin, source, self.budgets[row], self.model.of_row(row), self.steps

    def check(self, beams, penalty, **options):
        """Every hypothesis of every row; the number that ended."""
        found = self.found(beams, penalty, **options)
        ended = 0
        for row, forced in enumerate(self.forced):
            wanted = beam_search(*self.problem(row), beams, penalty, forced)
            assert np.sum(found.lengths[row] > 0) == len(wanted)
            for k, (score, hypothesis) in enumerate(wanted):
                length = found.lengths[row, k]
                assert found.actions[row, k, :length].tolist() == hypothesis.actions
                assert not np.any(found.actions[row, k, length:])
                np.testing.assert_allclose(found.scores[row, k], score, rtol=1e-4, atol=1e-4)
                np.testing.assert_allclose(
                    found.log_probs[row, k, :length], hypothesis.log_probs, rtol=1e-4, atol=1e-4
                )
                assert not np.any(found.log_probs[row, k, length:])
                ended += hypothesis.state.mode == DONE
        for filler in (found.actions[-1], found.lengths[-1], found.log_probs[-1]):
            assert not np.any(filler)
        self.check_hypotheses(found)
        return ended

    def check_hypotheses(self, found):
        """The best first, none twice; under strict rules each ends in time and can be read."""
        for row, pieces in enumerate(self.sources):
            count = int(np.sum(found.lengths[row] > 0))
            outputs = [
                found.actions[row, k, : found.lengths[row, k]].tolist() for k in range(count)
            ]
            assert count > 0
            assert len({tuple(o) for o in outputs}) == count
            assert np.all(np.diff(found.scores[row, :count]) <= 0)
            if any(self.lin.rules.due):
                for output in outputs:
                    source = Source(self.pieces[row], self.lin.rules.marks)
                    # What is forced may use up what is set aside.
                    if not self.forced[row]:
                        state = walks.follow(self.lin.rules, source, output, self.budgets[row])
                        assert state.mode == DONE
                    if self.lin.name not in walks.BRACKETS:
                        continue
                    word = np.arange(len(pieces), dtype=np.int32)
                    word[np.isin(pieces, self.lin.rules.marks)] = -1
                    turn = Turn("d", 0, 0, pieces, word)
                    read = self.lin.read(turn, Answer(np.asarray(output, np.int32)))
                    opened = output.count(self.lin.tokenizer.symbol("<m>"))
                    assert sum(map(len, read.clusters)) == opened


# One width and one number of guesses for each format, so that fewer programs are compiled.
WIDTHS = {case: (4, 3, 2)[i % 3] for i, case in enumerate(CASES)}
DRAFTS = {case: ((3,), (1,), (2, 4))[i // 3 % 3] for i, case in enumerate(CASES)}
FAST = [
    (n, r)
    for n, r in CASES
    if n not in ("relation-integer-free", "relation-text")
    and (r == "strict" or n in ("full-copy", "integer-free", "partial"))
]


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=() if c in FAST else pytest.mark.slow) for c in CASES],
    ids=IDS,
)
def test_agrees_with_a_search_in_python(tokenizer, case):
    lin = walks.make(tokenizer, *case)
    ended = sum(Batch(lin, seed).check(WIDTHS[case], penalty, drafts=DRAFTS[case])
                for seed, penalty in ((0, 1.0), (1, 0.0), (2, 2.5)))  # fmt: skip
    assert ended > 3 * ROWS or case[1] == "reference"


@pytest.mark.slow
@pytest.mark.parametrize("beams", [1, 2, 4, 9])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_agrees_with_a_search_in_python_for_any_width(tokenizer, case, beams):
    lin = walks.make(tokenizer, *case)
    for seed, penalty in ((10, 1.0), (11, 0.5), (12, -1.0), (13, 3.0)):
        Batch(lin, seed).check(beams, penalty)


@pytest.mark.parametrize(
    "name", ["full-copy", pytest.param("partial-unmarked", marks=pytest.mark.slow)]
)
def test_one_beam_is_greedy_search(tokenizer, name):
    """An ending that comes second is forgotten, and one that comes first cannot be beaten."""
    batch = Batch(walks.make(tokenizer, name), 3, rows=20)
    for penalty in (0.0, 1.0, 2.0):
        found = batch.found(1, penalty)
        for row in range(len(batch.sources)):
            wanted = greedy_search(*batch.problem(row))
            length = found.lengths[row, 0]
            assert found.actions[row, 0, :length].tolist() == wanted.actions
            score = wanted.total / length**penalty
            np.testing.assert_allclose(found.scores[row, 0], score, rtol=1e-4)


def every_output(lin, source, budget, model, steps):
    """Total log-probability and actions of every complete output."""
    found = []

    def go(state, read, actions, total):
        if state.mode == DONE:
            found.append((total, actions))
            return
        logits = model(read)
        everywhere = logits - np.logaddexp.reduce(logits)
        for token in automaton.legal_tokens(lin.rules, state, source):
            column = token if lin.rules.literal else lin.rules.inventory.index[token]
            fed = automaton.feed(lin.rules, state, token, source)
            after = automaton.step(lin.rules, state, token, source)
            go(after, [*read, fed], [*actions, token], total + everywhere[column])

    go(automaton.initial(lin.rules, source, budget), [0], [], 0.0)
    assert all(len(actions) <= steps for _, actions in found)
    return found


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("integer-free", 9),
        pytest.param("full-copy", 15, marks=pytest.mark.slow),
        pytest.param("partial-unmarked", 14, marks=pytest.mark.slow),
    ],
)
def test_a_beam_that_holds_everything_finds_the_best(tokenizer, name, steps):
    """And all the others, in order."""
    lin = walks.make(tokenizer, name, max_clusters=4, max_depth=2)
    batch, beams = Batch(lin, 5, rows=6, longest=4, steps=steps), 128
    batch.budgets = [steps] * len(batch.sources)
    batch.rows = rows_of([*batch.sources, np.zeros(4, np.int32)], [*batch.budgets, 9], steps)
    outputs = [every_output(*batch.problem(row)) for row in range(len(batch.sources))]
    assert 20 < max(map(len, outputs)) < beams
    for penalty in (0.0, 1.0):
        found = batch.found(beams, penalty)
        for row, every in enumerate(outputs):
            wanted = sorted(((t / len(a) ** penalty, a) for t, a in every), key=lambda e: -e[0])
            assert np.sum(found.lengths[row] > 0) == len(wanted)
            np.testing.assert_allclose(
                found.scores[row, : len(wanted)], [s for s, _ in wanted], rtol=1e-4
            )
            length = found.lengths[row, 0]
            assert found.actions[row, 0, :length].tolist() == wanted[0][1]


def test_a_document_that_ended_waits_for_the_others(tokenizer):
    """What it found does not depend on the documents beside it."""
    batch = Batch(walks.make(tokenizer, "full-copy"), 6)
    together = batch.found(4, 1.0)
    for row in range(len(batch.sources)):
        alone = np.full_like(batch.pieces, 0)
        alone[row] = batch.pieces[row]
        rows = batch.rows._replace(sources=jnp.asarray(alone))
        other = Batch.found(_with(batch, rows), 4, 1.0)
        np.testing.assert_array_equal(other.actions[row], together.actions[row])
        np.testing.assert_array_equal(other.scores[row], together.scores[row])
        assert other.calls <= together.calls


def _with(batch, rows):
    copy = object.__new__(Batch)
    copy.__dict__ = batch.__dict__ | {"rows": rows}
    return copy


def beginning(rng, lin, pieces):
    source = Source(pieces, lin.rules.marks)
    budget = automaton.shortest(lin.rules, pieces) + 8
    tokens = [token for _, _, token in walks.walk(rng, lin.rules, source, budget)][:-1]
    return tokens[: rng.integers(0, len(tokens))]


@pytest.mark.parametrize("name", ["full-copy", "full-token"])
def test_forced_beginnings(tokenizer, name):
    batch = Batch(walks.make(tokenizer, name), 7, forced=beginning)
    assert max(map(len, batch.forced)) > 5
    beams = WIDTHS[name, "strict"]
    assert batch.check(beams, 1.0) > ROWS
    found = batch.found(beams, 1.0)
    for row, tokens in enumerate(batch.forced):
        for k in np.flatnonzero(found.lengths[row]):
            assert found.actions[row, k, : len(tokens)].tolist() == tokens


def test_what_is_forced_may_use_what_is_set_aside(tokenizer):
    """Mentions that begin together set a longer number aside, which those at hand do not need."""
    lin = walks.make(tokenizer, "full-copy")
    batch = Batch(lin, 8)
    script = walks.Script(lin, "a o n")
    tokens = "<m> <m> <copy> | ▁ 0 </m> <copy> | ▁ 0 </m>"
    forced = [script.ids[t] for t in tokens.split()]
    rest = [script.ids["<copy>"]] * 2
    budget = len(forced) + len(rest)
    sources = [script.source.pieces] * ROWS
    batch.rows = rows_of(sources, [budget] * ROWS, STEPS, [forced] * ROWS)
    found = batch.found(4, 1.0)
    for row in range(ROWS):
        assert found.lengths[row].tolist() == [budget, 0, 0, 0]
        assert found.actions[row, 0, :budget].tolist() == forced + rest


def test_any_guesses_find_the_same(tokenizer):
    """With a memory of anything, in calls of any size."""
    batch = Batch(walks.make(tokenizer, "integer-free"), 9)
    single = batch.found(3, 1.0, drafts=(1,))
    columns = width_of(batch.lin)
    memories = [batch.memory, np.random.default_rng(0).integers(-1, columns, draft.empty().shape)]
    for memory in memories:
        guessed = batch.found(3, 1.0, drafts=(2, 5), memory=jnp.asarray(memory, jnp.int32))
        assert guessed.calls <= single.calls
        for name, value in single._asdict().items():
            if name != "calls":
                np.testing.assert_allclose(getattr(guessed, name), value, rtol=1e-5, err_msg=name)


def test_a_beam_has_a_width():
    with pytest.raises(ConfigError, match="beam width 0"):
        Beam(0)

"""Searches in plain Python, and a model whose logits depend on all that it has read.

B rows, K hypotheses, k tokens in a call, X columns, T steps; a model in Python is a function from
what the decoder has read, start token included, to logits `float32[X]`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import walks

from t5coref.core import automaton
from t5coref.core.automaton import DONE, Source, State
from t5coref.decode.beam import beam
from t5coref.decode.greedy import greedy
from t5coref.decode.search import START, Beam, Greedy, Rows

ENTRIES = 509
WORD = 0xFFFFFFFF


@functools.partial(jax.jit, static_argnames="network")
def without_cache(network, params, source, feeds, symbols):
    """The logits `[B, T, X]` behind each of the feeds, which are read at once."""
    everywhere = jnp.ones(feeds.shape[:2], jnp.int32)
    return network.apply(
        {"params": params}, source, feeds, everywhere, enable_dropout=False, logit_symbols=symbols
    )


class HashModel(NamedTuple):
    """Logits from a table, from the place that a hash of the row and of every token read gives.

    What it says behind a prefix is exactly the same however the prefix was fed.
    """

    table: Any  # float32[ENTRIES, X]
    salt: Any  # uint32[B]

    @classmethod
    def random(cls, rng, lin, rows: int) -> HashModel:
        """One that likes the format's tags somewhat more or less than its other columns."""
        ids = np.asarray(lin.rules.inventory.ids)
        columns = ids if lin.rules.literal else np.arange(len(ids))
        table = rng.normal(size=(ENTRIES, width_of(lin))) * 2
        table[:, columns[ids >= 0]] += rng.normal()
        salt = rng.integers(0, 2**32, rows, dtype=np.uint32)
        return cls(table.astype(np.float32), salt)

    def of_row(self, row: int) -> Callable[[list], np.ndarray]:
        """The model in Python."""

        def logits(read):
            total = int(self.salt[row])
            for position, token in enumerate(read):
                fed, written = token if isinstance(token, tuple) else (token, 0)
                value = fed * 2654435761 + written * 40503 + position * 2246822519 + 1 & WORD
                value = (value ^ value >> 15) * 3266489917 & WORD
                total += value ^ value >> 13
            return self.table[(total & WORD) % ENTRIES]

        return logits


def hash_logits(carry, tokens, positions, visible):
    """`HashModel` as searches ask for it; the carry is the model and `uint32[B, L]`."""
    model, buffer = carry
    rows, count = tokens.shape[:2]
    if visible is None:
        steps = slots = positions[:, None] + jnp.arange(count, dtype=jnp.int32)[None, :]
    else:
        beams = visible.shape[2]
        numbers = jnp.arange(count, dtype=jnp.int32)[None, :]
        steps = positions[:, None] + numbers // beams
        slots = positions[:, None] * beams + numbers
        visible = visible.reshape(rows, count, -1)
    words = tokens.astype(jnp.uint32).reshape(rows, count, -1)
    value = (
        words[..., 0] * np.uint32(2654435761)
        + (words[..., 1] if words.shape[-1] > 1 else np.uint32(0)) * np.uint32(40503)
        + steps.astype(jnp.uint32) * np.uint32(2246822519)
        + np.uint32(1)
    )
    value = (value ^ (value >> 15)) * np.uint32(3266489917)
    row = jnp.broadcast_to(jnp.arange(rows, dtype=jnp.int32)[:, None], slots.shape)
    buffer = buffer.at[row, slots].set(value ^ (value >> 13), mode="drop")
    if visible is None:
        sums = jnp.cumsum(buffer, axis=1, dtype=jnp.uint32)
        total = jnp.take_along_axis(sums, jnp.minimum(slots, buffer.shape[1] - 1), axis=1)
    else:
        seen = jnp.where(visible, buffer[:, None, :], np.uint32(0))
        total = jnp.sum(seen, axis=-1, dtype=jnp.uint32)
    spot = (total + model.salt[:, None]) % np.uint32(ENTRIES)
    return model.table[spot.astype(jnp.int32)], (model, buffer)


@functools.partial(jax.jit, static_argnames=("max_steps", "width", "drafts"))
def run_greedy(model, tables, rows, memory, max_steps, width, drafts):
    """`greedy` with a `HashModel`."""
    count = len(model.salt)
    carry = model, jnp.zeros((count, max_steps + drafts[-1]), jnp.uint32)
    return greedy(hash_logits, carry, tables, rows, memory, max_steps, width, Greedy(drafts))


@functools.partial(jax.jit, static_argnames=("max_steps", "width", "beams", "drafts"))
def run_beam(model, tables, rows, memory, length_penalty, max_steps, width, beams, drafts):
    """`beam` with a `HashModel`."""
    carry = model, jnp.zeros((len(model.salt), max_steps * beams), jnp.uint32)
    search = Beam(beams, length_penalty, drafts)
    return beam(hash_logits, carry, tables, rows, memory, max_steps, width, search)


def width_of(lin) -> int:
    """X."""
    return lin.tokenizer.size if lin.rules.literal else len(lin.rules.inventory.ids)


def rows_of(sources, budgets, max_steps: int, forced=()) -> Rows:
    """A batch; `forced` is one row of tokens a source."""
    bound = np.full((len(sources), max_steps), -1, np.int32)
    for row, tokens in zip(bound, forced, strict=False):
        row[: len(tokens)] = tokens
    pieces = walks.padded(sources, max(map(len, sources)))
    return Rows(*map(jnp.asarray, (pieces, np.asarray(budgets, np.int32), bound)))


class Hypothesis(NamedTuple):
    """An output on its way."""

    state: State
    read: list  # what the decoder has read
    actions: list[int]
    log_probs: list[float]  # among the legal actions
    total: np.float32  # log-probability among all columns


def started(lin, source: Source, budget: int) -> Hypothesis:
    first = (START, START) if lin.rules.mixed else START
    state = automaton.initial(lin.rules, source, budget)
    return Hypothesis(state, [first], [], [], np.float32(0))


def choices(lin, source: Source, hypothesis: Hypothesis, logits, forced: int | None = None):
    """The columns that may be chosen, with their log-probabilities: among all, among the legal."""
    rules = lin.rules
    column = (lambda t: t) if rules.literal else rules.inventory.index.__getitem__
    legal = [column(t) for t in automaton.legal_tokens(rules, hypothesis.state, source)]
    if forced is not None:
        return {column(forced): (np.float32(0), 0.0)}
    everywhere = logits - np.logaddexp.reduce(logits)
    if automaton.is_recited(rules, hypothesis.state, source):
        return {c: (np.float32(0), 0.0) for c in legal}
    among = logits - np.logaddexp.reduce(logits[legal]) if legal else logits
    return {c: (everywhere[c], float(among[c])) for c in sorted(legal)}


def extended(lin, source: Source, hypothesis: Hypothesis, column: int, gained) -> Hypothesis:
    rules, state = lin.rules, hypothesis.state
    token = column if rules.literal else rules.inventory.ids[column]
    written = automaton.written(rules, state, token, source)
    fed = automaton.feed(rules, state, token, source)
    beside = automaton.beside(rules, state, token, source)
    return Hypothesis(
        automaton.step(rules, state, token, source),
        [*hypothesis.read, (fed, beside) if rules.mixed else fed],
        [*hypothesis.actions, written],
        [*hypothesis.log_probs, gained[1]],
        hypothesis.total + gained[0],
    )


def greedy_search(lin, source: Source, budget: int, model, max_steps: int, forced=()) -> Hypothesis:
    """The likeliest legal action at each step."""
    at = started(lin, source, budget)
    while at.state.mode != DONE and len(at.actions) < max_steps:
        step = len(at.actions)
        logits = model(at.read)
        bound = forced[step] if step < len(forced) else None
        options = choices(lin, source, at, logits, bound)
        best = max(options, key=lambda c: logits[c])
        at = extended(lin, source, at, best, options[best])
    return at


def beam_search(
    lin, source: Source, budget: int, model, max_steps: int, beams: int, penalty: float, forced=()
) -> list[tuple[float, Hypothesis]]:
    """The published beam search, candidates sorted in full: (score, hypothesis), best first."""
    alive = [started(lin, source, budget)]
    ended: list[tuple[float, Hypothesis]] = []

    def enter(hypothesis: Hypothesis, length: int) -> None:
        ended.append((float(hypothesis.total) / length**penalty, hypothesis))
        ended.sort(key=lambda e: -e[0])
        del ended[beams:]

    for step in range(max_steps):
        candidates = []
        for at in alive:
            bound = forced[step] if step < len(forced) else None
            for column, gained in choices(lin, source, at, model(at.read), bound).items():
                candidates.append((at.total + gained[0], at, column, gained))
        candidates.sort(key=lambda c: -c[0])
        alive = []
        for rank, (_, at, column, gained) in enumerate(candidates[: 2 * beams]):
            after = extended(lin, source, at, column, gained)
            if after.state.mode != DONE:
                alive.append(after)
            elif rank < beams:
                enter(after, step + 1)
        del alive[beams:]
        if len(ended) == beams and ended[-1][0] >= candidates[0][0] / (step + 1) ** penalty:
            return ended
        if not alive:
            return ended
    for at in alive:
        enter(at, max_steps + 1)
    return ended

"""Greedy search: one compiled loop for a batch, several actions from one call of the decoder.

Each call feeds the next token and a row of guesses behind it (`draft.py`). The logits behind a
guess are those of step-by-step search if all guesses up to it were right, so the actions chosen
from them are kept up to the first that differs from its guess; that one is kept too, being the
choice of step-by-step search at its place. Letters as in `search.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from t5coref.core.rules import DONE
from t5coref.decode import constraint, draft
from t5coref.decode.constraint import Source, State, Tables
from t5coref.decode.draft import Place, Walk
from t5coref.decode.search import (
    START,
    Decoded,
    Greedy,
    NextLogits,
    Rows,
    choose_rows,
    decoder_tokens,
    log_probs,
    rounds,
    running_mean,
    start,
)


class Row(NamedTuple):
    """One row on its way, `[B]` each."""

    length: Array  # int32, actions so far
    token: Array  # what the decoder reads next, int32 or [2]
    state: State
    place: Place
    score: Array  # float32


class _Loop(NamedTuple):
    row: Row
    carry: Any
    memory: Array
    actions: Array  # int32[B, T + k]
    sure: Array  # float32[B, T + k]
    calls: Array
    run: Array  # float32[], running mean of the actions that a call yields


def greedy(
    next_logits: NextLogits,
    carry: Any,
    tables: Tables,
    rows: Rows,
    memory: Array,
    max_steps: int,
    width: int,
    search: Greedy,
) -> tuple[Decoded, Array]:
    """The likeliest legal action at each step, until every row has ended.

    Args:
      next_logits: the model.
      carry: its state (key/value cache).
      tables: the rules.
      rows: the batch.
      memory: see `draft.empty`.
      max_steps: T.
      width: X.
      search: how many tokens are fed in a call.

    Returns:
      One hypothesis a row, and the memory with what it learned.
    """
    source, state = start(tables, rows)
    count = rows.sources.shape[0]
    most = search.drafts[-1]
    number = jnp.arange(count, dtype=jnp.int32)
    forced = draft.forced_columns(tables, rows.forced, max_steps + most)
    zeros = jnp.zeros((count,), jnp.int32)
    began = jnp.full((count,), START, jnp.int32)
    first = _Loop(
        row=Row(zeros, decoder_tokens(tables, began, began), state, Place.first(count),
                jnp.zeros((count,), jnp.float32)),
        carry=carry,
        memory=memory,
        actions=jnp.zeros((count, max_steps + most), jnp.int32),
        sure=jnp.zeros((count, max_steps + most), jnp.float32),
        calls=jnp.zeros((), jnp.int32),
        run=jnp.ones((), jnp.float32),
    )  # fmt: skip

    def alive(row: Row) -> Array:
        return (row.state.mode != DONE) & (row.length < max_steps)

    def call(loop: _Loop, k: int) -> _Loop:
        row = loop.row
        shared = number, source, forced, row.length
        own = row.token, row.state, row.place
        walk = draft.walk(jax.vmap, tables, loop.memory, shared, own, k)
        logits, carry = next_logits(loop.carry, walk.token, row.length, None)
        made = _choose(tables, source, forced, row, walk, logits.astype(jnp.float32), width)
        open_ = alive(row)
        kept = jnp.where(open_, jnp.minimum(made.kept, max_steps - row.length), 0)
        holds = jnp.arange(k, dtype=jnp.int32)[None, :] < kept[:, None]
        yielded = jnp.sum(kept) / jnp.maximum(jnp.sum(open_), 1)
        return _Loop(
            row=jax.tree.map(lambda new, old: choose_rows(open_, new, old), made.row._replace(
                length=row.length + kept,
                score=row.score + jnp.sum(jnp.where(holds, made.gained, 0.0), axis=1),
            ), row),
            carry=carry,
            memory=draft.learn(loop.memory, walk.where, made.action, holds),
            actions=_write(loop.actions, jnp.where(holds, made.written, 0), row.length),
            sure=_write(loop.sure, jnp.where(holds, made.sure, 0.0), row.length),
            calls=loop.calls + 1,
            run=running_mean(loop.run, yielded),
        )  # fmt: skip

    loop = rounds(first, call, lambda loop: jnp.any(alive(loop.row)), search.drafts)
    return (
        Decoded(
            actions=loop.actions[:, None, :max_steps],
            lengths=loop.row.length[:, None],
            scores=loop.row.score[:, None],
            log_probs=loop.sure[:, None, :max_steps],
            calls=loop.calls,
        ),
        loop.memory,
    )


class _Made(NamedTuple):
    """What a call has chosen: `[B, k]`, and the row behind what is kept."""

    action: Array
    written: Array
    gained: Array  # log-probabilities among all columns
    sure: Array  # among the legal ones
    kept: Array  # int32[B]
    row: Row


def _choose(
    tables: Tables,
    source: Source,
    forced: Array,
    row: Row,
    walk: Walk,
    logits: Array,
    width: int,
) -> _Made:
    """The actions of step-by-step search, and how many of them are known to be that."""
    k = walk.guess.shape[1]
    over_k = jax.vmap(jax.vmap(lambda state, source: constraint.legal(tables, state, source, width),
                               in_axes=(0, None)))  # fmt: skip
    allowed = over_k(walk.state, source)
    everywhere, among = log_probs(logits, allowed)
    column = jnp.argmax(among, axis=-1).astype(jnp.int32)
    steps = row.length[:, None] + jnp.arange(k, dtype=jnp.int32)[None, :]
    wanted = jnp.take_along_axis(forced, steps, axis=1)
    column = jnp.where(wanted >= 0, wanted, column)
    right = column == walk.guess
    done = walk.state.mode == DONE
    # Entry j is real if all guesses before it were right and the row had not ended.
    real = jnp.cumprod(jnp.pad(right[:, :-1], ((0, 0), (1, 0)), constant_values=True), axis=1) > 0
    kept = jnp.sum(real & ~done, axis=1, dtype=jnp.int32)

    move = jax.vmap(jax.vmap(lambda state, source, column: constraint.move(
        tables, state, source, column), in_axes=(0, None, 0)))  # fmt: skip
    made = move(walk.state, source, column)
    last = jnp.maximum(kept - 1, 0)
    follow = jax.vmap(lambda *at: draft.after(tables, *at))

    def at_last(tree: Any) -> Any:
        return jax.tree.map(lambda x: jax.vmap(lambda row, i: row[i])(x, last), tree)

    token, state, place = follow(at_last(walk.state), source, at_last(walk.place), at_last(made))

    settled = wanted >= 0
    if tables.recites:
        recited = jax.vmap(jax.vmap(lambda state, source: constraint.is_recited(
            tables, state, source), in_axes=(0, None)))  # fmt: skip
        settled |= recited(walk.state, source)

    def chosen(x: Array) -> Array:
        return jnp.take_along_axis(x, column[..., None], axis=-1)[..., 0]

    return _Made(
        action=made.action,
        written=constraint.written(tables, made),
        gained=jnp.where(settled, 0.0, chosen(everywhere)),
        sure=jnp.where(settled, 0.0, chosen(among)),
        kept=kept,
        row=Row(row.length, token, state, place, row.score),
    )


def _write(buffer: Array, values: Array, positions: Array) -> Array:
    """Writes `values` `[B, k]` into each row of `buffer` from its position on."""
    return jax.vmap(lambda row, new, at: jax.lax.dynamic_update_slice(row, new, (at,)))(
        buffer, values, positions
    )

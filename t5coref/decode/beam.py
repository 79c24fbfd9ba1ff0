"""Beam search: the likeliest hypotheses of each document, without moving a key or a value.

A hypothesis is the row of choices that led to it, kept as pointers to the beams of the step
before. Keys and values stay in the slot that they were written to; each hypothesis looks at the
slots of its own ancestors. Scores, lengths and the rule for stopping are those of the published
decoder (transformers 4.24: no early stopping), so that its results come out. Letters as in
`search.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from t5coref.core.rules import DONE
from t5coref.decode import constraint
from t5coref.decode.constraint import State, Tables
from t5coref.decode.draft import forced_columns
from t5coref.decode.search import (
    START,
    Beam,
    Decoded,
    NextLogits,
    Rows,
    decoder_tokens,
    log_probs,
    start,
)

NEVER = -jnp.inf


class Choice(NamedTuple):
    """What was chosen at one step: `[B, K]`, or `[T, B, K]` for all steps."""

    parent: Array  # int32, the beam that it goes on
    written: Array  # int32
    sure: Array  # float32, log-probability among the legal actions


class Ended(NamedTuple):
    """The best hypotheses that have ended, `[B, K]`; the best first."""

    rank: Array  # float32, log-probability over length
    length: Array  # int32
    last: Choice  # their last action


class _Loop(NamedTuple):
    t: Array
    tokens: Array  # int32[B, K] or [B, K, 2]
    state: State  # [B, K]
    total: Array  # float32[B, K], log-probabilities; -inf = no hypothesis
    visible: Array  # bool[B, K, L]
    history: Choice
    ended: Ended
    done: Array  # bool[B]
    carry: Any


def beam(
    next_logits: NextLogits,
    carry: Any,
    tables: Tables,
    rows: Rows,
    max_steps: int,
    width: int,
    search: Beam,
) -> Decoded:
    """The best hypotheses of each document, by log-probability over length.

    Args:
      next_logits: the model.
      carry: its state (key/value cache).
      tables: the rules.
      rows: the batch.
      max_steps: T.
      width: X.
      search: how many hypotheses, and the length penalty.
    """
    source, state = start(tables, rows)
    count, beams = rows.sources.shape[0], search.width
    forced = _forced(tables, rows, max_steps)
    over_beams = lambda f: jax.vmap(jax.vmap(f, in_axes=(0, None, 0)))  # noqa: E731
    legal = jax.vmap(jax.vmap(lambda state, source: constraint.legal(tables, state, source, width),
                              in_axes=(0, None)))  # fmt: skip
    move = over_beams(lambda state, source, column: constraint.move(tables, state, source, column))

    def follow(state: State, source, made):
        written = constraint.written(tables, made)
        fed = constraint.feed(tables, state, source, made)
        after = constraint.step(tables, state, source, made)
        return after, written, decoder_tokens(tables, fed, written)

    def per_length(total: Array, length: Array) -> Array:
        return total / length.astype(jnp.float32) ** search.length_penalty

    def body(loop: _Loop) -> _Loop:
        own = loop.t * beams + jnp.arange(beams, dtype=jnp.int32)
        slots = jnp.arange(loop.visible.shape[-1], dtype=jnp.int32)
        visible = loop.visible | (slots[None, None, :] == own[None, :, None])
        positions = jnp.broadcast_to(loop.t, (count,))
        logits, carry = next_logits(
            loop.carry, loop.tokens, positions, visible if beams > 1 else None
        )
        allowed = legal(loop.state, source)
        wanted = forced[:, loop.t]
        bound = wanted >= 0
        columns = jnp.arange(width, dtype=jnp.int32)
        only = columns[None, None, :] == wanted[:, None, None]
        allowed = jnp.where(bound[:, None, None], only, allowed)
        everywhere, among = log_probs(logits.astype(jnp.float32), allowed)
        gained = jnp.where(bound[:, None, None], 0.0, everywhere)
        totals = jnp.where(allowed, loop.total[..., None] + gained, NEVER)

        # Twice as many as beams: at most one of each beam's ends it.
        total, best = jax.lax.top_k(totals.reshape(count, -1), min(2 * beams, beams * width))
        parent = (best // width).astype(jnp.int32)
        column = (best % width).astype(jnp.int32)
        pick = lambda x: _take(x, parent)  # noqa: E731
        before = jax.tree.map(pick, loop.state)
        after, written, fed = over_beams(follow)(before, source, move(before, source, column))
        sure = jnp.take_along_axis(among.reshape(count, -1), best, axis=1)
        chosen = Choice(parent, written, jnp.where(bound[:, None], 0.0, sure))
        ends = (after.mode == DONE) & (total > NEVER)

        # Published: an ending beyond the first K candidates is forgotten.
        first = jnp.arange(total.shape[1])[None, :] < beams
        rank = jnp.where(ends & first, per_length(total, loop.t + 1), NEVER)
        ended = _best(loop.ended, Ended(rank, jnp.full_like(parent, 1) * (loop.t + 1), chosen))
        full = ended.rank[:, -1] > NEVER
        beaten = ended.rank[:, -1] >= per_length(total[:, 0], loop.t + 1)

        going = jnp.argsort(ends, axis=1, stable=True)[:, :beams]
        keep = lambda x: _take(x, going)  # noqa: E731
        alive = keep(jnp.where(ends, NEVER, total))
        done = loop.done | (full & beaten) | ~jnp.any(alive > NEVER, axis=1)
        kept = jax.tree.map(keep, chosen)
        return _Loop(
            t=loop.t + 1,
            tokens=keep(fed),
            state=jax.tree.map(keep, after),
            total=alive,
            visible=_take(visible, kept.parent),
            history=jax.tree.map(lambda all_, x: all_.at[loop.t].set(x), loop.history, kept),
            ended=jax.tree.map(
                lambda old, new: jnp.where(loop.done[:, None], old, new), loop.ended, ended
            ),
            done=done,
            carry=carry,
        )

    shape = (count, beams)
    began = jnp.full(shape, START, jnp.int32)
    none = Choice(
        jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.float32)
    )
    one = jnp.arange(beams)[None, :] == 0
    first = _Loop(
        t=jnp.zeros((), jnp.int32),
        tokens=decoder_tokens(tables, began, began),
        state=jax.tree.map(lambda x: jnp.repeat(x[:, None], beams, axis=1), state),
        total=jnp.broadcast_to(jnp.where(one, 0.0, NEVER), shape).astype(jnp.float32),
        visible=jnp.zeros((*shape, max_steps * beams), bool),
        history=jax.tree.map(lambda x: jnp.zeros((max_steps, *shape), x.dtype), none),
        ended=Ended(jnp.full(shape, NEVER, jnp.float32), jnp.zeros(shape, jnp.int32), none),
        done=state.mode == DONE,
        carry=carry,
    )
    loop = jax.lax.while_loop(lambda loop: (loop.t < max_steps) & ~jnp.all(loop.done), body, first)
    ended, history = _unfinished(loop, per_length)
    return _unrolled(ended, history, loop.t)


def _forced(tables: Tables, rows: Rows, max_steps: int) -> Array:
    columns = forced_columns(tables, rows.forced)
    missing = max(0, max_steps - columns.shape[1])
    return jnp.pad(columns, ((0, 0), (0, missing)), constant_values=-1)


def _take(x: Array, beams: Array) -> Array:
    """Rows of `x` `[B, K, ...]` by `beams` `int32[B, J]`."""
    return jax.vmap(lambda row, index: row[index])(x, beams)


def _best(old: Ended, new: Ended) -> Ended:
    """The K best of both; of equal ones the older."""
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), old, new)
    order = jnp.argsort(-both.rank, axis=1, stable=True)[:, : old.rank.shape[1]]
    return jax.tree.map(lambda x: _take(x, order), both)


def _unfinished(loop: _Loop, per_length) -> tuple[Ended, Choice]:
    """Hypotheses that the step limit cut off take part; rules that promise to end have none."""
    alive = jnp.where(loop.done[:, None], NEVER, loop.total)
    beams = loop.total.shape[1]
    parent = jnp.broadcast_to(jnp.arange(beams, dtype=jnp.int32)[None, :], loop.total.shape)
    # Their length counts what the decoder would have read next, and they have no last action.
    nothing = Choice(parent, jnp.zeros_like(parent), jnp.zeros_like(loop.total))
    cut = Ended(per_length(alive, loop.t + 1), jnp.full_like(parent, 1) * (loop.t + 1), nothing)
    return _best(loop.ended, cut), loop.history


def _unrolled(ended: Ended, history: Choice, t: Array) -> Decoded:
    """Follows the pointers back from the last actions."""
    steps, count, beams = history.parent.shape
    padded = jax.tree.map(lambda x: jnp.pad(x, ((0, 1), (0, 0), (0, 0))), history)

    def back(beam: Array, step: Array):
        is_last = step == ended.length - 1
        at = jax.tree.map(lambda x: _take(x[step], beam), padded)
        picked = jax.tree.map(lambda last, x: jnp.where(is_last, last, x), ended.last, at)
        inside = step < ended.length
        above = jnp.where(inside, picked.parent, beam)
        return above, jax.tree.map(lambda x: jnp.where(inside, x, 0), picked)

    begin = jnp.zeros((count, beams), jnp.int32)
    _, path = jax.lax.scan(back, begin, jnp.arange(steps, -1, -1, dtype=jnp.int32))
    there = ended.rank > NEVER
    path = jax.tree.map(lambda x: jnp.moveaxis(x[::-1], 0, -1)[..., :steps], path)
    lengths = jnp.minimum(jnp.where(there, ended.length, 0), t)
    return Decoded(
        actions=jnp.where(there[..., None], path.written, 0),
        lengths=lengths,
        scores=ended.rank,
        log_probs=jnp.where(there[..., None], path.sure, 0.0),
        calls=t,
    )

"""Beam search: the likeliest hypotheses of each document, several steps from one call.

A hypothesis is the row of choices that led to it, kept as pointers to the beams of the step
before. Keys and values stay in the slot that they were written to; each hypothesis looks at the
slots of its own ancestors. Scores, lengths and the rule for stopping are those of the published
decoder (transformers 4.24: no early stopping), so that its results come out. Letters as in
`search.py`.

Each call feeds every hypothesis its next token and a row of guesses behind it (`draft.py`). Steps
are made one after the other from the logits of the call, as long as each hypothesis that lives on
has the guess of the one that it goes on as its last action; they may change places. The first step
for which that is not so is kept too: its candidates were all scored.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from t5coref.core.rules import DONE
from t5coref.decode import constraint, draft
from t5coref.decode.constraint import State, Tables
from t5coref.decode.draft import Place, Walk
from t5coref.decode.search import (
    START,
    Beam,
    Decoded,
    NextLogits,
    Rows,
    choose_rows,
    decoder_tokens,
    log_probs,
    rounds,
    running_mean,
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


class _Front(NamedTuple):
    """How far each document is."""

    t: Array  # int32[B], steps made
    tokens: Array  # int32[B, K] or [B, K, 2], what the decoder reads next
    state: State  # [B, K]
    place: Place  # [B, K]
    total: Array  # float32[B, K], log-probabilities; -inf = no hypothesis
    visible: Array  # bool[B, K, L], the slots of its past
    ended: Ended
    done: Array  # bool[B]


class _Loop(NamedTuple):
    front: _Front
    history: Choice  # [T, B, K]
    memory: Array
    carry: Any
    calls: Array
    run: Array  # float32[], running mean of the steps that a call yields


class _Call(NamedTuple):
    """What the decoder said in one call, and whom it still concerns."""

    logits: Array  # float32[B, k, K, X]
    walk: Walk  # [B, K, k]
    origin: Array  # int32[B, K], the beam of the call that each hypothesis goes on
    open: Array  # bool[B], whether all of them have followed their guesses


def beam(
    next_logits: NextLogits,
    carry: Any,
    tables: Tables,
    rows: Rows,
    memory: Array,
    max_steps: int,
    width: int,
    search: Beam,
) -> tuple[Decoded, Array]:
    """The best hypotheses of each document, by log-probability over length.

    Args:
      next_logits: the model.
      carry: its state (key/value cache).
      tables: the rules.
      rows: the batch.
      memory: see `draft.empty`; no outcome depends on it.
      max_steps: T.
      width: X.
      search: how many hypotheses, the length penalty, and how many tokens are fed in a call.

    Returns:
      The hypotheses, and the memory with what it learned from the likeliest ones.
    """
    source, state = start(tables, rows)
    count, beams = rows.sources.shape[0], search.width
    number = jnp.arange(count, dtype=jnp.int32)
    every = jnp.arange(beams, dtype=jnp.int32)
    forced = draft.forced_columns(tables, rows.forced, max_steps + search.drafts[-1])
    over_beams = lambda f: jax.vmap(jax.vmap(f, in_axes=(0, None, 0)))  # noqa: E731
    over_walks = lambda f: jax.vmap(jax.vmap(f, in_axes=(*[None] * 4, 0, 0, 0)))  # noqa: E731
    legal = jax.vmap(jax.vmap(lambda state, source: constraint.legal(tables, state, source, width),
                              in_axes=(0, None)))  # fmt: skip
    recited = jax.vmap(jax.vmap(lambda state, source: constraint.is_recited(tables, state, source),
                                in_axes=(0, None)))  # fmt: skip
    move = over_beams(lambda state, source, column: constraint.move(tables, state, source, column))
    follow = jax.vmap(jax.vmap(lambda *at: draft.after(tables, *at), in_axes=(0, None, 0, 0)))

    def per_length(total: Array, length: Array) -> Array:
        return total / length.astype(jnp.float32)[:, None] ** search.length_penalty

    def going(front: _Front) -> Array:
        return ~front.done & (front.t < max_steps)

    def ask(loop: _Loop, k: int) -> tuple[_Call, Any]:
        front = loop.front
        shared = number, source, forced, front.t
        own = front.tokens, front.state, front.place
        walk = draft.walk(over_walks, tables, loop.memory, shared, own, k)
        tokens = jnp.moveaxis(walk.token, 2, 1)  # [B, k, K] or [B, k, K, 2]
        tokens = tokens.reshape(count, k * beams, *tokens.shape[3:])
        visible = _visible(front, k) if beams > 1 else None
        logits, carry = next_logits(loop.carry, tokens, front.t, visible)
        logits = logits.astype(jnp.float32).reshape(count, k, beams, width)
        origin = jnp.broadcast_to(every, (count, beams))
        return _Call(logits, walk, origin, going(front)), carry

    def step(at: tuple[_Front, Choice, Array, _Call], i: Array):
        """The next step of the rows whose call is open."""
        front, history, memory, call = at
        logits = _take(call.logits[:, i], call.origin)
        where, guess = jax.tree.map(
            lambda x: _take(x[:, :, i], call.origin), (call.walk.where, call.walk.guess)
        )
        allowed = legal(front.state, source)
        wanted = jnp.take_along_axis(forced, front.t[:, None], axis=1)[:, 0]
        bound = wanted >= 0
        columns = jnp.arange(width, dtype=jnp.int32)
        only = columns[None, None, :] == wanted[:, None, None]
        allowed = jnp.where(bound[:, None, None], only, allowed)
        everywhere, among = log_probs(logits, allowed)
        settled = bound[:, None]
        if tables.recites:
            settled = settled | recited(front.state, source)
        gained = jnp.where(settled[..., None], 0.0, everywhere)
        totals = jnp.where(allowed, front.total[..., None] + gained, NEVER)

        # Twice as many as beams: at most one of each beam's ends it.
        total, best = jax.lax.top_k(totals.reshape(count, -1), min(2 * beams, beams * width))
        parent = (best // width).astype(jnp.int32)
        column = (best % width).astype(jnp.int32)
        before, place = jax.tree.map(lambda x: _take(x, parent), (front.state, front.place))
        made = move(before, source, column)
        tokens, after, place = follow(before, source, place, made)
        written = constraint.written(tables, made)
        sure = jnp.take_along_axis(among.reshape(count, -1), best, axis=1)
        chosen = Choice(parent, written, jnp.where(bound[:, None], 0.0, sure))
        ends = (after.mode == DONE) & (total > NEVER)

        # Published: an ending beyond the first K candidates is forgotten.
        first = jnp.arange(total.shape[1])[None, :] < beams
        length = front.t + 1
        rank = jnp.where(ends & first, per_length(total, length), NEVER)
        lengths = jnp.broadcast_to(length[:, None], rank.shape)
        ended = _best(front.ended, Ended(rank, lengths, chosen))
        full = ended.rank[:, -1] > NEVER
        beaten = ended.rank[:, -1] >= per_length(total, length)[:, 0]

        surviving = jnp.argsort(ends, axis=1, stable=True)[:, :beams]
        keep = lambda x: _take(x, surviving)  # noqa: E731
        alive = keep(jnp.where(ends, NEVER, total))
        kept = jax.tree.map(keep, chosen)
        fresh = _Front(
            t=length,
            tokens=keep(tokens),
            state=jax.tree.map(keep, after),
            place=jax.tree.map(keep, place),
            total=alive,
            visible=_take(_with_own(front, call.origin), kept.parent),
            ended=ended,
            done=(full & beaten) | ~jnp.any(alive > NEVER, axis=1),
        )
        spot = jnp.where(call.open, front.t, max_steps)
        history = jax.tree.map(
            lambda all_, x: all_.at[spot, number].set(x, mode="drop"), history, kept
        )
        learned = _take(where, parent[:, :1]), made.action[:, :1], call.open[:, None]
        followed = (keep(column) == _take(guess, kept.parent)) | (alive == NEVER)
        front = jax.tree.map(lambda new, old: choose_rows(call.open, new, old), fresh, front)
        call = call._replace(
            origin=_take(call.origin, kept.parent),
            open=call.open & jnp.all(followed, axis=1) & going(front),
        )
        return (front, history, draft.learn(memory, *learned), call), None

    def body(loop: _Loop, k: int) -> _Loop:
        call, carry = ask(loop, k)
        open_ = jnp.sum(call.open)
        at = loop.front, loop.history, loop.memory, call
        (front, history, memory, _), _ = jax.lax.scan(step, at, jnp.arange(k, dtype=jnp.int32))
        yielded = jnp.sum(front.t - loop.front.t) / jnp.maximum(open_, 1)
        run = running_mean(loop.run, yielded)
        return _Loop(front, history, memory, carry, loop.calls + 1, run)

    shape = (count, beams)
    began = jnp.full(shape, START, jnp.int32)
    none = Choice(
        jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.float32)
    )
    one = every[None, :] == 0
    loop = rounds(
        _Loop(
            front=_Front(
                t=jnp.zeros((count,), jnp.int32),
                tokens=decoder_tokens(tables, began, began),
                state=jax.tree.map(lambda x: jnp.repeat(x[:, None], beams, axis=1), state),
                place=jax.tree.map(
                    lambda x: jnp.repeat(x[:, None], beams, axis=1), Place.first(count)
                ),
                total=jnp.broadcast_to(jnp.where(one, 0.0, NEVER), shape).astype(jnp.float32),
                visible=jnp.zeros((*shape, max_steps * beams), bool),
                ended=Ended(jnp.full(shape, NEVER, jnp.float32), jnp.zeros(shape, jnp.int32), none),
                done=state.mode == DONE,
            ),
            history=jax.tree.map(lambda x: jnp.zeros((max_steps, *shape), x.dtype), none),
            memory=memory,
            carry=carry,
            calls=jnp.zeros((), jnp.int32),
            run=jnp.ones((), jnp.float32),
        ),
        body,
        lambda loop: jnp.any(going(loop.front)),
        search.drafts,
    )
    ended = _unfinished(loop.front, per_length)
    return _unrolled(ended, loop.history, loop.front.t, loop.calls), loop.memory


def _with_own(front: _Front, origin: Array) -> Array:
    """What each hypothesis sees once it has read its next token, `bool[B, K, L]`.

    Args:
      front: before the step.
      origin: `int32[B, K]`, the beam of the call that the token of each hypothesis was fed to.
    """
    slots = jnp.arange(front.visible.shape[-1], dtype=jnp.int32)
    own = front.t[:, None] * front.visible.shape[1] + origin
    return front.visible | (slots[None, None, :] == own[..., None])


def _visible(front: _Front, k: int) -> Array:
    """What the tokens of a call may look at, `bool[B, k, K, L]`: their past, and themselves."""
    beams, slots = front.visible.shape[1:]
    step, beam = jnp.divmod(jnp.arange(slots, dtype=jnp.int32), beams)
    ahead = step[None, :] - front.t[:, None]  # [B, L]
    fed = (ahead >= 0)[:, None, :] & (
        ahead[:, None, :] <= jnp.arange(k, dtype=jnp.int32)[None, :, None]
    )  # [B, k, L]
    own = beam[None, :] == jnp.arange(beams, dtype=jnp.int32)[:, None]  # [K, L]
    return front.visible[:, None] | (fed[:, :, None, :] & own[None, None])


def _take(x: Array, beams: Array) -> Array:
    """Rows of `x` `[B, K, ...]` by `beams` `int32[B, J]`."""
    return jax.vmap(lambda row, index: row[index])(x, beams)


def _best(old: Ended, new: Ended) -> Ended:
    """The K best of both; of equal ones the older."""
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), old, new)
    order = jnp.argsort(-both.rank, axis=1, stable=True)[:, : old.rank.shape[1]]
    return jax.tree.map(lambda x: _take(x, order), both)


def _unfinished(front: _Front, per_length) -> Ended:
    """Hypotheses that the step limit cut off take part; rules that promise to end have none."""
    alive = jnp.where(front.done[:, None], NEVER, front.total)
    beams = front.total.shape[1]
    parent = jnp.broadcast_to(jnp.arange(beams, dtype=jnp.int32)[None, :], front.total.shape)
    # Their length counts what the decoder would have read next, and they have no last action.
    nothing = Choice(parent, jnp.zeros_like(parent), jnp.zeros_like(front.total))
    length = jnp.broadcast_to(front.t[:, None] + 1, parent.shape)
    return _best(front.ended, Ended(per_length(alive, front.t + 1), length, nothing))


def _unrolled(ended: Ended, history: Choice, t: Array, calls: Array) -> Decoded:
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
    lengths = jnp.minimum(jnp.where(there, ended.length, 0), t[:, None])
    return Decoded(
        actions=jnp.where(there[..., None], path.written, 0),
        lengths=lengths,
        scores=ended.rank,
        log_probs=jnp.where(there[..., None], path.sure, 0.0),
        calls=calls,
    )

"""Guesses of what will be written next, from what was written in like places before.

Speculative search feeds a row of guesses and keeps the prefix that holds, so a bad guess costs time
and never changes an output. A place is what was just written, the pieces before and after it, and
the depth; its guess is what was written there last, in any document. For cluster numbers, that is
in the same row of the batch: this document, or one that was decoded in the row before. B rows, k
guesses, H slots of the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from t5coref.core.rules import NUMBER, Effect
from t5coref.decode import constraint
from t5coref.decode.constraint import Move, Source, State, Tables
from t5coref.decode.search import decoder_tokens

SLOTS = 1 << 16
"""H, for each of the `ORDERS` kinds of place."""

ORDERS = 3
UNKNOWN = -1
DEEP = 2  # depths from here on are one


class Place(NamedTuple):
    """Where something is about to be written, `[B]` or `[B, k]`.

    Attributes:
      written: the action before it.
      piece: the piece of the source that was copied last.
    """

    written: Array
    piece: Array

    @classmethod
    def first(cls, rows: int) -> Place:
        """The place before the first action."""
        nothing = jnp.full((rows,), UNKNOWN, jnp.int32)
        return cls(nothing, nothing)


class Walk(NamedTuple):
    """The path that the guesses of a call take, `[..., k]` each; entry j is before guess j + 1."""

    token: Array  # what the decoder reads, [..., k] or [..., k, 2]
    state: State
    place: Place
    where: Array  # int32[..., k, ORDERS]
    guess: Array  # column guessed to follow


def empty() -> Array:
    """A memory without guesses, `int32[ORDERS * H]`."""
    return jnp.full((ORDERS * SLOTS,), UNKNOWN, jnp.int32)


def slots(row: Array, state: State, source: Source, place: Place, position: Array) -> Array:
    """`int32[ORDERS]`: the memory's slots for a place, the most particular first.

    Args:
      row: `int32[]` number of the row, which tells the cluster numbers of a batch's rows apart.
      state: the state there.
      source: the row's source.
      place: what was before it.
      position: `int32[]` of the next piece.
    """
    ahead = source.pieces[jnp.minimum(position, source.pieces.shape[0] - 1)]
    depth = jnp.minimum(state.depth, DEEP)
    numbering = state.mode >= NUMBER
    common = (state.mode, place.written, depth, jnp.where(numbering, row, -1))
    ahead = jnp.where(numbering, 0, ahead)
    keys = (
        (*common, place.piece, ahead),
        (*common, jnp.zeros_like(ahead), ahead),
        (*common, place.piece, jnp.zeros_like(ahead)),
    )
    hashes = [_hash(key) % SLOTS + order * SLOTS for order, key in enumerate(keys)]
    return jnp.stack([h.astype(jnp.int32) for h in hashes])


def _hash(values: tuple[Array, ...]) -> Array:
    state = jnp.uint32(2166136261)
    for value in values:
        state = (state ^ value.astype(jnp.uint32)) * jnp.uint32(16777619)
        state = state ^ (state >> 15)
    return state


def guess(memory: Array, where: Array, fallback: Array) -> Array:
    """The action that the memory has for the first known of the slots `where` `int32[ORDERS]`."""
    found = memory[where]
    known = found != UNKNOWN
    return jnp.where(jnp.any(known), found[jnp.argmax(known)], fallback)


def fallback(tables: Tables, state: State) -> Array:
    """A guess without memory: a copy of text if the mode has one, else its first action.

    Where text is recited, copies need no guess: the first action beside them.
    """
    there = tables.next_mode[state.mode] >= 0
    if tables.recites:
        return jnp.argmax(there.at[tables.copy].set(False)).astype(jnp.int32)
    copies = there[tables.copy] & ((tables.effect[tables.copy] & int(Effect.ADVANCE)) != 0)
    return jnp.where(copies, tables.copy, jnp.argmax(there)).astype(jnp.int32)


def learn(memory: Array, where: Array, actions: Array, kept: Array) -> Array:
    """The memory after the actions `int32[B, k]` at slots `int32[B, k, ORDERS]`, where `kept`."""
    spots = jnp.where(kept[..., None], where, memory.shape[0])
    values = jnp.broadcast_to(actions[..., None], where.shape)
    return memory.at[spots.reshape(-1)].set(values.reshape(-1), mode="drop")


def forced_columns(tables: Tables, forced: Array, length: int) -> Array:
    """The columns `int32[B, length + 1]` of vocabulary ids `int32[B, P]`; -1 stays and follows."""
    if not tables.literal:
        by_id = tables.action_of[jnp.clip(forced, 0, tables.action_of.shape[0] - 1)]
        forced = jnp.where(forced < 0, UNKNOWN, by_id)
    missing = max(0, length + 1 - forced.shape[1])
    return jnp.pad(forced, ((0, 0), (0, missing)), constant_values=UNKNOWN)


def column_of(tables: Tables, action: Array, piece: Array) -> Array:
    """The column of an action, `piece` being the one that a copy would stand for."""
    if not tables.literal:
        return action
    return jnp.where(action == tables.copy, piece, tables.ids[action])


def walk(
    over: Callable[[Callable], Callable],
    tables: Tables,
    memory: Array,
    shared: tuple[Array, Source, Array, Array],
    own: tuple[Array, State, Place],
    k: int,
) -> Walk:
    """Guesses k actions in a row, each as if the ones before it were right.

    Args:
      over: maps a function of (`*shared`, `*own`) over the rows, or over the hypotheses of rows.
      tables: the rules.
      memory: see `empty`.
      shared: of a row: its number, its source, the columns `int32[P]` that its output has to begin
        with (-1 behind them; P is at least k more than there are steps), and its actions so far.
      own: of a hypothesis: what the decoder reads next, the state, and the place.
      k: how many.
    """
    number, source, forced, length = shared

    def one(number, source, forced, length, token, state, place):
        spots, _ = constraint.candidates(tables, state, source)
        piece = constraint.piece_at(tables, spots, source)
        where = slots(number, state, source, place, constraint.first_spot(tables, spots))
        guessed = guess(memory, where, fallback(tables, state))
        if tables.recites:
            recited = constraint.is_recited(tables, state, source)
            guessed = jnp.where(recited, tables.copy, guessed)
        column = column_of(tables, guessed, piece)
        column = jnp.where(forced[length] >= 0, forced[length], column)
        made = constraint.move(tables, state, source, column)
        return Walk(token, state, place, where, column), after(tables, state, source, place, made)

    def advance(at, j):
        step, behind = over(one)(number, source, forced, length + j, *at)
        return behind, step

    _, steps = jax.lax.scan(advance, own, jnp.arange(k, dtype=jnp.int32))
    depth = steps.guess.ndim - 1
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, depth), steps)


def after(
    tables: Tables, state: State, source: Source, place: Place, made: Move
) -> tuple[Any, State, Place]:
    """What the decoder reads, the state and the place after a move."""
    fed = constraint.feed(tables, state, source, made)
    copied = made.action == tables.copy
    piece = constraint.piece_at(tables, made.spots, source)
    behind = constraint.step(tables, state, source, made)
    return (
        decoder_tokens(tables, fed, constraint.beside(tables, behind, source, made)),
        behind,
        Place(made.action, jnp.where(copied, piece, place.piece)),
    )

"""The constraint for batches under `jit`: the twin of `core/automaton.py`, function by function.

B rows, A actions, S source pieces (padded), M modes, N cluster numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from t5coref.core.automaton import CLOSE, COPY, DONE, OPEN, OPENED, SEPARATE, SPELL, TEXT, Rules


class Tables(NamedTuple):
    """`Rules` as arrays; the fields are theirs."""

    ids: Array  # int32[A]
    kind: Array  # int32[A]
    next_mode: Array  # int32[M, A]
    slack_cost: Array  # int32[M, A]
    number: Array  # int32[M]
    at_least: Array  # int32[M, N + 1]
    max_depth: Array  # int32[]
    max_clusters: Array  # int32[]
    first_pledge: Array  # int32[]
    twin_pledge: Array  # int32[]

    @classmethod
    def of(cls, rules: Rules) -> Tables:
        """The arrays of `rules`, on the default device."""

        def int32(x) -> Array:
            return jnp.asarray(x, jnp.int32)

        return cls(
            ids=int32(rules.inventory.ids),
            kind=int32(rules.kind),
            next_mode=int32(rules.next_mode),
            slack_cost=int32(rules.slack_cost),
            number=int32(rules.number),
            at_least=int32(rules.at_least),
            max_depth=int32(rules.max_depth),
            max_clusters=int32(rules.max_clusters),
            first_pledge=int32(rules.first_pledge),
            twin_pledge=int32(rules.twin_pledge),
        )


class State(NamedTuple):
    """`automaton.State` for B rows; the frontier is one flag for each position."""

    mode: Array  # int32[B]
    frontier: Array  # bool[B, S + 1]
    depth: Array  # int32[B]
    entities: Array  # int32[B]
    slack: Array  # int32[B]
    twins: Array  # int32[B]
    floor: Array  # int32[B]


def initial(source_lengths: Array, width: int, budgets: Array) -> State:
    """The states before the first action.

    Args:
      source_lengths: `int32[B]` pieces of each source, `</s>` included; 0 = no document in this
        row, which is done from the start.
      width: S.
      budgets: `int32[B]` steps that each output may take; at least the source's length (checked by
        the caller, values are not known here).
    """
    rows = source_lengths.shape[0]
    zeros = jnp.zeros(rows, jnp.int32)
    start = jnp.zeros((rows, width + 1), bool).at[:, 0].set(True)
    return State(
        mode=jnp.where(source_lengths > 0, TEXT, DONE).astype(jnp.int32),
        frontier=start,
        depth=zeros,
        entities=zeros,
        slack=budgets.astype(jnp.int32) - source_lengths.astype(jnp.int32),
        twins=zeros,
        floor=zeros,
    )


def _at(frontier: Array, positions: Array) -> Array:
    """Whether each row's frontier holds its position: `bool[B]`."""
    return jnp.take_along_axis(frontier, positions[:, None], axis=1)[:, 0]


def _highest_number(tables: Tables, state: State) -> Array:
    # Leading ones of the twin bits of the open mentions, shifted to the top of the word.
    bits = state.twins.astype(jnp.uint32) << (32 - state.depth).astype(jnp.uint32)
    run = jnp.where(state.depth > 0, jax.lax.clz(~bits).astype(jnp.int32), 0)
    return jnp.minimum(state.entities, tables.max_clusters - 1 - run)


def _cost(tables: Tables, state: State, kind: Array, base: Array) -> Array:
    """`automaton.cost` for `kind`, `base` of shapes `[B]` or `[B, A]`."""

    def per_row(x: Array) -> Array:
        return x.reshape(x.shape + (1,) * (kind.ndim - 1))

    unnumbered = per_row(state.entities == 0)
    first = jnp.where(
        (kind == OPEN) & unnumbered & per_row(state.depth == 0), tables.first_pledge, 0
    ) - jnp.where((kind == SEPARATE) & unnumbered, tables.first_pledge, 0)
    releases = (kind == COPY) | (kind == OPEN) | (kind == SEPARATE)
    twin = jnp.where(releases & per_row(state.floor > 0), tables.twin_pledge, 0)
    return base + first - twin


def legal(tables: Tables, state: State, source_lengths: Array) -> Array:
    """`bool[B, A]`: which actions may be written next."""
    modes = tables.next_mode[state.mode]
    kind = jnp.broadcast_to(tables.kind[None, :], modes.shape)
    affordable = _cost(tables, state, kind, tables.slack_cost[state.mode]) <= state.slack[:, None]
    at_end = _at(state.frontier, jnp.maximum(source_lengths - 1, 0))[:, None]
    depth = state.depth[:, None]
    high = _highest_number(tables, state)[:, None]
    floor = state.floor[:, None]
    number = tables.number[state.mode][:, None]
    reachable = tables.at_least[jnp.maximum(modes, 0), floor]
    fits = jnp.select(
        [kind == COPY, kind == OPEN, kind == SEPARATE, kind == SPELL],
        [
            ~at_end | (depth == 0),
            ~at_end & (depth < tables.max_depth),
            depth > 0,
            reachable <= high,
        ],
        (floor <= number) & (number <= high),
    )
    return (modes >= 0) & affordable & fits


def step(tables: Tables, state: State, actions: Array, source_lengths: Array) -> State:
    """The states after the legal `actions` `int32[B]`; rows that are done stay as they are."""
    kind = tables.kind[actions]
    spent = _cost(tables, state, kind, tables.slack_cost[state.mode, actions])
    copies = kind == COPY
    opens = kind == OPEN
    closes = kind == CLOSE

    shifted = jnp.pad(state.frontier[:, :-1], ((0, 0), (1, 0)))
    frontier = jnp.where(copies[:, None], shifted, state.frontier)
    finished = copies & _at(frontier, source_lengths)
    mode = jnp.where(finished, DONE, tables.next_mode[state.mode, actions])

    depth = state.depth + opens.astype(jnp.int32) - closes.astype(jnp.int32)
    # The bit of the mention that is opened or closed.
    bit = jnp.left_shift(jnp.ones_like(depth), jnp.minimum(state.depth, depth))
    is_twin = (state.twins & bit) != 0
    given = tables.number[state.mode]
    cleared = jnp.where(opens | closes, state.twins & ~bit, state.twins)
    after = State(
        mode=mode,
        frontier=frontier,
        depth=depth,
        entities=jnp.where(closes, jnp.maximum(state.entities, given + 1), state.entities),
        slack=state.slack - spent,
        twins=jnp.where(opens & (state.mode == OPENED), cleared | bit, cleared),
        floor=jnp.where(
            copies | opens,
            0,
            jnp.where(closes, jnp.where(is_twin, given + 1, 0), state.floor),
        ),
    )
    done = state.mode == DONE

    def keep(old: Array, new: Array) -> Array:
        return jnp.where(done.reshape(done.shape + (1,) * (new.ndim - 1)), old, new)

    return jax.tree.map(keep, state, after)


def feed(tables: Tables, state: State, actions: Array, sources: Array) -> Array:
    """`int32[B]`: what the decoder reads after `actions`; copies read `sources` `[B, S]`."""
    position = jnp.argmax(state.frontier[:, :-1], axis=1)
    piece = jnp.take_along_axis(sources, position[:, None], axis=1)[:, 0]
    return jnp.where(tables.kind[actions] == COPY, piece, tables.ids[actions])

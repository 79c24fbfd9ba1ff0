"""The constraint under `jit`: the twin of `core/automaton.py`, function by function.

Everything here is about one row: a state of scalars, one source. `jax.vmap` makes it a batch, and
beams of a document share its source. A actions, S source pieces (padded), M modes, N cluster
numbers, X columns of the logits: the actions, or the vocabulary (`Rules.literal`).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from t5coref.core.rules import DONE, ELEMENT, MENTION, NEW, OPENED, TAIL, TEXT, Effect, Guard
from t5coref.decode import triples
from t5coref.decode.handles import opened
from t5coref.decode.tables import Tables
from t5coref.decode.triples import Triple


class Source(NamedTuple):
    """`automaton.Source`: the pieces of one source and where its marks are."""

    pieces: Array  # int32[S]
    next_mark: Array  # int32[S + 1]
    opening: Array | None = None  # int32[S], `handles.opened`, where the decoder reads it

    @classmethod
    def of(cls, tables: Tables, pieces: Array) -> Source:
        """The source of padded pieces `int32[S]`."""
        width = pieces.shape[0]
        is_mark = jnp.isin(pieces, jnp.asarray(tables.marks, jnp.int32))
        spots = jnp.where(is_mark, jnp.arange(width, dtype=jnp.int32), width)
        first = jax.lax.cummin(jnp.append(spots, jnp.int32(width)), reverse=True)
        if not len(tables.openings):
            return cls(pieces, first)
        return cls(pieces, first, opened(pieces, tables.openings, tables.marks[0]))


class State(NamedTuple):
    """`automaton.State`; the frontier is one flag a position, or one position without spread.

    What a format has no use for is None: it is not carried along.
    """

    mode: Array  # int32[]
    frontier: Array  # bool[S + 1], or int32[]
    depth: Array  # int32[]
    entities: Array  # int32[]
    slack: Array  # int32[]
    twins: Array  # int32[]
    floor: Array  # int32[]
    least: Triple | None = None  # where relations are written


def shortest(tables: Tables, source: Source) -> Array:
    """`int32[]`: steps of the shortest output."""
    real = source.pieces > 0
    marks = real & jnp.isin(source.pieces, jnp.asarray(tables.marks, jnp.int32))
    count = jnp.sum(marks, dtype=jnp.int32)
    rest = jnp.sum(real, dtype=jnp.int32) - count
    return tables.due.mark * count + tables.due.piece * rest


def initial(tables: Tables, source: Source, budget: Array) -> State:
    """The state before the first action; a source of nothing but padding is done at once.

    The budget is at least `shortest` (checked by the caller, values are not known here).
    """
    zero = jnp.zeros((), jnp.int32)
    return State(
        mode=jnp.where(source.pieces[0] > 0, TEXT, DONE).astype(jnp.int32),
        frontier=_to_mark(source, zero) if tables.spread else zero,
        depth=zero,
        entities=marked(tables.source_numbers, source.pieces),
        slack=budget.astype(jnp.int32) - shortest(tables, source),
        twins=zero,
        floor=zero,
        least=triples.first() if tables.relations else None,
    )


def marked(numbers: Array, pieces: Array) -> Array:
    """How many clusters a source `int32[S]` has marked by these symbols: `int32[]`."""
    count = numbers.shape[0]
    if not count:
        return jnp.zeros((), jnp.int32)
    there = jnp.isin(numbers, pieces)
    return jnp.max(jnp.where(there, jnp.arange(1, count + 1, dtype=jnp.int32), 0))


def _to_mark(source: Source, position: Array) -> Array:
    spots = jnp.arange(source.next_mark.shape[0], dtype=jnp.int32)
    return (spots >= position) & (spots <= source.next_mark[position])


def first_spot(tables: Tables, frontier: Array) -> Array:
    """The lowest position of the frontier."""
    return jnp.argmax(frontier).astype(jnp.int32) if tables.spread else frontier


def candidates(tables: Tables, state: State, source: Source) -> tuple[Array, Array]:
    """Positions that a copy may stand for (`bool[S + 1]`, or one), and whether one is no mark."""
    if not tables.spread:
        return state.frontier, source.next_mark[state.frontier] != state.frontier
    spots = jnp.arange(source.next_mark.shape[0], dtype=jnp.int32)
    plain = state.frontier & (source.next_mark != spots)
    more = jnp.any(plain)
    return jnp.where(more, plain, state.frontier & (spots < spots[-1])), more


def is_recited(tables: Tables, state: State, source: Source) -> Array:
    """`bool[]`: whether nothing but a certain piece of text may be written next."""
    spot = first_spot(tables, state.frontier)
    return (source.next_mark[spot] != spot) & tables.recites


def piece_at(tables: Tables, spots: Array, source: Source) -> Array:
    """The piece at the first candidate."""
    return source.pieces[first_spot(tables, spots)]


def _highest_number(tables: Tables, state: State) -> Array:
    if not tables.twinned:
        return jnp.minimum(state.entities, tables.max_clusters - 1)
    # Leading ones of the twin bits of the open mentions, shifted to the top of the word.
    bits = state.twins.astype(jnp.uint32) << (32 - state.depth).astype(jnp.uint32)
    run = jnp.where(state.depth > 0, jax.lax.clz(~bits).astype(jnp.int32), 0)
    return jnp.minimum(state.entities, tables.max_clusters - 1 - run)


def _cost(tables: Tables, state: State, effect: Array, base: Array) -> Array:
    """`automaton.cost` for actions of any shape."""
    total = base
    if tables.first_pledge:
        unnumbered = state.entities == 0
        owes = _has(effect, Effect.OPENS) & unnumbered & (state.depth == 0)
        pays = _has(effect, Effect.BEGINS) & unnumbered
        total += tables.first_pledge * (owes.astype(jnp.int32) - pays.astype(jnp.int32))
    if tables.twin_pledge:
        frees = _has(effect, Effect.ADVANCE | Effect.OPENS | Effect.BEGINS) & (state.floor > 0)
        total -= tables.twin_pledge * frees.astype(jnp.int32)
    return total


def _has(flags: Array, wanted: int) -> Array:
    return (flags & int(wanted)) != 0


def _admitted(tables: Tables, state: State, source: Source, more: Array) -> Array:
    """`bool[A]`: the actions that table, guards and slack admit."""
    to = tables.next_mode[state.mode]
    guard = tables.guard[state.mode]
    given = tables.given[state.mode]
    number = jnp.where(given == NEW, state.entities, given)
    mark = source.next_mark[first_spot(tables, state.frontier)]
    width = source.pieces.shape[0]
    marked = mark < width
    mark_piece = source.pieces[jnp.minimum(mark, width - 1)]
    high = _highest_number(tables, state)
    if state.least is None:
        row = jnp.maximum(to, 0)
        fits = (state.floor <= number) & (number <= _last(tables, state, state.mode, high))
        spellable = tables.at_least[row, state.floor] <= _last(tables, state, row, high)
    else:
        fits, spellable = _numbers(tables, state, state.least, to, number, high)
    # The guards that hold for every action, as one word of flags.
    scalars = {
        Guard.INSIDE: state.depth > 0,
        Guard.OUTSIDE: state.depth == 0,
        Guard.ROOM: state.depth < tables.max_depth,
        Guard.MORE: more,
        Guard.LAST: ~more,
        Guard.BALANCED: more | (state.depth == 0),
        Guard.MARKED: marked,
        Guard.UNMARKED: ~marked,
        Guard.SLOT: source.next_mark[jnp.minimum(mark + 1, width)] < width,
    }
    if state.least is not None:
        scalars[Guard.RELATES] = triples.exists(state.least, state.entities)
    broken = sum(jnp.where(fine, 0, int(flag)) for flag, fine in scalars.items())
    affordable = _cost(tables, state, tables.effect, tables.slack_cost[state.mode]) <= state.slack
    admitted = (
        (to >= 0)
        & affordable
        & ((guard & broken) == 0)
        & (~_has(guard, Guard.MARK) | (marked & (tables.ids == mark_piece)))
        & (~_has(guard, Guard.SPELLABLE) | spellable)
        & (~_has(guard, Guard.FITS) | fits)
        & (~_has(guard, Guard.KNOWN) | (number < state.entities))
    )
    if state.least is None:
        return admitted
    after = triples.raised(state.least, tables.role[state.mode], given)
    kind = jnp.arange(given.shape[0], dtype=jnp.int32) - tables.first_relation
    fresh = (kind >= after.type) & (kind < tables.relations)
    return admitted & (~_has(guard, Guard.FRESH) | fresh)


def _last(tables: Tables, state: State, mode: Array, high: Array) -> Array:
    """The highest number that may be given in modes of mentions and of elements."""
    if not tables.elements:
        return high
    return jnp.where(tables.role[mode] == ELEMENT, state.entities - 1, high)


def _numbers(
    tables: Tables, state: State, least: Triple, to: Array, number: Array, high: Array
) -> tuple[Array, Array]:
    """The guards FITS and SPELLABLE `bool[A]` where relations are written."""

    def allowed(role: Array, least: Triple) -> tuple[Array, Array, Array]:
        """From where to where numbers may be given, and which one in between may not."""
        start = jnp.where(role == TAIL, least.tail, least.head)
        start = jnp.where(role == MENTION, state.floor, start)
        end = jnp.where(role == MENTION, high, state.entities - 1)
        return start, end, jnp.where(role == TAIL, least.head, -1)

    role, row = tables.role[state.mode], jnp.maximum(to, 0)
    start, end, but = allowed(role, least)
    fits = (start <= number) & (number <= end) & (number != but)
    after = triples.raised(least, role, tables.given[state.mode])
    start, end, but = allowed(tables.role[row], after)
    found = tables.at_least[row, start]
    behind = tables.at_least[row, jnp.minimum(found + 1, tables.max_clusters)]
    return fits, jnp.where(found == but, behind, found) <= end


def legal(tables: Tables, state: State, source: Source, width: int) -> Array:
    """`bool[X]`: which of `width` columns may be written next."""
    spots, more = candidates(tables, state, source)
    admitted = _admitted(tables, state, source, more)
    copies = admitted[tables.copy]
    if not tables.literal:
        return admitted
    named = jnp.where(tables.ids < 0, width, tables.ids)
    columns = jnp.zeros(width, bool).at[named].set(admitted, mode="drop")
    if tables.spread:
        wanted = jnp.where(spots[:-1] & copies, source.pieces, width)
        return columns.at[wanted].set(True, mode="drop")
    return columns.at[jnp.where(copies, piece_at(tables, spots, source), width)].set(
        True, mode="drop"
    )


def _action(tables: Tables, piece: Array) -> Array:
    """The action that a vocabulary id names, -1 if none."""
    last = len(tables.action_of) - 1
    return jnp.where(piece <= last, tables.action_of[jnp.minimum(piece, last)], -1)


def token(tables: Tables, column: Array) -> Array:
    """`int32[]`: the vocabulary id of a column."""
    return column if tables.literal else tables.ids[column]


class Move(NamedTuple):
    """A column as the automaton sees it in a state."""

    action: Array  # int32[]
    token: Array  # int32[] as it was chosen
    spots: Array  # candidates of a copy


def move(tables: Tables, state: State, source: Source, column: Array) -> Move:
    """What choosing `column` means: `automaton.action_of` and the positions of a copy."""
    chosen = token(tables, column)
    spots, _ = candidates(tables, state, source)
    action = _action(tables, chosen) if tables.literal else column
    if tables.aliased and not tables.literal:
        named = _action(tables, piece_at(tables, spots, source))
        action = jnp.where(chosen == tables.copy_id, named, action)
    there = (action >= 0) & (tables.next_mode[state.mode, jnp.maximum(action, 0)] >= 0)
    return Move(jnp.where(there, action, tables.copy), chosen, spots)


def step(tables: Tables, state: State, source: Source, made: Move) -> State:
    """The state after a legal move; one that is done stays as it is."""
    action = made.action
    effect = tables.effect[action]
    role = tables.role[state.mode]
    if tables.relations or tables.elements:
        effect = jnp.where(role == MENTION, effect, 0)
    spent = _cost(tables, state, effect, tables.slack_cost[state.mode, action])
    given = tables.given[state.mode, action]
    number = jnp.where(given == NEW, state.entities, given)
    opens, shuts = _has(effect, Effect.OPENS), _has(effect, Effect.SHUTS)
    onward = _has(effect, Effect.ADVANCE | Effect.PASSES)

    frontier, mode = _moved(tables, state, source, made, effect)
    depth = state.depth + opens.astype(jnp.int32) - shuts.astype(jnp.int32)
    twins, floor = state.twins, jnp.where(onward | opens, 0, state.floor)
    if tables.elements:
        floor = jnp.where(role == ELEMENT, number + 1, floor)
    if tables.twinned:
        # The bit of the mention that is opened or closed.
        bit = jnp.left_shift(jnp.ones_like(depth), jnp.minimum(state.depth, depth))
        is_twin = (twins & bit) != 0
        floor = jnp.where(shuts, jnp.where(is_twin, number + 1, 0), floor)
        cleared = jnp.where(opens | shuts, twins & ~bit, twins)
        twins = jnp.where(opens & (state.mode == OPENED), cleared | bit, cleared)
    counted = jnp.maximum(state.entities, number + 1)
    if tables.spread:
        spreads = _has(effect, Effect.SPREADS) & (depth == 0)
        behind = jnp.zeros_like(depth) if tables.anywhere else first_spot(tables, frontier)
        frontier = jnp.where(spreads, _to_mark(source, behind), frontier)
    after = State(
        mode=mode,
        frontier=frontier,
        depth=depth,
        entities=jnp.where(_has(effect, Effect.COUNTS), counted, state.entities),
        slack=state.slack - spent,
        twins=twins,
        floor=floor,
        least=_least(tables, state, action),
    )
    done = state.mode == DONE
    return jax.tree.map(lambda old, new: jnp.where(done, old, new), state, after)


def _least(tables: Tables, state: State, action: Array) -> Triple | None:
    """The least relation that may be written after an action."""
    if state.least is None:
        return None
    role, given = tables.role[state.mode], tables.given[state.mode, action]
    least = triples.raised(state.least, role, given)
    kind = action - tables.first_relation
    ends = (kind >= 0) & (kind < tables.relations)
    behind = triples.following(least._replace(type=kind), state.entities, tables.relations)
    return jax.tree.map(lambda new, old: jnp.where(ends, new, old), behind, least)


def _moved(
    tables: Tables, state: State, source: Source, made: Move, effect: Array
) -> tuple[Array, Array]:
    """The frontier and the mode after a move."""
    mode = tables.next_mode[state.mode, made.action]
    copies = _has(effect, Effect.ADVANCE)
    spots = made.spots
    mark = source.next_mark[first_spot(tables, state.frontier)]
    behind = jnp.minimum(mark + 1, source.pieces.shape[0])
    passes = _has(effect, Effect.PASSES) & (mode != DONE)
    if not tables.spread:
        at_mark = source.next_mark[spots] == spots
        frontier = jnp.where(copies, spots + 1, jnp.where(passes, behind, state.frontier))
        return frontier, jnp.where(copies & at_mark, DONE, mode)
    same = jnp.append(source.pieces == made.token, False)
    copied = jnp.roll(spots & same, 1)
    frontier = jnp.where(copies, copied, state.frontier)
    return jnp.where(passes, _to_mark(source, behind), frontier), mode


def written(tables: Tables, made: Move) -> Array:
    """`int32[]`: the vocabulary id that goes into the output."""
    return jnp.where(made.action == tables.copy, made.token, tables.ids[made.action])


def feed(tables: Tables, state: State, source: Source, made: Move) -> Array:
    """`int32[]`: what the decoder reads after the move."""
    is_copy = made.action == tables.copy
    piece = made.token
    if not (tables.echoed or tables.literal):
        piece = piece_at(tables, made.spots, source)
    own = tables.ids[made.action]
    if tables.number_ids.shape[0]:
        new = tables.given[state.mode, made.action] == NEW
        last = tables.number_ids.shape[0] - 1
        own = jnp.where(new, tables.number_ids[jnp.minimum(state.entities, last)], own)
    return jnp.where(is_copy, piece, own)


def beside(tables: Tables, after: State, source: Source, made: Move) -> Array:
    """`int32[]`: what it reads beside that, where it reads two ids, after the move to a state."""
    if source.opening is None:
        return written(tables, made)
    mark = source.next_mark[first_spot(tables, after.frontier)]
    return source.opening[jnp.minimum(mark, source.pieces.shape[0] - 1)]

"""What may be written next, and what writing it changes: the readable reference implementation.

A format's `Rules` are a table; a `State` is what has to be remembered while an output is written.
`decode/constraint.py` holds the same functions for arrays under `jit`; both are compared along
random walks in the tests. Tokens are vocabulary ids as they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from t5coref.core.errors import ConfigError
from t5coref.core.rules import (
    DONE,
    ELEMENT,
    HEAD,
    MENTION,
    NEW,
    OPENED,
    TAIL,
    TEXT,
    Effect,
    Guard,
    Rules,
)
from t5coref.core.triples import FIRST, Triple, exists, following, raised


@dataclass(frozen=True, eq=False)
class Source:
    """The pieces that an output is about.

    Attributes:
      pieces: `int32[S]` vocabulary ids, `</s>` last; 0 behind it is padding.
      marks: the ids that divide it, see `Rules.marks`.
    """

    pieces: np.ndarray
    marks: tuple[int, ...]

    @cached_property
    def next_mark(self) -> list[int]:
        """`[S + 1]` the first mark at or after each position, S where there is none."""
        after = [len(self.pieces)]
        for position in range(len(self.pieces) - 1, -1, -1):
            after.append(position if self.pieces[position] in self.marks else after[-1])
        return after[::-1]

    def is_mark(self, position: int) -> bool:
        """Whether a mark, or the end of the array, lies at the position."""
        return self.next_mark[position] == position

    def to_mark(self, position: int) -> frozenset[int]:
        """The positions from this one to the next mark, both included."""
        return frozenset(range(position, self.next_mark[position] + 1))


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered while one output is written.

    Attributes:
      mode: row of the table.
      frontier: positions of the source piece that may be copied next (one where the whole source is
        written); the position behind the last one means that the source is exhausted.
      depth: open mentions.
      entities: clusters numbered so far.
      slack: steps left minus the steps of the shortest legal way to the end.
      twins: bit d is set if open mention d began at the same position as mention d - 1.
      floor: smallest cluster number that the next closing may get; above 0 right after a mention
        was closed that began together with the one around it. Of elements, the smallest that may
        follow those that were written.
      least: the least relation that may be written next, see `core/triples.py`; within a relation,
        with the head and the tail that it has already.
    """

    mode: int
    frontier: frozenset[int]
    depth: int
    entities: int
    slack: int
    twins: int = 0
    floor: int = 0
    least: Triple = FIRST


def shortest(rules: Rules, pieces: Sequence[int] | np.ndarray) -> int:
    """Steps of the shortest output for a source."""
    ids = np.asarray(pieces)
    marks = int(np.isin(ids, rules.marks).sum())
    return rules.due.mark * marks + rules.due.piece * (int((ids > 0).sum()) - marks)


def initial(rules: Rules, source: Source, budget: int) -> State:
    """The state before the first action.

    Args:
      rules: the format's rules.
      source: what the output is about.
      budget: steps that the output may take at most.

    Raises:
      ConfigError: not even the shortest output fits the budget.
    """
    least = shortest(rules, source.pieces)
    if budget < least:
        raise ConfigError(
            f"an output of {budget} steps cannot hold the {least} that a source of "
            f"{len(source.pieces)} pieces takes at least; raise the target length or shorten the "
            "window"
        )
    frontier = reached(rules, source, 0)
    marked = [k for k, token in enumerate(rules.source_numbers) if token in source.pieces]
    return State(TEXT, frontier, 0, max(marked, default=-1) + 1, budget - least)


def reached(rules: Rules, source: Source, position: int) -> frozenset[int]:
    """The frontier of an output that has come to a position of the source."""
    return source.to_mark(position) if rules.spread else frozenset([position])


def is_recited(rules: Rules, state: State, source: Source) -> bool:
    """Whether nothing but a certain piece of text may be written next (`Rules.recites`)."""
    return rules.recites and not source.is_mark(min(state.frontier))


def highest_number(rules: Rules, state: State) -> int:
    """The highest cluster number that the innermost open mention may get.

    One more than the numbers given so far is a new cluster; under the cap of N numbers one is set
    aside for each enclosing mention that began at the same position.
    """
    run = 0
    while run < state.depth and state.twins >> (state.depth - 1 - run) & 1:
        run += 1
    return min(state.entities, rules.max_clusters - 1 - run)


def numbers(rules: Rules, state: State, role: int, least: Triple) -> range:
    """The cluster numbers that may be given in modes of a role; a tail is never `least.head`."""
    if role == MENTION:
        return range(state.floor, highest_number(rules, state) + 1)
    if role == ELEMENT:
        return range(state.floor, state.entities)
    return range(least.head if role == HEAD else least.tail, state.entities)


def may_be_given(rules: Rules, state: State, action: int) -> bool:
    """Whether the number that `action` gives may be given."""
    role, number = int(rules.role[state.mode]), given_number(rules, state, action)
    fits = number in numbers(rules, state, role, state.least)
    return fits and not (role == TAIL and number == state.least.head)


def may_be_spelt(rules: Rules, state: State, action: int) -> bool:
    """Whether a number that may be given can still be spelt behind `action`."""
    to = int(rules.next_mode[state.mode, action])
    role, least = int(rules.role[to]), after_number(rules, state, action)
    allowed = numbers(rules, state, role, least)
    number = int(rules.at_least[to, allowed.start])
    if role == TAIL and number == least.head:
        number = int(rules.at_least[to, number + 1])
    return number < allowed.stop


def after_number(rules: Rules, state: State, action: int) -> Triple:
    """`State.least` once a relation has the number that `action` gives."""
    role, number = int(rules.role[state.mode]), int(rules.given[state.mode, action])
    relates = role in (HEAD, TAIL) and number >= 0
    return raised(state.least, role, number) if relates else state.least


def relation_type(rules: Rules, action: int) -> int | None:
    """The number of the relation type that `action` gives."""
    number = action - rules.first_relation
    return number if 0 <= number < rules.relations else None


def is_fresh(rules: Rules, state: State, action: int) -> bool:
    """Whether `action` gives a relation type that its clusters do not have yet."""
    kind = relation_type(rules, action)
    return kind is not None and kind >= after_number(rules, state, action).type


def candidates(state: State, source: Source) -> frozenset[int]:
    """Positions of the piece that a copy may stand for; a mark only if nothing else is left."""
    plain = frozenset(p for p in state.frontier if not source.is_mark(p))
    return plain or frozenset(p for p in state.frontier if p < len(source.pieces))


def action_of(rules: Rules, state: State, token: int, source: Source) -> int:
    """The action that a written token stands for: one of the mode if it names one, else a copy."""
    piece = token
    if rules.aliased and token == rules.inventory.ids[rules.copy]:
        piece = int(source.pieces[min(candidates(state, source))])
    action = rules.inventory.index.get(piece, rules.copy)
    return action if rules.next_mode[state.mode, action] >= 0 else rules.copy


def given_number(rules: Rules, state: State, action: int) -> int:
    """The cluster number that `action` gives to the innermost mention."""
    given = int(rules.given[state.mode, action])
    return state.entities if given == NEW else given


def cost(rules: Rules, state: State, action: int) -> int:
    """By how much `action` would lower the slack."""
    effect = rules.does(state.mode, action)
    total = int(rules.slack_cost[state.mode, action])
    if effect & Effect.OPENS and state.entities == 0 and state.depth == 0:
        total += rules.first_pledge
    if effect & Effect.BEGINS and state.entities == 0:
        total -= rules.first_pledge
    if effect & (Effect.ADVANCE | Effect.OPENS | Effect.BEGINS) and state.floor > 0:
        total -= rules.twin_pledge
    return total


def _admitted(rules: Rules, state: State, action: int, source: Source) -> bool:
    """Whether table, guards and slack admit `action`."""
    to = int(rules.next_mode[state.mode, action])
    if to < 0 or cost(rules, state, action) > state.slack:
        return False
    guards = Guard(int(rules.guard[state.mode, action]))
    more = any(not source.is_mark(p) for p in state.frontier)
    mark = source.next_mark[min(state.frontier)]
    marked = mark < len(source.pieces)
    holds: dict[Guard, Callable[[], bool]] = {
        Guard.INSIDE: lambda: state.depth > 0,
        Guard.OUTSIDE: lambda: state.depth == 0,
        Guard.ROOM: lambda: state.depth < rules.max_depth,
        Guard.MORE: lambda: more,
        Guard.LAST: lambda: not more,
        Guard.BALANCED: lambda: more or state.depth == 0,
        Guard.MARK: lambda: marked and source.pieces[mark] == rules.inventory.ids[action],
        Guard.MARKED: lambda: marked,
        Guard.UNMARKED: lambda: not marked,
        Guard.SPELLABLE: lambda: may_be_spelt(rules, state, action),
        Guard.FITS: lambda: may_be_given(rules, state, action),
        Guard.KNOWN: lambda: given_number(rules, state, action) < state.entities,
        Guard.RELATES: lambda: exists(state.least, state.entities),
        Guard.FRESH: lambda: is_fresh(rules, state, action),
        Guard.SLOT: lambda: marked and source.next_mark[mark + 1] < len(source.pieces),
    }
    return all(holds[guard]() for guard in guards)


def legal_tokens(rules: Rules, state: State, source: Source) -> set[int]:
    """The vocabulary ids that may be written next; none after the end."""
    if state.mode == DONE:
        return set()
    admitted = [a for a in range(len(rules.inventory.ids)) if _admitted(rules, state, a, source)]
    tokens = {rules.inventory.ids[a] for a in admitted if rules.inventory.ids[a] >= 0}
    if rules.literal and rules.copy in admitted:
        tokens |= {int(source.pieces[p]) for p in candidates(state, source)}
    return tokens


def step(rules: Rules, state: State, token: int, source: Source) -> State:
    """The state after a legal `token`."""
    action = action_of(rules, state, token, source)
    effect = rules.does(state.mode, action)
    mode = int(rules.next_mode[state.mode, action])
    slack = state.slack - cost(rules, state, action)
    frontier, depth, entities = state.frontier, state.depth, state.entities
    twins, floor = state.twins, state.floor
    if rules.role[state.mode] == ELEMENT:
        floor = given_number(rules, state, action) + 1
    if effect & Effect.ADVANCE:
        spots = candidates(state, source)
        if rules.literal:
            spots = frozenset(p for p in spots if source.pieces[p] == token)
        if all(source.is_mark(p) for p in spots):
            mode = DONE
        frontier = frozenset(p + 1 for p in spots)
        floor = 0
    if effect & Effect.PASSES:
        behind = source.next_mark[min(frontier)] + 1
        frontier = reached(rules, source, behind) if mode != DONE else frontier
        floor = 0
    if effect & Effect.OPENS:
        if rules.twinned:
            bit = 1 << depth
            twins = twins | bit if state.mode == OPENED else twins & ~bit
        depth += 1
        floor = 0
    if effect & Effect.COUNTS:
        entities = max(entities, given_number(rules, state, action) + 1)
    if effect & Effect.SHUTS:
        depth -= 1
        if rules.twinned:
            is_twin = twins >> depth & 1
            floor = given_number(rules, state, action) + 1 if is_twin else 0
            twins &= ~(1 << depth)
    if rules.spread and effect & Effect.SPREADS and depth == 0:
        frontier = source.to_mark(0 if rules.anywhere else min(frontier))
    least, kind = after_number(rules, state, action), relation_type(rules, action)
    if kind is not None:
        least = following(least._replace(type=kind), state.entities, rules.relations)
    return State(mode, frontier, depth, entities, slack, twins, floor, least)


def written(rules: Rules, state: State, token: int, source: Source) -> int:
    """The vocabulary id that goes into the output for a chosen `token`.

    It is the token, unless a copied piece acts as an action of its own (`Rules.aliased`).
    """
    action = action_of(rules, state, token, source)
    return token if action == rules.copy else rules.inventory.ids[action]


def beside(rules: Rules, state: State, token: int, source: Source) -> int:
    """What the decoder reads beside `feed`, where it reads two ids (`Rules.mixed`)."""
    if not rules.openings:
        return written(rules, state, token, source)
    return next_opening(rules, source, min(step(rules, state, token, source).frontier))


def next_opening(rules: Rules, source: Source, position: int) -> int:
    """The opening mark of the next mention to be closed; the next mark itself if there is none."""
    mark, open_ = source.next_mark[position], 0
    if source.pieces[mark] == rules.marks[0]:
        for piece in source.pieces[:mark][::-1].tolist():
            if piece in rules.openings and not open_:
                return piece
            open_ += (piece == rules.marks[0]) - (piece in rules.openings)
    return int(source.pieces[mark])


def feed(rules: Rules, state: State, token: int, source: Source) -> int:
    """The vocabulary id that the decoder reads after writing `token`."""
    action = action_of(rules, state, token, source)
    if action == rules.copy:
        if rules.literal or rules.echoed:
            return token
        return int(source.pieces[min(candidates(state, source))])
    if rules.given[state.mode, action] == NEW:
        return rules.number_ids[state.entities]
    return rules.inventory.ids[action]

"""Constraints as a table and a small state: the readable reference implementation.

A format's `Rules` say which action may follow which; a `State` is what has to be remembered while
an output is written. `decode/constraint.py` holds the same functions for batches under `jit`; both
are compared along random walks in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from t5coref.core.errors import ConfigError
from t5coref.core.symbols import Inventory

# Kinds of action, by what they do to the state.
COPY, OPEN, SEPARATE, SPELL, CLOSE = range(5)
# Modes that every full format has; the nodes of the number trie follow from NUMBER on.
TEXT, OPENED, DONE, NUMBER = range(4)


@dataclass(frozen=True, eq=False)
class Rules:
    """Which action is legal when: immutable, compiled once per format and tokenizer.

    M modes, A actions, N cluster numbers.

    Attributes:
      inventory: the actions; action `a` stands for vocabulary id `inventory.ids[a]`.
      kind: `int8[A]`, what the action does (COPY, OPEN, SEPARATE, SPELL, CLOSE).
      next_mode: `int32[M, A]`, -1 = illegal whatever the rest of the state.
      slack_cost: `int32[M, A]`, by how much the action lengthens the shortest way to the end,
        itself included.
      number: `int32[M]`, the cluster number that is complete in this mode, -1 = none.
      at_least: `int32[M, N + 1]`, the smallest cluster number >= column that can still be spelt
        from this mode, N where there is none.
      max_depth: how many mentions may be open at once.
      max_clusters: N.
      first_pledge: what the very first number costs more than later ones: while nothing has been
        numbered only cluster 0 exists, and its spelling may be longer than the shortest.
      twin_pledge: what the number of a span may cost more when the same span has just been closed
        with another number: numbers of one span ascend, so only longer spellings may be left.
    """

    inventory: Inventory
    kind: np.ndarray
    next_mode: np.ndarray
    slack_cost: np.ndarray
    number: np.ndarray
    at_least: np.ndarray
    max_depth: int
    max_clusters: int
    first_pledge: int
    twin_pledge: int

    def __post_init__(self) -> None:
        modes, actions = self.next_mode.shape
        expected = {
            "kind": (actions,),
            "slack_cost": (modes, actions),
            "number": (modes,),
            "at_least": (modes, self.max_clusters + 1),
        }
        for name, shape in expected.items():
            got = getattr(self, name).shape
            if got != shape:
                raise ConfigError(f"Rules.{name} has shape {got}; expected {shape}")
        if actions != len(self.inventory.ids):
            raise ConfigError(f"{actions} columns for {len(self.inventory.ids)} actions")
        if self.next_mode.max() >= modes:
            raise ConfigError(f"mode {self.next_mode.max()} has no row; expected one of {modes}")
        if not 1 <= self.max_depth <= 31:
            raise ConfigError(f"max_depth is {self.max_depth}; expected 1..31 (one bit a level)")
        if self.max_clusters < self.max_depth + 2:
            raise ConfigError(
                f"max_clusters is {self.max_clusters}; expected at least max_depth + 2 = "
                f"{self.max_depth + 2}, so that mentions of one span can always differ"
            )
        for array in (self.kind, self.next_mode, self.slack_cost, self.number, self.at_least):
            array.setflags(write=False)


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered while one output is written.

    Attributes:
      mode: row of the table.
      frontier: positions of the source piece that may be copied next (one for full formats); the
        last piece is `</s>`, and the position after it means that the source is exhausted.
      depth: open mentions.
      entities: clusters numbered so far.
      slack: steps left minus the steps of the shortest legal way to the end.
      twins: bit d is set if open mention d began at the same position as mention d - 1.
      floor: smallest cluster number that the next closing may get; above 0 right after a mention
        was closed that began together with the one around it.
    """

    mode: int
    frontier: frozenset[int]
    depth: int
    entities: int
    slack: int
    twins: int = 0
    floor: int = 0


def initial(rules: Rules, source_length: int, budget: int) -> State:
    """The state before the first action.

    Args:
      rules: the format's rules.
      source_length: pieces of the source, `</s>` included.
      budget: steps that the output may take at most.

    Raises:
      ConfigError: the budget does not even suffice to copy the source.
    """
    if budget < source_length:
        raise ConfigError(
            f"an output of {budget} steps cannot copy a source of {source_length} pieces; "
            "raise the target length or shorten the window"
        )
    return State(TEXT, frozenset([0]), 0, 0, budget - source_length)


def highest_number(rules: Rules, state: State) -> int:
    """The highest cluster number that the innermost open mention may get.

    One more than the numbers given so far is a new cluster; under the cap of N numbers one is set
    aside for each enclosing mention that began at the same position.
    """
    run = 0
    while run < state.depth and state.twins >> (state.depth - 1 - run) & 1:
        run += 1
    return min(state.entities, rules.max_clusters - 1 - run)


def cost(rules: Rules, state: State, action: int) -> int:
    """By how much `action` would lower the slack."""
    kind = rules.kind[action]
    total = int(rules.slack_cost[state.mode, action])
    if kind == OPEN and state.entities == 0 and state.depth == 0:
        total += rules.first_pledge
    if kind == SEPARATE and state.entities == 0:
        total -= rules.first_pledge
    if kind in (COPY, OPEN, SEPARATE) and state.floor > 0:
        total -= rules.twin_pledge
    return total


def legal(rules: Rules, state: State, action: int, source_length: int) -> bool:
    """Whether `action` may be written next (strict constraint)."""
    mode = int(rules.next_mode[state.mode, action])
    if mode < 0 or cost(rules, state, action) > state.slack:
        return False
    at_end = state.frontier == {source_length - 1}
    kind = rules.kind[action]
    if kind == COPY:
        return not at_end or state.depth == 0
    if kind == OPEN:
        return not at_end and state.depth < rules.max_depth
    if kind == SEPARATE:
        return state.depth > 0
    high = highest_number(rules, state)
    if kind == SPELL:
        return int(rules.at_least[mode, state.floor]) <= high
    return state.floor <= int(rules.number[state.mode]) <= high


def legal_actions(rules: Rules, state: State, source_length: int) -> np.ndarray:
    """`bool[A]`: `legal` for every action."""
    actions = range(len(rules.inventory.ids))
    return np.asarray([legal(rules, state, a, source_length) for a in actions])


def step(rules: Rules, state: State, action: int, source_length: int) -> State:
    """The state after a legal `action`."""
    kind = rules.kind[action]
    mode = int(rules.next_mode[state.mode, action])
    slack = state.slack - cost(rules, state, action)
    frontier, depth, entities = state.frontier, state.depth, state.entities
    twins, floor = state.twins, state.floor
    if kind == COPY:
        frontier = frozenset(p + 1 for p in frontier)
        floor = 0
        if frontier == {source_length}:
            mode = DONE
    elif kind == OPEN:
        bit = 1 << depth
        twins = twins | bit if state.mode == OPENED else twins & ~bit
        depth += 1
        floor = 0
    elif kind == CLOSE:
        given = int(rules.number[state.mode])
        depth -= 1
        entities = max(entities, given + 1)
        floor = given + 1 if twins >> depth & 1 else 0
        twins &= ~(1 << depth)
    return State(mode, frontier, depth, entities, slack, twins, floor)


def feed(rules: Rules, state: State, action: int, source: Sequence[int]) -> int:
    """The vocabulary id that the decoder reads after writing `action`: copies read the source."""
    if rules.kind[action] == COPY:
        (position,) = state.frontier
        return int(source[position])
    return rules.inventory.ids[action]

"""The table of a constraint: which action may follow in which mode, and what it does.

A format lists its `Cell`s; `Rules.compile` makes arrays of them and refuses a table that promises
what it cannot keep. `core/automaton.py` says what the entries mean for a `State`.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from t5coref.core.errors import ConfigError
from t5coref.core.symbols import Inventory

# Modes that formats share; those of numbers follow from NUMBER on.
TEXT, OPENED, DONE, NUMBER = range(4)

NOTHING, NEW = -1, -2
"""`Cell.given`: the action numbers no cluster; it numbers the next new one."""

MENTION, HEAD, TAIL, ELEMENT = range(4)
"""`Rules.role`: the number is that of a mention's cluster, of a relation's head or tail, or of one
of several clusters that stand together."""

PIECE = -1
"""Id of the copy action where a copied piece is written as itself (`Rules.literal`)."""


class Guard(enum.IntFlag):
    """What must hold for an action beside its place in the table."""

    INSIDE = enum.auto()  # a mention is open
    OUTSIDE = enum.auto()  # none is
    ROOM = enum.auto()  # fewer mentions are open than may be
    MORE = enum.auto()  # a piece that is no mark may be copied next
    LAST = enum.auto()  # none may
    BALANCED = enum.auto()  # MORE, or no mention is open
    MARK = enum.auto()  # the action is the next mark of the source
    MARKED = enum.auto()  # the source has a further mark
    UNMARKED = enum.auto()  # it has none
    SPELLABLE = enum.auto()  # a number that may be given can still be spelt
    FITS = enum.auto()  # the number may be given
    KNOWN = enum.auto()  # the number belongs to a cluster that was numbered before
    RELATES = enum.auto()  # a relation is left that may be written
    FRESH = enum.auto()  # the action is a relation type that may be given
    SLOT = enum.auto()  # the next mark of the source is not its last one


class Effect(enum.IntFlag):
    """What an action does beside moving to another mode."""

    ADVANCE = enum.auto()  # the frontier moves behind the copied piece
    OPENS = enum.auto()  # one more open mention
    SHUTS = enum.auto()  # one less
    COUNTS = enum.auto()  # the cluster counts as numbered
    BEGINS = enum.auto()  # a cluster number begins
    PASSES = enum.auto()  # the frontier moves behind the next mark
    SPREADS = enum.auto()  # with nothing open, the frontier reaches up to the next mark


class Cell(NamedTuple):
    """One entry of the table: in `mode`, `action` leads to the mode `to`.

    Attributes:
      mode: a row.
      action: a column.
      to: the next mode.
      guard: what must hold besides.
      cost: by how much the action lengthens the shortest way to the end, itself included.
      given: the cluster number that the innermost mention gets, NEW, or NOTHING. In a mode whose
        role is another, the number that the relation's head or tail, or the element, has got.
    """

    mode: int
    action: int
    to: int
    guard: Guard = Guard(0)
    cost: int = 0
    given: int = NOTHING


class Due(NamedTuple):
    """Steps that a source obliges to from the start: for each piece that is no mark, for a mark."""

    piece: int
    mark: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Rules:
    """Which action is legal when: immutable, compiled once per format and tokenizer.

    M modes, A actions, N cluster numbers.

    Attributes:
      inventory: the actions; action `a` is written as vocabulary id `inventory.ids[a]`.
      copy: the action that copies a piece of the source.
      effect: `int32[A]`, flags of `Effect`; in modes of another role than MENTION there are none.
      next_mode: `int32[M, A]`, -1 = illegal whatever the rest of the state.
      guard: `int32[M, A]`, flags of `Guard`.
      slack_cost: `int32[M, A]`, see `Cell.cost`.
      given: `int32[M, A]`, see `Cell.given`.
      at_least: `int32[M, N + 1]`, the smallest cluster number >= column that can still be spelt
        from this mode, N where there is none.
      role: `int32[M]`, what a number is for that is written in a mode: MENTION, HEAD, TAIL or
        ELEMENT; elements that follow each other ascend (`State.floor`).
      marks: vocabulary ids that divide a source; the last one of a source is `</s>`.
      due: the steps that a source obliges to; (0, 0) = the rules do not promise to end.
      spread: whether a mention may begin anywhere up to the next mark, or only right here.
      literal: pieces of the source are written as themselves, so that anything of the vocabulary
        may be written and scores are over all of it; else over the actions alone.
      aliased: a copied piece that is also an action of the mode acts as that.
      echoed: the decoder reads the copy action itself, not the piece that it stands for.
      mixed: the decoder reads the mean of what is fed and of what was written, or of `openings`.
      number_ids: the symbol that the decoder reads for cluster k where NEW was written, `[N]`;
        empty where numbers are spelt.
      twinned: mentions of one span get ascending numbers, see `State.twins`.
      max_depth: how many mentions may be open at once.
      max_clusters: N.
      first_pledge: what the very first number costs more than later ones: while nothing has been
        numbered only cluster 0 exists, and its spelling may be longer than the shortest.
      twin_pledge: what the number of a span may cost more when the same span has just been closed
        with another number: numbers of one span ascend, so only longer spellings may be left.
      relations: R, how many relation types there are; 0 = no relations are written.
      first_relation: the action of the first relation type; the others follow it.
      source_numbers: the symbol that marks cluster k in the source, `[N]`; empty where the output
        itself numbers the clusters.
      anywhere: with `spread`, text may be copied from anywhere in the source, again and again.
      copy_weight: what a copy counts in training; other actions count 1.
      openings: with `mixed`, the opening marks of mentions in the source, if beside what is fed the
        decoder reads that of the next mention, and not what was written; the first of `marks` is
        then what closes a mention. Else empty.
      answer_length: an output consists of so many steps again and again, before its last one; the
        decoder begins anew with each, and in training the last step of each counts, nothing else.
        None = an output is one.
    """

    inventory: Inventory
    copy: int
    effect: np.ndarray
    next_mode: np.ndarray
    guard: np.ndarray
    slack_cost: np.ndarray
    given: np.ndarray
    at_least: np.ndarray
    role: np.ndarray
    marks: tuple[int, ...]
    due: Due
    max_depth: int
    max_clusters: int
    spread: bool = False
    literal: bool = False
    aliased: bool = False
    echoed: bool = False
    mixed: bool = False
    number_ids: tuple[int, ...] = ()
    twinned: bool = True
    first_pledge: int = 0
    twin_pledge: int = 0
    relations: int = 0
    first_relation: int = 0
    source_numbers: tuple[int, ...] = ()
    anywhere: bool = False
    copy_weight: float = 1.0
    openings: tuple[int, ...] = ()
    answer_length: int | None = None

    @classmethod
    def compile(
        cls,
        inventory: Inventory,
        effects: Sequence[Effect],
        cells: Iterable[Cell],
        *,
        at_least: np.ndarray | None = None,
        role: np.ndarray | None = None,
        **fields,
    ) -> Rules:
        """The rules of a list of cells; what is not listed is illegal.

        Args:
          inventory: the actions.
          effects: what each of them does, `[A]`.
          cells: the legal entries.
          at_least: `int32[M, N + 1]` where numbers are spelt.
          role: `int32[M]` where relations or elements are written.
          **fields: the other attributes.

        Raises:
          ConfigError: two cells for one entry, a mode without a row, a mode from which no way
            leads to the end, or costs or pledges that are not those of the shortest way.
        """
        listed = list(cells)
        modes = 1 + max([DONE, *(max(c.mode, c.to) for c in listed)])
        shape = (modes, len(inventory.ids))
        arrays = {
            "next_mode": np.full(shape, -1, np.int32),
            "guard": np.zeros(shape, np.int32),
            "slack_cost": np.zeros(shape, np.int32),
            "given": np.full(shape, NOTHING, np.int32),
        }
        for c in listed:
            at = c.mode, c.action
            if arrays["next_mode"][at] >= 0:
                name = inventory.names[c.action]
                raise ConfigError(f"two cells for action {name!r} in mode {c.mode}; expected one")
            for array, value in zip(arrays.values(), (c.to, c.guard, c.cost, c.given), strict=True):
                array[at] = value
        limit = fields["max_clusters"]
        nothing = np.full((modes, limit + 1), limit, np.int32)
        return cls(
            inventory=inventory,
            effect=np.asarray(effects, np.int32),
            at_least=nothing if at_least is None else at_least,
            role=np.zeros(modes, np.int32) if role is None else role,
            **arrays,
            **fields,
        )

    @property
    def scored_ids(self) -> tuple[int, ...] | None:
        """The vocabulary ids that scores are over, one a column; None = the whole vocabulary."""
        return None if self.literal else self.inventory.ids

    @cached_property
    def recites(self) -> bool:
        """Whether a copy is the only legal action wherever it is legal: the text is no choice."""
        reciting = self.next_mode[:, self.copy] >= 0
        others = (self.next_mode >= 0) & reciting[:, None]
        copies = others[:, self.copy].copy()
        others[:, self.copy] = False
        more = self.guard[:, self.copy] & Guard.MORE != 0
        return bool(copies.any() and more[copies].all() and (self.guard[others] & Guard.LAST).all())

    @cached_property
    def elements(self) -> bool:
        """Whether elements are written, numbers of clusters that stand together."""
        return bool((self.role == ELEMENT).any())

    @cached_property
    def exact(self) -> bool:
        """Whether every output has exactly the steps of the shortest one."""
        return any(self.due) and not self.slack_cost[self.next_mode >= 0].any()

    def loss_weights(self, actions: Any) -> Any:
        """What the actions `[B, T]`, vocabulary ids, count in training: float32, of their library.

        Padding is not told from actions.
        """
        xp = actions.__array_namespace__()
        one, copy = (xp.asarray(weight, dtype=xp.float32) for weight in (1.0, self.copy_weight))
        weights = xp.where(actions == self.inventory.ids[self.copy], copy, one)
        if self.answer_length is None:
            return weights
        last = (xp.arange(actions.shape[1]) + 1) % self.answer_length == 0
        return weights * xp.asarray(last, dtype=xp.float32)[None, :]

    def does(self, mode: int, action: int) -> Effect:
        """What an action does in a mode: only numbers of mentions change the document."""
        return Effect(0) if self.role[mode] != MENTION else Effect(int(self.effect[action]))

    def __post_init__(self) -> None:
        modes, actions = self.next_mode.shape
        if actions != len(self.inventory.ids):
            raise ConfigError(f"{actions} columns for {len(self.inventory.ids)} actions")
        expected = {
            "effect": (actions,),
            "guard": (modes, actions),
            "slack_cost": (modes, actions),
            "given": (modes, actions),
            "at_least": (modes, self.max_clusters + 1),
            "role": (modes,),
        }
        for name, shape in expected.items():
            got = getattr(self, name).shape
            if got != shape:
                raise ConfigError(f"Rules.{name} has shape {got}; expected {shape}")
        if (self.given == NEW).any() and len(self.number_ids) != self.max_clusters:
            raise ConfigError(
                f"{len(self.number_ids)} number_ids for {self.max_clusters} clusters; expected one "
                "each, which the decoder reads where a new cluster begins"
            )
        if not 0 <= self.copy_weight <= 1 or (self.literal and self.copy_weight != 1):
            raise ConfigError(
                f"copies count {self.copy_weight} in training; expected 0 to 1, and 1 where pieces "
                "are written as themselves"
            )
        if not 0 <= self.first_relation <= actions - self.relations:
            raise ConfigError(
                f"{self.relations} relation types from action {self.first_relation} on; expected "
                f"them among the {actions} actions"
            )
        if self.twinned and not 1 <= self.max_depth <= 31:
            raise ConfigError(f"max_depth is {self.max_depth}; expected 1..31 (one bit a level)")
        if self.twinned and self.max_clusters < self.max_depth + 2:
            raise ConfigError(
                f"max_clusters is {self.max_clusters}; expected at least max_depth + 2 = "
                f"{self.max_depth + 2}, so that mentions of one span can always differ"
            )
        self._check_ways()
        if any(self.due):
            self._check_costs()
            self._check_free_ways()
        for name in ("next_mode", *expected):
            getattr(self, name).setflags(write=False)

    def _check_ways(self) -> None:
        """Every mode that can be reached has a row, and a way to the end."""
        modes = len(self.next_mode)
        if self.next_mode.max() >= modes:
            raise ConfigError(f"mode {self.next_mode.max()} has no row; expected one of {modes}")
        after = [set(row[row >= 0].tolist()) for row in self.next_mode]
        reached, queue = {TEXT}, deque([TEXT])
        while queue:
            for mode in after[queue.popleft()] - reached:
                reached.add(mode)
                queue.append(mode)
        ending = {m for m in reached if DONE in after[m]} | ({DONE} & reached)
        if self.effect[self.copy] & Effect.ADVANCE and not self.spread:
            # The copy of the last mark ends the output, where marks may be copied.
            copies = self.next_mode[:, self.copy] >= 0
            copies &= self.guard[:, self.copy] & Guard.MORE == 0
            ending |= {m for m in reached if copies[m]}
        while grown := {m for m in reached - ending if after[m] & ending}:
            ending |= grown
        if lost := sorted(reached - ending - {DONE}):
            kind = "no row" if not after[lost[0]] else "no way to the end"
            raise ConfigError(
                f"mode {lost[0]} has {kind}; expected an action that leads towards the end of the "
                "output from every mode that can be reached"
            )

    def _check_costs(self) -> None:
        """The costs are differences of one potential: the shortest way from each mode to the end.

        A step from mode m to n costs 1 - due + f(n) - f(m) + c for each mention that it opens
        (- c where it closes one), f(TEXT) = 0 and c the price of an open mention. The values
        f = a + b c follow from a walk over the table; entries met again must agree.
        """
        cells = [(int(m), int(a)) for m, a in np.argwhere(self.next_mode >= 0)]
        by_mode: dict[int, list[int]] = {}
        for m, a in cells:
            by_mode.setdefault(m, []).append(a)
        potential = {TEXT: (0, 0), DONE: (0, 0)}
        price: Fraction | None = None
        queue = deque([TEXT])
        claims = []
        while queue:
            m = queue.popleft()
            for a in by_mode.get(m, []):
                n = int(self.next_mode[m, a])
                claim = self._claim(potential[m], m, a)
                if n not in potential:
                    potential[n] = claim
                    queue.append(n)
                claims.append((m, a, n, claim))
        for m, a, n, claim in claims:
            (c0, c1), (p0, p1) = claim, potential[n]
            if c1 != p1 and price is None:
                price = Fraction(p0 - c0, c1 - p1)
            if excess := c0 - p0 if c1 == p1 else c0 - p0 + (c1 - p1) * (price or 0):
                got = self.slack_cost[m, a]
                raise ConfigError(
                    f"action {self.inventory.names[a]!r} in mode {m} has slack cost {got}; "
                    f"expected {got - excess}, what it adds to the shortest way to the end if the "
                    "costs of the other cells are right"
                )

    def _check_free_ways(self) -> None:
        """The shortest way costs nothing: text goes on, and opening a mention paid for its end.

        A number that may always be given closes a mention for nothing; the first of all numbers
        costs `first_pledge`, and no number costs more than `twin_pledge`.
        """
        onward = self.effect & (Effect.ADVANCE | Effect.PASSES) != 0
        for mode in sorted({TEXT, OPENED} & {TEXT, *self.next_mode.flat}):
            if not (onward & (self.next_mode[mode] >= 0) & (self.slack_cost[mode] == 0)).any():
                raise ConfigError(
                    f"mode {mode} has no slack cost of 0 for going on in the source; expected one, "
                    "as the shortest output does"
                )
        staying = ~onward & (self.effect & Effect.OPENS == 0)
        spent, closing = {TEXT: 0}, {}
        queue = deque([TEXT])
        while queue:
            mode = queue.popleft()
            for a in np.flatnonzero(staying & (self.next_mode[mode] >= 0)).tolist():
                to = int(self.next_mode[mode, a])
                total = spent[mode] + int(self.slack_cost[mode, a])
                if self.does(mode, a) & Effect.SHUTS:
                    given = max(0, int(self.given[mode, a]))  # NEW may be the first
                    closing[given] = min(total, closing.get(given, total))
                elif total < spent.get(to, total + 1):
                    spent[to] = total
                    queue.append(to)
        most = max(closing.values(), default=0)
        first = closing.get(0, most)
        got = min(first, closing.get(1, first)), first, most
        expected = 0, self.first_pledge, self.twin_pledge
        if got != expected:
            raise ConfigError(
                "closing a mention costs {}, for the first time {}, with a costly number {}; "
                "expected {}, first_pledge = {} and twin_pledge = {}".format(*got, *expected)
            )

    def _claim(self, start: tuple[int, int], m: int, a: int) -> tuple[int, int]:
        """The potential of the mode after action `a`, as its cost in mode `m` has it."""
        effect = self.does(m, a)
        due = self.due.piece if effect & Effect.ADVANCE else 0
        due = self.due.mark if effect & Effect.PASSES else due
        cost = int(self.slack_cost[m, a])
        if m == OPENED and effect & Effect.OPENS:
            cost -= self.twin_pledge
        levels = int(bool(effect & Effect.OPENS)) - int(bool(effect & Effect.SHUTS))
        return start[0] + cost - 1 + due, start[1] - levels

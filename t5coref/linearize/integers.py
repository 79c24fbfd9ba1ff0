"""Clusters as decimal numbers: `<m> ... | 7 </m>`, their table and how they are read.

Zhang, Wiseman, Stratos, "Seq2seq is All You Need for Coreference Resolution" (EMNLP 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from t5coref.core.errors import ConfigError
from t5coref.core.rules import NUMBER, OPENED, TEXT, Cell, Due, Effect, Guard, Rules
from t5coref.core.symbols import Inventory, NumberTrie
from t5coref.linearize.base import Answer, PieceEncoder, Turn
from t5coref.linearize.mentions import Mention
from t5coref.linearize.reading import Brackets, tokens

SEPARATOR = "|"

COPY, OPEN, SEPARATE, CLOSE, SPELL = range(5)
"""Actions that every table of integers begins with; the pieces of numbers follow from SPELL on."""

SHUTS = Effect.SHUTS | Effect.COUNTS | Effect.SPREADS
"""What the action does that gives a mention its number."""


class Integers:
    """How the tokenizer spells the tags and the numbers of clusters.

    Args:
      tokenizer: with `<m>`, `</m>` and `<copy>`.
      limit: how many numbers there are.
      types: the entity types by their tokens, one of which may stand behind a number.
    """

    def __init__(
        self,
        tokenizer: PieceEncoder,
        limit: int,
        types: Mapping[int, str | None] = MappingProxyType({}),
    ):
        self.open = tokenizer.symbol("<m>")
        self.close = tokenizer.symbol("</m>")
        (self.separator,) = tokenizer.encode(SEPARATOR)[-1:]
        self.spelling = [tuple(tokenizer.encode(str(k))) for k in range(limit)]
        self.trie = NumberTrie.build(self.spelling)
        self.number = {spelling: k for k, spelling in enumerate(self.spelling)}
        self._types = types
        self._piece = tokenizer.piece
        tags = {self.open, self.close, self.separator}
        if len(tags) < 3 or tags & set(self.trie.pieces):
            raise ConfigError(
                "the separator or a tag is also a piece of a number; the tokenizer must spell "
                f"{SEPARATOR!r} and the numbers with different pieces"
            )

    def closing(self, number: int) -> list[int]:
        """The tokens behind a mention of cluster `number`."""
        return [self.separator, *self.spelling[number], self.close]

    def inventory(self, copy_id: int, *marks: int) -> Inventory:
        """COPY, OPEN, SEPARATE, CLOSE, the pieces of numbers, then `marks`."""
        ids = (copy_id, self.open, self.separator, self.close, *self.trie.pieces, *marks)
        names = tuple("<piece>" if t < 0 else self._piece(t) for t in ids)
        return Inventory(ids, names)

    def effects(self, *marks: Effect, shuts: Effect = SHUTS) -> list[Effect]:
        """What the actions of `inventory` do under the strict constraint; `shuts`: the last tag."""
        spells = [Effect(0)] * len(self.trie.pieces)
        return [Effect.ADVANCE, Effect.OPENS, Effect.BEGINS, shuts, *spells, *marks]

    @property
    def twin_pledge(self) -> int:
        """See `Rules.twin_pledge`."""
        return self.trie.longest - self.trie.shortest

    @property
    def first_pledge(self) -> int:
        """See `Rules.first_pledge`."""
        return self.trie.first - self.trie.shortest

    @property
    def behind(self) -> int:
        """The first mode behind those of numbers."""
        return NUMBER + len(self.trie.child)

    def tag_cells(self, text: int, types: range = range(0)) -> Iterator[Cell]:
        """The strict cells of opening a mention and of its number.

        Args:
          text: steps that a mention's first piece adds to the shortest output: 0 where the whole
            source is written anyway.
          types: the actions that are entity types; if there are any, one stands behind the number,
            closes the mention, and leads to the mode `behind`, where the closing tag is due.
        """
        # An opening tag obliges to write itself, text, the separator, a number, a type where there
        # are some, the closing tag.
        price = 3 + self.trie.shortest + bool(types)
        room = Guard.MORE | Guard.ROOM
        yield Cell(TEXT, OPEN, OPENED, room, price + text)
        yield Cell(OPENED, OPEN, OPENED, room, price + self.twin_pledge)
        yield Cell(TEXT, SEPARATE, NUMBER, Guard.INSIDE)
        rest = self.trie.finish.copy()
        rest[0] = self.trie.shortest
        for node, column in np.argwhere(self.trie.child >= 0).tolist():
            child = int(self.trie.child[node, column])
            cost = 1 + int(rest[child]) - int(rest[node])
            yield Cell(NUMBER + node, SPELL + column, NUMBER + child, Guard.SPELLABLE, cost)
        for node in np.flatnonzero(self.trie.number >= 0).tolist():
            number = int(self.trie.number[node])
            for action in types:
                yield Cell(NUMBER + node, action, self.behind, Guard.FITS, given=number)
            if not types:
                yield Cell(NUMBER + node, CLOSE, TEXT, Guard.FITS, given=number)
        if types:
            yield Cell(self.behind, CLOSE, TEXT)

    @property
    def at_least(self) -> np.ndarray:
        """See `Rules.at_least`; modes before NUMBER spell nothing."""
        limit = self.trie.limit
        nothing = np.full((NUMBER, limit + 1), limit, np.int32)
        return np.concatenate([nothing, self.trie.at_least])

    def read(self, turn: Turn, answer: Answer, copy_id: int | None) -> Brackets:
        """The mentions of an output, in offsets of its own pieces.

        Args:
          turn: whose source says where the output ends.
          answer: the output.
          copy_id: the token of a copied piece; None = pieces are written as themselves.
        """
        end_id = int(turn.source[-1])
        read = Brackets()
        number: tuple[int, ...] | None = None
        type_: str | None = None
        typed = False
        ended = linked = 0.0
        for token, log_prob in tokens(answer):
            if token == self.open:
                read.open(log_prob)
                read.stray += number is not None
                number = None
            elif token == self.separator and (copy_id is not None or read.depth):
                read.stray += number is not None
                number, ended, linked, type_, typed = (), log_prob, 0.0, None, False
            elif token == self.close:
                cluster = self.number.get(number) if number is not None else None
                read.close(cluster, ended, linked + log_prob, type_)
                number = None
            elif number is not None and token in self._types:
                type_ = self._types[token]
                read.stray += typed
                typed = True
            elif number is not None and token not in (copy_id, end_id):
                number, linked = (*number, token), linked + log_prob
            elif copy_id is None or token in (copy_id, end_id):
                read.pieces.append(token)
                read.stray += number is not None
                number = None
                copied = copy_id is not None and len(read.pieces) == len(turn.source)
                if copied or token == end_id:
                    read.ended = True
                    break
            else:
                read.stray += 1
        return read


class Spots(NamedTuple):
    """What stands at the positions of a source, before the piece of each."""

    opening: list[int]
    closing: list[list[int]]


def spots(length: int, closings: list[tuple[Mention, int]]) -> Spots:
    """How many mentions open at each position, and the clusters of those that close there."""
    opening: list[int] = [0] * length
    closing: list[list[int]] = [[] for _ in range(length)]
    for mention, number in closings:
        opening[mention.start] += 1
        closing[mention.end].append(number)
    return Spots(opening, closing)


def strict_rules(
    integers: Integers,
    inventory: Inventory,
    effects: list[Effect],
    cells: list[Cell],
    *,
    max_depth: int,
    due: Due,
    marks: tuple[int, ...],
    **flags: Any,
) -> Rules:
    """The strict rules of a format with integers: `cells` are those that no tag needs."""
    text = 0 if due.piece else 1
    return Rules.compile(
        inventory,
        effects,
        [*integers.tag_cells(text), *cells],
        at_least=integers.at_least,
        copy=COPY,
        marks=marks,
        due=due,
        max_depth=max_depth,
        max_clusters=integers.trie.limit,
        first_pledge=integers.first_pledge,
        twin_pledge=integers.twin_pledge,
        **flags,
    )


def reference_rules(
    integers: Integers,
    inventory: Inventory,
    cells: list[Cell],
    *,
    effects: list[Effect],
    marks: tuple[int, ...],
    **flags: Any,
) -> Rules:
    """The rules of the published constraint with integers: numbers are any row of their pieces."""
    return Rules.compile(
        inventory,
        effects,
        cells,
        copy=COPY,
        marks=marks,
        due=Due(0, 0),
        max_depth=0,
        max_clusters=integers.trie.limit,
        twinned=False,
        aliased=True,
        **flags,
    )

"""Relations at the end of an output: `<rel> h t r`, repeated, as numbers of clusters and a type.

The triples ascend, so that none is written twice and a set of relations has one form; the strict
constraint admits no other (`core/triples.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, DocumentError
from t5coref.core.rules import HEAD, MENTION, TAIL, Cell, Guard
from t5coref.core.symbols import NumberTrie
from t5coref.core.triples import Triple
from t5coref.linearize.base import PieceEncoder
from t5coref.linearize.windowed import Windows

START = "<rel>"
UNTYPED = "<type>"
"""The entity type of a cluster that has none."""

SHOWN = 8  # names in a message


def relation_symbols(relations: Sequence[str]) -> tuple[str, ...]:
    """The added symbols of relation types, in their order."""
    return tuple(f"<rel:{name}>" for name in names("relations", relations))


def type_symbols(entity_types: Sequence[str]) -> tuple[str, ...]:
    """The added symbols of entity types: that of none, then those of the types, in their order."""
    return (UNTYPED, *(f"<type:{name}>" for name in names("entity_types", entity_types)))


def names(option: str, given: Sequence[str]) -> tuple[str, ...]:
    """The names of an option, checked.

    Raises:
      ConfigError: they are no list of different strings.
    """
    if isinstance(given, str) or not all(isinstance(n, str) and n for n in given):
        raise ConfigError(f"option {option} is {given!r}; expected a list of names")
    if len(set(given)) != len(given):
        repeated = sorted({n for n in given if list(given).count(n) > 1})
        raise ConfigError(f"option {option} has {_some(repeated)} more than once")
    return tuple(given)


def inventory(documents: Iterable[Document]) -> dict[str, tuple[str, ...]]:
    """The options `relations` and `entity_types` that annotated documents need, names sorted."""
    relations: set[str] = set()
    types: set[str] = set()
    for document in documents:
        if document.annotation is not None:
            relations |= {r.type for r in document.annotation.relations}
            types |= {t for t in document.annotation.types or () if t is not None}
    return {"relations": tuple(sorted(relations)), "entity_types": tuple(sorted(types))}


class EntityTypes:
    """The tokens of entity types.

    Args:
      tokenizer: with the symbols.
      given: the types; empty = a format writes none, unless it has to.
      always: the type of a cluster that has none is written in any case.
    """

    def __init__(self, tokenizer: PieceEncoder, given: Sequence[str], *, always: bool = False):
        symbols = type_symbols(given) if given or always else ()
        known = (None, *given)[: len(symbols)]
        self.named: dict[int, str | None] = dict(
            zip(map(tokenizer.symbol, symbols), known, strict=True)
        )
        self._token = {name: token for token, name in self.named.items()}

    def check(self, gold: Annotation, doc_id: str) -> None:
        """Refuses annotations with other types than the format's, if it has any.

        Raises:
          DocumentError: there is one.
        """
        if len(self.named) > 1:
            unknown = {t for t in gold.types or () if t not in self._token}
            if unknown:
                raise _unknown(doc_id, "entity type", unknown, "entity_types", len(self.named) - 1)

    def token(self, name: str | None) -> int:
        """The token of a type that `check` has let pass; None = the cluster has none."""
        return self._token.get(name, self._token[None])


class RelationTypes:
    """The tokens of relation types, and relations as triples of numbers."""

    def __init__(self, tokenizer: PieceEncoder, given: Sequence[str]):
        self.names = tuple(given)
        self.tokens = [tokenizer.symbol(s) for s in relation_symbols(given)]
        self.number = {token: i for i, token in enumerate(self.tokens)}
        self._index = {name: i for i, name in enumerate(self.names)}

    def triples(self, gold: Annotation, number: Mapping[int, int], doc_id: str) -> list[Triple]:
        """The relations between numbered clusters, ascending, each once.

        Args:
          gold: the annotation.
          number: of its clusters, as far as they have one.
          doc_id: for messages.

        Raises:
          DocumentError: the format does not know a relation's type.
        """
        if unknown := {r.type for r in gold.relations} - self._index.keys():
            raise _unknown(doc_id, "relation type", unknown, "relations", len(self.names))
        return sorted(
            {
                Triple(number[r.head], number[r.tail], self._index[r.type])
                for r in gold.relations
                if r.head in number and r.tail in number and number[r.head] != number[r.tail]
            }
        )


class Table(NamedTuple):
    """What a section adds to `Rules`: its cells, and of its modes, in order, the role, `at_least`.

    Numbers that remain may be spelt longer than the shortest: `pledge` steps at most are set aside
    for that while a relation is being written.
    """

    cells: list[Cell]
    role: np.ndarray
    at_least: np.ndarray
    pledge: int


class Section:
    """`<rel> h t r`, repeated.

    Args:
      tokenizer: with the symbols.
      types: of relations.
      spelling: the pieces of each cluster number.

    Raises:
      ConfigError: it cannot be told where a number ends.
    """

    def __init__(
        self, tokenizer: PieceEncoder, types: RelationTypes, spelling: Sequence[Sequence[int]]
    ):
        self.types = types
        self.start = tokenizer.symbol(START)
        self.spelling = [tuple(s) for s in spelling]
        self.number = {s: k for k, s in enumerate(self.spelling)}
        self.trie = trie = NumberTrie.build(self.spelling)
        # From its inner nodes numbers go on; where one ends there too, what follows must tell.
        self.inner = np.any(trie.child >= 0, axis=1)
        self.both = np.flatnonzero(self.inner & (trie.number >= 0))
        for node in self.both:
            if ((trie.child[node] >= 0) & (trie.child[0] >= 0)).any():
                raise ConfigError(
                    f"behind the number {trie.number[node]} a piece may begin another number or "
                    "continue this one; relations need a tokenizer that tells the first pieces of "
                    "numbers from the others (SentencePiece marks them with ▁)"
                )

    def write(self, triples: Iterable[Triple]) -> list[int]:
        """The tokens of some relations."""
        return [
            token
            for head, tail, kind in triples
            for token in (
                self.start,
                *self.spelling[head],
                *self.spelling[tail],
                self.types.tokens[kind],
            )
        ]

    def read(self, tokens: Iterable[int]) -> list[Triple]:
        """The relations that tokens say, each once; what is no relation is left out."""
        found: dict[Triple, None] = {}
        pair: tuple[int, ...] | None = None
        for token in tokens:
            if token == self.start:
                pair = ()
            elif pair is not None and token not in self.types.number:
                pair = (*pair, token)
            elif pair is not None:
                numbers = self._pair(pair)
                if numbers is not None and numbers[0] != numbers[1]:
                    found[Triple(*numbers, self.types.number[token])] = None
                pair = None
        return list(found)

    def audited(self, tokens: Iterable[int], end: int) -> tuple[list[tuple[int, int]], int]:
        """Heads and tails of all relations that tokens say, and how many tokens belong to none.

        Args:
          tokens: what stands behind the document.
          end: the token `</s>`.
        """
        found: list[tuple[int, int]] = []
        stray = 0
        open_: tuple[int, ...] | None = None
        for token in tokens:
            if token == end:
                break
            if token == self.start:
                stray += 0 if open_ is None else 1 + len(open_)
                open_ = ()
            elif open_ is None:
                stray += 1
            elif token not in self.types.number:
                open_ = (*open_, token)
            else:
                pair = self._pair(open_)
                if pair is None:
                    stray += 2 + len(open_)
                else:
                    found.append(pair)
                open_ = None
        return found, stray + (0 if open_ is None else 1 + len(open_))

    def _pair(self, pieces: tuple[int, ...]) -> tuple[int, int] | None:
        for cut in range(1, min(len(pieces), self.trie.longest + 1)):
            head, tail = (self.number.get(part) for part in (pieces[:cut], pieces[cut:]))
            if head is not None and tail is not None:
                return head, tail
        return None

    def table(
        self, action: Mapping[int, int], begin: Mapping[int, Guard], between: int, first: int
    ) -> Table:
        """The cells, and the modes from `first` on.

        A number of which no longer one goes on ends with its last piece; any other one ends with
        what follows it. Each step is paid for when a relation begins, as if its numbers were the
        longest; shorter ones give back what they do not need.

        Args:
          action: of each token.
          begin: the modes in which a relation may begin, and what must hold there besides.
          between: the mode behind a relation, one of `begin`.
          first: the first mode that is free.
        """
        trie = self.trie
        if not self.types.tokens:
            return Table([], np.zeros(0, np.int32), np.zeros((0, trie.limit + 1), np.int32), 0)
        free = itertools.count(first)
        chosen = next(free)  # the type is due
        heads = {n: next(free) for n in np.flatnonzero(self.inner).tolist()}
        tails = {n: next(free) for n in np.flatnonzero(self.inner).tolist()}
        # Numbers of one piece behind a head that has only ended with that piece.
        roots = [c for c in trie.child[0].tolist() if c >= 0]
        late = {c: next(free) for c in roots if len(self.both) and not self.inner[c]}
        rest = self._longest_rests()
        longest = rest[0]
        ahead = dict.fromkeys(begin, 0) | {between: 0, chosen: 1} | dict.fromkeys(late.values(), 1)
        ahead |= {mode: rest[n] + longest + 1 for n, mode in heads.items()}
        ahead |= {mode: rest[n] + 1 for n, mode in tails.items()}
        cells: list[Cell] = []

        def add(mode: int, token: int, to: int, guard: Guard, **given: int) -> None:
            cost = 1 + ahead[to] - ahead[mode]
            cells.append(Cell(mode, action[token], to, guard, cost, **given))

        for mode, guard in begin.items():
            add(mode, self.start, heads[0], guard | Guard.RELATES)
        for node, column in np.argwhere(trie.child >= 0).tolist():
            child, piece = int(trie.child[node, column]), trie.pieces[column]
            for modes, behind in ((heads, tails[0]), (tails, chosen)):
                if self.inner[child]:
                    add(modes[node], piece, modes[child], Guard.SPELLABLE)
                else:
                    given = int(trie.number[child])
                    add(modes[node], piece, behind, Guard.FITS, given=given)
        for node in self.both.tolist():
            given = int(trie.number[node])
            for column in np.flatnonzero(trie.child[0] >= 0).tolist():
                to = (tails | late)[int(trie.child[0, column])]
                piece = trie.pieces[column]
                add(heads[node], piece, to, Guard.FITS | Guard.SPELLABLE, given=given)
        ended = {tails[n]: trie.number[n] for n in self.both.tolist()}
        ended |= {mode: trie.number[c] for c, mode in late.items()}
        for token in self.types.tokens:
            add(chosen, token, between, Guard.FRESH)
            for mode, given in ended.items():
                add(mode, token, between, Guard.FITS | Guard.FRESH, given=int(given))

        nothing = np.full((1, trie.limit + 1), trie.limit, np.int32)
        nodes = [*heads, *tails, *late]
        role = [MENTION, *[HEAD] * len(heads), *[TAIL] * (len(tails) + len(late))]
        return Table(
            cells,
            np.asarray(role, np.int32),
            np.concatenate([nothing, trie.at_least[nodes]]),
            2 * (longest - min(map(len, self.spelling))),
        )

    def _longest_rests(self) -> list[int]:
        """Of each node of the trie, the most pieces that a number may go on with."""
        rest = [0] * len(self.trie.child)
        for node in range(len(rest) - 1, -1, -1):  # children come after their parents
            children = self.trie.child[node]
            rest[node] = max((1 + rest[c] for c in children[children >= 0]), default=0)
        return rest


class RelationFormat(Windows):
    """A format with the options `relations` and `entity_types`; one without them comes behind it.

    There is one constraint, the strict one: no checkpoints are published.

    Args:
      tokenizer: with the format's symbols.
      relations: the names of the relation types, in the order in which relations are written.
      entity_types: of clusters; empty = no types are written, except where `<type>` is a symbol of
        the format in any case: then that one.
      **options: those of `Windows`.

    Raises:
      ConfigError: see `Windows`; or names that are no list of different strings.
    """

    def __init__(
        self,
        tokenizer: PieceEncoder,
        *,
        relations: Sequence[str] = (),
        entity_types: Sequence[str] = (),
        **options: Any,
    ):
        given = {"relations": relations, "entity_types": entity_types}
        self.relations, self.entity_types = _options(given)
        always = UNTYPED in self.symbols
        self.symbols = self.symbols_with(given)
        self.kinds = EntityTypes(tokenizer, self.entity_types, always=always)
        super().__init__(tokenizer, **options)

    @classmethod
    def symbols_with(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """See `Windows.symbols_with`."""
        relations, types = _options(options)
        kinds = type_symbols(types) if types else ()
        return (
            *cls.symbols,
            *(s for s in kinds if s not in cls.symbols),
            *relation_symbols(relations),
        )


def _options(given: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The relation names and entity types among the options of a format."""
    return (
        names("relations", given.get("relations", ())),
        names("entity_types", given.get("entity_types", ())),
    )


def _unknown(doc_id: str, what: str, found: set, option: str, count: int) -> DocumentError:
    return DocumentError(
        f"document {doc_id!r}: {what} {_some(sorted(found))} is none of the {count} that the "
        f"format knows; name it in the option {option}, or drop it from the document"
    )


def _some(found: Sequence[str]) -> str:
    return ", ".join(map(repr, found[:SHOWN])) + (", ..." if len(found) > SHOWN else "")

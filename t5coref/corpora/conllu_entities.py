"""Entities of a CoNLL-U file: the attributes `Entity`, `SplitAnte` and `Bridge` of MISC.

What a bracket's fields mean is said by the header `# global.Entity`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from t5coref.core.document import Span
from t5coref.corpora.anaphora import AnaphoraBuilder, Named, NamedLink
from t5coref.corpora.brackets import OpenMentions
from t5coref.corpora.numbers import whole_number
from t5coref.corpora.report import Source

ENTITY, SPLIT, BRIDGE = "Entity", "SplitAnte", "Bridge"
COREFERENCE = frozenset({ENTITY, SPLIT, BRIDGE})
"""The attributes of MISC that are read here."""

NAMES, TYPES, HEAD = ("eid", "GRP"), ("etype", "entity"), "head"
"""Fields of a bracket: what the entity is called, its type, the head's number in the mention."""

_BRACKET = re.compile(r"\(([^()]+)(\)?)|([^()]+)\)")
_PART = re.compile(r"(.*)\[(\d{1,9})/(\d{1,9})\]")


@dataclass(frozen=True, slots=True)
class EntityFields:
    """What the fields of an opening bracket are, from the header `eid-etype-head-other`.

    Attributes:
      fields: all of them, by name.
      name: position of the entity's name, `eid` or `GRP`.
      head: position of the head's number among the mention's nodes (from 1), or None.
    """

    fields: tuple[str, ...] = ("eid", "other")
    name: int = 0
    head: int | None = None

    @classmethod
    def parse(cls, header: str, line: int, source: Source) -> EntityFields | None:
        """Reads the header.

        Raises:
          FormatError: it has no field for the entity's name, and reading is not lenient.
        """
        fields = tuple(header.split("-"))
        for name in NAMES:
            if name in fields:
                return cls(
                    fields, fields.index(name), fields.index(HEAD) if HEAD in fields else None
                )
        source.mistake(
            "skipped_lines",
            line,
            f"global.Entity is {header!r}; expected fields among them eid or GRP, such as "
            "eid-etype-head-other",
        )
        return None

    def values(self, bracket: str) -> list[str]:
        """The values of a bracket, as many as it has; hyphens in the last field are part of it."""
        values = bracket.split("-")
        last = len(self.fields) - 1
        if len(values) > last + 1 and self.name != last:
            values[last:] = ["-".join(values[last:])]
        return values[: last + 1]


@dataclass(frozen=True, slots=True)
class _Bracket:
    """What an opening bracket says, and how many there were before it."""

    values: Sequence[str]
    fields: EntityFields
    opened: int


@dataclass(slots=True)
class _Mention:
    """A mention of which some parts may still be missing; spans count nodes."""

    name: str
    bracket: _Bracket
    parts: list[Span]

    def named(self, line: int) -> Named:
        """All that its first bracket says."""
        out = Named(self.name, self.parts, line, self.bracket.opened)
        names = self.bracket.fields.fields
        for field, value in zip(names, self.bracket.values, strict=False):
            if field == HEAD:
                nodes = [n for first, last in self.parts for n in range(first, last)]
                if (place := whole_number(value)) is not None and 1 <= place <= len(nodes):
                    out.head = nodes[place - 1]
            elif field in TYPES:
                out.type = value or None
            elif field not in NAMES and value:
                out.attributes[field] = value
        return out


class EntityReader:
    """Reads the attributes of one document into its builder.

    Attributes:
      fields: what the header says, which may change within a file.
      seen: whether any bracket was there.
    """

    def __init__(self, source: Source, builder: AnaphoraBuilder) -> None:
        self.fields: EntityFields | None = None
        self.seen = False
        self._source = source
        self._builder = builder
        self._open = OpenMentions(source)
        self._opened = 0
        self._brackets: dict[str, list[_Bracket]] = defaultdict(list)
        self._incomplete: dict[tuple[str, int], list[_Mention]] = defaultdict(list)

    def read(self, misc: Mapping[str, str], node: int, number: int) -> None:
        """Takes what MISC of a node says."""
        if entity := misc.get(ENTITY):
            self.seen = True
            self._entity(entity, node, number)
        for attribute, links in ((SPLIT, self._builder.split), (BRIDGE, self._builder.bridging)):
            for item in filter(None, misc.get(attribute, "").split(",")):
                antecedent, _, rest = item.partition("<")
                anaphor, _, relation = rest.partition(":")
                if antecedent and anaphor:
                    links.append(
                        NamedLink(anaphor, antecedent, relation=relation or None, node=node)
                    )
                else:
                    self._source.mistake(
                        "dropped_relations",
                        number,
                        f"cannot read {item!r} in {attribute}={misc[attribute]}; expected entities "
                        "such as e3<e9",
                    )

    def finish(self, doc_id: str, number: int) -> None:
        """Checks at the end of a document that nothing is left open.

        Raises:
          FormatError: a mention or some of its parts are missing, and reading is not lenient.
        """
        self._open.finish()
        for (name, n), waiting in self._incomplete.items():
            for mention in waiting:
                self._source.mistake(
                    "dropped_mentions",
                    number,
                    f"document {doc_id!r}: a mention of entity {name!r} has "
                    f"{len(mention.parts)} of its {n} parts",
                )

    def _entity(self, cell: str, node: int, number: int) -> None:
        fields = self.fields or EntityFields()
        at = 0
        for match in _BRACKET.finditer(cell):
            self._between(cell, at, match.start(), number)
            at = match.end()
            bracket, closes, closing = match.groups()
            if bracket is not None:
                values = fields.values(bracket)
                name = self._name(fields, values, number)
                self._brackets[name].append(_Bracket(values, fields, self._opened))
                self._opened += 1
                self._open.open(name, node, number)
                closing = name if closes else None
            if closing is not None:
                self._close(closing, node + 1, number)
        self._between(cell, at, len(cell), number)

    def _between(self, cell: str, start: int, end: int, number: int) -> None:
        if start < end:
            self._source.mistake(
                "skipped_brackets",
                number,
                f"cannot read {cell[start:end]!r} in Entity={cell}; expected brackets such as "
                "(e3-person-1-, e3) and (e3-person-1-)",
            )

    def _name(self, fields: EntityFields, values: Sequence[str], number: int) -> str:
        if fields.name < len(values):
            return values[fields.name]
        self._source.mistake(
            "skipped_brackets",
            number,
            f"bracket ({'-'.join(values)} has no field {fields.name + 1}, which holds the entity's "
            "name by the header global.Entity",
        )
        return values[0]

    def _close(self, key: str, end: int, number: int) -> None:
        start = self._open.close(key, number)
        if start is None:
            return
        bracket = self._brackets[key].pop()
        part = _PART.fullmatch(key)
        if part is None:
            self._add(_Mention(key, bracket, [(start, end)]), number)
            return
        name, k, n = part[1], int(part[2]), int(part[3])
        waiting = self._incomplete[name, n]
        mention = next((m for m in reversed(waiting) if len(m.parts) == k - 1), None)
        if k == 1:
            mention = _Mention(name, bracket, [])
            waiting.append(mention)
        if mention is None:
            self._source.mistake(
                "skipped_brackets",
                number,
                f"part {k} of {n} of entity {name!r} has no part {k - 1}",
            )
            return
        mention.parts.append((start, end))
        if k == n:
            waiting.remove(mention)
            self._add(mention, number)

    def _add(self, mention: _Mention, number: int) -> None:
        self._builder.mentions.append(mention.named(number))

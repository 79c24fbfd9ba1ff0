"""Builds one document from the rows of a CoNLL-U file: words, text, speakers and entities."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from t5coref.core.document import Document, Span
from t5coref.core.errors import DocumentError
from t5coref.corpora.brackets import Clusters, OpenMentions
from t5coref.corpora.report import Source

_ID = re.compile(r"(\d+)(?:-(\d+)|\.(\d+))?")
_BRACKET = re.compile(r"\(([^()]+)(\)?)|([^()]+)\)")
_PART = re.compile(r"(.*)\[(\d+)/(\d+)\]")
_EMPTY = frozenset({"", "_"})


@dataclass(frozen=True, slots=True)
class EntityFields:
    """Where an opening bracket has what, from the header `# global.Entity = eid-etype-...`.

    Attributes:
      name: position of the entity's name, `eid` or `GRP`.
      head: position of the head's number among the mention's nodes (from 1), or None.
    """

    name: int = 0
    head: int | None = None

    @classmethod
    def parse(cls, header: str, line: int, source: Source) -> EntityFields | None:
        """Reads the header.

        Raises:
          FormatError: it has no field for the entity's name, and reading is not lenient.
        """
        fields = header.split("-")
        for name in ("eid", "GRP"):
            if name in fields:
                head = fields.index("head") if "head" in fields else None
                return cls(fields.index(name), head)
        source.mistake(
            "skipped_lines",
            line,
            f"global.Entity is {header!r}; expected fields among them eid or GRP, such as "
            "eid-etype-head-other",
        )
        return None


@dataclass(slots=True)
class _Mention:
    """A mention of which some parts may still be missing; spans count nodes."""

    name: str
    head: int | None
    parts: list[Span]


class DocumentBuilder:
    """One document on the way.

    Positions count nodes (words and empty nodes) while reading, since brackets may stand on empty
    nodes and heads are counted so; they become word offsets at the end.
    """

    def __init__(self, doc_id: str, source: Source, fields: EntityFields | None) -> None:
        self.doc_id = doc_id
        self.fields = fields
        self._source = source
        self._meta: dict[str, str] = {}
        self._words: list[str] = []
        self._pos: list[str] = []
        self._speakers: list[str | None] = []
        self._sentences: list[Span] = []
        self._words_before = [0]  # by node
        self._text = _Text()
        self._speaker: str | None = None
        self._seen_entity = False
        self._open = OpenMentions(source)
        self._heads: dict[str, list[int | None]] = defaultdict(list)
        self._incomplete: dict[tuple[str, int], list[_Mention]] = defaultdict(list)
        self._clusters = Clusters(source)
        self._finished: list[tuple[_Mention, int]] = []

    def comment(self, key: str, value: str) -> None:
        """Takes what a comment line says about the document or the sentence."""
        if key == "speaker":
            self._speaker = value or None
        elif key.startswith("meta::"):
            self._meta[key.removeprefix("meta::")] = value

    def row(self, line: str, number: int) -> None:
        """Adds a word, empty node or multiword token."""
        row = line.split("\t")
        node = _ID.fullmatch(row[0])
        if len(row) != 10 or node is None:
            self._source.mistake(
                "skipped_lines",
                number,
                f"expected an ID and 9 more tab-separated columns, found {len(row)} columns that "
                f"begin with {row[0][:20]!r}",
            )
            return
        misc: dict[str, str] = {}
        for item in row[9].split("|"):
            key, _, value = item.partition("=")
            misc[key] = value
        space = misc.get("SpaceAfter") != "No"
        if node[2] is not None:
            self._text.multiword(row[1], int(node[2]) - int(node[1]) + 1, space)
            return
        self._words_before.append(self._words_before[-1] + (node[3] is None))
        if node[3] is None:
            self._word(row, number, space)
        if entity := misc.get("Entity"):
            self._entity(entity, number)

    def _word(self, row: Sequence[str], number: int, space: bool) -> None:
        word = row[1]
        if not word:
            self._source.mistake(
                "replaced_words", number, "FORM is empty; write _ where there is none"
            )
            word = "_"
        self._words.append(word)
        self._pos.append(row[4] if row[4] not in _EMPTY else row[3] or "_")
        self._speakers.append(self._speaker)
        self._text.word(word, space)

    def _entity(self, cell: str, number: int) -> None:
        self._seen_entity = True
        node = len(self._words_before) - 2
        at = 0
        for match in _BRACKET.finditer(cell):
            self._between(cell, at, match.start(), number)
            at = match.end()
            fields, closes, closing = match.groups()
            if fields is not None:
                self._open_mention(fields.split("-"), node, number)
                closing = self._name(fields.split("-"), number) if closes else None
            if closing is not None:
                self._close_mention(closing, node + 1, number)
        self._between(cell, at, len(cell), number)

    def _between(self, cell: str, start: int, end: int, number: int) -> None:
        if start < end:
            self._source.mistake(
                "skipped_brackets",
                number,
                f"cannot read {cell[start:end]!r} in Entity={cell}; expected brackets such as "
                "(e3-person-1-, e3) and (e3-person-1-)",
            )

    def _name(self, fields: Sequence[str], number: int) -> str:
        position = (self.fields or EntityFields()).name
        if position < len(fields):
            return fields[position]
        self._source.mistake(
            "skipped_brackets",
            number,
            f"bracket ({'-'.join(fields)} has no field {position + 1}, which holds the entity's "
            "name by the header global.Entity",
        )
        return fields[0]

    def _open_mention(self, fields: Sequence[str], node: int, number: int) -> None:
        name = self._name(fields, number)
        head = (self.fields or EntityFields()).head
        text = fields[head] if head is not None and head < len(fields) else ""
        self._heads[name].append(int(text) if text.isdecimal() else None)
        self._open.open(name, node, number)

    def _close_mention(self, key: str, end: int, number: int) -> None:
        start = self._open.close(key, number)
        if start is None:
            return
        head = self._heads[key].pop()
        part = _PART.fullmatch(key)
        if part is None:
            self._finished.append((_Mention(key, head, [(start, end)]), number))
            return
        name, k, n = part[1], int(part[2]), int(part[3])
        waiting = self._incomplete[name, n]
        mention = next((m for m in reversed(waiting) if len(m.parts) == k - 1), None)
        if k == 1:
            mention = _Mention(name, head, [])
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
            self._finished.append((mention, number))

    def end_sentence(self) -> None:
        """Ends the sentence, if it has words; what comments said about it no longer holds."""
        self._speaker = None
        start = self._sentences[-1][1] if self._sentences else 0
        if len(self._words) > start:
            self._sentences.append((start, len(self._words)))
            self._text.end_sentence()

    def finish(self, number: int) -> Iterator[Document]:
        """The document, unless it is broken and reading lenient."""
        self.end_sentence()
        self._open.finish()
        for (name, n), waiting in self._incomplete.items():
            for mention in waiting:
                self._source.mistake(
                    "dropped_mentions",
                    number,
                    f"document {self.doc_id!r}: a mention of entity {name!r} has "
                    f"{len(mention.parts)} of its {n} parts",
                )
        for mention, line in self._finished:
            self._place(mention, line)
        annotated = self.fields is not None or self._seen_entity
        known_speakers = any(speaker is not None for speaker in self._speakers)
        known_pos = any(pos not in _EMPTY for pos in self._pos)
        text, offsets = self._text.result()
        try:
            document = Document(
                doc_id=self.doc_id,
                words=tuple(self._words),
                sentences=tuple(self._sentences),
                speakers=tuple(self._speakers) if known_speakers else None,
                pos=tuple(self._pos) if known_pos else None,
                text=text,
                word_offsets=offsets,
                annotation=self._clusters.annotation() if annotated else None,
                extra={"meta": self._meta} if self._meta else {},
            )
        except DocumentError as error:
            self._source.mistake("skipped_documents", number, str(error))
            return
        self._source.report.counts["documents"] += 1
        yield document

    def _place(self, mention: _Mention, line: int) -> None:
        runs: list[Span] = []
        for first, last in mention.parts:
            start, end = self._words_before[first], self._words_before[last]
            if start == end:
                continue
            if runs and runs[-1][1] >= start:
                runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
            else:
                runs.append((start, end))
        if not runs:
            self._source.note(
                "dropped_mentions", line, f"entity {mention.name!r}: mention without any word"
            )
            return
        if len(runs) > 1:
            self._source.note(
                "discontinuous_mentions",
                line,
                f"entity {mention.name!r}: one of {len(runs)} parts of a mention is kept",
            )
        self._clusters.add(mention.name, self._run_with_head(mention, runs), line)

    def _run_with_head(self, mention: _Mention, runs: Sequence[Span]) -> Span:
        nodes = [i for first, last in mention.parts for i in range(first, last)]
        if mention.head is not None and 1 <= mention.head <= len(nodes):
            node = nodes[mention.head - 1]
            word = self._words_before[node]
            if self._words_before[node + 1] > word:  # the head is a word, not an empty node
                return next(run for run in runs if run[0] <= word < run[1])
        return runs[0]


class _Text:
    """Rebuilds the raw text from forms and `SpaceAfter=No`.

    A multiword token gives its words offsets only if it is spelled as they are, one after the
    other (do + n't); a document with any other (du = de + le) gets no text.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._offsets: list[Span] = []
        self._blank = ""
        self._left = 0
        self._surface = ""
        self._spelled = ""
        self._space = True
        self._aligned = True

    def multiword(self, surface: str, words: int, space: bool) -> None:
        """A token of several words begins."""
        self._left, self._surface, self._spelled, self._space = words, surface, "", space

    def word(self, word: str, space: bool) -> None:
        """Adds a word."""
        if self._left:
            self._left -= 1
            self._spelled += word
            space = False
            if not self._left:
                space = self._space
                self._aligned &= self._spelled == self._surface
        self._pieces += (self._blank, word)
        start = self._length + len(self._blank)
        self._length = start + len(word)
        self._offsets.append((start, self._length))
        self._blank = " " if space else ""

    def end_sentence(self) -> None:
        """A multiword token cannot reach into the next sentence."""
        self._aligned &= not self._left
        self._left = 0

    def result(self) -> tuple[str | None, tuple[Span, ...] | None]:
        """The text and the words' offsets, or None twice."""
        if not self._aligned:
            return None, None
        return "".join(self._pieces), tuple(self._offsets)

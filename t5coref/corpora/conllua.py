"""CONLL-UA of Universal Anaphora, in which the CODI/CRAC shared tasks are.

An opening bracket of IDENTITY is `(EntityID=1|MarkableID=markable_7|Min=3,4|ElementOf=9`, a closing
one `)`, which ends the markable opened last, or `markable_7)`, which ends that one.
Entities whose name ends in `-Pseudo` do not refer and are no mentions; rows such as `5.1` (zeros)
are no words. An entity that others are elements of has them together as its antecedent. BRIDGING
has `(MarkableID=markable_9|Rel=part|MentionAnchor=markable_7|EntityAnchor=1`.

What a `Document` has no place for stays in its `extra` (`core/anaphora.py`) and is written again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from t5coref.core.document import ANAPHORA, Document, Span
from t5coref.core.errors import DocumentError
from t5coref.corpora.anaphora import AnaphoraBuilder, Named, NamedLink
from t5coref.corpora.conllua_writer import dump
from t5coref.corpora.files import PathLike, Target, display_name, lines, stem, write_all
from t5coref.corpora.numbers import whole_number
from t5coref.corpora.report import Report, Source

COLUMN, BRIDGING = "IDENTITY", "BRIDGING"
"""Names of columns in the header `# global.columns`; the first is what files are recognised by."""

COLUMNS = (
    *("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC"),
    *(COLUMN, BRIDGING, "DISCOURSE_DEIXIS", "REFERENCE", "NOM_SEM"),
)
"""The columns of a file without that header."""

KEPT = ("DISCOURSE_DEIXIS", "REFERENCE", "NOM_SEM")
"""Columns whose cells are kept as they are."""

_BRACKET = re.compile(r"\(([^()]*)(\)?)|([^()]*)\)")
_NON_REFERRING = "-Pseudo"
_OWN = frozenset({"EntityID", "MarkableID", "Min", "ElementOf"})


def read(
    path: PathLike,
    *,
    column: str = COLUMN,
    report: Report | None = None,
    lenient: bool = False,
) -> Iterator[Document]:
    """Reads documents one by one; a file without `# newdoc` is one document.

    Args:
      path: a file, or `-`.
      column: the column whose entities are read: IDENTITY, or DISCOURSE_DEIXIS.
      report: counts what is no document.
      lenient: skip and count mistakes of the file.

    Raises:
      FormatError: the file breaks the format, and reading is not lenient.
    """
    source = Source(display_name(path), lenient, Report() if report is None else report)
    columns: Sequence[str] = COLUMNS
    builder: _Builder | None = None
    unnamed = number = 0
    for number, line in lines(path):
        if line.startswith("#"):
            key, _, value = (part.strip() for part in line[1:].partition("="))
            if key in ("newdoc", "newdoc id"):
                if builder is not None:
                    yield from builder.finish(number)
                unnamed += not value
                builder = _Builder(value or f"{stem(path)}#{unnamed}", source, columns, column)
            elif key == "global.columns":
                columns = value.split()
                if builder is not None:
                    builder.columns = columns
            elif key in ("sent_id", "speaker"):
                builder = builder or _Builder(stem(path), source, columns, column)
                builder.comment(key, value)
        elif not line.strip():
            if builder is not None:
                builder.end_sentence()
        else:
            builder = builder or _Builder(stem(path), source, columns, column)
            builder.row(line.split("\t") if "\t" in line else line.split(), number)
    if builder is not None:
        yield from builder.finish(number)


def dumps(document: Document, *, report: Report | None = None) -> str:
    """A document as CONLL-UA text, with the header of columns.

    Raises:
      FormatError: the header cannot hold the doc_id.
      DocumentError: `extra` has anaphora in another form, or of other clusters.
    """
    return dump(document, COLUMNS, report)


def write(documents: Iterable[Document], target: Target, *, report: Report | None = None) -> None:
    """Writes documents to a path, `-` or an open text file.

    Raises:
      FormatError: the header cannot hold a doc_id.
      DocumentError: `extra` has anaphora in another form, or of other clusters.
    """
    write_all((dumps(document, report=report) for document in documents), target)


@dataclass(slots=True)
class _Open:
    """A part of a markable that has not ended."""

    name: str
    fields: dict[str, str]
    start: int
    line: int
    opened: int


@dataclass(slots=True)
class _Markables:
    """The markables of a document by name, and what they say of each other."""

    of_name: dict[str, Named] = field(default_factory=dict)
    elements: list[tuple[Named, str]] = field(default_factory=list)


class _Builder:
    """One document on the way; positions count nodes."""

    def __init__(self, doc_id: str, source: Source, columns: Sequence[str], column: str) -> None:
        self.columns = columns
        self._column = column
        self._doc_id = doc_id
        self._source = source
        self._words: list[str] = []
        self._speakers: list[str | None] = []
        self._speaker: str | None = None
        self._sentences: list[Span] = []
        self._nodes = self._opened = self._zeros = 0
        self._open: list[_Open] = []
        self._found = _Markables()
        self._bridging: list[tuple[dict[str, str], int]] = []
        self._anaphora = AnaphoraBuilder(source)

    def comment(self, key: str, value: str) -> None:
        """Takes the speaker of what follows; a sentence's name ends the one before."""
        if key == "speaker":
            self._speaker = value if value not in ("", "_") else None
        else:
            self.end_sentence()

    def row(self, row: list[str], number: int) -> None:
        """Adds the row of a word or zero."""
        at = self.columns.index(self._column) if self._column in self.columns else len(row)
        if len(row) <= max(at, 1) or not row[0].replace(".", "").isdigit():
            self._source.mistake(
                "skipped_lines",
                number,
                f"expected a word's number and its column {self._column} as number {at + 1} of "
                f"{len(self.columns)}, found {len(row)} columns that begin with {row[0][:20]!r}",
            )
            return
        cells = dict(zip(self.columns, row, strict=False))
        if "." in row[0]:
            start = self._sentences[-1][1] if self._sentences else 0
            self._zeros += 1
            self._anaphora.zero(
                len(self._sentences), len(self._words) - start, self._zeros, row[1:10]
            )
        else:
            self._zeros = 0
            self._words.append(row[1])
            self._speakers.append(self._speaker)
        self._identity(row[at], number)
        for fields, _ in self._brackets(cells.get(BRIDGING, "_"), number):
            if fields is not None:
                self._bridging.append((fields, number))
        for name in KEPT:
            if (cell := cells.get(name, "_")) not in ("", "_"):
                self._anaphora.columns.setdefault(name, {})[self._nodes] = cell
        self._nodes += 1

    def _brackets(
        self, cell: str, number: int
    ) -> Iterator[tuple[dict[str, str] | None, str | None]]:
        """The brackets of a cell: what an opening one says, what a closing one closes."""
        at = 0
        for match in _BRACKET.finditer(cell if cell != "_" else ""):
            at = match.end()
            markable, whole, closing = match.groups()
            fields = None
            if markable is not None:
                parts = (part.partition("=") for part in markable.split("|") if "=" in part)
                fields = {key: value for key, _, value in parts}
            yield fields, ("" if whole else closing)
        if cell[at:] not in ("", "_"):
            self._source.mistake(
                "skipped_brackets",
                number,
                f"cannot read {cell[at:]!r} in {cell!r}; expected brackets such as "
                "(EntityID=1|MarkableID=markable_7",
            )

    def _identity(self, cell: str, number: int) -> None:
        for fields, closes in self._brackets(cell, number):
            if fields is not None:
                if not fields.get("EntityID"):
                    self._source.mistake(
                        "skipped_brackets",
                        number,
                        f"({'|'.join(map('='.join, fields.items()))} has no EntityID; add it to "
                        "the bracket",
                    )
                name = fields.get("MarkableID") or f"line_{number}_{self._opened}"
                self._open.append(_Open(name, fields, self._nodes, number, self._opened))
                self._opened += 1
            if closes is not None:
                self._closes(closes, number)

    def _closes(self, name: str, number: int) -> None:
        places = [i for i, opened in enumerate(self._open) if name in ("", opened.name)]
        if not places:
            self._source.mistake(
                "skipped_brackets",
                number,
                f"{name or 'a markable'} closes but is not open; add its opening bracket, or read "
                "leniently to skip this one",
            )
            return
        opened = self._open.pop(places[-1])
        entity = opened.fields.get("EntityID")
        if not entity:
            return
        part = opened.start, self._nodes + 1
        if mention := self._found.of_name.get(opened.name):
            mention.parts = sorted([*mention.parts, part])
            return
        mention = Named(
            entity=entity,
            parts=[part],
            line=number,
            opened=opened.opened,
            minimum=self._minimum(opened, number),
            name=opened.fields.get("MarkableID"),
            referring=not entity.endswith(_NON_REFERRING),
            attributes={k: v for k, v in opened.fields.items() if k not in _OWN},
        )
        self._found.of_name[opened.name] = mention
        self._anaphora.mentions.append(mention)
        for together in filter(None, opened.fields.get("ElementOf", "").split(",")):
            self._found.elements.append((mention, together))

    def _minimum(self, opened: _Open, number: int) -> Span | None:
        """`3,4`, or `3`: the first and the last word of the document, from 1."""
        text = opened.fields.get("Min")
        if text is None:
            return None
        words = [whole_number(n) for n in text.split(",")]
        first, last = words[0], words[-1]
        if first is not None and last is not None and None not in words and 1 <= first <= last:
            return first - 1, last
        self._source.mistake(
            "skipped_brackets",
            number,
            f"{opened.name} has Min={text}; expected the numbers of its first and last word, such "
            "as Min=3,4",
        )
        return None

    def end_sentence(self) -> None:
        """Ends the sentence, if it has words."""
        start = self._sentences[-1][1] if self._sentences else 0
        if len(self._words) > start:
            self._sentences.append((start, len(self._words)))
        self._zeros = 0

    def finish(self, number: int) -> Iterator[Document]:
        """The document, unless it is broken and reading lenient."""
        self.end_sentence()
        for opened in self._open:
            self._source.mistake(
                "skipped_brackets",
                opened.line,
                f"{opened.name} opens here and never closes in its document; add its closing "
                "bracket, or read leniently to skip this one",
            )
        self._links()
        annotation, found = self._anaphora.finish(self._sentences)
        more = found.to_json()
        known = any(speaker is not None for speaker in self._speakers)
        try:
            document = Document(
                doc_id=self._doc_id,
                words=tuple(self._words),
                sentences=tuple(self._sentences),
                speakers=tuple(self._speakers) if known else None,
                annotation=annotation,
                extra={ANAPHORA: more} if more else {},
            )
        except DocumentError as error:
            self._source.mistake("skipped_documents", number, str(error))
            return
        self._source.report.counts["documents"] += 1
        yield document

    def _links(self) -> None:
        for mention, together in self._found.elements:
            self._anaphora.split.append(NamedLink(together, mention.entity, mention))
        if self._column != COLUMN:
            return
        seen: set[tuple[str | None, ...]] = set()
        for fields, line in self._bridging:
            link = tuple(map(fields.get, ("MarkableID", "MentionAnchor", "Rel")))
            if link in seen:  # once more at another part of the anaphor
                continue
            seen.add(link)
            anaphor = self._found.of_name.get(fields.get("MarkableID", ""))
            anchor = self._found.of_name.get(fields.get("MentionAnchor", ""))
            if anaphor is None or anchor is None:
                self._source.note(
                    "dropped_relations",
                    line,
                    f"bridging of {fields.get('MarkableID')!r} to {fields.get('MentionAnchor')!r}, "
                    "which are not both in the column IDENTITY",
                )
                continue
            self._anaphora.bridging.append(
                NamedLink(anaphor.entity, anchor.entity, anaphor, anchor, fields.get("Rel"))
            )

"""CONLL-UA of Universal Anaphora, in which the CODI/CRAC shared tasks are: the column IDENTITY.

An opening bracket there is `(EntityID=1|MarkableID=markable_7|Min=3`, a closing one `)`, which
ends the markable opened last, or `markable_7)`, which ends that one. Entities whose name ends in
`-Pseudo` do not refer and are no mentions; rows such as `5.1` (zeros) are no words. A markable of
several parts keeps its first one. Bridging, discourse deixis and split antecedents are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from t5coref.core.document import Document, Span
from t5coref.core.errors import DocumentError
from t5coref.corpora.brackets import Clusters
from t5coref.corpora.files import PathLike, display_name, lines, stem
from t5coref.corpora.report import Report, Source

COLUMN = "IDENTITY"
"""Name of the column in the header `# global.columns`, by which files are recognised."""

FORM, IDENTITY = 1, 10

_BRACKET = re.compile(r"\(([^()]*)(\)?)|([^()]*)\)")
_NON_REFERRING = "-Pseudo"


def read(
    path: PathLike, *, report: Report | None = None, lenient: bool = False
) -> Iterator[Document]:
    """Reads documents one by one; a file without `# newdoc` is one document.

    Raises:
      FormatError: the file breaks the format, and reading is not lenient.
    """
    source = Source(display_name(path), lenient, Report() if report is None else report)
    builder: _Builder | None = None
    unnamed = number = 0
    for number, line in lines(path):
        if line.startswith("#"):
            key, _, value = (part.strip() for part in line[1:].partition("="))
            if key in ("newdoc", "newdoc id"):
                if builder is not None:
                    yield from builder.finish(number)
                unnamed += not value
                builder = _Builder(value or f"{stem(path)}#{unnamed}", source)
            elif key in ("sent_id", "speaker"):
                builder = builder or _Builder(stem(path), source)
                builder.comment(key, value)
        elif not line.strip():
            if builder is not None:
                builder.end_sentence()
        else:
            builder = builder or _Builder(stem(path), source)
            builder.row(line.split(), number)
    if builder is not None:
        yield from builder.finish(number)


@dataclass(slots=True)
class _Open:
    """A markable that has not ended."""

    name: str
    entity: str
    start: int
    line: int


class _Builder:
    """One document on the way."""

    def __init__(self, doc_id: str, source: Source) -> None:
        self._doc_id = doc_id
        self._source = source
        self._words: list[str] = []
        self._speakers: list[str | None] = []
        self._speaker: str | None = None
        self._sentences: list[Span] = []
        self._open: list[_Open] = []
        self._seen: set[str] = set()
        self._clusters = Clusters(source)

    def comment(self, key: str, value: str) -> None:
        """Takes the speaker of what follows; a sentence's name ends the one before."""
        if key == "speaker":
            self._speaker = value if value not in ("", "_") else None
        else:
            self.end_sentence()

    def row(self, row: list[str], number: int) -> None:
        """Adds the row of a word."""
        if len(row) <= IDENTITY or not row[0].replace(".", "").isdigit():
            self._source.mistake(
                "skipped_lines",
                number,
                f"expected a word's number and at least {IDENTITY} more columns, found "
                f"{len(row)} columns that begin with {row[0][:20]!r}",
            )
            return
        if "." in row[0]:
            return
        self._words.append(row[FORM])
        self._speakers.append(self._speaker)
        cell, at = row[IDENTITY], 0
        for match in _BRACKET.finditer(cell if cell != "_" else ""):
            at = match.end()
            markable, whole, closing = match.groups()
            if markable is not None:
                self._opens(markable, number)
            if markable is None or whole:
                self._closes(closing or "", number)
        if cell[at:] not in ("", "_"):
            self._source.mistake(
                "skipped_brackets",
                number,
                f"cannot read {cell[at:]!r} in {cell!r}; expected brackets such as "
                "(EntityID=1|MarkableID=markable_7",
            )

    def _opens(self, text: str, number: int) -> None:
        fields = dict(part.split("=", 1) for part in text.split("|") if "=" in part)
        entity = fields.get("EntityID", "")
        if not entity:
            self._source.mistake(
                "skipped_brackets", number, f"({text} has no EntityID; add it to the bracket"
            )
        name = fields.get("MarkableID", f"line {number}")
        self._open.append(_Open(name, entity, len(self._words) - 1, number))

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
        if not opened.entity or opened.entity.endswith(_NON_REFERRING):
            return
        if opened.name in self._seen:
            self._source.note(
                "discontinuous_mentions", number, f"{opened.name} has several parts; the first one "
                "is kept"
            )  # fmt: skip
            return
        self._seen.add(opened.name)
        self._clusters.add(opened.entity, (opened.start, len(self._words)), number)

    def end_sentence(self) -> None:
        """Ends the sentence, if it has words."""
        start = self._sentences[-1][1] if self._sentences else 0
        if len(self._words) > start:
            self._sentences.append((start, len(self._words)))

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
        known = any(speaker is not None for speaker in self._speakers)
        try:
            document = Document(
                doc_id=self._doc_id,
                words=tuple(self._words),
                sentences=tuple(self._sentences),
                speakers=tuple(self._speakers) if known else None,
                annotation=self._clusters.annotation(),
            )
        except DocumentError as error:
            self._source.mistake("skipped_documents", number, str(error))
            return
        self._source.report.counts["documents"] += 1
        yield document

"""CoNLL-2012 (OntoNotes and its kin): one word a line, coreference brackets in the last column.

Parts are separate documents. The doc_id is the name in the header, followed by `#` and the part
number where the header has one: `#begin document (bc/cctv/00/cctv_0000); part 003` is
`bc/cctv/00/cctv_0000#3`. Writing turns that back into the same header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from t5coref.core.document import BLANK_LINES, Document, Span
from t5coref.core.errors import DocumentError
from t5coref.corpora.brackets import Clusters, OpenMentions, bracket_pairs, check_name
from t5coref.corpora.files import PathLike, Target, display_name, lines, one_cell, write_all
from t5coref.corpora.report import Report, Source

BEGIN = "#begin document"
END = "#end document"

_HEADER = re.compile(r"#begin document \((.*)\);(?:\s*part\s+(\d{1,9}))?\s*")
_PART = re.compile(r"(.+)#(0|[1-9]\d{0,8})")
_BLANKS = re.compile(r"[ \t]+")  # not \s: words may hold other Unicode blanks
_BRACKET = re.compile(r"\(([^()|]+)\)|\(([^()|]+)|([^()|]+)\)")
_NOTHING = frozenset({"-", "_", "", "*"})

WORD, POS, SPEAKER = 3, 4, 9


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a relative of CoNLL-2012 differs from it.

    Attributes:
      numbered_parts: whether part numbers go into the doc_id; else every part is part 0.
      part: format of the part number in the header.
      middle: what is written between the word and the brackets where nothing is known; the first
        column is the part of speech, the sixth the speaker.
      nothing: what stands in the last column of a word without brackets.
    """

    numbered_parts: bool = True
    part: str = "03d"
    middle: tuple[str, ...] = ("-", "*", "-", "-", "-", "-", "*")
    nothing: str = "-"


ONTONOTES = Dialect()


def read(
    path: PathLike, *, report: Report | None = None, lenient: bool = False
) -> Iterator[Document]:
    """Reads documents one by one.

    Raises:
      FormatError: the file breaks the format, and reading is not lenient.
    """
    return read_dialect(path, ONTONOTES, report=report, lenient=lenient)


def dumps(document: Document, *, report: Report | None = None) -> str:
    """A document as CoNLL-2012 text, with its header and end line.

    Raises:
      FormatError: the header cannot hold the doc_id.
    """
    return dumps_dialect(document, ONTONOTES, report=report)


def write(documents: Iterable[Document], target: Target, *, report: Report | None = None) -> None:
    """Writes documents to a path, `-` or an open text file.

    Raises:
      FormatError: the header cannot hold a doc_id.
    """
    write_all((dumps(document, report=report) for document in documents), target)


def read_dialect(
    path: PathLike, dialect: Dialect, *, report: Report | None, lenient: bool
) -> Iterator[Document]:
    """Reads documents of CoNLL-2012 or a relative of it, one by one.

    Raises:
      FormatError: the file breaks the format, and reading is not lenient.
    """
    source = Source(display_name(path), lenient, Report() if report is None else report)
    builder: _Builder | None = None
    ended: int | None = None  # the line at which the document ended
    number = 0
    for number, line in lines(path):
        if line.startswith(BEGIN):
            if builder is not None and ended is not None:
                yield from builder.finish(ended)
            elif builder is not None:
                yield from _unfinished(builder, source, number, "the next one begins here")
            builder = _Builder(_doc_id(line, number, dialect, source), source)
            ended = None
        elif line.startswith(END):
            if builder is None or ended is not None:
                source.mistake("skipped_lines", number, f"{END} without a document; delete it")
            else:
                ended = number
        elif not line.strip(" \t"):
            if builder is not None:
                builder.end_sentence()
        elif line.startswith("#"):
            continue  # a comment
        elif builder is not None and ended is None:
            builder.add(line, number)
        else:
            source.mistake(
                "skipped_lines", number, f"expected {BEGIN} (NAME); part NNN, found {line[:40]!r}"
            )
    if builder is not None and ended is not None:
        yield from builder.finish(ended)
    elif builder is not None:
        yield from _unfinished(builder, source, number, "the file ends here")


def _unfinished(builder: _Builder, source: Source, number: int, why: str) -> Iterator[Document]:
    source.mistake(
        "unfinished_documents",
        number,
        f"document {builder.doc_id!r} has no {END} line before {why}; add it, or read leniently "
        "if the file is not cut off",
    )
    yield from builder.finish(number)


def _doc_id(line: str, number: int, dialect: Dialect, source: Source) -> str:
    match = _HEADER.fullmatch(line)
    if match is None:
        source.mistake(
            "skipped_lines", number, f"expected {BEGIN} (NAME); part NNN, found {line[:60]!r}"
        )
        return line.removeprefix(BEGIN).strip() or f"line {number}"
    name, part = match[1] or f"line {number}", match[2]
    if part is None or (not dialect.numbered_parts and int(part) == 0):
        return name
    return f"{name}#{int(part)}"


class _Builder:
    """One document on the way."""

    def __init__(self, doc_id: str, source: Source) -> None:
        self.doc_id = doc_id
        self._source = source
        self._words: list[str] = []
        self._pos: list[str] = []
        self._speakers: list[str | None] = []
        self._sentences: list[Span] = []
        self._blank_lines: list[int] = []
        self._mentions = OpenMentions(source)
        self._clusters = Clusters(source)

    def add(self, line: str, number: int) -> None:
        """Adds the row of one word."""
        line = line.rstrip(" \t")  # LitBank's empty last column; blanks that align OntoNotes
        row = line.split("\t") if "\t" in line else _BLANKS.split(line.lstrip(" "))
        if len(row) < 2:
            self._source.mistake(
                "skipped_lines", number, f"expected columns of one word, found {line[:60]!r}"
            )
            return
        word = row[WORD] if len(row) > POS else "_"
        if not word:
            self._source.mistake(
                "replaced_words", number, "the word's column is empty; write _ where there is none"
            )
            word = "_"
        speaker = row[SPEAKER].strip() if len(row) > SPEAKER + 1 else ""
        self._words.append(word)
        self._pos.append(row[POS] if len(row) > POS + 1 else "-")
        self._speakers.append(None if speaker in _NOTHING else speaker)
        if (cell := row[-1].strip()) not in _NOTHING:
            self._brackets(cell, number)

    def _brackets(self, cell: str, number: int) -> None:
        here = len(self._words) - 1
        at = 0
        for match in _BRACKET.finditer(cell):
            self._between(cell, at, match.start(), number)
            at = match.end()
            whole, opening, closing = match.groups()
            if whole is not None:
                self._clusters.add(whole, (here, here + 1), number)
            elif opening is not None:
                self._mentions.open(opening, here, number)
            elif (start := self._mentions.close(closing, number)) is not None:
                self._clusters.add(closing, (start, here + 1), number)
        self._between(cell, at, len(cell), number)

    def _between(self, cell: str, start: int, end: int, number: int) -> None:
        if cell[start:end].strip("|"):
            self._source.mistake(
                "skipped_brackets",
                number,
                f"cannot read {cell[start:end]!r} in the coreference column {cell!r}; expected "
                "brackets such as (3, 3) and (3)",
            )

    def end_sentence(self) -> None:
        """A blank line: ends the sentence, if it has words."""
        if not self._end_sentence():
            self._blank_lines.append(len(self._words))

    def _end_sentence(self) -> bool:
        start = self._sentences[-1][1] if self._sentences else 0
        if len(self._words) > start:
            self._sentences.append((start, len(self._words)))
        return len(self._words) > start

    def finish(self, number: int) -> Iterator[Document]:
        """The document, unless it is broken and reading lenient."""
        self._end_sentence()
        self._mentions.finish()
        known_pos = any(pos not in _NOTHING for pos in self._pos)
        known_speakers = any(speaker is not None for speaker in self._speakers)
        try:
            document = Document(
                doc_id=self.doc_id,
                words=tuple(self._words),
                sentences=tuple(self._sentences),
                speakers=tuple(self._speakers) if known_speakers else None,
                pos=tuple(self._pos) if known_pos else None,
                annotation=self._clusters.annotation(),
                extra={BLANK_LINES: self._blank_lines} if self._blank_lines else {},
            )
        except DocumentError as error:
            self._source.mistake("skipped_documents", number, str(error))
            return
        self._source.report.counts["documents"] += 1
        yield document


def dumps_dialect(document: Document, dialect: Dialect, *, report: Report | None) -> str:
    """A document as text of CoNLL-2012 or a relative of it.

    Raises:
      FormatError: the header cannot hold the doc_id.
    """
    name, part = check_name(document), None
    if match := _PART.fullmatch(name):
        name, part = match[1], int(match[2])
    elif not dialect.numbered_parts:
        part = 0
    header = f"{BEGIN} ({name});" + ("" if part is None else f" part {part:{dialect.part}}")
    name_cell = re.sub(r"^#|[ \t]", "_", name)  # a row must not look like a comment
    brackets = zip(*bracket_pairs(document, report), strict=True)
    out = [header]
    for start, end in document.sentences:
        for i in range(start, end):
            row = [name_cell, str(part or 0), str(i - start), document.words[i], *dialect.middle]
            if document.pos is not None:
                row[POS] = document.pos[i] or row[POS]
            if document.speakers is not None:
                row[SPEAKER] = document.speakers[i] or row[SPEAKER]
            closing, whole, opening = next(brackets)
            cell = [f"({c}" for c in opening] + [f"({c})" for c in whole]
            row.append("|".join(cell + [f"{c})" for c in closing]) or dialect.nothing)
            out.append("\t".join(map(one_cell, row)))
        out.append("")
    out.append(END)
    return "\n".join(out) + "\n"

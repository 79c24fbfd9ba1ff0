"""CoNLL-U with `Entity=` in the last column: CorefUD, GUM, OntoGUM, or no coreference at all.

Words are the syntactic words (whole-number IDs). Empty nodes such as `5.1` are not words: a
mention keeps the words that it has besides them. What a bracket's fields mean is said by the
`# global.Entity` header; the entity's name is its field `eid` or `GRP`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from t5coref.core.document import Document
from t5coref.corpora.brackets import bracket_pairs, check_name
from t5coref.corpora.conllu_document import DocumentBuilder, EntityFields
from t5coref.corpora.files import (
    PathLike,
    Target,
    display_name,
    lines,
    one_cell,
    stem,
    write_all,
)
from t5coref.corpora.report import Report, Source

HEADER = "eid-etype-head-other"
"""The fields that we write; etype and other stay empty, and the head is always 1: not known."""


def read(
    path: PathLike, *, report: Report | None = None, lenient: bool = False
) -> Iterator[Document]:
    """Reads documents one by one; a file without `# newdoc` is one document.

    Raises:
      FormatError: the file breaks the format, and reading is not lenient.
    """
    source = Source(display_name(path), lenient, Report() if report is None else report)
    fields: EntityFields | None = None
    builder: DocumentBuilder | None = None
    unnamed = 0
    number = 0
    for number, line in lines(path):
        if line.startswith("#"):
            key, _, value = (part.strip() for part in line[1:].partition("="))
            if key in ("newdoc", "newdoc id"):
                if builder is not None:
                    yield from builder.finish(number)
                unnamed += not value
                builder = DocumentBuilder(value or f"{stem(path)}#{unnamed}", source, fields)
            elif key == "global.Entity":
                fields = EntityFields.parse(value, number, source) or fields
                if builder is not None:
                    builder.fields = fields
            elif builder is not None or key == "speaker" or key.startswith("meta::"):
                builder = builder or DocumentBuilder(stem(path), source, fields)
                builder.comment(key, value)
        elif not line.strip():
            if builder is not None:
                builder.end_sentence()
        else:
            builder = builder or DocumentBuilder(stem(path), source, fields)
            builder.row(line, number)
    if builder is not None:
        yield from builder.finish(number)


def dumps(document: Document, *, report: Report | None = None) -> str:
    """A document as CoNLL-U text under CorefUD's header.

    Raises:
      FormatError: the header cannot hold the doc_id.
    """
    name = check_name(document)
    out = [f"# newdoc id = {name}"]
    if document.annotation is not None:
        out.append(f"# global.Entity = {HEADER}")
    if not document.sentences:
        out.append("")
    misc = _misc(document, report)
    for number, (start, end) in enumerate(document.sentences, start=1):
        out.append(f"# sent_id = {name}-{number}")
        speakers = set(document.speakers[start:end]) if document.speakers is not None else {None}
        speaker = speakers.pop()
        if speakers:
            if report is not None:
                report.add(
                    "lost_speakers",
                    f"document {name!r}: sentence {number - 1} has several speakers; CoNLL-U "
                    "holds one a sentence",
                )
        elif speaker is not None:
            out.append(f"# speaker = {one_cell(speaker)}")
        out.append(f"# text = {one_cell(document.span_text((start, end)))}")
        for i in range(start, end):
            tag = (document.pos[i] if document.pos is not None else "") or "_"
            row = [str(i - start + 1), document.words[i], "_", "_", tag, "_", "0", "_", "_"]
            out.append("\t".join(map(one_cell, [*row, misc[i]])))
        out.append("")
    return "\n".join(out) + "\n"


def write(documents: Iterable[Document], target: Target, *, report: Report | None = None) -> None:
    """Writes documents to a path, `-` or an open text file.

    Raises:
      FormatError: the header cannot hold a doc_id.
    """
    write_all((dumps(document, report=report) for document in documents), target)


def _misc(document: Document, report: Report | None) -> list[str]:
    out = []
    offsets = document.word_offsets
    for i, (closing, whole, opening) in enumerate(
        zip(*bracket_pairs(document, report), strict=True)
    ):
        # An opening bracket runs up to the next parenthesis: nothing but one may follow it.
        entity = [f"e{c})" for c in closing] + [f"(e{c}--1-)" for c in whole]
        entity += [f"(e{c}--1-" for c in opening]
        misc = [f"Entity={''.join(entity)}"] if entity else []
        if offsets is not None and i + 1 < len(offsets) and offsets[i][1] == offsets[i + 1][0]:
            misc.append("SpaceAfter=No")
        out.append("|".join(misc) or "_")
    return out

"""CoNLL-U with `Entity=` in the last column: CorefUD, GUM, OntoGUM, or no coreference at all.

Words are the syntactic words (whole-number IDs). Empty nodes such as `5.1` are not words: the
clusters of a document have the words of a mention besides them. All that brackets, `SplitAnte` and
`Bridge` say stays in `Document.extra` (`core/anaphora.py`) and is written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from t5coref.core.anaphora import MISC, TREE, Anaphora, Nodes, anaphora
from t5coref.core.document import Document
from t5coref.corpora.brackets import check_name
from t5coref.corpora.conllu_document import DocumentBuilder
from t5coref.corpora.conllu_entities import EntityFields
from t5coref.corpora.conllu_writer import coreference, fields_of
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
                if builder is not None and fields is not None:
                    builder.header(fields)
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
    """A document as CoNLL-U text, under the header that it was read with or else CorefUD's.

    Raises:
      FormatError: the header cannot hold the doc_id.
      DocumentError: `extra` has anaphora or a tree in another form, or of other clusters.
    """
    name = check_name(document)
    found = anaphora(document)
    out = [f"# newdoc id = {name}"]
    if document.annotation is not None:
        out.append(f"# global.Entity = {'-'.join(fields_of(found))}")
    meta = document.extra.get("meta", {})
    out += [f"# meta::{one_cell(key)} = {one_cell(value)}" for key, value in meta.items()]
    if not document.sentences:
        out.append("")
    rows = iter(_rows(document, found, report))
    zeros = iter(found.zeros)
    zero = next(zeros, None)
    for number, (start, end) in enumerate(document.sentences):
        out += _comments(document, number, name, report)
        for after in range(end - start + 1):
            if after:
                out.append("\t".join(map(one_cell, [str(after), *next(rows)])))
            while zero is not None and (zero.sentence, zero.after) == (number, after):
                out.append("\t".join(map(one_cell, [f"{after}.{zero.number}", *next(rows)])))
                zero = next(zeros, None)
        out.append("")
    return "\n".join(out) + "\n"


def write(documents: Iterable[Document], target: Target, *, report: Report | None = None) -> None:
    """Writes documents to a path, `-` or an open text file.

    Raises:
      FormatError: the header cannot hold a doc_id.
      DocumentError: `extra` has anaphora or a tree in another form, or of other clusters.
    """
    write_all((dumps(document, report=report) for document in documents), target)


def _comments(document: Document, number: int, name: str, report: Report | None) -> Iterator[str]:
    """What stands above a sentence."""
    start, end = document.sentences[number]
    yield f"# sent_id = {name}-{number + 1}"
    speakers = set(document.speakers[start:end]) if document.speakers is not None else {None}
    speaker = speakers.pop()
    if speakers:
        if report is not None:
            report.add(
                "lost_speakers",
                f"document {name!r}: sentence {number} has several speakers; CoNLL-U holds one a "
                "sentence",
            )
    elif speaker is not None:
        yield f"# speaker = {one_cell(speaker)}"
    yield f"# text = {one_cell(document.span_text((start, end)))}"


def _rows(document: Document, found: Anaphora, report: Report | None) -> Iterator[list[str]]:
    """The cells of every node from FORM to MISC."""
    nodes = Nodes(document.sentences, found.zeros)
    tree = document.extra.get(TREE, {})
    heads, relations = tree.get("heads"), tree.get("relations")
    offsets = document.word_offsets
    zeros = iter(found.zeros)
    for node, misc in enumerate(coreference(document, found, nodes, report)):
        if not nodes.is_word(node):
            cells = list(next(zeros).cells)
            cells[MISC] = "|".join(sorted([*misc, *(c for c in [cells[MISC]] if c != "_")])) or "_"
            yield cells
            continue
        word = nodes.words((node, node + 1))[0]
        if offsets is not None and word + 1 < len(offsets):
            misc += ["SpaceAfter=No"] if offsets[word][1] == offsets[word + 1][0] else []
        tag = (document.pos[word] if document.pos is not None else "") or "_"
        head = "0" if heads is None else str(heads[word])
        relation = "_" if relations is None else relations[word]
        yield [document.words[word], "_", "_", tag, "_", head, relation, "_",
               "|".join(sorted(misc)) or "_"]  # fmt: skip

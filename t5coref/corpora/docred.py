"""DocRED and Re-DocRED: a JSON list of documents with `title`, `sents`, `vertexSet` and `labels`.

Yao et al. 2019, "DocRED: a large-scale document-level relation extraction dataset"; Tan et al.
2022, "Revisiting DocRED". Positions of mentions count the words of their sentence. Words that are
a blank are real words of DocRED and stay, so that all offsets keep their meaning.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any, TypeGuard, TypeVar

from t5coref.core.document import Annotation, Document
from t5coref.core.entities import Catalogue, entities, relations_known
from t5coref.core.errors import DocumentError
from t5coref.corpora.entities import Mention, Record
from t5coref.corpora.files import PathLike, Target, display_name, write_all
from t5coref.corpora.json_objects import objects
from t5coref.corpora.jsonl import dump_line
from t5coref.corpora.report import Report, Source

KEYS = ("title", "sents", "vertexSet", "labels")

T = TypeVar("T")

UNMATCHED = 10**6
"""Numbers of clusters in a submission that are no entity of the document begin here."""


def read(
    path: PathLike,
    *,
    relations: Collection[str] | None = None,
    report: Report | None = None,
    lenient: bool = False,
) -> Iterator[Document]:
    """Reads documents one by one; a document's title is its doc_id.

    Args:
      path: a file with a list of documents, or with one a line.
      relations: the relation types that are expected; another is a mistake. None = any.
      report: counts what is left out.
      lenient: leave out and count mistakes instead of raising.

    Raises:
      FormatError: the file is not JSON, or a document breaks the format.
    """
    source = Source(display_name(path), lenient, Report() if report is None else report)
    for line, value in objects(path, source):
        try:
            document = _document(value, line, source, relations)
        except DocumentError as error:
            source.mistake("skipped_documents", line, str(error))
            continue
        source.report.counts["documents"] += 1
        yield document


def _document(
    value: Mapping[str, Any], line: int, source: Source, inventory: Collection[str] | None
) -> Document:
    title = value.get("title")
    if not isinstance(title, str) or not title:
        raise DocumentError('"title" is missing or no string; a DocRED document has one')
    sentences = value.get("sents")
    if not _is_list(sentences, list) or not all(_is_list(s, str) for s in sentences):
        raise DocumentError(f'document {title!r}: "sents" is no list of lists of words')
    for sentence in sentences:
        for _ in range(sentence.count("")):
            source.mistake(
                "replaced_words", line, f"document {title!r}: a word is empty; write a blank"
            )
    ends = [0, *accumulate(map(len, sentences))]
    annotation, extra = None, {}
    if (vertices := value.get("vertexSet")) is not None:
        if not _is_list(vertices, list) or not all(_is_list(v, dict) for v in vertices):
            raise DocumentError(f'document {title!r}: "vertexSet" is no list of lists of mentions')
        record = Record(
            doc_id=title,
            line=line,
            entities=[_mentions(title, v, sentences, ends, line, source) for v in vertices],
            types=[_type(vertex) for vertex in vertices],
            relations=_labels(title, value.get("labels")),
            inventory=inventory,
        )
        annotation, extra = record.annotate(source)
    return Document(
        doc_id=title,
        words=tuple(word or " " for sentence in sentences for word in sentence),
        sentences=tuple((a, b) for a, b in pairwise(ends) if a < b),
        annotation=annotation,
        extra={**{k: v for k, v in value.items() if k not in KEYS}, **extra},
    )


def _mentions(
    title: str,
    vertex: list[dict[str, Any]],
    sentences: list[list[str]],
    ends: list[int],
    line: int,
    source: Source,
) -> list[Mention]:
    found = []
    for mention in vertex:
        sentence, position = mention.get("sent_id"), mention.get("pos")
        if not (type(sentence) is int and _is_list(position, int) and len(position) == 2):
            raise DocumentError(
                f'document {title!r}: mention {json.dumps(mention)[:80]}; expected "sent_id" and '
                '"pos": [start, end)'
            )
        start, end = position
        if not (0 <= sentence < len(sentences) and 0 <= start < end <= len(sentences[sentence])):
            source.mistake(
                "dropped_mentions",
                line,
                f"document {title!r}: mention [{start}, {end}) of sentence {sentence}; expected a "
                f"non-empty span within one of the {len(sentences)} sentences",
            )
            continue
        name = mention.get("name")
        text = " ".join(sentences[sentence][start:end])
        span = ends[sentence] + start, ends[sentence] + end
        found.append(Mention(span, name if isinstance(name, str) else text))
    return found


def _type(vertex: list[dict[str, Any]]) -> str | None:
    """The type of most mentions, the first of them if there are several."""
    types = Counter(m["type"] for m in vertex if isinstance(m.get("type"), str))
    return types.most_common(1)[0][0] if types else None


def _labels(title: str, labels: Any) -> list[tuple[int, int, str]] | None:
    if labels is None:
        return None
    if not _is_list(labels, dict):
        raise DocumentError(f'document {title!r}: "labels" is no list of relations')
    out = []
    for label in labels:
        head, tail, type_ = label.get("h"), label.get("t"), label.get("r")
        if not (type(head) is int and type(tail) is int and isinstance(type_, str)):
            raise DocumentError(
                f'document {title!r}: relation {json.dumps(label)[:80]}; expected {{"h": entity, '
                '"t": entity, "r": type}'
            )
        out.append((head, tail, type_))
    return out


def _is_list(value: Any, of: type[T]) -> TypeGuard[list[T]]:
    # type(), since bool is an int
    return isinstance(value, list) and all(type(item) is of for item in value)


def dumps(document: Document, *, report: Report | None = None) -> str:
    """A document as one line of JSON, with its line end; no mention may leave its sentence.

    Entities are numbered as the clusters are. Those without a mention that can be written go, and
    their relations with them.
    """
    sentence_of = [s for s, (a, b) in enumerate(document.sentences) for _ in range(a, b)]
    named = {span: name for e in entities(document) for span, name in zip(*e, strict=True)}
    annotation = document.annotation
    number: dict[int, int] = {}
    vertices = []
    for c, cluster in enumerate(annotation.clusters if annotation is not None else ()):
        type_ = annotation.types[c] if annotation is not None and annotation.types else None
        vertex = []
        for start, end in cluster:
            s = sentence_of[start]
            if sentence_of[end - 1] != s:
                _dropped(report, document, "dropped_mentions", f"mention [{start}, {end}) reaches "
                         "over a sentence end; DocRED cannot hold it")  # fmt: skip
                continue
            offset = document.sentences[s][0]
            mention = {
                "name": named.get((start, end)) or document.span_text((start, end)),
                "sent_id": s,
                "pos": [start - offset, end - offset],
            }
            vertex.append(mention if type_ is None else {**mention, "type": type_})
        if vertex:
            number[c] = len(vertices)
            vertices.append(vertex)
    labels = []
    for r in annotation.relations if annotation is not None else ():
        if r.head in number and r.tail in number:
            labels.append({"h": number[r.head], "t": number[r.tail], "r": r.type, "evidence": []})
        else:
            _dropped(report, document, "dropped_relations", f"{r}: one of them has no mention left")
    value: dict[str, Any] = {
        "title": document.doc_id,
        "sents": [document.words[a:b] for a, b in document.sentences],
    }
    if annotation is not None:
        value["vertexSet"] = vertices
        if relations_known(document):
            value["labels"] = labels
    return dump_line(value)


def submission(gold: Document, predicted: Annotation) -> list[dict[str, Any]]:
    """The rows of a document in a Codalab submission: predicted relations, each once.

    A cluster with the mentions of an entity of the gold document has its number, any other one
    has a number of its own: the official script merges rows with equal numbers, so that wrong
    relations of clusters under one number would count once (Xu and Choi 2022, appendix A.5).
    """
    catalogue = Catalogue(gold)
    numbers = []
    for c, cluster in enumerate(predicted.clusters):
        known = catalogue.number(cluster)
        numbers.append(UNMATCHED + c if known is None else known)
    rows = {(numbers[r.head], numbers[r.tail], r.type) for r in predicted.relations}
    return [
        {"title": gold.doc_id, "h_idx": head, "t_idx": tail, "r": type_, "evidence": []}
        for head, tail, type_ in sorted(rows)
    ]


def write_submission(pairs: Iterable[tuple[Document, Annotation]], target: Target) -> None:
    """Writes gold documents' predictions as a Codalab submission (`result.json`)."""
    rows = (row for gold, predicted in pairs for row in submission(gold, predicted))
    write_all(_listed(map(dump_line, rows)), target)


def write(documents: Iterable[Document], target: Target, *, report: Report | None = None) -> None:
    """Writes documents to a path, `-` or an open text file, as one list."""
    write_all(_listed(dumps(document, report=report) for document in documents), target)


def _listed(lines: Iterable[str]) -> Iterator[str]:
    before = "[\n"
    for line in lines:
        yield before + line.removesuffix("\n")
        before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


def _dropped(report: Report | None, document: Document, kind: Any, message: str) -> None:
    if report is not None:
        report.add(kind, f"document {document.doc_id!r}: {message}")

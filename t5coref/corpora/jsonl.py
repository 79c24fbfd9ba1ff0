"""Our own format: one JSON object a line, every field of a `Document`, word offsets half-open.

docs/formats.md describes each key. Keys that it does not know are kept in `Document.extra`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from t5coref.core.document import Annotation, Confidence, Document, Relation, Span
from t5coref.core.errors import DocumentError
from t5coref.corpora.files import PathLike, Target, display_name, lines, write_all
from t5coref.corpora.report import Report, Source

SPLIT = "split_antecedents"
"""Key of `Annotation.split`."""

PAIR = "a pair of clusters, [anaphor, antecedent]"

KEYS = (
    "doc_id",
    "tokens",
    "sentences",
    "speakers",
    "pos",
    "text",
    "token_offsets",
    "clusters",
    "relations",
    "confidences",
    "types",
    SPLIT,
)

DIGITS = 6
"""Decimal places of confidences."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def read(
    path: PathLike, *, report: Report | None = None, lenient: bool = False
) -> Iterator[Document]:
    """Reads documents one by one.

    Raises:
      FormatError: a line is not JSON, or not a document; reading leniently skips and counts it.
    """
    source = Source(display_name(path), lenient, Report() if report is None else report)
    for number, value in objects(path, source):
        try:
            document = from_json(value)
        except DocumentError as error:
            source.mistake("skipped_documents", number, str(error))
            continue
        source.report.counts["documents"] += 1
        yield document


def objects(path: PathLike, source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a file, one a line, with line numbers; blank lines are passed over.

    Raises:
      FormatError: a line is not a JSON object, and reading is not lenient.
    """
    for number, line in lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            source.mistake(
                "skipped_documents",
                number,
                f"not JSON: {error}; expected one JSON object a line, without line breaks in it",
            )
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            source.mistake(
                "skipped_documents", number, f"expected a JSON object, found {_brief(value)}"
            )


def from_json(value: Mapping[str, Any]) -> Document:
    """A document from its JSON object.

    Raises:
      DocumentError: a key is missing or malformed, or the document breaks an invariant.
    """
    doc_id = value.get("doc_id")
    if not isinstance(doc_id, str) or not doc_id:
        raise DocumentError(f'"doc_id" is {_brief(doc_id)}; expected a non-empty string')
    check = _Checker(doc_id)
    words = value.get("tokens")
    if words is None:
        check.fail("tokens", words, "a list of words")
    text = value.get("text")
    if text is not None and not isinstance(text, str):
        check.fail("text", text, "a string or null")
    clusters, relations = value.get("clusters"), value.get("relations")
    confidences, types = value.get("confidences"), value.get("types")
    beside = (relations, confidences, types, value.get(SPLIT))
    for key, item in zip(("relations", "confidences", "types", SPLIT), beside, strict=True):
        if clusters is None and item:
            check.fail(key, item, "none where clusters is null")
    return Document(
        doc_id=doc_id,
        words=tuple(check.strings("tokens", words)),
        sentences=_optional(check.spans, "sentences", value),  # type: ignore[arg-type]
        speakers=_optional(check.names, "speakers", value),
        pos=_optional(check.strings, "pos", value),
        text=text,
        word_offsets=_optional(check.spans, "token_offsets", value),
        annotation=None if clusters is None else check.annotation(clusters, *beside),
        extra={key: item for key, item in value.items() if key not in KEYS},
    )


def to_json(document: Document) -> dict[str, Any]:
    """A document as a JSON object: our keys first, then those of `extra`.

    Raises:
      DocumentError: a key of `extra` is one of ours.
    """
    if clash := [key for key in document.extra if key in KEYS]:
        raise DocumentError(
            f"document {document.doc_id!r}: extra has the format's own keys {clash}; rename them"
        )
    annotation = document.annotation
    value: dict[str, Any] = {
        "doc_id": document.doc_id,
        "tokens": document.words,
        "sentences": document.sentences,
        "speakers": document.speakers,
        "pos": document.pos,
        "text": document.text,
        "token_offsets": document.word_offsets,
        "clusters": None if annotation is None else annotation.clusters,
        "relations": None,
    }
    if annotation is not None:
        value["relations"] = [
            {"head": r.head, "tail": r.tail, "type": r.type} for r in annotation.relations
        ]
        if annotation.confidences is not None:
            value["confidences"] = [
                [[round(float(p), DIGITS) for p in sure] for sure in cluster]
                for cluster in annotation.confidences
            ]
        if annotation.types is not None:
            value["types"] = annotation.types
        if annotation.split:
            value[SPLIT] = annotation.split
    if document.pos is None:
        del value["pos"]
    return value | dict(document.extra)


def dumps(document: Document, *, report: Report | None = None) -> str:
    """A document as one line of JSON, with its line end; `report` stays empty: nothing is lost.

    Raises:
      DocumentError: a key of `extra` is one of ours.
    """
    del report
    return dump_line(to_json(document))


def dump_line(value: Mapping[str, Any]) -> str:
    """A JSON object as one line that UTF-8 can hold."""
    line = json.dumps(value, ensure_ascii=False)
    return _LONE_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", line) + "\n"


def write(documents: Iterable[Document], target: Target, *, report: Report | None = None) -> None:
    """Writes documents to a path, `-` or an open text file.

    Raises:
      DocumentError: a key of `extra` is one of ours.
    """
    write_all((dumps(document, report=report) for document in documents), target)


def _optional(check: Any, key: str, value: Mapping[str, Any]) -> Any:
    return None if value.get(key) is None else check(key, value[key])


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def _probable(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


class _Checker:
    """Checks the types that `Document` takes for granted."""

    def __init__(self, doc_id: str) -> None:
        self._doc_id = doc_id

    def fail(self, key: str, found: object, expected: str) -> None:
        raise DocumentError(
            f'document {self._doc_id!r}: "{key}" is {_brief(found)}; expected {expected}'
        )

    def strings(self, key: str, value: Any) -> list[str]:
        if not isinstance(value, list):
            self.fail(key, value, "a list of strings")
        for i, item in enumerate(value):
            if not isinstance(item, str):
                self.fail(f"{key}[{i}]", item, "a string")
        return value

    def names(self, key: str, value: Any) -> list[str | None]:
        if not isinstance(value, list):
            self.fail(key, value, "a list of strings and nulls")
        for i, item in enumerate(value):
            if item is not None and not isinstance(item, str):
                self.fail(f"{key}[{i}]", item, "a string or null")
        return value

    def spans(
        self, key: str, value: Any, pair: str = "a pair of integers, [start, end)"
    ) -> tuple[Span, ...]:
        if not isinstance(value, list):
            self.fail(key, value, "a list of pairs")
        for i, item in enumerate(value):
            # type(), since bool is an int and 1.0 would be cut to one in silence
            if not (isinstance(item, list) and [type(x) for x in item] == [int, int]):
                self.fail(f"{key}[{i}]", item, pair)
        return tuple((start, end) for start, end in value)

    def annotation(
        self, clusters: Any, relations: Any, confidences: Any, types: Any, split: Any
    ) -> Annotation:
        if not isinstance(clusters, list):
            self.fail("clusters", clusters, "a list of clusters, or null")
        if not isinstance(relations, list | None):
            self.fail("relations", relations, "a list of relations, or null")
        spans = [self.spans(f"clusters[{i}]", cluster) for i, cluster in enumerate(clusters)]
        sure = None
        if confidences is not None:
            # Annotations sort the spans of a cluster: what lies beside them has to follow.
            pairs = self._confidences(confidences, spans)
            spans = [tuple(span for span, _ in cluster) for cluster in pairs]
            sure = tuple(tuple(found for _, found in cluster) for cluster in pairs)
        try:
            return Annotation(
                tuple(spans),
                tuple(self._relation(i, item) for i, item in enumerate(relations or ())),
                sure,
                None if types is None else tuple(self.names("types", types)),
                () if split is None else self.spans(SPLIT, split, PAIR),
            )
        except DocumentError as error:
            raise DocumentError(f"document {self._doc_id!r}: {error}") from None

    def _confidences(
        self, value: Any, clusters: list[tuple[Span, ...]]
    ) -> list[list[tuple[Span, Confidence]]]:
        """Spans with their confidences, sorted; a repeated span keeps the first one's."""
        if not isinstance(value, list) or len(value) != len(clusters):
            self.fail("confidences", value, f"a list of {len(clusters)}, one for each cluster")
        out = []
        for i, (found, spans) in enumerate(zip(value, clusters, strict=True)):
            if not isinstance(found, list) or len(found) != len(spans):
                self.fail(f"confidences[{i}]", found, f"a list of {len(spans)}, one for each span")
            of_span: dict[Span, Confidence] = {}
            for j, (item, span) in enumerate(zip(found, spans, strict=True)):
                if not (isinstance(item, list) and len(item) == 2 and all(map(_probable, item))):
                    self.fail(f"confidences[{i}][{j}]", item, "[mention, link], each within 0..1")
                of_span.setdefault(span, Confidence(*map(float, item)))
            out.append(sorted(of_span.items()))
        return out

    def _relation(self, i: int, item: Any) -> Relation:
        if not (isinstance(item, dict) and set(item) == {"head", "tail", "type"}):
            self.fail(f"relations[{i}]", item, '{"head": ..., "tail": ..., "type": ...}')
        for key in ("head", "tail"):
            if type(item[key]) is not int:
                self.fail(f"relations[{i}].{key}", item[key], "the position of a cluster")
        if not isinstance(item["type"], str):
            self.fail(f"relations[{i}].type", item["type"], "a string")
        return Relation(item["head"], item["tail"], item["type"])

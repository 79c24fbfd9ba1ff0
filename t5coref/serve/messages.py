"""What clients send and get: JSON to documents, documents to records of our jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t5coref.core.document import CHAR_CLUSTERS, Document
from t5coref.core.errors import DocumentError, FormatError, T5CorefError
from t5coref.corpora import jsonl, text
from t5coref.predict import ERROR, error_of
from t5coref.serve.limits import Limits

FIELDS = ("text", "documents", "doc_id", "confidences")
CHARACTERS = 16
"""A word counts as one for each so many characters that it has, begun ones included."""


SLOW = 10_000_000
"""Sum of the squares of the lengths of stretches without blanks: where they are all brackets, the
time that spaCy takes to cut them grows like that (10,000,000 are some seconds)."""


class NotJsonError(FormatError):
    """The body of a request is no JSON."""


class TooLargeError(T5CorefError):
    """A request asks for more than the server takes on at once."""


@dataclass(frozen=True)
class Query:
    """What a request asks for.

    Attributes:
      documents: to be predicted.
      single: whether it sent a text rather than a list, and gets a record rather than a list.
      confidences: whether it wants them.
    """

    documents: Sequence[Document]
    single: bool
    confidences: bool


def read(body: bytes, limits: Limits, language: str) -> Query:
    """The documents of a request.

    Args:
      body: JSON with `text` or `documents`, see docs/serving.md.
      limits: what is too large.
      language: of raw text, as spaCy names it.

    Raises:
      NotJsonError: the body is no JSON.
      TooLargeError: more documents or words than the limits allow.
      DocumentError: it is JSON of another shape, or a document breaks an invariant.
    """
    value = _json(body)
    if not isinstance(value, dict):
        raise DocumentError(f'{_brief(value)}; expected an object with "text" or "documents"')
    if unknown := sorted(set(value) - set(FIELDS)):
        raise DocumentError(
            f"unknown fields {unknown}; expected {', '.join(FIELDS)}; leave out the others"
        )
    single = "text" in value
    if single == ("documents" in value):
        there = "both" if single else "neither"
        raise DocumentError(
            f'{there} of "text" and "documents" is there; expected "text", a string, or '
            '"documents", a list of strings and of documents'
        )
    confidences = value.get("confidences", False)
    if not isinstance(confidences, bool):
        raise DocumentError(f'"confidences" is {_brief(confidences)}; expected true or false')
    if single:
        raw = {key: value[key] for key in ("text", "doc_id") if key in value}
        documents = [_document(raw, "text", limits, language)]
    else:
        documents = _documents(value, limits, language)
    _check_cost(sum(cost(document.words) for document in documents), limits)
    return Query(documents, single, confidences)


def cost(words: Iterable[str]) -> int:
    """Their number, where long ones count several times: their pieces take time as words do."""
    return sum(-(-len(word) // CHARACTERS) for word in words)


def _check_cost(words: int, limits: Limits) -> None:
    if words > limits.max_words:
        raise TooLargeError(
            f"the request has {words} words (one for each {CHARACTERS} characters of long ones); "
            f"expected at most {limits.max_words}; send several requests, or cut the document"
        )


def record(document: Document, *, confidences: bool) -> dict[str, Any]:
    """The record that `t5coref predict` writes, and the texts of the clusters.

    Args:
      document: predicted, or with `extra["error"]`.
      confidences: whether the model's are in it. Their last digits depend on the batch.
    """
    value = jsonl.to_json(document)
    if not confidences:
        value.pop("confidences", None)
    clusters = () if document.annotation is None else document.annotation.clusters
    if document.word_offsets is not None:
        value[CHAR_CLUSTERS] = [[document.char_span(span) for span in c] for c in clusters]
    value["cluster_texts"] = [[document.span_text(span) for span in c] for c in clusters]
    return value


def answer(query: Query, found: Sequence[Document]) -> dict[str, Any]:
    """What the client gets: a record for a text, else a list of records in the same order."""
    records = [record(document, confidences=query.confidences) for document in found]
    if query.single:
        return records[0]
    value: dict[str, Any] = {"documents": records}
    if failures := sum(error_of(document) is not None for document in found):
        value[ERROR] = f"{failures} of {len(found)} documents have no prediction, see their errors"
    return value


def _json(body: bytes) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(body.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise NotJsonError(
            f"the body is not JSON in UTF-8 ({error}); expected an object such as "
            '{"text": "Mara fed her dog. It was hungry."}'
        ) from None


def _documents(value: Mapping[str, Any], limits: Limits, language: str) -> list[Document]:
    items = value["documents"]
    if "doc_id" in value:
        raise DocumentError('"doc_id" is for "text"; expected it in each of the documents')
    if not isinstance(items, list) or not items:
        raise DocumentError(
            f'"documents" is {_brief(items)}; expected a list of strings and of documents, '
            "one at least"
        )
    if len(items) > limits.max_queue:
        raise TooLargeError(
            f"the request has {len(items)} documents; expected at most {limits.max_queue}, the "
            "places of the queue; send several requests"
        )
    out = []
    for i, item in enumerate(items):
        item = {"text": item} if isinstance(item, str) else item
        try:
            if not isinstance(item, dict):
                raise DocumentError(f"{_brief(item)}; expected a string or an object")
            out.append(_document(item, f"document-{i}", limits, language))
        except DocumentError as error:
            raise DocumentError(f"documents[{i}]: {error}") from None
    return out


def _document(item: Mapping[str, Any], name: str, limits: Limits, language: str) -> Document:
    """A document of our jsonl, or, where it has no tokens, one made of its text."""
    item = {"doc_id": name, **item}
    item.pop(ERROR, None)  # of a prediction that has failed: it is asked for anew
    if "tokens" in item or "text" not in item:
        document = jsonl.from_json(item)
    else:
        doc_id, raw = item.pop("doc_id"), item.pop("text")
        if not isinstance(raw, str):
            raise DocumentError(f'"text" is {_brief(raw)}; expected a string')
        if not isinstance(doc_id, str) or not doc_id:
            raise DocumentError(f'"doc_id" is {_brief(doc_id)}; expected a non-empty string')
        if item:
            raise DocumentError(
                f'{sorted(item)} without "tokens"; expected "text" and "doc_id" alone, or a '
                "document of our jsonl (docs/formats.md)"
            )
        _check_characters(doc_id, (raw,))
        _check_stretches(raw, limits)
        return text.from_string(doc_id, raw, language)
    _check_characters(document.doc_id, (*document.words, document.text or ""))
    _check_characters(document.doc_id, [name for name in document.speakers or () if name])
    return document


def _check_stretches(raw: str, limits: Limits) -> None:
    """Refuses, before it is cut, what would take long to cut into words."""
    stretches = raw.split()
    _check_cost(cost(stretches), limits)
    if sum(len(stretch) ** 2 for stretch in stretches) > SLOW:
        longest = max(map(len, stretches))
        raise TooLargeError(
            f"the text has {longest} characters without a blank between them; expected stretches "
            "of some hundred at most where there are many; put blanks between words, or send "
            "documents with tokens"
        )


def _check_characters(doc_id: str, strings: Sequence[str]) -> None:
    for string in strings:
        try:
            string.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DocumentError(
                f"document {doc_id!r}: {_brief(string)} has half of a surrogate pair at character "
                f"{error.start}; expected whole characters; escape both halves, or send UTF-8"
            ) from None


def _brief(value: object) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."

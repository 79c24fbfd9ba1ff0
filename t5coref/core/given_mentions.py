"""Mentions that a document gives beside its clusters, for formats that are told them.

`Document.extra["mentions"] = {"source": "predicted", "spans": [[start, end], ...]}`, half-open
words; our jsonl keeps it. Without it, the mentions are those of the annotation, and the source is
gold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from t5coref.core.document import Document, Span
from t5coref.core.errors import DocumentError, MismatchError

MENTIONS = "mentions"
"""Their key in `Document.extra`."""

GOLD, PREDICTED, GIVEN = "gold", "predicted", "given"
SOURCES = (GOLD, PREDICTED, GIVEN)
"""From where mentions are: the gold annotation, a model, or the user."""


class GivenMentions(NamedTuple):
    """The mentions of a document in reading order (start ascending, end descending), no repeats.

    Attributes:
      spans: half-open words.
      source: one of `SOURCES`.
    """

    spans: tuple[Span, ...]
    source: str


def given(doc: Document) -> GivenMentions:
    """The mentions that a document gives.

    Raises:
      MismatchError: it gives none, and has no annotation.
      DocumentError: they are not in the form above, or not within the document.
    """
    stored = doc.extra.get(MENTIONS)
    if stored is None:
        if doc.annotation is None:
            raise MismatchError(
                f"document {doc.doc_id!r} gives no mentions; expected gold, predicted or your own "
                "ones, since the format only says which of them belong together; propose them first"
            )
        spans = {(start, end) for start, end, _ in doc.annotation.mentions()}
        return GivenMentions(_ordered(spans), GOLD)
    try:
        spans = {(int(start), int(end)) for start, end in stored["spans"]}
        source = stored["source"]
    except (TypeError, ValueError, KeyError) as error:
        raise DocumentError(
            f"document {doc.doc_id!r}: mentions {str(stored)[:80]}; expected "
            '{"source": ..., "spans": [[start, end], ...]}'
        ) from error
    _check(doc, spans, source)
    return GivenMentions(_ordered(spans), source)


def with_mentions(doc: Document, spans: Iterable[Span], source: str) -> Document:
    """The document with these mentions, which take the place of those that it gave before.

    Args:
      doc: the document; its annotation stays.
      spans: half-open words; repeats are dropped.
      source: one of `SOURCES`.

    Raises:
      DocumentError: a span is empty or not within the document, or the source is none.
    """
    unique = {(int(start), int(end)) for start, end in spans}
    _check(doc, unique, source)
    stored = {"source": source, "spans": [list(span) for span in _ordered(unique)]}
    return replace(doc, extra={**doc.extra, MENTIONS: stored})


def _ordered(spans: Iterable[Span]) -> tuple[Span, ...]:
    return tuple(sorted(spans, key=lambda span: (span[0], -span[1])))


def _check(doc: Document, spans: Iterable[Span], source: str) -> None:
    if source not in SOURCES:
        raise DocumentError(
            f"document {doc.doc_id!r}: mentions from {source!r}; expected {', '.join(SOURCES)}"
        )
    for start, end in spans:
        if not 0 <= start < end <= len(doc.words):
            raise DocumentError(
                f"document {doc.doc_id!r}: mention [{start}, {end}); expected a non-empty "
                f"half-open span within words 0..{len(doc.words)}"
            )

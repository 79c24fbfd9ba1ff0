"""Gold mentions, and precision and recall of proposed ones."""

from __future__ import annotations

from collections.abc import Iterable

from t5coref.core.document import Document, Span
from t5coref.core.errors import DocumentError
from t5coref.core.metrics import PRF, Ratio


def gold_spans(document: Document) -> set[Span]:
    """The mentions of a document's annotation.

    Raises:
      DocumentError: it has none.
    """
    if document.annotation is None:
        raise DocumentError(
            f"document {document.doc_id!r} has no annotation; expected one, whose mentions are the "
            "gold ones: give annotated documents, or take the mentions from elsewhere"
        )
    return {(start, end) for start, end, _ in document.annotation.mentions()}


class MentionScorer:
    """Counts mentions that are right, to the word, over documents."""

    def __init__(self) -> None:
        self._right = self._gold = self._found = 0

    def add(self, gold: Iterable[Span], found: Iterable[Span]) -> None:
        """Counts a document; repeated spans count once."""
        gold, found = set(gold), set(found)
        self._right += len(gold & found)
        self._gold += len(gold)
        self._found += len(found)

    def compute(self) -> PRF:
        """Precision, recall and F1 over all documents."""
        return Ratio(self._right, self._gold, self._right, self._found).prf()

"""What a format is expected to keep of an annotation, written independently of the package."""

from __future__ import annotations

from collections.abc import Collection

from t5coref.core.document import Annotation, Document, crosses
from t5coref.linearize import FORMATS, MENTION_GIVEN, PLAIN_TEXT
from t5coref.linearize.partial import Partial

OTHERS = ("relation-ids", "relation-text", *MENTION_GIVEN, *PLAIN_TEXT)
NAMES = [n for n in sorted(FORMATS) if n not in OTHERS]
"""Those that find mentions and clusters; `test_relation_round_trips.py` and `test_iterative.py` are
about the others.
"""
PARTIAL = [name for name in NAMES if issubclass(FORMATS[name], Partial)]
WHOLE = [name for name in NAMES if name not in PARTIAL]

Clusters = list[list[tuple[int, int]]]


def document(words, clusters=None, sentences=None, **fields) -> Document:
    """A document of words with blanks between them."""
    annotation = None if clusters is None else Annotation(clusters)
    return Document(doc_id="d", words=tuple(words.split()), sentences=sentences,
                    annotation=annotation, **fields)  # fmt: skip


def crosses_a_sentence_end(doc: Document, start: int, end: int) -> bool:
    return not any(low <= start and end <= high for low, high in doc.sentences)


def mentions(doc: Document, *, in_sentences: bool, words: Collection[int] | None = None):
    """(start, end, cluster) of what brackets can hold: of two that cross the later one goes.

    `words`: those that have pieces; None = all. Mentions shrink to them.
    """
    there = set(range(len(doc.words))) if words is None else set(words)
    found = set()
    for start, end, cluster in doc.annotation.mentions():
        inside = sorted(there & set(range(start, end)))
        if inside and not (in_sentences and crosses_a_sentence_end(doc, start, end)):
            found.add((inside[0], inside[-1] + 1, cluster))
    kept = []
    for start, end, cluster in sorted(found, key=lambda m: (m[0], -m[1])):
        if not any(crosses((start, end), k[:2]) for k in kept):
            kept.append((start, end, cluster))
    return kept


def clusters(mentions) -> Clusters:
    """(start, end, cluster) triples as clusters; their order says nothing."""
    found = {}
    for start, end, cluster in mentions:
        found.setdefault(cluster, set()).add((start, end))
    return sorted(map(sorted, found.values()))


def spans(annotation: Annotation) -> Clusters:
    """An annotation as `clusters` gives it."""
    return clusters(annotation.mentions())


def without_crossing(doc: Document, ends: Collection[int] = ()) -> Document:
    """The document without mentions that cross another, a sentence's end or one of `ends`.

    A span stays in one cluster only.
    """
    taken, kept = set(), {}
    for start, end, cluster in mentions(doc, in_sentences=True):
        if (start, end) not in taken and not any(start < e < end for e in ends):
            taken.add((start, end))
            kept.setdefault(cluster, []).append((start, end))
    return doc.with_annotation(Annotation(tuple(map(tuple, kept.values()))))

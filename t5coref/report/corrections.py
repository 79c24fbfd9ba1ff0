"""What separates a prediction from its key, as corrections that turn the one into the other.

The kinds are those of Kummerfeld and Klein (2013), "Error-driven analysis of challenges in
coreference resolution"; docs/report.md says where the definitions differ. Nothing depends on the
order of clusters or mentions: matching is by spans alone, and what is counted are the cells of
one table of overlaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from t5coref.core.document import Span
from t5coref.report.english import English, MentionType

Clusters = Sequence[Sequence[Span]]


class Kind(StrEnum):
    """What is wrong, in the order in which corrections are made."""

    WRONG_SPAN = "wrong span"
    MERGED = "merged cluster"
    EXTRA_MENTION = "extra mention"
    EXTRA_ENTITY = "extra entity"
    MISSED_MENTION = "missed mention"
    MISSED_ENTITY = "missed entity"
    SPLIT = "split cluster"


@dataclass(frozen=True, slots=True)
class Correction:
    """One error and how to mend it.

    Attributes:
      kind: what is wrong.
      spans: the mentions that it is about, sorted. WRONG_SPAN: the predicted one; MERGED and SPLIT:
        the part that is cut off, or joined, by key spans; else the mentions to remove or add.
      key: WRONG_SPAN: the span that the key has; MISSED_MENTION and SPLIT: a mention of the part
        of the entity that is joined with them; else None.
      type: of the most telling of the mentions (name, nominal, pronoun); of the key's for
        WRONG_SPAN.
    """

    kind: Kind
    spans: tuple[Span, ...]
    key: Span | None
    type: MentionType


def corrections(key: Clusters, response: Clusters, english: English) -> list[Correction]:
    """All corrections, kind by kind and in text order.

    Args:
      key: clusters without shared spans.
      response: likewise.
      english: heads and types of the document's mentions.
    """
    entity = {span: k for k, cluster in enumerate(key) for span in cluster}
    found = {span for cluster in response for span in cluster}
    moved = _wrong_spans(
        [span for span in found if span not in entity],
        [span for span in entity if span not in found],
        english,
    )
    out = [_correction(Kind.WRONG_SPAN, [p], g, english) for p, g in moved.items()]
    parts: dict[int, list[list[Span]]] = {k: [] for k in range(len(key))}
    for cluster in response:
        placed = [moved.get(span, span) for span in cluster]
        extra = [span for span in placed if span not in entity]
        cells: dict[int, list[Span]] = {}
        for span in placed:
            if span in entity:
                cells.setdefault(entity[span], []).append(span)
        for k, cell in cells.items():
            parts[k].append(cell)
        for cell in sorted(cells.values(), key=_size)[1:]:
            out.append(_correction(Kind.MERGED, cell, None, english))
        if cells:
            out += [_correction(Kind.EXTRA_MENTION, [s], None, english) for s in extra]
        elif extra:
            out.append(_correction(Kind.EXTRA_ENTITY, extra, None, english))
    for k, cluster in enumerate(key):
        if not parts[k]:
            out.append(_correction(Kind.MISSED_ENTITY, cluster, None, english))
            continue
        main, *others = sorted(parts[k], key=_size)
        there = {span for part in parts[k] for span in part}
        anchor = min(main)
        out += [
            _correction(Kind.MISSED_MENTION, [span], anchor, english)
            for span in cluster
            if span not in there
        ]
        out += [_correction(Kind.SPLIT, part, anchor, english) for part in others]
    return sorted(out, key=lambda c: (ORDER[c.kind], c.spans))


def applied(corrections_: Iterable[Correction], response: Clusters) -> set[frozenset[Span]]:
    """The clusters after these corrections, made kind by kind; within a kind any order does.

    With all that `corrections` gives these are the key's clusters.
    """
    cluster_of: dict[Span, set[Span]] = {}
    for cluster in response:  # one set a cluster, shared by its mentions
        _gather(cluster, set(cluster), cluster_of)
    for c in sorted(corrections_, key=lambda c: ORDER[c.kind]):
        _MENDING[c.kind](c, cluster_of)
    return {frozenset(cluster) for cluster in cluster_of.values()}


def _gather(spans: Sequence[Span], cluster: set[Span], cluster_of: dict[Span, set[Span]]) -> None:
    """Says of all these mentions that this very set is their cluster."""
    for span in spans:
        cluster_of[span] = cluster


def _rename(c: Correction, cluster_of: dict[Span, set[Span]]) -> None:
    (old,) = c.spans
    assert c.key is not None
    cluster = cluster_of.pop(old)
    cluster.remove(old)
    cluster.add(c.key)
    cluster_of[c.key] = cluster


def _cut(c: Correction, cluster_of: dict[Span, set[Span]]) -> None:
    cluster_of[c.spans[0]].difference_update(c.spans)
    _gather(c.spans, set(c.spans), cluster_of)


def _remove(c: Correction, cluster_of: dict[Span, set[Span]]) -> None:
    for span in c.spans:
        cluster_of.pop(span).remove(span)


def _add(c: Correction, cluster_of: dict[Span, set[Span]]) -> None:
    cluster = set() if c.key is None else cluster_of[c.key]
    cluster.update(c.spans)
    # A part that is joined was a cluster of its own by now; nothing refers to that any more.
    _gather(c.spans, cluster, cluster_of)


_MENDING = {
    Kind.WRONG_SPAN: _rename,
    Kind.MERGED: _cut,
    Kind.EXTRA_MENTION: _remove,
    Kind.EXTRA_ENTITY: _remove,
    Kind.MISSED_MENTION: _add,
    Kind.MISSED_ENTITY: _add,
    Kind.SPLIT: _add,
}
ORDER = {kind: place for place, kind in enumerate(Kind)}
_TELLING = tuple(MentionType)


def _correction(
    kind: Kind, spans: Sequence[Span], key: Span | None, english: English
) -> Correction:
    typed = [key] if kind is Kind.WRONG_SPAN and key is not None else spans
    most = min((english.type(span) for span in typed), key=_TELLING.index)
    return Correction(kind, tuple(sorted(spans)), key, most)


def _size(part: Sequence[Span]) -> tuple[int, Span]:
    """Sorts the largest part first; of parts of one size the one that begins first."""
    return -len(part), min(part)


def _wrong_spans(
    extra: Sequence[Span], missed: Sequence[Span], english: English
) -> dict[Span, Span]:
    """Predicted spans that stand for a span of the key, one to one, the most alike first.

    Two spans may stand for each other where each contains the other's head. How alike they are is
    the share of their words (Dice); of equals the pair that begins first is taken.
    """
    ending: dict[int, list[Span]] = {}  # the key's spans by their heads
    for span in missed:
        ending.setdefault(english.head(span), []).append(span)
    pairs = []
    for p in extra:
        own = english.head(p)
        for place in range(*p):
            for g in ending.get(place, ()):
                if g[0] <= own < g[1]:
                    common = min(p[1], g[1]) - max(p[0], g[0])
                    pairs.append((-2 * common / (p[1] - p[0] + g[1] - g[0]), g, p))
    moved: dict[Span, Span] = {}
    taken: set[Span] = set()
    for _, g, p in sorted(pairs):
        if p not in moved and g not in taken:
            moved[p] = g
            taken.add(g)
    return moved

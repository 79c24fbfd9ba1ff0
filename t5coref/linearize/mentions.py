"""Mentions of a window in piece offsets: which of them a bracket format can hold, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from t5coref.core.document import Annotation, Span, crosses
from t5coref.core.segment import INSERTED
from t5coref.linearize.base import Turn


@dataclass(frozen=True, slots=True)
class Mention:
    """A half-open span of pieces of a window, the cluster that it belongs to, and its type."""

    start: int
    end: int
    cluster: int
    type: str | None = None


def in_window(turn: Turn, gold: Annotation) -> list[Mention]:
    """The mentions that a window contains whole, as pieces, without repeats.

    Words without pieces (the reference rules drop some) shrink a mention; one that has no other
    words is left out.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for position, word in enumerate(turn.word.tolist()):
        if word != INSERTED:
            first.setdefault(word, position)
            last[word] = position + 1
    if not first:
        return []
    low, high = min(first), max(first)
    out: dict[tuple[int, int, int], None] = {}
    for start, end, cluster in gold.mentions():
        if low <= start and end - 1 <= high:
            words = [w for w in range(start, end) if w in first]
            if words:
                out[first[words[0]], last[words[-1]], cluster] = None
    types = gold.types or [None] * len(gold.clusters)
    return [Mention(*key, types[key[2]]) for key in out]


def nested(mentions: Iterable[Mention], max_depth: int) -> list[Mention]:
    """The mentions that brackets can express: none crosses another, at most `max_depth` deep.

    Of two crossing mentions the later one goes (order: start ascending, end descending).
    """
    kept: list[Mention] = []
    open_: list[Mention] = []
    for m in sorted(mentions, key=lambda m: (m.start, -m.end)):
        open_ = [o for o in open_ if o.end > m.start]
        if len(open_) < max_depth and not any(
            crosses((o.start, o.end), (m.start, m.end)) for o in open_
        ):
            kept.append(m)
            open_.append(m)
    return kept


def numbered(mentions: Iterable[Mention], limit: int) -> list[tuple[Mention, int]]:
    """The mentions in the order of their closing tags, each with its cluster's number.

    Inner mentions close first; mentions of one span close with ascending numbers. Numbers count
    clusters by their first closing tag; clusters beyond `limit` are left out.
    """
    number: dict[int, int] = {}
    out = []
    unseen = limit  # not numbered yet: after every cluster that is
    for m in _closing_order(mentions, number, unseen):
        if m.cluster not in number:
            if len(number) == limit:
                continue
            number[m.cluster] = len(number)
        out.append((m, number[m.cluster]))
    return out


def _closing_order(mentions: Iterable[Mention], number: dict[int, int], unseen: int):
    by_span: dict[Span, list[Mention]] = {}
    for m in mentions:
        by_span.setdefault((m.start, m.end), []).append(m)
    for span in sorted(by_span, key=lambda s: (s[1], -s[0])):
        # Sorted when its turn comes: the numbers given before decide.
        yield from sorted(by_span[span], key=lambda m: (number.get(m.cluster, unseen), m.cluster))


def window_turns(doc_id: str, pieces, spans: Iterable[Span], eos_id: int) -> list[Turn]:
    """One turn a window, `</s>` appended."""
    return [
        Turn(
            doc_id=doc_id,
            index=i,
            offset=start,
            source=np.append(pieces.ids[start:end], np.int32(eos_id)).astype(np.int32),
            word=np.append(pieces.word[start:end], np.int32(INSERTED)).astype(np.int32),
        )
        for i, (start, end) in enumerate(spans)
    ]

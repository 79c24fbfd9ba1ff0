"""Pieces, windows on sentence boundaries, and merging the clusters of windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from t5coref.core.document import Annotation, Confidence, Relation, Span, crosses
from t5coref.core.errors import ConfigError

INSERTED = -1
"""Word of a piece that stands for no word (a speaker's name)."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """A document as vocabulary pieces.

    Attributes:
      ids: `int32[P]` vocabulary ids, without `</s>`.
      word: `int32[P]` the word that each piece belongs to, ascending; INSERTED for others.
      sentence_end: `bool[P]` whether a sentence ends after the piece.
      word_end: `bool[P]` whether a word (or an insertion's part) ends after the piece.
      bounds: `int32[K, 2]` where sentences start and end, in order: the piece before which it is,
        and 1 for an end, 0 for a start. Sentences without pieces have them too.
    """

    ids: np.ndarray
    word: np.ndarray
    sentence_end: np.ndarray
    word_end: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def marked(self, start: int, end: int) -> Pieces:
        """The same pieces with the ids `start` and `end` around every sentence.

        Windows then end behind a sentence's end mark.
        """
        at, is_end = self.bounds[:, 0], self.bounds[:, 1] == 1
        return Pieces(
            np.insert(self.ids, at, np.where(is_end, end, start)).astype(np.int32),
            np.insert(self.word, at, INSERTED).astype(np.int32),
            np.insert(np.zeros_like(self.sentence_end), at, is_end),
            np.insert(self.word_end, at, True),
            self.bounds + np.outer(np.arange(len(at)), [1, 0]).astype(np.int32),
        )

    def clipped(self, longest: int) -> Pieces:
        """The same pieces with at most `longest` a word, so that every word fits a window."""
        start_of_word = np.concatenate([[True], self.word_end[:-1]]) if len(self) else self.word_end
        starts = np.maximum.accumulate(np.where(start_of_word, np.arange(len(self)), 0))
        # A word's last piece is always kept: it carries the marks of word and sentence ends.
        keep = (np.arange(len(self)) - starts < longest - 1) | self.word_end
        before = np.concatenate([[0], np.cumsum(keep)]).astype(np.int32)
        return Pieces(
            self.ids[keep],
            self.word[keep],
            self.sentence_end[keep],
            self.word_end[keep],
            np.stack([before[self.bounds[:, 0]], self.bounds[:, 1]], axis=-1),
        )


def windows(pieces: Pieces, length: int, stride: int, *, suffixes: bool = False) -> list[Span]:
    """Half-open piece spans that cover a document, each at most `length - 1` pieces long.

    A window ends at a sentence end where one lies within reach, else at a word end, and the next
    one starts at most `stride` pieces later under the same preference; one place is left for
    `</s>`. Consecutive windows never leave a gap.

    Args:
      pieces: the document; no word longer than `min(length - 1, stride)`, see `Pieces.clipped`.
      length: pieces of a window, `</s>` included.
      stride: largest distance between the starts of two windows.
      suffixes: go on after a window has reached the end of the document, as the published
        training data does (each further window is a suffix of the last one).

    Raises:
      ConfigError: a length or stride that leaves no room.
    """
    check_window(length, stride)
    total, at, out = len(pieces), 0, []
    while at < total:
        end = _last_end(pieces, at, min(at + length - 1, total))
        # A window that ends where the last one ended is a part of it.
        if suffixes or not out or end > out[-1][1]:
            out.append((at, end))
        if end == total and not suffixes:
            break
        # A window cut short by a long sentence may end before the stride: never skip a piece.
        at = _last_end(pieces, at, min(at + stride, end, total))
    return out


def sentence_windows(pieces: Pieces, length: int) -> list[Span]:
    """The longest window that begins with each sentence, up to the first that reaches the end.

    Windows are as in `windows`; behind one that ends within a sentence the next one goes on there.

    Raises:
      ConfigError: a length that leaves no room.
    """
    check_window(length, 1)
    total, at, out = len(pieces), 0, []
    while at < total:
        end = _last_end(pieces, at, min(at + length - 1, total))
        out.append((at, end))
        if end == total:
            break
        ends = np.flatnonzero(pieces.sentence_end[at:end])
        at = at + int(ends[0]) + 1 if len(ends) else end
    return out


def check_window(length: int, stride: int) -> None:
    """Refuses a window length and stride that leave no room.

    Raises:
      ConfigError: they do.
    """
    if not 1 <= stride < length:
        raise ConfigError(
            f"window length {length} with stride {stride}; expected 1 <= stride < length"
        )


def _last_end(pieces: Pieces, start: int, end: int) -> int:
    """The last sentence end in `(start, end]`, else the last word end, as an exclusive offset."""
    for ends in (pieces.sentence_end, pieces.word_end):
        found = np.flatnonzero(ends[start:end])
        if len(found):
            return start + int(found[-1]) + 1
    raise ConfigError(
        f"the word at piece {start} is longer than the {end - start} pieces that the window and "
        "stride leave for it; raise them or clip the pieces"
    )


def merge(
    parts: Sequence[Iterable[Sequence[Span]]],
    min_mentions: int = 1,
    confidences: Mapping[Span, Confidence] | None = None,
    types: Sequence[Sequence[Counter[str]]] | None = None,
    relations: Sequence[Iterable[Relation]] = (),
    split: Sequence[Iterable[tuple[int, int]]] = (),
) -> Annotation:
    """One annotation of the clusters that several windows found.

    Clusters of different windows are one where they share a span; what is connected that way is
    one cluster of the document. Within it a span that crosses an earlier one (order: start
    ascending, end descending) is skipped; windows that disagree lead to such spans, and so do
    mentions that begin or end inside a word. A span that one window puts into two clusters says
    nothing about which of them a cluster of another window continues, so it links none.

    Args:
      parts: the clusters of each window, as half-open word spans of the document.
      min_mentions: smaller clusters are dropped (2 for corpora without singletons).
      confidences: of the spans, where a model found them.
      types: of each window, how often which entity type was found for each cluster; a cluster of
        the document gets the one that was found most often, of equal ones the first.
      relations: of each window, between positions in its clusters. They lead between the clusters
        of the document then, each once; those within one cluster, or from or to one that was
        dropped, go.
      split: of each window, split antecedents by positions in its clusters; likewise.
    """
    clusters = {
        (w, i): tuple(c) for w, part in enumerate(parts) for i, c in enumerate(part) if len(c)
    }
    owners: dict[tuple[int, Span], list[int]] = {}
    for i, ((window, _), cluster) in enumerate(clusters.items()):
        for span in dict.fromkeys(cluster):
            owners.setdefault((window, span), []).append(i)
    parent = list(range(len(clusters)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    holder: dict[Span, int] = {}
    for (_, span), ids in owners.items():
        if len(ids) == 1:
            first = holder.setdefault(span, ids[0])
            parent[root(ids[0])] = root(first)
    merged: dict[int, set[Span]] = {}
    for i, cluster in enumerate(clusters.values()):
        merged.setdefault(root(i), set()).update(cluster)
    found = {r: tuple(sorted(_without_crossing(spans))) for r, spans in merged.items()}
    kept = sorted((spans, r) for r, spans in found.items() if len(spans) >= min_mentions)
    sure = None
    if confidences is not None:
        sure = tuple(tuple(confidences[span] for span in cluster) for cluster, _ in kept)
    position = {r: i for i, (_, r) in enumerate(kept)}
    home = {place: position.get(root(i)) for i, place in enumerate(clusters)}
    return Annotation(
        clusters=tuple(spans for spans, _ in kept),
        relations=_between(home, relations),
        confidences=sure,
        types=None if types is None else _most_frequent(home, types, len(kept)),
        split=tuple((r.head, r.tail) for r in _between(home, _typeless(split))),
    )


def _typeless(split: Sequence[Iterable[tuple[int, int]]]) -> list[list[Relation]]:
    return [[Relation(*ends, type="") for ends in part] for part in split]


def _between(
    home: Mapping[tuple[int, int], int | None], relations: Sequence[Iterable[Relation]]
) -> tuple[Relation, ...]:
    """The relations of windows between the clusters of the document, in order."""
    triples = {
        (home.get((w, r.head)), home.get((w, r.tail)), r.type)
        for w, part in enumerate(relations)
        for r in part
    }
    kept = sorted(
        (h, t, type_) for h, t, type_ in triples if h is not None and t is not None and h != t
    )
    return tuple(Relation(*triple) for triple in kept)


def _most_frequent(
    home: Mapping[tuple[int, int], int | None],
    types: Sequence[Sequence[Counter[str]]],
    count: int,
) -> tuple[str | None, ...]:
    """The entity types of the clusters of the document."""
    votes: list[Counter[str]] = [Counter() for _ in range(count)]
    for w, part in enumerate(types):
        for i, seen in enumerate(part):
            to = home.get((w, i))
            if to is not None:
                votes[to].update(seen)
    return tuple(max(seen, key=seen.__getitem__) if seen else None for seen in votes)


def _without_crossing(spans: Iterable[Span]) -> list[Span]:
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (s[0], -s[1])):
        if not any(crosses(span, other) for other in kept):
            kept.append(span)
    return kept

"""Outputs read back: which mentions a sequence of tags and pieces holds, and how sure they are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from t5coref.core.document import Confidence, Relation, Span
from t5coref.core.segment import INSERTED
from t5coref.core.transcript import Pair
from t5coref.linearize.base import Answer, Turn


class Found(NamedTuple):
    """A mention of an output: half-open piece offsets, its cluster's number, how sure it is.

    `type` is the entity type that it was written with, if any.
    """

    start: int
    end: int
    cluster: int
    confidence: Confidence
    type: str | None = None


class Reading(NamedTuple):
    """What one window's output says of the document.

    Attributes:
      clusters: of word spans, by cluster number.
      confidences: of the spans; the surest, where a span was found twice.
      numbers: of the clusters in the output.
      types: how many mentions of each cluster were written with which entity type.
      relations: between positions in `clusters`.
      split: split antecedents, (anaphor, antecedent) positions in `clusters`.
    """

    clusters: list[list[Span]]
    confidences: dict[Span, Confidence]
    numbers: Sequence[int] = ()
    types: Sequence[Counter[str]] = ()
    relations: Sequence[Relation] = ()
    split: Sequence[tuple[int, int]] = ()


@dataclass
class Numbers:
    """The cluster numbers of an output: those used before and the next new one may be given."""

    _used: set[int] = field(default_factory=set)
    _next: int = 0

    def admit(self, number: int | None, new: bool | None = None) -> bool:
        """Uses a number and says whether it might be.

        Args:
          number: None = none could be read.
          new: whether it is said to be that of a new cluster; None = the output says nothing of it.
        """
        if number is None:
            return False
        known = number in self._used
        fits = (known or number == self._next) if new is None else known != new
        self._used.add(number)
        while self._next in self._used:
            self._next += 1
        return fits


@dataclass
class Brackets:
    """The open mentions while an output is read; any sequence can be read.

    A mention without text or number is dropped, and so is one that is never closed.

    Attributes:
      pieces: the text.
      found: the mentions.
      pairs: all that was opened and closed, see `core.transcript`.
      stray: symbols that belong to no pair.
      ended: whether `</s>` came.
    """

    pieces: list[int] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    stray: int = 0
    ended: bool = False
    _numbers: Numbers = field(default_factory=Numbers)
    _open: list[tuple[int, float]] = field(default_factory=list)
    _closed: bool = False
    _labeled: bool = False

    @property
    def depth(self) -> int:
        """Open mentions."""
        return len(self._open)

    def open(self, log_prob: float) -> None:
        """A mention begins before the next piece."""
        self._open.append((len(self.pieces), log_prob))

    def close(
        self,
        cluster: int | None,
        end_log_prob: float,
        link_log_prob: float,
        type: str | None = None,
        *,
        new: bool | None = None,
    ) -> None:
        """The innermost mention ends behind the last piece; `new`: see `Numbers`."""
        self._closed = self._labeled = False
        if not self._open:
            self.stray += 1
            return
        start, begin_log_prob = self._open.pop()
        legal = self._numbers.admit(cluster, new)
        self.pairs.append(Pair(start, len(self.pieces), cluster, legal))
        if cluster is not None and start < len(self.pieces):
            sure = Confidence(math.exp(begin_log_prob + end_log_prob), math.exp(link_log_prob))
            self.found.append(Found(start, len(self.pieces), cluster, sure, type))
            self._closed = True

    def label(self, type: str | None) -> None:
        """The mention that was closed last has an entity type, if it is kept."""
        if self._closed:
            self.found[-1] = self.found[-1]._replace(type=type)
        self.stray += self._labeled or not self._closed
        self._labeled = True


def outermost(found: Iterable[Found]) -> list[Span]:
    """The half-open spans of the mentions that lie within no other, in order."""
    out: list[Span] = []
    for m in sorted(found, key=lambda m: (m.start, -m.end)):
        if not out or m.start >= out[-1][1]:
            out.append((m.start, m.end))
    return out


def tokens(answer: Answer) -> Iterator[tuple[int, float]]:
    """The answer's actions with their log-probabilities, 0 where no model chose."""
    log_probs = answer.log_probs
    sure = np.zeros(len(answer.actions)) if log_probs is None else log_probs
    yield from zip(answer.actions.tolist(), sure.tolist(), strict=True)


def to_words(turn: Turn, start: int, end: int) -> Span | None:
    """The half-open word span of the pieces `start .. end - 1`; None if they touch no word."""
    words = turn.word[start:end]
    words = words[words != INSERTED]
    return (int(words[0]), int(words[-1]) + 1) if len(words) else None


def in_words(
    turn: Turn,
    found: Iterable[Found],
    to_source: Callable[[int, int], Span | None] | None = None,
) -> Reading:
    """The mentions as word spans; those without a word are dropped.

    Args:
      turn: the window.
      found: mentions in offsets of the output's pieces.
      to_source: the half-open span of the source's pieces for a span of the output's; None = they
        are the same.
    """
    clusters: dict[int, list[Span]] = {}
    types: dict[int, Counter[str]] = {}
    confidences: dict[Span, Confidence] = {}
    for m in found:
        pieces = to_source(m.start, m.end) if to_source else (m.start, m.end)
        span = to_words(turn, *pieces) if pieces else None
        if span is not None:
            clusters.setdefault(m.cluster, []).append(span)
            confidences[span] = max(m.confidence, confidences.get(span, m.confidence))
            seen = types.setdefault(m.cluster, Counter())
            if m.type is not None:
                seen[m.type] += 1
    numbers = sorted(clusters)
    return Reading(
        [clusters[k] for k in numbers], confidences, numbers, [types[k] for k in numbers]
    )


def aligned(matched: np.ndarray) -> Callable[[int, int], Span | None]:
    """From output to source by an alignment: from the first to the last matched piece.

    Args:
      matched: `int32[output pieces]` source position of each, -1 where there is none.
    """

    def to_source(start: int, end: int) -> Span | None:
        spots = matched[start:end]
        spots = spots[spots >= 0]
        return (int(spots[0]), int(spots[-1]) + 1) if len(spots) else None

    return to_source

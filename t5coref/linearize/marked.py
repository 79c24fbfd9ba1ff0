"""Windows whose source has marks around mentions: `<m0> Anna </m> left <m1> Rome </m> </s>`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from t5coref.core.document import Annotation, Document, Span
from t5coref.core.errors import ConfigError
from t5coref.core.given_mentions import given
from t5coref.core.segment import INSERTED, Pieces, windows
from t5coref.linearize import mentions as m
from t5coref.linearize.base import Turn
from t5coref.linearize.windowed import Windows

LIMIT = 500
OPENINGS = tuple(f"<m{k}>" for k in range(LIMIT))
CLOSING = "</m>"


class MarkedWindows(Windows):
    """A format whose source says where mentions begin and end.

    `make_rules` calls `look_up_marks`.
    """

    def look_up_marks(self, count: int) -> None:
        """Finds `</m>` and the first `count` opening marks in the tokenizer."""
        self.close = self.tokenizer.symbol(CLOSING)
        self.openings = [self.tokenizer.symbol(name) for name in OPENINGS[:count]]
        self.number_of = {token: k for k, token in enumerate(self.openings)}

    def behind_mark(self, mention: m.Mention) -> list[int]:
        """Tokens that stand between an opening mark and the mention's text, such as its type."""
        del mention
        return []

    def cut(
        self, pieces: Pieces, kept: Sequence[m.Mention], at_most: int | None = None
    ) -> list[tuple[Span, list[m.Mention]]]:
        """The windows in pieces of the document, and the mentions that each holds whole.

        A window has room for the marks of its mentions. Windows overlap as those of `Windows` do.

        Args:
          pieces: the document.
          kept: nested mentions of the whole document.
          at_most: mentions of a window; where one would hold more, the document's windows are
            shorter. None = any number.
        """
        closing = [k.end for k in reversed(kept)]  # of those that end together the innermost first
        opening = [(k.start, i) for i, k in enumerate(kept) for _ in (0, *self.behind_mark(k))]
        at = np.asarray([*closing, *(start for start, _ in opening)], np.int32)
        # A sentence ends behind the marks of the mentions that end with it.
        ends = [bool(pieces.sentence_end[p - 1]) for p in closing] + [False] * len(opening)
        with_marks = Pieces(
            np.insert(pieces.ids, at, self.close),
            np.insert(pieces.word, at, INSERTED),
            np.insert(pieces.sentence_end, at, ends),
            np.insert(pieces.word_end, at, True),
            pieces.bounds,
        )
        place = np.empty_like(at)  # of each mark among pieces and marks
        order = np.argsort(at, kind="stable")
        place[order] = at[order] + np.arange(len(at), dtype=np.int32)
        last = place[: len(kept)][::-1].tolist()
        first: dict[int, int] = {}
        for (_, i), spot in zip(opening, place[len(kept) :].tolist(), strict=True):
            first.setdefault(i, spot)
        real = np.insert(np.ones(len(pieces), np.int32), at, 0)
        before = [0, *np.cumsum(real).tolist()]
        length, stride = self.window, self.stride
        while True:
            found = [
                (
                    (before[start], before[end]),
                    [k for i, k in enumerate(kept) if start <= first[i] and last[i] < end],
                )
                for start, end in windows(with_marks, length, stride, suffixes=self.suffixes)
                if before[start] < before[end]
            ]
            if at_most is None or all(len(inside) <= at_most for _, inside in found):
                return found
            # A mention takes three places at least, so that this comes to an end.
            length = length * 3 // 4
            stride = min(stride, max(1, length // 2))

    def with_marks(self, turn: Turn, numbered: Sequence[tuple[m.Mention, int]]) -> Turn:
        """The turn with marks around its mentions, which have these numbers.

        Args:
          turn: the window.
          numbered: mentions in pieces of the window; of one span, the one that closes last opens
            first.
        """
        marks: list[list[int]] = [[] for _ in range(len(turn.source))]
        for mention, _ in numbered:
            marks[mention.end].append(self.close)
        # The outer one of two opens first; of one span that which closes last.
        for mention, number in sorted(numbered, key=lambda c: (-c[0].end, -c[1])):
            marks[mention.start] += [self.openings[number], *self.behind_mark(mention)]
        at = [position for position, tokens in enumerate(marks) for _ in tokens]
        tokens = [token for tokens in marks for token in tokens]
        return replace(
            turn,
            source=np.insert(turn.source, at, tokens).astype(np.int32),
            word=np.insert(turn.word, at, INSERTED).astype(np.int32),
        )

    def without_marks(self, turn: Turn) -> tuple[Turn, list[tuple[Span, int]]]:
        """The turn as it was, and the marked spans of its pieces with their numbers.

        Spans come in closing order.
        """
        found: list[tuple[Span, int]] = []
        open_: list[tuple[int, int]] = []
        kept: list[int] = []
        for position, token in enumerate(turn.source.tolist()):
            if token in self.number_of:
                open_.append((len(kept), self.number_of[token]))
            elif token == self.close:
                start, opened = open_.pop()
                found.append(((start, len(kept)), opened))
            elif not self.is_mark(token):
                kept.append(position)
        return replace(turn, source=turn.source[kept], word=turn.word[kept]), found

    def is_mark(self, token: int) -> bool:
        """Whether a token of a source stands for no piece of the document."""
        return token == self.close or token in self.number_of


class Marked(NamedTuple):
    """A window whose mentions have handles: mention k is marked `<mk> ... </m>`.

    Attributes:
      turn: whose source has the marks.
      spans: `[n]` half-open words of each handle, in reading order.
      slots: `[n]` the handles in the order of their closing marks.
    """

    turn: Turn
    spans: list[Span]
    slots: list[int]


class MentionGiven(MarkedWindows):
    """A format that is told the mentions (`core.given_mentions`) and says which belong together.

    Handles count the mentions of a window in reading order. Of crossing mentions the later one has
    no handle, nor has one that lies deeper than `max_depth`; a window with more mentions than there
    are handles is divided.

    Args:
      tokenizer: with the format's symbols.
      max_mentions: handles of a window.
      **options: those of `Windows`.
    """

    needs_mentions = True

    def __init__(self, tokenizer, *, max_mentions: int = LIMIT, **options):
        if not 1 <= max_mentions <= LIMIT:
            raise ConfigError(
                f"max_mentions is {max_mentions}; expected 1 to {LIMIT}, for which there are "
                "symbols"
            )
        self.max_mentions = max_mentions
        super().__init__(tokenizer, **options)

    def split(self, doc: Document) -> list[Turn]:
        """The windows of a document, its mentions marked."""
        return [window.turn for window in self.marked(doc)]

    def marked(self, doc: Document) -> list[Marked]:
        """The windows with their handles.

        Raises:
          MismatchError: the document gives no mentions.
        """
        spans = given(doc).spans
        pieces = self.pieces(doc)
        (whole,) = m.window_turns(doc.doc_id, pieces, [(0, len(pieces))], self.tokenizer.eos_id)
        # A cluster of its own for each: `cluster` is the mention's number in the document.
        alone = Annotation(tuple((span,) for span in spans))
        kept = m.nested(m.in_window(whole, alone), self.max_depth)
        out = []
        for (start, end), inside in self.cut(pieces, kept, self.max_mentions):
            (turn,) = m.window_turns(doc.doc_id, pieces, [(start, end)], self.tokenizer.eos_id)
            numbered = [
                (replace(k, start=k.start - start, end=k.end - start), number)
                for number, k in enumerate(inside)
            ]
            turn = replace(self.with_marks(turn, numbered), index=len(out))
            slots = [number for _, number in self.without_marks(turn)[1]]
            out.append(Marked(turn, [spans[k.cluster] for k in inside], slots))
        return out

    def clusters_of(self, turn: Turn, gold: Annotation) -> list[int | None]:
        """`[n]` the gold cluster of each handle; None where it is no gold mention.

        Of a span in several clusters, the first one counts.
        """
        without, marked = self.without_marks(turn)
        cluster: dict[Span, int] = {}
        for mention in m.in_window(without, gold):
            span = mention.start, mention.end
            cluster[span] = min(mention.cluster, cluster.get(span, mention.cluster))
        found = {number: cluster.get(span) for span, number in marked}
        return [found[number] for number in range(len(found))]

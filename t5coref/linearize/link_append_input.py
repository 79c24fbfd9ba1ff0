"""What a model reads for one sentence of link-append, and where the words of it stand.

`coref: wb _Ann_ [1 She ] saw it . | _Bo_ It saw her . ** _ No .`: genre, the left context with a
bracket around every mention that has a cluster, the sentence in question between `|` and `**`, the
right context; each sentence behind its speaker. A *token* is a word, a speaker or a mark. A *cell*
is a stretch of text without blanks, as it comes back out of pieces: a token has one, as a rule.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from t5coref.core.document import Document, Span
from t5coref.core.errors import ConfigError
from t5coref.core.segment import INSERTED
from t5coref.linearize.base import PieceEncoder

TASK, BAR, STOP, SHUT = "coref:", "|", "**", "]"
HASH, ARROW, AND = "##", "->", ";;"
SEPARATORS = (HASH, ARROW, AND)

GENRE = "genre"
"""Key of `Document.extra`; without it, the genre is the first part of an OntoNotes name."""

ONTONOTES = ("bc", "bn", "mz", "nw", "pt", "tc", "wb")
UNKNOWN_SPEAKER = "_"
UNSEEN = "?"  # stands for a word of which the vocabulary sees nothing

_BLANK = "▁"


class Token(NamedTuple):
    """A token of an input."""

    ids: tuple[int, ...]
    cells: tuple[str, ...]
    word: int = INSERTED


class Spelling:
    """Tokens as pieces, and pieces as cells.

    Args:
      tokenizer: any T5's or mT5's.
      longest: pieces of a token at most; what lies behind is cut off.

    Raises:
      ConfigError: the vocabulary cannot spell the marks.
    """

    def __init__(self, tokenizer: PieceEncoder, longest: int):
        self._tokenizer, self._longest = tokenizer, longest
        self._known: dict[str, Token] = {}
        self._opening: dict[int, Token] = {}
        marks = (TASK, BAR, STOP, SHUT, *SEPARATORS, "[0123456789")
        if lost := [m for m in marks if self.cells(tokenizer.encode(m)) != [m]]:
            raise ConfigError(
                f"the vocabulary cannot spell {' '.join(lost)}, which link-append writes; expected "
                "that of a T5 or mT5, or one trained on text that has these characters"
            )

    def cells(self, ids: Iterable[int]) -> list[str]:
        """The text of pieces, cut at its blanks."""
        return "".join(map(self._tokenizer.piece, ids)).replace(_BLANK, " ").split()

    def token(self, text: str) -> Token:
        """A speaker or a mark."""
        if text not in self._known:
            ids = self._tokenizer.encode(text)[: self._longest]
            self._known[text] = Token(tuple(ids), tuple(self.cells(ids)))
        return self._known[text]

    def word(self, text: str, word: int) -> Token:
        """A word; none is empty, and none looks like one of the three separators."""
        token = self.token(text)
        if not token.cells:
            token = self.token(UNSEEN)
        elif not set(SEPARATORS).isdisjoint(token.cells):
            token = self.token(" ".join(c + c[-1] if c in SEPARATORS else c for c in token.cells))
        return token._replace(word=word)

    def opening(self, number: int) -> Token:
        """The mark before a mention of a cluster."""
        if number not in self._opening:
            self._opening[number] = self.token(f"[{number}")
        return self._opening[number]


def genre_of(doc: Document) -> str:
    """The genre that the model is told: that of OntoNotes, else `wb` (text of the web)."""
    given = doc.extra.get(GENRE)
    if isinstance(given, str) and given.strip():
        return "_".join(given.split())
    first = doc.doc_id.partition("/")[0]
    return first if first in ONTONOTES else "wb"


def speaker_of(name: str | None) -> str:
    """A speaker's name as one token: `_Ann_Lee_`, and `_` where it is not known."""
    joined = re.sub(r"\s", "_", (name or "").strip())
    if joined.strip("_-") == "":
        return UNKNOWN_SPEAKER
    return "_" * (not joined.startswith("_")) + joined + "_" * (not joined.endswith("_"))


@dataclass(frozen=True)
class Unit:
    """What one turn asks about: a sentence, or a part of one that is too long.

    Attributes:
      words: half-open.
      tokens: its own, a speaker first where a sentence begins.
      pieces: of the tokens.
    """

    words: Span
    tokens: tuple[Token, ...]
    pieces: int


def units(doc: Document, spelling: Spelling, longest: int) -> list[Unit]:
    """The sentences of a document, those of more than `longest` pieces cut between words."""
    out: list[Unit] = []
    for start, end in doc.sentences:
        name = doc.speakers[start] if doc.speakers is not None else None
        tokens, pieces, at = [spelling.token(speaker_of(name))], 0, start
        pieces = len(tokens[0].ids)
        for i in range(start, end):
            token = spelling.word(doc.words[i], i)
            if i > at and pieces + len(token.ids) > longest:
                out.append(Unit((at, i), tuple(tokens), pieces))
                tokens, pieces, at = [], 0, i
            tokens.append(token)
            pieces += len(token.ids)
        out.append(Unit((at, end), tuple(tokens), pieces))
    return out


@dataclass
class Brackets:
    """The mentions that have a cluster, as marks around words."""

    opens: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    shuts: dict[int, int] = field(default_factory=dict)

    def add(self, span: Span, number: int) -> None:
        """A mention; of those that begin together the longest opens first."""
        start, end = span
        self.opens.setdefault(start, []).append((-end, number))
        self.opens[start].sort()
        self.shuts[end - 1] = self.shuts.get(end - 1, 0) + 1

    def around(self, token: Token, spelling: Spelling) -> list[Token]:
        """A token with its marks."""
        opening = [spelling.opening(number) for _, number in self.opens.get(token.word, ())]
        return [*opening, token, *[spelling.token(SHUT)] * self.shuts.get(token.word, 0)]


@dataclass(frozen=True, eq=False)
class View:
    """One input, token by token.

    Attributes:
      tokens: all of them, without `</s>`.
      focus: half-open tokens of the sentence in question, its speaker included.
    """

    tokens: Sequence[Token]
    focus: tuple[int, int]

    @cached_property
    def cells(self) -> list[str]:
        """The cells of all tokens."""
        return list(itertools.chain.from_iterable(token.cells for token in self.tokens))

    @cached_property
    def ends(self) -> list[int]:
        """The cell behind each token."""
        return list(itertools.accumulate(len(token.cells) for token in self.tokens))

    @cached_property
    def place(self) -> Mapping[int, int]:
        """The token of each word."""
        return {t.word: i for i, t in enumerate(self.tokens) if t.word != INSERTED}

    @property
    def stop(self) -> int:
        """Cells up to `**`, which is included."""
        return self.ends[self.focus[1]]

    def begin(self, word: int) -> int:
        """The first cell of a word."""
        at = self.place[word]
        return self.ends[at] - len(self.tokens[at].cells)

    def _between(self, start: int, end: int) -> Span | None:
        """The word span of half-open cells; None if they begin or end within a token or a mark."""
        first, last = bisect.bisect_right(self.ends, start), bisect.bisect_left(self.ends, end)
        whole = self.ends[first] - len(self.tokens[first].cells) == start and self.ends[last] == end
        words = self.tokens[first].word, self.tokens[last].word
        return (words[0], words[1] + 1) if whole and INSERTED not in words else None

    @cached_property
    def _at(self) -> dict[str, list[int]]:
        """Where a cell stands."""
        at: dict[str, list[int]] = {}
        for i, cell in enumerate(self.cells):
            at.setdefault(cell, []).append(i)
        return at

    def find(self, text: Sequence[str], context: Sequence[str]) -> list[Span]:
        """The word spans whose cells are `text`, followed by `context`, in their order.

        Only what begins and ends with a word, at `**` or before. Where there is none, a context
        that goes on behind `**` is cut there.
        """
        found = self._matches(text, context)
        if not found and STOP in context:
            found = self._matches(text, [*context[: context.index(STOP)], STOP])
        return found

    def _matches(self, text: Sequence[str], context: Sequence[str]) -> list[Span]:
        whole = [*text, *context]
        out: list[Span] = []
        for at in self._at.get(text[0], ()):
            if at + len(text) <= self.stop and self.cells[at : at + len(whole)] == whole:
                span = self._between(at, at + len(text))
                out += [] if span is None else [span]
        return out

    def stretch(self, span: Span) -> tuple[Sequence[Token], Sequence[Token]] | None:
        """The tokens of a mention, marks within it included, and the three that follow it.

        None if some of it does not stand here.
        """
        first, last = self.place.get(span[0]), self.place.get(span[1] - 1)
        if first is None or last is None:
            return None
        return self.tokens[first : last + 1], self.tokens[last + 1 : last + 4]

    def source(self, eos_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and words of all pieces, `</s>` last: `int32[S]` each."""
        ids = list(itertools.chain.from_iterable(token.ids for token in self.tokens))
        sizes = [len(token.ids) for token in self.tokens]
        words = np.repeat([token.word for token in self.tokens], sizes)
        return (
            np.asarray([*ids, eos_id], np.int32),
            np.append(words, INSERTED).astype(np.int32),
        )


class Inputs:
    """The inputs of a document, one a unit.

    Args:
      doc: the document.
      spelling: of tokens.
      window: pieces of an input at most, `</s>` included.
    """

    def __init__(self, doc: Document, spelling: Spelling, window: int):
        self._spelling, self._window = spelling, window
        self.units = units(doc, spelling, window // 2)
        self._head = (spelling.token(TASK), spelling.token(genre_of(doc)))
        self._tokens = list(itertools.chain.from_iterable(unit.tokens for unit in self.units))
        self._place = {t.word: i for i, t in enumerate(self._tokens) if t.word != INSERTED}
        self._first = [0, *itertools.accumulate(len(unit.tokens) for unit in self.units)]

    def view(self, number: int, brackets: Brackets) -> View:
        """The input of a unit: as much left context as fits, then whole units of right context."""
        unit, spell = self.units[number], self._spelling.token
        frame = [*self._head, spell(BAR), spell(STOP)]
        room = self._window - 1 - unit.pieces - _pieces(frame)
        places = sorted(map(self._place.__getitem__, {*brackets.opens, *brackets.shuts}))
        marked = {i: brackets.around(self._tokens[i], self._spelling) for i in places}
        end = start = self._first[number]
        while start:
            token = marked.get(start - 1)
            size = len(self._tokens[start - 1].ids) if token is None else _pieces(token)
            if size > room:
                break
            room, start = room - size, start - 1
        tokens = [*self._head]
        at = start
        for i in places:
            if start <= i < end:
                tokens += [*self._tokens[at:i], *marked[i]]
                at = i + 1
        tokens += [*self._tokens[at:end], spell(BAR)]
        begin = len(tokens)
        tokens += [*unit.tokens, spell(STOP)]
        if start == 0:
            for other in self.units[number + 1 :]:
                room -= other.pieces
                if room < 0:
                    break
                tokens += other.tokens
        return View(tokens, (begin, begin + len(unit.tokens)))


def _pieces(tokens: Iterable[Token]) -> int:
    return sum(len(token.ids) for token in tokens)

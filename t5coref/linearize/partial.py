"""partial: only the mentions, sentence by sentence: `<sentence> <m> the dog | 0 </m> </sentence>`.

Zhang, Wiseman, Stratos (EMNLP 2023), the partial linearization. Outputs are short, so a mention's
place has to be found again: the strict constraint writes only text that the sentence still has, in
its order, and reading back finds it there; other output is aligned with the source.
`partial-unmarked` has no sentence marks; the whole window is like one sentence.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from t5coref.core.align import UNALIGNED, affine_alignment
from t5coref.core.document import Document
from t5coref.core.rules import (
    DONE,
    NUMBER,
    OPENED,
    PIECE,
    TEXT,
    Cell,
    Due,
    Effect,
    Guard,
    Rules,
)
from t5coref.core.segment import INSERTED, Pieces
from t5coref.core.symbols import INTEGER_SYMBOLS
from t5coref.core.transcript import Transcript
from t5coref.linearize.base import Answer, Turn
from t5coref.linearize.full_token import without_separator
from t5coref.linearize.integers import (
    CLOSE,
    COPY,
    OPEN,
    SEPARATE,
    SPELL,
    Integers,
    reference_rules,
    spots,
    strict_rules,
)
from t5coref.linearize.mentions import Mention
from t5coref.linearize.reading import Found, Reading, aligned, in_words, outermost
from t5coref.linearize.transcribe import written
from t5coref.linearize.windowed import REFERENCE, STRICT, Windowed, Written

# Modes of the published constraint beside TEXT, which is outside of sentences.
INNER, INNER_NUMBER, OUTER_NUMBER = NUMBER, NUMBER + 1, NUMBER + 2


class Partial(Windowed):
    """Mentions alone, between the sentence marks of the source."""

    name: ClassVar[str] = "partial"
    symbols: tuple[str, ...] = (*INTEGER_SYMBOLS, "<sentence>", "</sentence>")

    @property
    def sentence_marks(self) -> tuple[int, ...]:
        """Start and end mark of a sentence."""
        return self.tokenizer.symbol("<sentence>"), self.tokenizer.symbol("</sentence>")

    def make_rules(self) -> Rules:
        """See `Windowed.make_rules`."""
        self.integers = Integers(self.tokenizer, self.max_clusters)
        marks = (*self.sentence_marks, self.tokenizer.eos_id)
        inventory = self.integers.inventory(PIECE, *marks)
        first = SPELL + len(self.integers.trie.pieces)
        flags = {"spread": True, "literal": True}
        if self.constraint == REFERENCE:
            return self._reference_rules(first, flags)
        divided = Guard.MARK | Guard.OUTSIDE
        *between, end = range(first, first + len(marks))
        cells = [
            # The first piece of a mention is owed to its opening tag, the others are extra.
            Cell(OPENED, COPY, TEXT, Guard.MORE | Guard.INSIDE, 0),
            Cell(TEXT, COPY, TEXT, Guard.MORE | Guard.INSIDE, 1),
            *(Cell(TEXT, mark, TEXT, divided) for mark in between),
            Cell(TEXT, end, DONE, divided),
        ]
        return strict_rules(
            self.integers,
            inventory,
            self.integers.effects(*([Effect.PASSES] * len(marks))),
            cells,
            max_depth=self.max_depth,
            due=Due(piece=0, mark=1),
            marks=marks,
            **flags,
        )

    def _reference_rules(self, first: int, flags: dict[str, bool]) -> Rules:
        """Inside a sentence any of its pieces may be written, also within numbers.

        Without sentence marks the published decoder has no constraint; the table is that of one
        sentence then.
        """
        marks = (*self.sentence_marks, self.tokenizer.eos_id)
        numbers = range(SPELL, first)
        *between, end = range(first, first + len(marks))
        inner, number = (INNER, INNER_NUMBER) if between else (TEXT, INNER_NUMBER)
        cells = [
            Cell(inner, OPEN, inner),
            Cell(inner, SEPARATE, number, Guard.INSIDE),
            Cell(number, CLOSE, inner),
            *(Cell(number, a, number) for a in numbers),
            *(Cell(mode, COPY, mode) for mode in (inner, number)),
            # `</s>` stands among the pieces of the last sentence, and is written as one of them.
            *(Cell(mode, end, DONE, Guard.LAST) for mode in (inner, number)),
        ]
        if between:
            start, finish = between
            cells += [
                Cell(TEXT, start, inner, Guard.MARK),
                Cell(OUTER_NUMBER, start, number, Guard.MARK),
                Cell(inner, finish, TEXT),
                Cell(number, finish, OUTER_NUMBER),
                *(Cell(mode, OPEN, mode, Guard.MARKED) for mode in (TEXT, OUTER_NUMBER)),
                *(Cell(mode, end, DONE, Guard.UNMARKED) for mode in (TEXT, OUTER_NUMBER)),
            ]
        nothing = [Effect(0)] * (1 + len(numbers))
        passing = [Effect.PASSES, Effect(0)] if between else []
        return reference_rules(
            self.integers,
            self.integers.inventory(PIECE, *marks),
            cells,
            effects=[Effect(0), Effect.OPENS, Effect.SHUTS, *nothing, *passing, Effect(0)],
            marks=self.sentence_marks[:1],
            **flags,
        )

    def pieces(self, doc: Document) -> Pieces:
        """The document with its sentence marks."""
        pieces = super().pieces(doc)
        if self.constraint == STRICT:
            pieces = without_separator(self.tokenizer, pieces)
        return pieces.marked(*self.sentence_marks) if self.sentence_marks else pieces

    def holds(self, turn: Turn, mention: Mention) -> bool:
        """See `Windowed.holds`; the strict constraint keeps mentions within sentences."""
        inside = turn.source[mention.start : mention.end]
        return self.constraint != STRICT or not np.isin(inside, self.sentence_marks).any()

    def write(self, turn: Turn, closings: list[tuple[Mention, int]]) -> list[Written]:
        """See `Windowed.write`."""
        marks = np.isin(turn.source, self.sentence_marks)
        length = len(turn.source)
        opening, closing = spots(length, closings)
        depth, out = 0, []
        for position in range(length):
            for number in closing[position]:
                out += [Written(t, position) for t in self.integers.closing(number)]
            depth -= len(closing[position])
            out += [Written(self.integers.open, position + 1)] * opening[position]
            depth += opening[position]
            if depth or marks[position] or position == length - 1:
                out.append(Written(int(turn.source[position]), position + 1))
        return out

    def read(self, turn: Turn, answer: Answer) -> Reading:
        """Finds the text of the output in the source.

        Under the strict constraint every outermost mention is a stretch of it: the last one before
        the next mention's. Other output is aligned sentence by sentence, or as a whole where the
        numbers of sentences differ.
        """
        read = self.integers.read(turn, answer, None)
        pieces = np.asarray(read.pieces, np.int32)
        return in_words(turn, read.found, aligned(self._matched(turn, pieces, read.found)))

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """See `Windowed.transcript`; the marks of sentences are text that every output has."""
        read = self.integers.read(turn, answer, None)
        made = written(self.tokenizer, turn, read)
        pieces = np.asarray(read.pieces, np.int32)
        matched = self._matched(turn, pieces, read.found)[: len(made.output)]
        return replace(
            made,
            texts=None,
            places=np.where(matched < len(made.source), matched, UNALIGNED),
            required=np.isin(made.source, self.sentence_marks),
        )

    def _matched(self, turn: Turn, pieces: np.ndarray, found: list[Found]) -> np.ndarray:
        """The source position of each piece of an output, -1 where there is none."""
        cuts = [self._starts(turn.source), self._starts(pieces)]
        if len(cuts[0]) != len(cuts[1]):
            cuts = [[0], [0]]
        elif self.constraint == STRICT:
            # Nothing keeps a model from beginning a mention within a word.
            for whole in (True, False):
                placed = self._placed(turn, pieces, found, whole)
                if placed is not None:
                    return placed
        matched = np.full(len(pieces), -1, np.int32)
        bounds = [
            zip(starts, [*starts[1:], len(row)], strict=True)
            for starts, row in zip(cuts, (turn.source, pieces), strict=True)
        ]
        for (low, high), (at, to) in zip(*bounds, strict=True):
            part = affine_alignment(turn.source[low:high], pieces[at:to])
            matched[at:to] = np.where(part >= 0, part + low, -1)
        return matched

    def _placed(
        self, turn: Turn, pieces: np.ndarray, found: list[Found], whole: bool
    ) -> np.ndarray | None:
        """The source position of each piece of a mark or mention, from the last one to the first.

        None if they have no places: each before the next one's, mentions as whole words if `whole`.
        """
        changes = np.diff(turn.word, prepend=INSERTED - 1, append=INSERTED - 1) != 0
        begins, ends = (row & (turn.word != INSERTED) for row in (changes[:-1], changes[1:]))
        is_mark = np.isin(pieces, self.rules.marks)
        stretches = [*outermost(found), *((i, i + 1) for i in np.flatnonzero(is_mark).tolist())]
        matched = np.full(len(pieces), -1, np.int32)
        limit = len(turn.source)
        for at, to in sorted(stretches, reverse=True):
            text = pieces[at:to]
            for start in range(limit - len(text), -1, -1):
                end = start + len(text)
                fits = not whole or is_mark[at] or (begins[start] and ends[end - 1])
                if fits and np.array_equal(turn.source[start:end], text):
                    break
            else:
                return None
            matched[at:to] = np.arange(start, end)
            limit = start
        return matched

    def _starts(self, row: np.ndarray) -> list[int]:
        """Where the sentences of a row begin; the first one begins at 0."""
        found = np.flatnonzero(np.isin(row, self.sentence_marks[:1])).tolist()
        return found if found[:1] == [0] else [0, *found]


class PartialUnmarked(Partial):
    """Mentions alone, without sentence marks."""

    name = "partial-unmarked"
    symbols = INTEGER_SYMBOLS

    @property
    def sentence_marks(self) -> tuple[int, ...]:
        """None."""
        return ()

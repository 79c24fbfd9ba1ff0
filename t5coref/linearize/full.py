"""What the formats that write the whole source with integers have in common."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from t5coref.core.align import edit_alignment
from t5coref.core.rules import NUMBER, OPENED, PIECE, TEXT, Cell, Due, Effect, Guard, Rules
from t5coref.core.symbols import INTEGER_SYMBOLS
from t5coref.core.transcript import Transcript
from t5coref.linearize.base import Actions, Answer, Turn
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
from t5coref.linearize.reading import Brackets, Reading, aligned, in_words
from t5coref.linearize.transcribe import copied, written
from t5coref.linearize.windowed import REFERENCE, Windowed, Written


class WholeText(Windowed):
    """`<m> the dog | 0 </m> saw <m> it | 0 </m>`, where formats differ in how pieces are written.

    Subclasses say whether a copied piece is written as itself or as `<copy>`.
    """

    symbols: tuple[str, ...] = INTEGER_SYMBOLS
    flags: ClassVar[dict[str, bool]] = {}
    """Of `Rules`."""

    @property
    def copy_id(self) -> int:
        """What a copied piece is written as; PIECE = itself."""
        return PIECE if self.flags.get("literal") else self.tokenizer.symbol("<copy>")

    def make_rules(self) -> Rules:
        """See `Windowed.make_rules`."""
        self.integers = Integers(self.tokenizer, self.max_clusters)
        marks = (self.tokenizer.eos_id,)
        ending = self.ending_cells()
        inventory = self.integers.inventory(self.copy_id, *(marks if ending else ()))
        end_effects = [Effect.ADVANCE] if ending else []
        copying = Guard.MORE if ending else Guard.BALANCED
        if self.constraint == REFERENCE:
            numbers = range(SPELL, SPELL + len(self.integers.trie.pieces))
            cells = [
                Cell(TEXT, COPY, TEXT, Guard.MORE if ending else Guard(0)),
                Cell(TEXT, OPEN, TEXT, Guard.MORE),
                Cell(TEXT, SEPARATE, NUMBER, Guard.INSIDE | Guard.MORE),
                *(Cell(NUMBER, a, NUMBER) for a in numbers),
                Cell(NUMBER, CLOSE, TEXT),
                *(c._replace(guard=Guard.LAST) for c in ending),
            ]
            nothing = [Effect(0)] * (1 + len(numbers))
            # Published: a mention counts as closed from its separator on.
            effects = [Effect.ADVANCE, Effect.OPENS, Effect.SHUTS, *nothing, *end_effects]
            return reference_rules(
                self.integers,
                inventory,
                cells,
                effects=effects,
                marks=marks,
                **self.flags,
            )
        cells = [Cell(mode, COPY, TEXT, copying) for mode in (TEXT, OPENED)]
        return strict_rules(
            self.integers,
            inventory,
            self.integers.effects(*end_effects),
            [*cells, *ending],
            max_depth=self.max_depth,
            due=Due(piece=1, mark=1),
            marks=marks,
            **self.flags,
        )

    def ending_cells(self) -> list[Cell]:
        """The strict cells of writing `</s>`, where it is an action of its own."""
        return []

    def write(self, turn: Turn, closings: list[tuple[Mention, int]]) -> list[Written]:
        """See `Windowed.write`."""
        length = len(turn.source)
        opening, closing = spots(length, closings)
        written = self.copies(turn)
        out: list[Written] = []
        for position in range(length):
            for number in closing[position]:
                out += [Written(t, position) for t in self.integers.closing(number)]
            out += [Written(self.integers.open, position + 1)] * opening[position]
            out.append(Written(int(written[position]), position + 1))
        return out

    def copies(self, turn: Turn) -> Actions:
        """The action of each piece of the source, `int32[S]`."""
        return np.full_like(turn.source, self.copy_id)

    def feeds(self, turn: Turn, actions: Actions) -> np.ndarray:
        """The source piece instead of each copy action, everything else as it is."""
        feeds = np.array(actions, np.int32)
        copied = np.flatnonzero(feeds == self.copy_id)
        feeds[copied] = turn.source[np.arange(len(copied))]
        return feeds

    def read(self, turn: Turn, answer: Answer) -> Reading:
        """Pieces are counted; where they are not those of the source, they are aligned with it."""
        read = self.brackets(turn, answer)
        if not self.rules.literal or np.array_equal(read.pieces, turn.source[: len(read.pieces)]):
            return in_words(turn, read.found)
        matched = edit_alignment(turn.source, np.asarray(read.pieces, np.int32))
        return in_words(turn, read.found, aligned(matched))

    def brackets(self, turn: Turn, answer: Answer) -> Brackets:
        """The mentions of an output, in offsets of its own pieces."""
        return self.integers.read(turn, answer, None if self.rules.literal else self.copy_id)

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """See `Windowed.transcript`."""
        read = self.brackets(turn, answer)
        if self.rules.literal:
            return written(self.tokenizer, turn, read)
        return copied(self.tokenizer.eos_id, turn, read)

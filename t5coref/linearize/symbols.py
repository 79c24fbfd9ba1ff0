"""Clusters as symbols of their own, a new one for a cluster's first mention: the integer-free kin.

Zhang, Wiseman, Stratos, "Seq2seq is All You Need for Coreference Resolution" (EMNLP 2023).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError
from t5coref.core.rules import NEW, OPENED, TEXT, Cell, Due, Effect, Guard, Rules
from t5coref.core.symbols import Inventory
from t5coref.core.transcript import Transcript
from t5coref.linearize.base import Actions, Answer, Turn
from t5coref.linearize.integers import spots
from t5coref.linearize.mentions import Mention, in_window
from t5coref.linearize.reading import Brackets, Reading, in_words, tokens
from t5coref.linearize.transcribe import copied
from t5coref.linearize.windowed import REFERENCE, Windowed, Written

LIMIT = 500
"""Cluster symbols of the published checkpoints."""

COPY, OPEN, NEW_CLUSTER, FIRST = range(4)
"""Actions that every table begins with; the clusters from FIRST on, then other tags."""

SHUTS = Effect.SHUTS | Effect.COUNTS
"""What the symbol of a cluster does."""


class ClusterSymbols(Windowed):
    """The whole source as `<copy>`; one symbol says to which cluster a mention belongs.

    Subclasses name the symbols and say whether `</m>` comes before them.
    """

    cluster_symbols: ClassVar[tuple[str, ...]]
    end_symbol: ClassVar[str | None] = None
    types: Mapping[int, str | None] = MappingProxyType({})
    """The entity types by their tokens, one of which may stand behind the symbol of a cluster."""

    @property
    def choosing(self) -> int:
        """The mode in which the symbol of a cluster may follow."""
        return TEXT

    @abstractmethod
    def end_cells(self, end: int) -> list[Cell]:
        """The cells of the tag that ends a mention, if it is not the cluster's symbol."""

    def look_up(self) -> tuple[int, ...]:
        """Finds the symbols in the tokenizer: the vocabulary ids of the actions."""
        if self.max_clusters > LIMIT:
            raise ConfigError(
                f"max_clusters is {self.max_clusters}; expected at most {LIMIT}, for which there "
                "are symbols"
            )
        symbol = self.tokenizer.symbol
        self._copy, self._open, self._new = symbol("<copy>"), symbol("<m>"), symbol("</new>")
        self._end = None if self.end_symbol is None else symbol(self.end_symbol)
        self._clusters = [symbol(s) for s in self.cluster_symbols[: self.max_clusters]]
        self._number = {t: k for k, t in enumerate(self._clusters)}
        ends = [] if self._end is None else [self._end]
        return (self._copy, self._open, self._new, *self._clusters, *ends)

    def make_rules(self) -> Rules:
        """See `Windowed.make_rules`."""
        ids = self.look_up()
        inventory = Inventory(ids, tuple(self.tokenizer.piece(t) for t in ids))
        reference = self.constraint == REFERENCE
        end = FIRST + len(self._clusters)
        ends = len(ids) - end
        if reference and ends:
            # Published: a mention counts as closed from `</m>` on.
            choice, ending = Effect.COUNTS, [Effect.SHUTS]
        else:
            choice, ending = SHUTS, [Effect(0)] * ends
        effects = [Effect.ADVANCE, Effect.OPENS, choice, *([choice] * len(self._clusters)), *ending]
        return Rules.compile(
            inventory,
            effects,
            [*self.cells(reference), *self.end_cells(end)],
            copy=COPY,
            marks=(self.tokenizer.eos_id,),
            due=Due(0, 0) if reference else Due(piece=1, mark=1),
            max_depth=self.max_depth,
            max_clusters=self.max_clusters,
            number_ids=tuple(self._clusters),
            twinned=not reference,
            aliased=reference,
        )

    def cells(self, reference: bool) -> list[Cell]:
        """All but those of the tag that ends a mention."""
        inside = Guard.INSIDE if self.choosing == TEXT else Guard(0)
        numbers = range(self.max_clusters)
        if reference:
            inside |= Guard.MORE
            opening = [Cell(TEXT, OPEN, TEXT, Guard.MORE)]
            copying = [Cell(TEXT, COPY, TEXT)]
        else:
            inside |= Guard.FITS
            # An opening tag obliges to write itself, `</m>` if there is one, and a symbol.
            price = 2 + (self.end_symbol is not None)
            room = Guard.MORE | Guard.ROOM
            opening = [Cell(mode, OPEN, OPENED, room, price) for mode in (TEXT, OPENED)]
            copying = [Cell(mode, COPY, TEXT, Guard.BALANCED) for mode in (TEXT, OPENED)]
        known = inside | Guard.KNOWN
        return [
            *copying,
            *opening,
            Cell(self.choosing, NEW_CLUSTER, TEXT, inside | Guard.FITS, given=NEW),
            *(Cell(self.choosing, FIRST + k, TEXT, known, given=k) for k in numbers),
        ]

    def split(self, doc: Document) -> list[Turn]:
        """See `Windowed.split`; the published targets depend on the windows before."""
        turns = super().split(doc)
        if self.constraint == REFERENCE:
            turns = [replace(t, earlier=tuple(turns[:i])) for i, t in enumerate(turns)]
        return turns

    def write(self, turn: Turn, closings: list[tuple[Mention, int]]) -> list[Written]:
        """See `Windowed.write`."""
        return self._write(turn, closings, 0)

    def oracle(self, turn: Turn, gold: Annotation) -> Actions:
        """The gold actions.

        Under the reference constraint a cluster counts as new only if its number exceeds every
        number of the windows before: the published counter runs on over a document.
        """
        counts = [len({m.cluster for m in in_window(t, gold)}) for t in turn.earlier]
        script = self._write(turn, self._held(turn, gold), max(counts, default=0))
        return np.asarray([w.action for w in script], np.int32)

    def _write(
        self, turn: Turn, closings: list[tuple[Mention, int]], entities: int
    ) -> list[Written]:
        length = len(turn.source)
        opening, closing = spots(length, closings)
        out: list[Written] = []
        for position in range(length):
            for number in closing[position]:
                if self._end is not None:
                    out.append(Written(self._end, position))
                is_new = number >= entities
                out.append(Written(self._new if is_new else self._clusters[number], position))
                entities = max(entities, number + 1)
            out += [Written(self._open, position + 1)] * opening[position]
            out.append(Written(self._copy, position + 1))
        return out

    def feeds(self, turn: Turn, actions: Actions) -> np.ndarray:
        """The source piece instead of a copy action, the cluster's symbol instead of `</new>`."""
        feeds = np.array(actions, np.int32)
        copied = np.flatnonzero(feeds == self._copy)
        feeds[copied] = turn.source[np.arange(len(copied))]
        entities = 0
        for t in np.flatnonzero(np.isin(actions, [self._new, *self._clusters])):
            number = self._number.get(int(actions[t]), entities)
            entities = max(entities, number + 1)
            feeds[t] = self._clusters[number]
        return feeds

    def read(self, turn: Turn, answer: Answer) -> Reading:
        """Copies are counted; what follows that of `</s>` is not read."""
        return in_words(turn, self.brackets(turn, answer).found)

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """See `Windowed.transcript`."""
        return copied(self.tokenizer.eos_id, turn, self.brackets(turn, answer))

    def brackets(self, turn: Turn, answer: Answer) -> Brackets:
        """The mentions of an output, in offsets of its own pieces."""
        read, entities = Brackets(), 0
        open_ended = 0.0 if self._end is None else None
        ended = open_ended
        for token, log_prob in tokens(answer):
            waits = self._end is not None and ended is not None  # for a cluster
            if token == self._end:
                read.stray += waits
                ended = log_prob
                continue
            if (token == self._new or token in self._number) and ended is not None:
                number = self._number.get(token, entities)
                entities = max(entities, number + 1)
                new = token == self._new and number < self.max_clusters
                read.close(number, ended, log_prob, new=new)
                ended = open_ended
                continue
            read.stray += waits
            ended = open_ended
            if token == self._copy:
                read.pieces.append(token)
                if len(read.pieces) == len(turn.source):
                    read.ended = True
                    break
            elif token == self._open:
                read.open(log_prob)
            elif token in self.types:
                read.label(self.types[token])
            elif token == self.tokenizer.eos_id:
                read.ended = True
                break
            else:
                read.stray += 1
        return read

"""Iterative generation: mentions are marked in the source, and each gets one symbol and no more.

A mention's slot is its closing mark. The symbols say to which cluster it belongs: `</new>` begins
one, `<c3>` goes on with the one that was begun as the fourth, `<null>` says that a proposed mention
is none. Nothing else is chosen, so that an output always has one symbol for each mention, and its
text, if it is written at all, is that of the source. Clusters are numbered in the order of the
slots, in each window anew.

Gan, Liang, Lin, Yu, Poesio, "Improving LLMs' Learning of Coreference Resolution" (SIGDIAL 2025).
The symbols are our choice; the paper leaves open how ids are written.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from t5coref.core.document import Annotation, Confidence, Document, Span
from t5coref.core.errors import ConfigError
from t5coref.core.rules import DONE, NEW, PIECE, TEXT, Cell, Due, Effect, Guard, Rules
from t5coref.core.symbols import Inventory
from t5coref.core.transcript import Pair, Transcript
from t5coref.linearize import id_sets
from t5coref.linearize.base import Actions, Answer, Turn
from t5coref.linearize.known_clusters import KnowingTurn, known, with_line
from t5coref.linearize.marked import CLOSING, LIMIT, OPENINGS, MentionGiven
from t5coref.linearize.mentions import Mention, numbered
from t5coref.linearize.reading import Found, Reading, in_words
from t5coref.linearize.windowed import Windowed, Written

CLUSTERS = tuple(f"<c{k}>" for k in range(LIMIT))
NEW_CLUSTER, NULL, KNOWN, COPY = "</new>", "<null>", "<known>", "<copy>"
OF, IN = "<of>", "<in>"


class Slot(NamedTuple):
    """What an output says of one mention of the window.

    Attributes:
      slot: which one, in the order of closing marks.
      token: the symbol.
      log_prob: of the symbol among the legal ones, 0 where no model chose.
      links: what stands before it: `<of>` or `<in>`, and the symbol of a cluster, see `id_sets`.
    """

    slot: int
    token: int
    log_prob: float
    links: tuple[tuple[int, int], ...] = ()


class Iterative(MentionGiven, Windowed):
    """A format that says one symbol for each mention.

    A window has at most as many mentions as clusters (`max_clusters`, up to 500), so that a new
    cluster can always be said; one with more is divided.

    Args:
      tokenizer: with the format's symbols.
      nulls: there is a symbol for what is no mention, and the gold answer to mentions that are not
        annotated is that symbol; otherwise such a mention is a cluster of its own.
      sets: a mention may be answered by several clusters together, see `id_sets`; only for formats
        that write nothing but symbols.
      window: pieces of a source, `</s>` included.
      memory: how many of them may tell of clusters that the rest does not show, see
        `known_clusters`; this needs `carry`.
      **options: those of `MentionGiven` and `Windowed`. There is one constraint, the strict one.

    Raises:
      ConfigError: see `Windows`.
    """

    symbols: tuple[str, ...] = (
        "<speaker>",
        "</speaker>",
        CLOSING,
        NEW_CLUSTER,
        *OPENINGS,
        *CLUSTERS,
    )
    literal: ClassVar[bool] = False
    """Whether the text is written as itself, and a new cluster as the symbol of its number."""

    has_sets: ClassVar[bool] = False
    """Whether there is the option `sets`."""

    copy_weight: float = 1.0

    def __init__(
        self,
        tokenizer,
        *,
        nulls: bool = False,
        sets: bool = False,
        window: int = 2048,
        memory: int = 0,
        carry: bool = False,
        **options: Any,
    ):
        if memory and (not carry or self.literal or not 4 <= memory < window):
            raise ConfigError(
                f"memory {memory} with window {window} and carry={carry}; expected 0, or at least "
                "4 and less than the window with carry=True (the format document has none)"
            )
        if sets and not self.has_sets:
            raise ConfigError(
                f"sets=True with the format {self.name}, whose output repeats the text; expected a "
                "format that writes symbols alone: iterative-ids or iterative-handles"
            )
        self.nulls, self.sets, self.memory = nulls, sets, memory
        self.symbols = self.symbols_with({"nulls": nulls, "sets": sets, "memory": memory})
        super().__init__(tokenizer, window=window - memory, carry=carry, **options)

    @classmethod
    def symbols_with(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """See `Windows.symbols_with`."""
        sets = options.get("sets")
        chosen = {NULL: options.get("nulls"), KNOWN: options.get("memory"), OF: sets, IN: sets}
        return (*cls.symbols, *(symbol for symbol, there in chosen.items() if there))

    @property
    @abstractmethod
    def copy_id(self) -> int | None:
        """What a piece of the text is written as; PIECE = itself, None = no text is written."""

    @abstractmethod
    def slots(self, turn: Turn, answer: Answer) -> Iterator[Slot]:
        """The symbols of an output with their slots; any sequence can be read.

        A slot comes once at most.
        """

    def look_up(self) -> None:
        """Finds the symbols in the tokenizer."""
        if not 1 <= self.max_clusters <= LIMIT:
            raise ConfigError(
                f"max_clusters is {self.max_clusters}; expected 1 to {LIMIT}, for which there are "
                "symbols"
            )
        named = self.memory // 2  # a cluster takes two pieces of the line at least
        if named >= self.max_clusters:
            raise ConfigError(
                f"memory {self.memory} may name {named} clusters; expected fewer than max_clusters "
                f"= {self.max_clusters}"
            )
        self.max_mentions = min(self.max_mentions, self.max_clusters - named)
        self.look_up_marks(self.max_mentions)
        symbol = self.tokenizer.symbol
        self.clusters = [symbol(s) for s in CLUSTERS[: self.max_clusters]]
        self.new = None if self.literal else symbol(NEW_CLUSTER)
        self.null = symbol(NULL) if self.nulls else None
        self.line_end = symbol(KNOWN) if self.memory else None
        self.linking = [symbol(OF), symbol(IN)] if self.sets else []
        self.cluster_number = {token: k for k, token in enumerate(self.clusters)}
        self.answers = {self.new, self.null, *self.clusters} - {None}

    def make_rules(self) -> Rules:
        """See `Windows.make_rules`; nothing but the symbol of a slot is ever a choice."""
        self.look_up()
        end, copy = self.tokenizer.eos_id, self.copy_id
        here = Guard.SLOT if copy is None else Guard.SLOT | Guard.LAST
        last = Guard.MARK if copy is None else Guard.MARK | Guard.LAST
        known = here | (Guard.FITS if self.literal else Guard.KNOWN)
        counts = Effect.PASSES | Effect.COUNTS
        listed: list[tuple[int, Effect, Cell]] = []

        def add(token: int, effect: Effect, guard: Guard, to: int = TEXT, **facts: int) -> None:
            listed.append((token, effect, Cell(TEXT, len(listed), to, guard, **facts)))

        if copy is not None:
            add(copy, Effect.ADVANCE, Guard.MORE)
        if self.new is not None:
            add(self.new, counts, here | Guard.FITS, given=NEW)
        for number, token in enumerate(self.clusters):
            add(token, counts, known, given=number)
        if self.null is not None:
            add(self.null, Effect.PASSES, here)
        for token in self.linking:
            add(token, Effect(0), here | Guard.SPELLABLE, id_sets.ELEMENTS, cost=id_sets.COST)
        add(end, Effect.PASSES, last, DONE)
        ids, effects, cells = zip(*listed, strict=True)
        spelt = id_sets.spelt(self.max_clusters) if self.sets else {}
        cells = (*cells, *(id_sets.cells(cells) if self.sets else ()))
        names = (COPY if t == PIECE else self.tokenizer.piece(t) for t in ids)
        return Rules.compile(
            Inventory(ids, tuple(names)),
            effects,
            cells,
            copy=len(ids) - 1 if copy is None else 0,
            echoed=copy is None,
            literal=self.literal,
            marks=(self.close, end),
            due=Due(piece=0 if copy is None else 1, mark=1),
            twinned=False,
            max_depth=0,
            max_clusters=self.max_clusters,
            number_ids=() if self.new is None else tuple(self.clusters),
            copy_weight=self.copy_weight,
            source_numbers=tuple(self.clusters) if self.memory else (),
            **spelt,
        )

    def split(self, doc: Document) -> list[Turn]:
        """See `Windows.split`."""
        turns = super().split(doc)
        if not self.memory:
            return turns
        pieces = self.pieces(doc)
        return [KnowingTurn.of(turn, pieces) for turn in turns]

    def write(self, turn: Turn, closings: list[tuple[Mention, int]]) -> list[Written]:
        """See `Windowed.write`; `position` counts the slots up to the action.

        Marked mentions that are not among `closings` are null, or clusters of their own.
        """
        symbols = iter(self._symbols(turn, closings))
        out, passed = [], 0
        for token in turn.source.tolist():
            if token == self.close:
                passed += 1
                out.append(Written(next(symbols), passed))
            elif token == self.tokenizer.eos_id:
                out.append(Written(token, passed + 1))
            elif self.copy_id is not None:
                written = token if self.copy_id == PIECE else self.copy_id
                out.append(Written(written, passed + 1))
        return out

    def _symbols(self, turn: Turn, closings: list[tuple[Mention, int]]) -> Iterator[int]:
        """The symbols of the slots, in order."""
        cluster = {(mention.start, mention.end): number for mention, number in closings}
        begun: dict[object, int] = {number: number for number in range(len(known(turn)))}
        for slot, (span, _) in enumerate(self.without_marks(turn)[1]):
            # Of two marked alike in pieces both are mentions of the cluster.
            key = cluster.get(span, (slot,))
            if span not in cluster and self.null is not None:
                yield self.null
            elif key in begun:
                yield self.clusters[begun[key]]
            else:
                begun[key] = len(begun)
                yield self.clusters[begun[key]] if self.new is None else self.new

    def feeds(self, turn: Turn, actions: Actions) -> np.ndarray:
        """The symbol of the cluster instead of `</new>`, and the text of the source."""
        feeds, entities = np.array(actions, np.int32), len(known(turn))
        written = feeds.tolist()
        for at, token in enumerate(written):
            if at and self.is_element(written[at - 1], token):
                continue
            if token == self.new or token in self.cluster_number:
                number = self._numbered(token, entities)
                entities = max(entities, number + 1)
                feeds[at] = self.clusters[number]
        return feeds

    def is_element(self, before: int, token: int) -> bool:
        """Whether a symbol of a cluster, by the one before it, answers no mention."""
        return before in self.linking and token in self.cluster_number

    def _numbered(self, token: int, entities: int) -> int:
        """The cluster that a symbol means where so many have been begun."""
        return self.cluster_number.get(token, min(entities, self.max_clusters - 1))

    def read(self, turn: Turn, answer: Answer) -> Reading:
        """The clusters of what has an answer; confidences are those of the symbols."""
        without, marked = self.without_marks(turn)
        spans, names = [span for span, _ in marked], known(turn)
        reading = in_words(without, self._found(spans, self.slots(turn, answer), len(names)))
        for number, cluster in zip(reading.numbers, reading.clusters, strict=True):
            cluster += names[number : number + 1]
        return reading

    def _found(self, spans: list[Span], answered: Iterable[Slot], entities: int) -> Iterator[Found]:
        """The mentions of an output where so many clusters are known."""
        for slot, token, log_prob, _ in answered:
            if token != self.null:
                number = self._numbered(token, entities)
                entities = max(entities, number + 1)
                yield Found(*spans[slot], number, Confidence(1.0, math.exp(log_prob)))

    def pairs(self, turn: Turn, said: Iterable[tuple[int, int, int]]) -> Iterator[Pair]:
        """What a transcript has of (start, end, symbol), which come in the order of an output."""
        entities = len(known(turn))
        for start, end, token in said:
            if token == self.null:
                yield Pair(start, end, None, legal=True)
                continue
            number = self._numbered(token, entities)
            begun = entities + self.literal if token in self.cluster_number else self.max_clusters
            yield Pair(start, end, number, legal=number < begun)
            entities = max(entities, number + 1)

    def laid_out(
        self, turn: Turn, output: np.ndarray, pairs: Iterable[Pair], **facts: Any
    ) -> Transcript:
        """A transcript of the window."""
        without, marked = self.without_marks(turn)
        return Transcript(
            source=without.source[:-1],
            word=without.word[:-1],
            output=output,
            pairs=tuple(pairs),
            given=tuple(span for span, _ in marked),
            **facts,
        )

    def _held(self, turn: Turn, gold: Annotation) -> list[tuple[Mention, int]]:
        cluster = self.clusters_of(turn, gold)
        found = [
            Mention(*span, of)
            for span, handle in self.without_marks(turn)[1]
            if (of := cluster[handle]) is not None
        ]
        named = self.named(turn, gold)
        return [
            (mention, named.get(mention.cluster, len(known(turn)) + number))
            for mention, number in numbered(found, self.max_clusters)
        ]

    def named(self, turn: Turn, gold: Annotation) -> dict[int, int]:
        """The numbers of the gold clusters that the line of the turn names."""
        home = {(start, end): of for start, end, of in reversed(list(gold.mentions()))}
        return {home[name]: number for number, name in enumerate(known(turn)) if name in home}

    def _continued(self, last: Turn, turn: Turn, readings: list[Reading]) -> Turn:
        """The turn, which has to begin with what was said of the mentions that `last` has too."""
        said = {(s + last.offset, e + last.offset) for (s, e), _ in self.without_marks(last)[1]}
        marked = self.without_marks(turn)[1]
        # What closes within the overlap closes before all else.
        shared = [k for (s, e), k in marked if (s + turn.offset, e + turn.offset) in said]
        found = self._merge(readings)
        if isinstance(turn, KnowingTurn):
            cluster = self.clusters_of(turn, found)
            shown = {of for handle in shared if (of := cluster[handle]) is not None}
            assert self.line_end is not None
            turn = with_line(turn, found, shown, self.clusters, self.line_end, self.memory)
        script = self.write(turn, self._held(turn, found)) if shared else []
        kept = [w.action for w in script if w.position <= len(shared)]
        return replace(turn, forced=np.asarray(kept, np.int32))

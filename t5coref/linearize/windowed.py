"""What the formats of one output a window have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from t5coref.core.document import Annotation, Confidence, Document, Span
from t5coref.core.errors import ConfigError
from t5coref.core.rules import Rules
from t5coref.core.segment import Pieces, check_window, merge, windows
from t5coref.core.transcript import Transcript
from t5coref.linearize import mentions as m
from t5coref.linearize.base import Actions, Answer, PieceEncoder, Turn
from t5coref.linearize.reading import Reading

STRICT, REFERENCE = "strict", "reference"


class Written(NamedTuple):
    """One gold action, and how many pieces of the source lie before what follows it."""

    action: int
    position: int


class Windows(ABC):
    """A format that asks about the windows of a document.

    Args:
      tokenizer: with the format's symbols.
      window: pieces of a window, `</s>` included.
      stride: largest distance between the starts of windows; None = half a window.
      suffixes: also make the shorter and shorter windows at the end of a document that the
        published training data has.
      max_clusters: clusters of a window.
      max_depth: mentions open at once.
      constraint: `strict` (every output ends and reads back) or `reference` (that of the published
        checkpoints, looser).

    Raises:
      ConfigError: numbers that leave no room, or symbols that the tokenizer lacks.
    """

    name: ClassVar[str]
    symbols: tuple[str, ...]
    rules: Rules

    def __init__(
        self,
        tokenizer: PieceEncoder,
        *,
        window: int = 2048,
        stride: int | None = None,
        suffixes: bool = False,
        max_clusters: int = 500,
        max_depth: int = 16,
        constraint: str = STRICT,
    ):
        self.tokenizer = tokenizer
        self.window = window
        self.stride = max(1, window // 2) if stride is None else stride
        check_window(self.window, self.stride)
        if constraint not in (STRICT, REFERENCE):
            raise ConfigError(f"constraint {constraint!r}; expected {STRICT!r} or {REFERENCE!r}")
        self.suffixes = suffixes
        self.max_clusters = max_clusters
        self.max_depth = max_depth
        self.constraint = constraint
        self.rules = self.make_rules()

    @classmethod
    def symbols_with(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The added symbols of the format when it is made with `options`, in their order."""
        del options
        return cls.symbols

    @abstractmethod
    def make_rules(self) -> Rules:
        """The table of `self.constraint`."""

    def pieces(self, doc: Document) -> Pieces:
        """The document as the windows cut it."""
        return self.tokenizer.pieces(doc).clipped(min(self.window - 1, self.stride))

    def feeds(self, turn: Turn, actions: Actions) -> np.ndarray:
        """What the decoder reads back: the actions, unless a format says otherwise."""
        del turn
        return actions

    def split(self, doc: Document) -> list[Turn]:
        """The windows of a document."""
        pieces = self.pieces(doc)
        spans = windows(pieces, self.window, self.stride, suffixes=self.suffixes)
        return m.window_turns(doc.doc_id, pieces, spans, self.tokenizer.eos_id)


class Windowed(Windows):
    """A format whose answers are about one window of the document each.

    Args:
      tokenizer: with the format's symbols.
      min_mentions: smaller clusters are dropped on reading back (2 where a corpus has no
        singletons).
      carry: answer one window after the other; each begins with what was found in its overlap with
        the ones before, so that clusters keep their numbers.
      **options: those of `Windows`.

    Raises:
      ConfigError: see `Windows`.
    """

    entity_types: tuple[str, ...] = ()
    """Those that mentions are written with."""

    def __init__(
        self,
        tokenizer: PieceEncoder,
        *,
        min_mentions: int = 1,
        carry: bool = False,
        **options: Any,
    ):
        super().__init__(tokenizer, **options)
        self.min_mentions = min_mentions
        self.carry = carry

    @abstractmethod
    def write(self, turn: Turn, closings: list[tuple[m.Mention, int]]) -> list[Written]:
        """The actions for mentions with their clusters' numbers, in closing order."""

    @abstractmethod
    def read(self, turn: Turn, answer: Answer) -> Reading:
        """What the answer of one window says; any sequence can be read."""

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """The answer of one window as it is, without repair; any sequence has a transcript.

        Raises:
          ConfigError: the format has none.
        """
        del turn, answer
        raise ConfigError(
            f"the linearization {self.name!r} keeps no ledger; give it a method `transcript` "
            "(docs/ledger.md)"
        )

    def turns(self, doc: Document) -> Generator[list[Turn], list[Answer], Annotation]:
        """One turn a window; the clusters of the windows are merged over shared spans."""
        turns = self.split(doc)
        readings: list[Reading] = []
        modelled = False
        for asked in [[t] for t in turns] if self.carry else filter(None, [turns]):
            if readings:
                asked = [self._continued(turns[len(readings) - 1], asked[0], readings)]
            answers = yield asked
            readings += [self.read(t, a) for t, a in zip(asked, answers, strict=True)]
            modelled = modelled or any(a.log_probs is not None for a in answers)
        return self._merged(readings, modelled)

    def oracle(self, turn: Turn, gold: Annotation) -> Actions:
        """The gold actions; crossing, too deep and too many mentions are left out."""
        return np.asarray([w.action for w in self.write(turn, self._held(turn, gold))], np.int32)

    def holds(self, turn: Turn, mention: m.Mention) -> bool:
        """Whether the format can express a mention of the window; brackets express all."""
        del turn, mention
        return True

    def _held(self, turn: Turn, gold: Annotation) -> list[tuple[m.Mention, int]]:
        held = [mention for mention in m.in_window(turn, gold) if self.holds(turn, mention)]
        return m.numbered(m.nested(held, self.max_depth), self.max_clusters)

    def _merged(self, readings: list[Reading], modelled: bool) -> Annotation:
        confidences: dict[Span, Confidence] = {}
        for reading in readings:
            for span, sure in reading.confidences.items():
                # What a window has to begin with is not its own choice: the first one counts.
                known = confidences.get(span, sure)
                confidences[span] = known if self.carry else max(known, sure)
        return self._merge(readings, self.min_mentions, confidences if modelled else None)

    def _merge(
        self,
        readings: list[Reading],
        min_mentions: int = 1,
        confidences: dict[Span, Confidence] | None = None,
    ) -> Annotation:
        return merge(
            [r.clusters for r in readings],
            min_mentions,
            confidences,
            [r.types for r in readings] if self.entity_types else None,
            [r.relations for r in readings],
            [r.split for r in readings],
        )

    def _continued(self, last: Turn, turn: Turn, readings: list[Reading]) -> Turn:
        """The turn, which has to begin with what was found before in its overlap with `last`."""
        overlap = max(0, last.offset + len(last.source) - 1 - turn.offset)
        found = self._merge(readings)
        seen = replace(turn, source=turn.source[:overlap], word=turn.word[:overlap])
        script = self.write(turn, self._held(seen, found)) if overlap else []
        kept = [w.action for w in script if w.position <= overlap]
        return replace(turn, forced=np.asarray(kept, np.int32))

"""link-append: sentence by sentence, links to what was found before: `her ## friend . ** -> [1`.

Bohnet, Alberti, Collins, "Coreference Resolution through a seq2seq Transition-Based System"
(TACL 2023). The input is the text with the clusters found so far in brackets; the answer is plain
text, the actions of one sentence:

    LINK     `m ## c1 c2 c3 -> a ## d1 d2 d3`   m belongs with the text a, which may have no cluster
    APPEND   `m ## c1 c2 c3 -> [k`              m belongs to cluster k
    MENTION  `m ## c1 c2 c3`                    m begins a cluster (where clusters of one count)

with the three tokens that follow a text in the input behind `##`, joined by ` ;; `. A sentence
without actions is answered `None [+ E]`. See `docs/link_append.md`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from t5coref.core.align import UNALIGNED
from t5coref.core.document import Annotation, Document, Span
from t5coref.core.errors import ConfigError
from t5coref.core.rules import Rules
from t5coref.core.transcript import Transcript
from t5coref.linearize.base import Actions, Answer, PieceEncoder, Turn
from t5coref.linearize.link_append_actions import (
    NOTHING,
    Clusters,
    Places,
    Quote,
    StrictPlaces,
    cells,
    read,
)
from t5coref.linearize.link_append_input import AND, ARROW, HASH, Inputs, Spelling, View
from t5coref.linearize.stretches import stretches
from t5coref.linearize.windowed import REFERENCE, STRICT

SMALLEST = 64  # pieces of an input
NUMBERS = 500  # clusters whose numbers the table can spell; pieces of the source are spelt anyway

NO_CLUSTERS: Mapping[Span, int] = MappingProxyType({})
NO_VIEW = View((), (0, 0))


@dataclass(frozen=True, eq=False)
class SentenceTurn(Turn):
    """A turn about one sentence.

    Attributes:
      view: the source, token by token.
      known: the mentions that have a cluster, with its number.
    """

    view: View = NO_VIEW
    known: Mapping[Span, int] = field(default_factory=lambda: NO_CLUSTERS)


class LinkAppend:
    """Links of each sentence's mentions to what was found before, in plain text.

    Args:
      tokenizer: any T5's or mT5's; the format has no symbols of its own.
      window: pieces of an input, `</s>` included. Left context is dropped from its beginning until
        the rest fits; a sentence longer than half of it is asked about in parts.
      longest: steps of an answer at most; none of an oracle is ever cut.
      min_mentions: 1 = clusters may have one mention, and each begins with MENTION
        (Mention-Link-Append); 2 = they are found by links alone, as published.
      constraint: `strict` (an answer consists of stretches of the source and the pieces of marks;
        text that stands in several places is the last one in the sentence that has no cluster yet)
        or `reference` (as published: anything of the vocabulary may be written, and text is the
        last place where it stands).
      stride: must be None: there are no windows.

    Raises:
      ConfigError: numbers that leave no room, or the vocabulary cannot spell the marks.
    """

    name = "link-append"
    symbols: tuple[str, ...] = ()

    def __init__(
        self,
        tokenizer: PieceEncoder,
        *,
        window: int = 2048,
        longest: int = 384,
        min_mentions: int = 1,
        constraint: str = STRICT,
        stride: int | None = None,
    ):
        if window < SMALLEST or longest < 1:
            raise ConfigError(
                f"window {window}, longest {longest}; expected at least {SMALLEST} pieces of an "
                "input and 1 of an answer"
            )
        if stride is not None:
            raise ConfigError(
                f"stride {stride}: link-append asks sentence by sentence and has none; leave it out"
            )
        if constraint not in (STRICT, REFERENCE):
            raise ConfigError(f"constraint {constraint!r}; expected {STRICT!r} or {REFERENCE!r}")
        self.tokenizer = tokenizer
        self.window, self.longest = window, longest
        self.min_mentions = min_mentions
        self.constraint = constraint
        self.spelling = Spelling(tokenizer, window // 8)
        self.rules = self._rules()
        self.skipped: Counter[str] = Counter()

    @classmethod
    def symbols_with(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """None, whatever the options."""
        del options
        return cls.symbols

    @property
    def free(self) -> bool:
        """Whether answers are generated without the table."""
        return self.constraint == REFERENCE

    def _rules(self) -> Rules:
        """Stretches of the source, and the pieces of marks anywhere between them."""
        marks = [HASH, ARROW, AND, NOTHING, *(f"[{k}" for k in range(1, NUMBERS + 1))]
        return stretches(self.tokenizer, (p for mark in marks for p in self.tokenizer.encode(mark)))

    @property
    def places(self) -> Places:
        """Which of several places a text stands for."""
        return Places() if self.constraint == REFERENCE else StrictPlaces()

    def turns(self, doc: Document) -> Generator[list[Turn], list[Answer], Annotation]:
        """One turn a sentence, each answered before the next one is asked."""
        inputs = Inputs(doc, self.spelling, self.window)
        clusters, modelled = Clusters(), False
        for index in range(len(inputs.units)):
            view = inputs.view(index, clusters.brackets)
            source, word = view.source(self.tokenizer.eos_id)
            known = MappingProxyType(dict(clusters.number))
            answers = yield [
                SentenceTurn(doc.doc_id, index, 0, source, word, view=view, known=known)
            ]
            actions = list(read(cells(self.tokenizer, answers[0])))
            clusters.apply(actions, view, self.places)
            modelled = modelled or answers[0].log_probs is not None
        self.skipped += clusters.skipped
        return clusters.annotation(self.min_mentions, modelled)

    def oracle(self, turn: Turn, gold: Annotation) -> Actions:
        """The gold actions of a sentence, for what is known so far.

        A first mention is left to a later LINK (or is a MENTION); later ones are linked to the
        mention before where their cluster has no number yet or that one is in the same sentence,
        and appended elsewhere. What does not stand in the input cannot be named and is left out.
        """
        assert isinstance(turn, SentenceTurn)
        view = turn.view
        words = [t.word for t in view.tokens[slice(*view.focus)] if t.word >= 0]
        begin, end = words[0], words[-1] + 1
        last: dict[int, Span] = {}
        number: dict[int, int] = {}
        here: list[tuple[Span, int]] = []
        for cluster, mentions in enumerate(gold.partition()):
            # Mentions are asked about where they end.
            for span in sorted(mentions, key=lambda s: (s[1] > begin, s[0], -s[1])):
                if begin < span[1] <= end:
                    here.append((span, cluster))
                elif span[1] <= begin:
                    last[cluster] = span
                    number[cluster] = turn.known.get(span, number.get(cluster, 0))
        written: list[list[int]] = []
        for span, cluster in sorted(here, key=lambda m: (m[0][0], -m[0][1])):
            text = self._quoted(view, span)
            before = last.get(cluster)
            if text is None:
                continue
            last[cluster] = span
            linked = None if before is None else self._quoted(view, before)
            fresh = before is not None and before[1] > begin
            arrow = self._ids(ARROW)
            if number.get(cluster) and not fresh:
                written.append([*text, *arrow, *self._ids(f"[{number[cluster]}")])
            elif linked is not None:
                written.append([*text, *arrow, *linked])
            elif self.min_mentions == 1:
                written.append(text)
        return np.asarray([*self._joined(written), self.tokenizer.eos_id], np.int32)

    def feeds(self, turn: Turn, actions: Actions) -> np.ndarray:
        """What the decoder reads back: the answer."""
        del turn
        return actions

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """What is quoted, cell by cell: it has no marks, and has to stand in the input.

        An action that is none is stray; the number of no cluster is outside.
        """
        assert isinstance(turn, SentenceTurn)
        view = turn.view
        actions = list(read(cells(self.tokenizer, answer)))
        done = [action for action in actions if action is not None]
        quotes = [q for a in done for q in (a.mention, a.to) if isinstance(q, Quote)]
        output = [cell for quote in quotes for cell in (*quote.text, *quote.context)]
        number = {cell: i for i, cell in enumerate(dict.fromkeys([*view.cells, *output]))}
        known = set(turn.known.values())
        return Transcript(
            source=np.asarray([number[cell] for cell in view.cells], np.int32),
            word=np.repeat([t.word for t in view.tokens], [len(t.cells) for t in view.tokens]),
            output=np.asarray([number[cell] for cell in output], np.int32),
            pairs=(),
            stray=len(actions) - len(done),
            outside=sum(isinstance(a.to, int) and a.to not in known for a in done),
            ended=self.tokenizer.eos_id in answer.actions,
            required=np.zeros(len(view.cells), bool),
            places=np.asarray([at for q in quotes for at in _standing(view, q)], np.int32),
            marked=False,
        )

    def _joined(self, actions: Sequence[Sequence[int]]) -> list[int]:
        if not actions:
            return list(self.tokenizer.encode(NOTHING))
        separator = self._ids(AND)
        return [piece for action in actions for piece in (*separator, *action)][len(separator) :]

    def _quoted(self, view: View, span: Span) -> list[int] | None:
        """A mention as actions name it: its pieces, `##`, those of the three tokens behind it."""
        found = view.stretch(span)
        if found is None:
            return None
        mention, context = ([p for token in part for p in token.ids] for part in found)
        return [*mention, *self._ids(HASH), *context]

    def _ids(self, mark: str) -> tuple[int, ...]:
        return self.spelling.token(mark).ids


def _standing(view: View, quote: Quote) -> list[int]:
    """The cells of the input that a quote stands for, text and context; UNALIGNED if none."""
    size = len(quote.text) + len(quote.context)
    found = view.find(quote.text, quote.context)
    if not found:
        return [UNALIGNED] * size
    start = view.begin(found[-1][0])
    return [min(at, len(view.cells) - 1) for at in range(start, start + size)]

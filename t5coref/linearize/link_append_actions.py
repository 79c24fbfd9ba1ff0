"""The actions of link-append: how they are read, and what they do to the clusters found so far."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from t5coref.core.document import Annotation, Confidence, Span
from t5coref.linearize.base import Answer, PieceEncoder
from t5coref.linearize.link_append_input import AND, ARROW, HASH, Brackets, View
from t5coref.linearize.reading import tokens

NOTHING = "None [+ E]"
"""What is written for a sentence without actions; all that begins like it is read so."""

MALFORMED, UNFOUND, UNKNOWN, TAKEN = "malformed", "not found", "unknown cluster", "taken"
"""Why an action is skipped: it is none, its text does not stand in the input, its cluster does not
exist, its mention belongs to another cluster or to itself."""

_CLUSTER = re.compile(r"\[(\d{1,9})")
_NOTHING = re.compile(r"None \[")


class Cell(NamedTuple):
    """A stretch of an answer without blanks, and its log-probability."""

    text: str
    log_prob: float


class Quote(NamedTuple):
    """Text of the input, what follows it there, and how probable all of it is."""

    text: tuple[str, ...]
    context: tuple[str, ...]
    probability: float


class Action(NamedTuple):
    """LINK (`to` is text), APPEND (`to` is the number of a cluster), or MENTION (`to` is None).

    Attributes:
      mention: what gets a cluster.
      to: of what.
      probability: of `to`, given the mention.
    """

    mention: Quote
    to: Quote | int | None
    probability: float


def cells(tokenizer: PieceEncoder, answer: Answer) -> list[Cell]:
    """The text of an answer up to `</s>`, cut at its blanks."""
    out: list[Cell] = []
    for token, log_prob in tokens(answer):
        if token == tokenizer.eos_id:
            break
        begun, *further = tokenizer.piece(token).split("▁")
        if begun and out:
            out[-1] = Cell(out[-1].text + begun, out[-1].log_prob)
        elif begun:
            out.append(Cell(begun, 0.0))
        out += [Cell(part, 0.0) for part in further]
        if out:
            out[-1] = Cell(out[-1].text, out[-1].log_prob + log_prob)
    return [cell for cell in out if cell.text]


def read(answer: Sequence[Cell]) -> Iterator[Action | None]:
    """The actions of an answer; None for what is none."""
    for part in _split(answer, AND):
        sides = list(_split(part, ARROW))
        if not part or (HASH not in _text(part) and _NOTHING.match(" ".join(_text(part)))):
            continue
        mention = _quote(sides[0])
        if not mention.text:
            yield None
        elif len(sides) == 1:
            yield Action(mention, None, 1.0)
        elif len(sides[1]) == 1 and (number := _CLUSTER.fullmatch(sides[1][0].text)):
            yield Action(mention, int(number[1]), math.exp(sides[1][0].log_prob))
        elif (other := _quote(sides[1])).text:
            yield Action(mention, other, other.probability)
        else:
            yield None


def _text(part: Sequence[Cell]) -> tuple[str, ...]:
    return tuple(cell.text for cell in part)


def _split(part: Sequence[Cell], separator: str) -> Iterator[list[Cell]]:
    out: list[Cell] = []
    for cell in part:
        if cell.text == separator:
            yield out
            out = []
        else:
            out.append(cell)
    yield out


def _quote(side: Sequence[Cell]) -> Quote:
    text, *context = _split(side, HASH)
    following = tuple(cell.text for part in context for cell in part)
    return Quote(_text(text), following, math.exp(sum(cell.log_prob for cell in side)))


@dataclass
class Clusters:
    """The clusters found so far, by number from 1 on.

    A span belongs to one cluster. `skipped` counts actions that did nothing, by the reason.
    """

    members: dict[int, list[Span]] = field(default_factory=dict)
    number: dict[Span, int] = field(default_factory=dict)
    confidence: dict[Span, Confidence] = field(default_factory=dict)
    brackets: Brackets = field(default_factory=Brackets)
    skipped: Counter[str] = field(default_factory=Counter)

    def annotation(self, min_mentions: int, modelled: bool) -> Annotation:
        """Those of at least so many mentions."""
        kept = [sorted(m) for m in self.members.values() if len(m) >= min_mentions]
        sure = tuple(tuple(self.confidence[span] for span in cluster) for cluster in kept)
        return Annotation(tuple(map(tuple, kept)), confidences=sure if modelled else None)

    def apply(self, actions: Sequence[Action | None], view: View, places: Places) -> None:
        """The actions of one sentence, in their order; the input stays what it was meanwhile."""
        for action in actions:
            reason = MALFORMED if action is None else self._apply(action, view, places)
            if reason is not None:
                self.skipped[reason] += 1

    def _apply(self, action: Action, view: View, places: Places) -> str | None:
        """Does one action, or says why not."""
        span = places.mention(view, action.mention, self.number)
        if span is None:
            return UNFOUND
        known = self.number.get(span)
        sure = Confidence(action.mention.probability, action.probability)
        if action.to is None or isinstance(action.to, int):
            if isinstance(action.to, int) and action.to not in self.members:
                return UNKNOWN
            if known is not None:
                return TAKEN
            self._add(span, action.to or self._new(), sure)
            return None
        other = places.antecedent(view, action.to, span)
        if other is None:
            return UNFOUND
        theirs = self.number.get(other)
        if other == span or (known is not None and theirs is not None):
            return TAKEN if other == span or known != theirs else None
        number = theirs or known or self._new()
        if theirs is None:
            self._add(other, number, Confidence(action.to.probability, 1.0))
        if known is None:
            self._add(span, number, sure)
        return None

    def _new(self) -> int:
        return len(self.members) + 1

    def _add(self, span: Span, number: int, sure: Confidence) -> None:
        self.members.setdefault(number, []).append(span)
        self.number[span] = number
        self.confidence[span] = sure
        self.brackets.add(span, number)


class Places:
    """Which of several places a text stands for, by the rule of the authors' notebook.

    The last one, be it in the sentence or before it, and whatever belongs to a cluster already.
    """

    def mention(self, view: View, quote: Quote, number: dict[Span, int]) -> Span | None:
        """The span that an action gives a cluster to."""
        del number
        found = view.find(quote.text, quote.context)
        return found[-1] if found else None

    def antecedent(self, view: View, quote: Quote, mention: Span) -> Span | None:
        """The span that a mention is linked to."""
        del mention
        found = view.find(quote.text, quote.context)
        return found[-1] if found else None


class StrictPlaces(Places):
    """The rule of the reimplementation, and an antecedent comes before its mention.

    A mention ends in the sentence; of its places there the last one without a cluster is taken.
    """

    def mention(self, view: View, quote: Quote, number: dict[Span, int]) -> Span | None:
        """See `Places.mention`; where all have a cluster, the last one."""
        words = [t.word for t in view.tokens[slice(*view.focus)] if t.word >= 0]
        found = [s for s in view.find(quote.text, quote.context) if words[0] < s[1]]
        return next((s for s in reversed(found) if s not in number), found[-1] if found else None)

    def antecedent(self, view: View, quote: Quote, mention: Span) -> Span | None:
        """See `Places.antecedent`; where none comes before, the last other one."""
        found = [s for s in view.find(quote.text, quote.context) if s != mention]
        before = [s for s in found if (s[0], -s[1]) < (mention[0], -mention[1])]
        return (before or found or [None])[-1]

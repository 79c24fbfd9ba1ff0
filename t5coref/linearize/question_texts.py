"""qa-text: the questions of qa-passage with answers in words, as large models are asked.

For "Anna lost her hat", asked about "her": `<fwd> Anna lost <q> her </m> hat </s>` is answered
`her refers to Anna </s>`, `her refers to <none> </s>` if nothing is before; backward, the answer
names what comes next; about singletons it is `her <yes>` or `her <no>`. Nobody says which mention a
text stands for: it is the nearest one on that side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from t5coref.core.document import Annotation, Span
from t5coref.core.errors import ConfigError
from t5coref.core.rules import Rules
from t5coref.core.segment import INSERTED
from t5coref.linearize.base import Actions, PieceEncoder, Turn
from t5coref.linearize.questions import (
    FORWARD,
    SINGLETON,
    Passages,
    QuestionTurn,
)
from t5coref.linearize.stretches import stretches

REFERS = "refers to"
NO_WINDOW = Turn("", 0, 0, np.zeros(0, np.int32), np.zeros(0, np.int32))


@dataclass(frozen=True, eq=False)
class TextTurn(QuestionTurn):
    """A passage with one question.

    Attributes:
      window: where all mentions are marked.
      spans: of each mention, in pieces of the window without marks.
      texts: the pieces of each mention.
    """

    window: Turn = NO_WINDOW
    spans: tuple[Span, ...] = ()
    texts: tuple[tuple[int, ...], ...] = ()


class TextPassages(Passages):
    """The questions of qa-passage, answered in words: `her refers to Anna`.

    Answers are decoded like those of other formats, and vote; there are no probabilities of
    candidates, and no joint inference but that.

    Args:
      tokenizer: with the format's symbols.
      longest: steps of an answer at most; none of an oracle is ever cut.
      **options: those of `Passages`.

    Raises:
      ConfigError: see `Passages`; or there is no room for an answer.
    """

    name = "qa-text"
    in_words = True

    def __init__(self, tokenizer: PieceEncoder, *, longest: int = 256, **options: Any):
        if longest < 1:
            raise ConfigError(f"longest is {longest}; expected at least 1 step of an answer")
        super().__init__(tokenizer, **options)
        self.longest = longest

    def make_rules(self) -> Rules:
        """Stretches of the source, what stands between the two texts, and the other answers."""
        super().make_rules()  # looks up the symbols
        self.refers = tuple(self.tokenizer.encode(REFERS))
        return stretches(self.tokenizer, {*self.refers, *self.answer_ids})

    def oracle(self, turn: Turn, gold: Annotation) -> Actions:
        """The answer to the turn's question, in words."""
        assert isinstance(turn, TextTurn)
        (said,) = self.gold_answers(turn, turn.window, gold)
        ((task, handle),) = turn.asked.tolist()
        other = self._quoted(turn, said, handle) if said < len(turn.texts) else [self.answers[said]]
        between = () if task == SINGLETON else self.refers
        end = self.tokenizer.eos_id
        return np.asarray([*turn.texts[handle], *between, *other, end], np.int32)

    def feeds(self, turn: Turn, actions: Actions) -> np.ndarray:
        """The actions."""
        del turn
        return actions

    def read(self, turn: QuestionTurn, actions: Actions) -> list[tuple[int, int, int]]:
        """See `Questions.read`; a text that no mention of that side has says nothing."""
        assert isinstance(turn, TextTurn)
        tokens = actions.tolist()
        if tokens and tokens[-1] == self.tokenizer.eos_id:
            tokens = tokens[:-1]
        ((task, handle),) = turn.asked.tolist()
        symbol = self.place_of.get(tokens[-1], -1) if tokens else -1
        if symbol >= len(self.openings):
            legal = self.legal(turn)[0]
            return [(task, handle, symbol)] if legal[symbol] else []
        behind = tokens[_behind(tokens, self.refers, len(turn.texts[handle])) :]
        text = tuple(token for token in behind if not self.is_mark(token))
        step = -1 if task == FORWARD else 1
        others = range(handle + step, handle + step * (self.reach + 1), step)
        for other in others if task != SINGLETON else ():
            if not 0 <= other < len(turn.texts):
                break
            if turn.texts[other] == text:
                return [(task, handle, other)]
        return []

    def _turns(self, turn: Turn, asked: list[tuple[int, int]]) -> Iterable[QuestionTurn]:
        without, found = self.without_marks(turn)
        span_of = {number: span for span, number in found}
        spans = tuple(span_of[number] for number in range(len(found)))
        texts = tuple(tuple(without.source[start:end].tolist()) for start, end in spans)
        for task, handle in asked:
            start, end = spans[handle]
            at, tokens = [0, start, end], [self.task_ids[task], self.query, self.close]
            marked = replace(
                without,
                source=np.insert(without.source, at, tokens).astype(np.int32),
                word=np.insert(without.word, at, INSERTED).astype(np.int32),
            )
            fields: dict[str, Any] = vars(marked)
            yield TextTurn(
                **fields,
                asked=np.asarray([(task, handle)], np.int32),
                window=turn,
                spans=spans,
                texts=texts,
            )

    def _quoted(self, turn: TextTurn, other: int, handle: int) -> list[int]:
        """A mention as it stands in the source, with the marks of the query within it."""
        start, end = turn.spans[other]
        opened, closed = turn.spans[handle]
        marks = ((closed, self.close), (opened, self.query))
        text = list(turn.texts[other])
        for place, mark in marks:
            if start < place < end:
                text.insert(place - start, mark)
        return text


def _behind(tokens: Sequence[int], part: Sequence[int], least: int) -> int:
    """Where the tokens behind a part begin that stands at `least` or later; their end if none."""
    size = len(part)
    for at in range(least, len(tokens) - size + 1):
        if tuple(tokens[at : at + size]) == tuple(part):
            return at + size
    return len(tokens)

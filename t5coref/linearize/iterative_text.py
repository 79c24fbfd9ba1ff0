"""iterative-text: the marked text is given piece by piece, a symbol stands for each closing mark.

For "the dog saw it": `<m0> the dog </m> saw <m1> it </m> </s>` gives, with C for `<copy>`,
`C C C </new> C C C <c0> </s>`, of which the decoder reads
`<m0> the dog <c0> saw <m1> it <c0> </s>`. An output has one action for each piece of the source.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from t5coref.core.transcript import Transcript
from t5coref.linearize.base import Actions, Answer, Turn
from t5coref.linearize.iterative import COPY, Iterative, Slot
from t5coref.linearize.reading import tokens


class IterativeText(Iterative):
    """As iterative-ids, but the decoder reads the text between the symbols.

    Args:
      tokenizer: with the format's symbols.
      text_weight: what a piece of the text counts in training, where a symbol counts 1.
      **options: those of `Iterative`.
    """

    name = "iterative-text"
    symbols = (*Iterative.symbols, COPY)

    def __init__(self, tokenizer, *, text_weight: float = 0.0, **options):
        self.copy_weight = text_weight
        super().__init__(tokenizer, **options)

    @property
    def copy_id(self) -> int:
        """`<copy>`."""
        return self.tokenizer.symbol(COPY)

    def feeds(self, turn: Turn, actions: Actions) -> np.ndarray:
        """The source piece instead of a copy action, the cluster's symbol instead of `</new>`."""
        feeds = super().feeds(turn, actions)
        copied = np.flatnonzero(feeds[: len(turn.source)] == self.copy_id)
        feeds[copied] = turn.source[copied]
        return feeds

    def slots(self, turn: Turn, answer: Answer) -> Iterator[Slot]:
        """The symbols where the source has closing marks; those elsewhere are skipped."""
        slot = 0
        for piece, (token, log_prob) in zip(turn.source.tolist(), tokens(answer), strict=False):
            if piece == self.close:
                if token in self.answers:
                    yield Slot(slot, token, log_prob)
                slot += 1

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """See `Windowed.transcript`; a symbol instead of a piece is stray."""
        without, _ = self.without_marks(turn)
        places: list[int] = []
        said: list[tuple[int, int, int]] = []
        open_: list[int | None] = []
        at = stray = 0
        ended = False
        for piece, token in zip(turn.source.tolist(), answer.actions.tolist(), strict=False):
            is_copy = token == self.copy_id
            ended = token == self.tokenizer.eos_id or (is_copy and piece == self.tokenizer.eos_id)
            if ended:
                break
            if piece in self.number_of:
                open_.append(len(places) if is_copy else None)
            elif piece == self.close:
                start = open_.pop()
                if token in self.answers and start is not None:
                    said.append((start, len(places), token))
                    continue
            else:
                places += [at] if is_copy else []
                at += 1
            stray += not is_copy
        found = np.asarray(places, np.int32)
        return self.laid_out(
            turn,
            without.source[found],
            self.pairs(turn, said),
            places=found,
            stray=stray,
            ended=ended,
        )

"""document: the whole marked text as itself, the symbol of its cluster for each closing mark.

For "the dog saw it": `<m0> the dog </m> saw <m1> it </m> </s>` gives
`<m0> the dog <c0> saw <m1> it <c0> </s>`. It is the template of iterative-text, learned as text:
every position counts, and a new cluster is written as the symbol of its number, so that the decoder
reads what it has written and may also be let to write freely.

Le, Ritter, "Are Large Language Models Robust Coreference Resolvers?" (COLM 2024) have it with
Markdown tags, `[the dog](#cluster_0)`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from t5coref.core.align import edit_alignment
from t5coref.core.rules import PIECE
from t5coref.core.transcript import Transcript
from t5coref.linearize import transcribe
from t5coref.linearize.base import Answer, Turn
from t5coref.linearize.iterative import Iterative, Slot
from t5coref.linearize.reading import tokens


class MarkedText(Iterative):
    """The marked text as itself, each closing mark as the symbol of a cluster."""

    name = "document"
    symbols = tuple(s for s in Iterative.symbols if s != "</new>")
    literal = True

    @property
    def copy_id(self) -> int:
        """Pieces are written as themselves."""
        return PIECE

    def slots(self, turn: Turn, answer: Answer) -> Iterator[Slot]:
        """The symbols that lie at closing marks once the output is aligned with the source."""
        said = list(tokens(answer))
        ends = [i for i, (token, _) in enumerate(said) if token == self.tokenizer.eos_id]
        said = said[: ends[0] if ends else len(said)]
        written = [self.close if token in self.answers else token for token, _ in said]
        if not np.array_equal(written, turn.source[: len(written)]):
            spots = edit_alignment(turn.source, np.asarray(written, np.int32)).tolist()
        else:
            spots = range(len(written))
        slot = {
            spot: k for k, spot in enumerate(np.flatnonzero(turn.source == self.close).tolist())
        }
        for (token, log_prob), spot in zip(said, spots, strict=True):
            if token in self.answers and spot in slot:
                yield Slot(slot.pop(spot), token, log_prob)

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """See `Windowed.transcript`."""
        output: list[int] = []
        said: list[tuple[int, int, int]] = []
        open_: list[int] = []
        stray, ended = 0, False
        for token in answer.actions.tolist():
            if ended := token == self.tokenizer.eos_id:
                break
            if token in self.number_of:
                open_.append(len(output))
            elif token in self.answers and open_:
                said.append((open_.pop(), len(output), token))
            elif token in self.answers or token == self.close:
                stray += 1
            else:
                output.append(token)
        source = self.without_marks(turn)[0].source[:-1]
        texts = [transcribe.text(self.tokenizer, pieces) for pieces in (source, output)]
        return self.laid_out(
            turn,
            np.asarray(output, np.int32),
            self.pairs(turn, said),
            stray=stray,
            unclosed=len(open_),
            ended=ended,
            texts=tuple(texts),
        )

"""iterative-ids: the source has its mentions marked, the output is one symbol for each.

For "the dog saw it": `<m0> the dog </m> saw <m1> it </m> </s>` gives `</new> <c0> </s>`, of which
the decoder reads `<c0> <c0> </s>`. The symbols come in the order of the closing marks.
"""

from __future__ import annotations

from collections.abc import Iterator

from t5coref.core.transcript import Transcript
from t5coref.linearize.base import Answer, Turn
from t5coref.linearize.iterative import Iterative, Slot
from t5coref.linearize.reading import tokens


class IterativeIds(Iterative):
    """The cluster of each mention that is marked in the source, and nothing else."""

    name = "iterative-ids"

    @property
    def copy_id(self) -> None:
        """No text is written."""
        return

    def slots(self, turn: Turn, answer: Answer) -> Iterator[Slot]:
        """The k-th symbol up to `</s>` is that of the k-th slot; others are skipped."""
        slot, count = 0, int((turn.source == self.close).sum())
        for token, log_prob in tokens(answer):
            if token == self.tokenizer.eos_id or slot == count:
                return
            if token in self.answers:
                yield Slot(slot, token, log_prob)
                slot += 1

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """See `Windowed.transcript`; the text is that of the source."""
        without, marked = self.without_marks(turn)
        said = list(self.slots(turn, answer))
        written = answer.actions.tolist()
        ended = self.tokenizer.eos_id in written
        count = written.index(self.tokenizer.eos_id) if ended else len(written)
        pairs = self.pairs(turn, ((*marked[s.slot][0], s.token) for s in said))
        return self.laid_out(turn, without.source[:-1], pairs, stray=count - len(said), ended=ended)

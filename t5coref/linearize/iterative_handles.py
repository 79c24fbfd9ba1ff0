"""iterative-handles: as iterative-ids, but the decoder is told which mention is next.

For "the dog saw it": `<m0> the dog </m> saw <m1> it </m> </s>` gives `</new> <c0> </s>`, of which
the decoder reads `<c0>` beside `<m1>`, then `<c0>` beside `</s>`: the means of two embeddings.
Without the handles it would have to count the symbols to know which mention it speaks of.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from t5coref.core.rules import Rules
from t5coref.linearize.base import Actions, Turn
from t5coref.linearize.iterative_ids import IterativeIds


class IterativeHandles(IterativeIds):
    """As iterative-ids; beside each symbol the decoder reads the mark of the next mention."""

    name = "iterative-handles"
    flags: ClassVar[dict[str, bool]] = {"mixed": True}

    def make_rules(self) -> Rules:
        """See `Windows.make_rules`."""
        return replace(super().make_rules(), openings=tuple(self.openings), **self.flags)

    def feeds(self, turn: Turn, actions: Actions) -> np.ndarray:
        """The symbol of each cluster beside `beside`, `int32[T, 2]`."""
        return np.stack([super().feeds(turn, actions), self.beside(turn, actions)], axis=-1)

    def beside(self, turn: Turn, actions: Actions) -> np.ndarray:
        """`int32[T]`: the opening mark of the mention to be answered behind each action, then
        `</s>`.
        """
        handles = [self.openings[handle] for _, handle in self.without_marks(turn)[1]]
        written = actions.tolist()
        answers = [
            token in self.answers and not self.is_element(before, token)
            for before, token in zip([self.tokenizer.eos_id, *written], written, strict=False)
        ]
        passed = np.cumsum(answers, dtype=np.int32)
        ahead = np.asarray([*handles, self.tokenizer.eos_id], np.int32)
        return ahead[np.minimum(passed, len(handles))]

"""tagging: as full-copy, but the decoder reads `<copy>` itself and `</s>` is written as itself.

Zhang, Wiseman, Stratos (EMNLP 2023), the tagging baseline: `<m> <copy> <copy> | 0 </m> <copy> </s>`
is both what is scored and what is fed back.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from t5coref.core.rules import DONE, TEXT, Cell, Guard
from t5coref.linearize.base import Actions, Turn
from t5coref.linearize.full import WholeText
from t5coref.linearize.integers import SPELL


class Tagging(WholeText):
    """As full-copy; the decoder reads the copy actions as they are."""

    name = "tagging"
    flags: ClassVar[dict[str, bool]] = {"echoed": True}

    def ending_cells(self) -> list[Cell]:
        """`</s>` ends the output when the source is exhausted."""
        end = SPELL + len(self.integers.trie.pieces)
        return [Cell(TEXT, end, DONE, Guard.LAST | Guard.OUTSIDE)]

    def copies(self, turn: Turn) -> Actions:
        """`<copy>` for every piece but `</s>`."""
        return np.append(np.full_like(turn.source[1:], self.copy_id), turn.source[-1:])

    def feeds(self, turn: Turn, actions: Actions) -> Actions:
        """What was written."""
        del turn
        return actions

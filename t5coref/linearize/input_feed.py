"""input-feed: as full-copy, but the decoder reads the mean of a piece's and `<copy>`'s embeddings.

Zhang, Wiseman, Stratos (EMNLP 2023). Other symbols are read as themselves.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from t5coref.linearize.base import Actions, Turn
from t5coref.linearize.full import WholeText


class InputFeed(WholeText):
    """As full-copy; the decoder reads the mean of a piece and its copy action."""

    name = "input-feed"
    flags: ClassVar[dict[str, bool]] = {"mixed": True}

    def feeds(self, turn: Turn, actions: Actions) -> np.ndarray:
        """Each piece beside its action, `int32[T, 2]`."""
        return np.stack([super().feeds(turn, actions), actions], axis=-1)

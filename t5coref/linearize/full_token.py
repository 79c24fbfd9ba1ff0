"""full-token: as full-copy, but pieces are written as themselves: `<m> the dog | 0 </m> saw`.

Zhang, Wiseman, Stratos (EMNLP 2023), the full linearization with token actions. The model is scored
over its whole vocabulary. A `|` of the text would be taken for the separator, so under the strict
constraint the source has the piece without a word mark in its place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from t5coref.core.document import Document
from t5coref.core.segment import Pieces
from t5coref.linearize.base import Actions, PieceEncoder, Turn
from t5coref.linearize.full import WholeText
from t5coref.linearize.integers import SEPARATOR
from t5coref.linearize.windowed import STRICT


class FullToken(WholeText):
    """The whole source piece by piece; mentions in brackets, clusters as numbers."""

    name = "full-token"
    flags: ClassVar[dict[str, bool]] = {"literal": True}

    def pieces(self, doc: Document) -> Pieces:
        """The document without pieces that could be taken for a separator."""
        pieces = super().pieces(doc)
        if self.constraint == STRICT:
            pieces = without_separator(self.tokenizer, pieces)
        return pieces

    def copies(self, turn: Turn) -> Actions:
        """The pieces themselves."""
        return turn.source

    def feeds(self, turn: Turn, actions: Actions) -> Actions:
        """What was written."""
        del turn
        return actions


def without_separator(tokenizer: PieceEncoder, pieces: Pieces) -> Pieces:
    """The pieces with another one in the place of each that equals the separator.

    It is the same character without a word mark, if the vocabulary has that, else `<unk>`.
    """
    separator, other = tokenizer.encode(SEPARATOR)[-1], tokenizer.encode("a" + SEPARATOR)[-1]
    if other == separator:
        other = tokenizer.unk_id
    return replace(pieces, ids=np.where(pieces.ids == separator, other, pieces.ids))

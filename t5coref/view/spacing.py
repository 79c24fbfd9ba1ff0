"""Which of the blanks between the words of a tokenised text a reader would not expect to see."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise

_CLOSING = {".", ",", "!", "?", ";", ":", ")", "]", "}", "%", "''", "”", "’", "»", "…"}
_OPENING = {"(", "[", "{", "``", "“", "‘", "«", "$"}
_ENDINGS = {"'s", "'re", "'ve", "'ll", "'d", "'m", "n't"}


def tight(words: Sequence[str]) -> Iterator[bool]:
    """For each two neighbours, whether they are written without a blank."""
    quoted = False
    for left, right in pairwise(words):
        if left == '"':
            quoted = not quoted
        yield (
            right in _CLOSING
            or left in _OPENING
            or right.lower().replace("’", "'") in _ENDINGS
            or (left == '"' and quoted)
            or (right == '"' and quoted)
            or (_unspaced(left[-1]) and _unspaced(right[0]))
        )


def joined(words: Sequence[str]) -> str:
    """Words as a reader expects to see them."""
    gaps = ("" if close else " " for close in tight(words))
    return words[0] + "".join(gap + word for gap, word in zip(gaps, words[1:], strict=True))


def _unspaced(character: str) -> bool:
    """Whether the character belongs to a script that puts no blanks between words."""
    if unicodedata.east_asian_width(character) not in "WF":
        return False
    return unicodedata.category(character)[0] in "LP" and not "가" <= character <= "힣"

"""Numbers in the cells of corpus files."""

from __future__ import annotations

DIGITS = 9
"""More than any corpus needs; Python refuses to read thousands of them."""


def whole_number(text: str) -> int | None:
    """A whole number that is not negative; None if the text is something else."""
    return int(text) if text.isdecimal() and len(text) <= DIGITS else None

"""Texts as rows for heads on an encoder: cut to a length, padded side by side, told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from t5coref.core.errors import ConfigError
from t5coref.downstream.text import Mistakes, encode
from t5coref.tokenizer import Tokenizer

STEP = 32
"""Lengths are rounded up to multiples of this, so that few programs are compiled."""

SHOWN = 5
"""Mistakes that are told one by one."""


@dataclass(frozen=True, eq=False)
class TextRow:
    """A text, and what is to be said of it.

    Attributes:
      name: what messages call it.
      source: `int32[T]` pieces, `</s>` included.
      label: a class or a score; None = not known.
    """

    name: str
    source: np.ndarray
    label: float | None

    def __len__(self) -> int:
        return len(self.source)


def pieces_of(tokenizer: Tokenizer, parts: Sequence[tuple[str, str]], max_length: int) -> list[int]:
    """The pieces of headings and texts one after another, and `</s>`.

    Where they are too many, the longest text loses its last one until they are not, so that a short
    text stays whole beside a long one (Devlin et al. 2019 cut pairs so).

    Args:
      tokenizer: text to pieces.
      parts: headings, which are never cut, each with its text.
      max_length: of the result.

    Raises:
      ConfigError: the headings alone are longer.
    """
    headings = [encode(tokenizer, heading) for heading, _ in parts]
    texts = [encode(tokenizer, text) for _, text in parts]
    room = max_length - 1 - sum(map(len, headings))
    if room < 0:
        raise ConfigError(
            f"max_length {max_length}; expected at least {max_length - room} for "
            f"{' '.join(heading for heading, _ in parts)!r}"
        )
    lengths = shortened([len(text) for text in texts], room)
    out: list[int] = []
    for heading, text, length in zip(headings, texts, lengths, strict=True):
        out += heading + text[:length]
    return [*out, tokenizer.eos_id]


def shortened(lengths: Sequence[int], room: int) -> list[int]:
    """Lengths that together have so much room, by taking from the longest, the last one first."""
    kept = list(lengths)
    while sum(kept) > room:
        longest = max(range(len(kept)), key=lambda i: (kept[i], i))
        kept[longest] -= 1
    return kept


def padded(rows: Sequence[np.ndarray], step: int = STEP) -> np.ndarray:
    """Arrays `[t]` side by side, 0 behind them: `[B, T]`, T a multiple of `step`."""
    length = max(map(len, rows), default=0)
    out = np.zeros((len(rows), max(-(-length // step) * step, step)), rows[0].dtype)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def left_out(mistakes: Mistakes) -> tuple[str, ...]:
    """What a user should know of examples that could not be read: the first few, and how many."""
    messages = list(dict.fromkeys(mistakes.messages))  # a file may be read twice
    first = tuple(f"left out: {message}" for message in messages[:SHOWN])
    more = len(messages) - SHOWN
    return (*first, f"left out: {more} more") if more > 0 else first


def digest(values: Iterable[Any]) -> str:
    """Tells one list of examples from another: of what `repr` says about each."""
    seen = hashlib.sha256()
    for value in values:
        seen.update(repr(value).encode() + b"\n")
    return seen.hexdigest()[:16]

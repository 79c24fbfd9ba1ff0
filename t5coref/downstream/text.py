"""Text-to-text examples: what is read, what is to be written, and what is right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from t5coref.core.errors import ConfigError, FormatError
from t5coref.tokenizer import SENTINELS, Tokenizer


@dataclass(frozen=True)
class TextExample:
    """One question to a model that writes text.

    Attributes:
      name: unique in its data set; what messages and prediction files call it.
      inputs: what the encoder reads. `<extra_id_0>` and so on are T5's sentinels.
      targets: what the decoder is to write; may be empty where nothing is known.
      references: the right answers, any of which will do; JSON values, so that a list of spans can
        be one answer.
      data: what else metrics and heads need; JSON values.
    """

    name: str
    inputs: str
    targets: str
    references: tuple[Any, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


Metric = Callable[[Sequence[TextExample], Sequence[str]], Mapping[str, float]]
"""(examples, what a model wrote for each) -> scores by name."""


@dataclass(slots=True)
class Mistakes:
    """What is wrong with files, example by example.

    A reader that is given none raises the first mistake; one that is given this collects them here,
    leaves the examples out and goes on.

    Attributes:
      messages: `file: name of the example: what is wrong`, one for each example left out.
    """

    messages: list[str] = field(default_factory=list)

    @staticmethod
    def report(mistakes: Mistakes | None, message: str) -> None:
        """Notes a mistake.

        Raises:
          FormatError: nobody collects them.
        """
        if mistakes is None:
            raise FormatError(message)
        mistakes.messages.append(message)


class Reader(Protocol):
    """Reads one file of a data set."""

    def __call__(self, path: str, mistakes: Mistakes | None = None) -> Iterable[TextExample]:
        """The examples of a file, in its order; see `Mistakes`."""
        ...


_SENTINEL = re.compile(r"<extra_id_(\d+)>")

_PREFIX = "\ue000"
"""A character of no text: behind it, SentencePiece puts no word mark."""


def sentinel(tokenizer: Tokenizer, number: int) -> int:
    """The id of `<extra_id_N>`.

    Raises:
      ConfigError: there is no such one.
    """
    if not 0 <= number < SENTINELS:
        raise ConfigError(f"<extra_id_{number}>; expected numbers from 0 to {SENTINELS - 1}")
    return tokenizer.size - len(tokenizer.symbols) - 1 - number


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """The pieces of a text, without `</s>`; a sentinel takes the place of a word or a part of one.

    Raises:
      ConfigError: there is no such sentinel.
    """
    parts = _SENTINEL.split(text)
    ids = tokenizer.encode(parts[0])
    for number, following in zip(parts[1::2], parts[2::2], strict=True):
        ids.append(sentinel(tokenizer, int(number)))
        ids += _continued(tokenizer, following)
    return ids


def _continued(tokenizer: Tokenizer, text: str) -> list[int]:
    """The pieces of a text that follows something else, a word mark only where it has a blank."""
    if not text or text[0].isspace():
        return tokenizer.encode(text)
    ids = tokenizer.encode(_PREFIX + text)
    unknown = tokenizer.unk_id
    # An unknown character at the start of the text is part of the same piece as the prefix.
    merged = ids.count(unknown) == tokenizer.encode(text).count(unknown)
    return [unknown] * merged + ids[ids.index(unknown) + 1 :]


def decode(tokenizer: Tokenizer, tokens: Sequence[int] | np.ndarray) -> str:
    """The text of ids up to `</s>` or padding; unknown characters are `⁇`."""
    text = ""
    for token in map(int, tokens):
        if token in (tokenizer.eos_id, tokenizer.pad_id):
            break
        if token == tokenizer.unk_id:
            text += " ⁇ "
        elif _SENTINEL.fullmatch(piece := tokenizer.piece(token)) or piece in tokenizer.symbols:
            text += f" {piece}"
        else:
            text += piece.replace("▁", " ")
    return " ".join(text.split())

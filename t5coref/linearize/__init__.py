"""Formats: how a document becomes sequences of actions, and actions become clusters."""

from __future__ import annotations

from typing import Any

from t5coref.core.errors import ConfigError
from t5coref.linearize.base import (
    Actions,
    Example,
    Linearization,
    PieceEncoder,
    Turn,
    drive,
    examples,
    replay,
    round_trip,
)
from t5coref.linearize.full_copy import FullCopy

FORMATS: dict[str, type] = {FullCopy.name: FullCopy}
"""Every format by its name; a new one is one file and one entry here."""


def get(name: str, tokenizer: PieceEncoder, **options: Any) -> Linearization:
    """The format called `name`, made with the tokenizer and the format's own options.

    Raises:
      ConfigError: there is no such format.
    """
    try:
        format_ = FORMATS[name]
    except KeyError:
        raise ConfigError(
            f"no linearization is called {name!r}; expected one of {', '.join(sorted(FORMATS))}"
        ) from None
    return format_(tokenizer, **options)


__all__ = [
    "FORMATS",
    "Actions",
    "Example",
    "Linearization",
    "PieceEncoder",
    "Turn",
    "drive",
    "examples",
    "get",
    "replay",
    "round_trip",
]

"""Where tasks find what the user has to give: a tokenizer, corpora, prepared data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TOKENIZER, DATA, PREPARED = "T5COREF_TOKENIZER", "T5COREF_DATA", "T5COREF_PREPARED"
"""Environment variables."""


@dataclass(frozen=True)
class Settings:
    """What tasks are used with; read when a task is used, not when it is registered.

    Attributes:
      tokenizer: a SentencePiece model or its folder; None = that of the prepared data.
      data: the folder with one folder a corpus, see docs/seqio.md.
      prepared: the folder with one folder a task, written by `t5coref prepare`; None = none.
      options: of the linearization, over those of the task, for tasks that run from their files.
      skip_long: train without examples whose targets are too long, instead of refusing them.
    """

    tokenizer: str | None = None
    data: str = "data"
    prepared: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    skip_long: bool = False

    def key(self) -> str:
        """Tells settings apart that lead to other data."""
        return repr((self.tokenizer, self.data, self.prepared, sorted(self.options.items())))


def settings(
    tokenizer: str | None = None,
    data: str | None = None,
    prepared: str | None = None,
    options: Mapping[str, Any] | None = None,
    skip_long: bool = False,
) -> Settings:
    """Settings whose gaps are filled from the environment; see `Settings` for the arguments."""
    return Settings(
        tokenizer=tokenizer or os.environ.get(TOKENIZER) or None,
        data=data or os.environ.get(DATA) or "data",
        prepared=prepared or os.environ.get(PREPARED) or None,
        options=dict(options or {}),
        skip_long=skip_long,
    )

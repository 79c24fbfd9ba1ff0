"""How much a server takes on, and how long it lets anyone wait."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from t5coref.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a server refuses.

    Attributes:
      max_queue: documents that wait for the model, and requests that are being read, at once.
      max_wait: seconds that a document waits for others to share its batch.
      timeout: seconds that a request may take, reading it included.
      max_words: words of all documents of a request; see `messages.cost`.
      max_bytes: of the body of a request.

    Raises:
      ConfigError: a number is out of range.
    """

    max_queue: int = 128
    max_wait: float = 0.01
    timeout: float = 60.0
    max_words: int = 5000
    max_bytes: int = 2 << 20

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "max_wait" else 1
            above_zero = field.name == "timeout" and value > 0
            if not math.isfinite(value) or not (value >= least or above_zero):
                option = field.name.replace("_", "-")
                raise ConfigError(f"{option} is {value}; expected at least {least}")

"""What is learned, as the training loop sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import grain
import jax

from t5coref.train.batches import Batch


class Sums(NamedTuple):
    """What a loss is made of, beside its sum.

    Attributes:
      weight: float32[], what the sum over all micro-batches of a step is divided by.
      parts: further sums, float32[] each; divided by the same weight they are logged.
    """

    weight: jax.Array
    parts: Mapping[str, jax.Array]


Loss = Callable[[Any, Mapping[str, jax.Array], jax.Array], tuple[jax.Array, Sums]]
"""(parameters, features of one micro-batch, key) -> the loss, summed over it, and its `Sums`."""


class Savable(Protocol):
    """A trained model."""

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes a folder with a card; it appears whole or not at all."""
        ...


class Objective(Protocol):
    """One kind of learning: `fit` asks it for everything that is not the same for all kinds.

    Attributes:
      examples: how many there are.
      skipped: names of those left out.
      notes: what else a user should know before it begins.
      loss: the same object for equal settings, so that it is compiled once.
      score: which of the scores of `evaluate` says which model is the best; higher is better.
    """

    examples: int
    skipped: Sequence[str]
    notes: Sequence[str]
    loss: Loss
    score: str

    @property
    def identity(self) -> Mapping[str, Any]:
        """JSON of what a resumed run must share: the `model`'s card, `settings`, and `start`, a few
        of the weights that training starts from.
        """
        ...

    def initial(self) -> Any:
        """The parameters to start from; they are copied."""
        ...

    def batches(self, rows: int, seed: int) -> grain.MapDataset[Batch]:
        """Endless batches of so many rows, each a function of the seed and its number."""
        ...

    @property
    def evaluate(self) -> Callable[[Any], Mapping[str, float]] | None:
        """Parameters -> scores on the dev documents; None where there are none."""
        ...

    def export(self, params: Any) -> Savable:
        """The model with these parameters, on the host."""
        ...

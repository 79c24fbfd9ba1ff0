"""What predictors have in common: documents in rounds, what they ask for in batches."""

from __future__ import annotations

import itertools
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.nn.partition import DATA


class Weights(Protocol):
    """A model, as far as it has parameters."""

    @property
    def params(self) -> Any:
        """Of the network."""
        ...


W = TypeVar("W", bound=Weights)
T = TypeVar("T")

_LOG = logging.getLogger(__name__)

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
"""What XLA calls it, on every kind of device."""


class RoundPredictor(ABC, Generic[W]):
    """Base of predictors that take documents in rounds, and compute rows of one padded length.

    Args:
      model: whose parameters are used where no others are given.
      batch_size: rows computed at once at most.
      round_size: documents taken at once.
      mesh: the devices; its axis `data` divides `batch_size`, and each batch among them.

    Attributes:
      decoder_calls: made so far; 0 for models without a decoder.
    """

    def __init__(self, model: W, *, batch_size: int, round_size: int, mesh: Mesh):
        self.model: W = model
        self.batch_size, self.round_size = batch_size, round_size
        self._mesh = mesh
        self._params: Any = None
        self.decoder_calls = 0
        self._fits: dict[int, int] = {}  # rows of a length or longer that fit into memory

    def predict(
        self, documents: Iterable[Document], params: Mapping[str, Any] | None = None
    ) -> Iterator[Document]:
        """Yields each document with its predicted annotation, in order.

        A document that cannot be predicted comes back without clusters, and `extra["error"]` says
        why; the others are not affected.

        Args:
          documents: read as they are needed.
          params: other weights than the model's, for evaluation during training.
        """
        placed = self.ready(params)
        for taken in rounds(documents, self.round_size):
            yield from self._round(taken, placed)

    def ready(self, params: Any = None) -> Any:
        """Parameters as `_round` wants them; None = the model's, which are kept."""
        if params is not None:
            return self._placed(params)
        if self._params is None:
            self._params = self._placed(self.model.params)
        return self._params

    @abstractmethod
    def _round(self, documents: Sequence[Document], params: Any) -> Iterator[Document]:
        """The documents of a round, with placed parameters."""

    def _placed(self, params: Any) -> Any:
        """The parameters where and as they are computed with."""
        return self._everywhere(params)

    def _computed(
        self, lengths: Sequence[int], compute: Callable[[list[int], int], Sequence[T]]
    ) -> list[T]:
        """What is computed of rows, batches of one padded length at a time.

        A batch that the device has no memory for is computed in halves, and from then on so are
        others of its length or longer.

        Args:
          lengths: the padded length of each row.
          compute: (which rows, their length) -> something for each of them.

        Raises:
          ConfigError: not even the smallest batch fits into memory.
        """
        by_length: dict[int, list[int]] = {}
        for row, length in enumerate(lengths):
            by_length.setdefault(length, []).append(row)
        found: list[Any] = [None] * len(lengths)
        for length, rows in sorted(by_length.items()):
            start = 0
            while start < len(rows):
                size = min([self.batch_size, *(n for w, n in self._fits.items() if w <= length)])
                batch = rows[start : start + size]
                try:
                    outputs = compute(batch, length)
                except jax.errors.JaxRuntimeError as error:
                    if OUT_OF_MEMORY not in str(error):
                        raise
                    self._fits[length] = self._half(len(batch), length)
                    continue
                for row, output in zip(batch, outputs, strict=True):
                    found[row] = output
                start += size
        return found

    def _half(self, rows: int, length: int) -> int:
        """Fewer rows than were too many, which every device still gets as many of."""
        copies = self._mesh.shape[DATA]
        half = self._padded_rows(rows) // 2 // copies * copies
        if not half:
            raise ConfigError(
                f"{self._padded_rows(rows)} rows of {length} pieces need more memory than the "
                "device has; use a smaller window, fewer beams, or more devices for one copy of "
                "the model (model_parallel)"
            )
        _LOG.warning(
            "%d rows of %d pieces need more memory than the device has; going on with %d at a time",
            self._padded_rows(rows), length, half,
        )  # fmt: skip
        return half

    def _padded_rows(self, rows: int) -> int:
        """The rows that a batch is filled up to: few sizes, so few programs are compiled."""
        copies = self._mesh.shape[DATA]
        needed = 1 << (rows - 1).bit_length()
        return min(self.batch_size, math.ceil(needed / copies) * copies)

    def _by_row(self, tree: Any) -> Any:
        """Arrays whose first axis is the rows, divided among the devices."""
        return jax.device_put(tree, NamedSharding(self._mesh, PartitionSpec(DATA)))

    def _everywhere(self, tree: Any) -> Any:
        """Arrays that every device holds whole."""
        return jax.device_put(tree, NamedSharding(self._mesh, PartitionSpec()))


def rounds(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    """Documents in lists of `size`, the last one shorter; read as they are needed."""
    stream = iter(documents)
    while taken := list(itertools.islice(stream, size)):
        yield taken

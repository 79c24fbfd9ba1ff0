"""Documents in, the same documents with proposed mentions out."""

from __future__ import annotations

import itertools
import math
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from t5coref.adapters import SETTINGS
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.core.given_mentions import PREDICTED, with_mentions
from t5coref.downstream.head_model import HeadModel, compute
from t5coref.headed import Base
from t5coref.joint_ie.features import length_bucket
from t5coref.mentions.rows import Row, rows_of, scores_of, side_by_side
from t5coref.mentions.tags import best_in_sentences, spans_of, tags
from t5coref.mentions.task import NAME
from t5coref.model import Model
from t5coref.nn.partition import DATA
from t5coref.rounds import RoundPredictor

PROPOSER = "proposer"
"""Folder, in that of a model, of the proposer that tells it mentions where nobody else does."""


class MentionProposer(RoundPredictor[HeadModel]):
    """Proposes mentions for streams of documents, many at a time.

    Documents keep their annotation; `core.given_mentions.given` reads what was proposed.

    Args:
      model: of the task `MentionTagging`.
      bias: more mentions with a higher one, see `MentionTagging`; None = the model's.
      batch_size: windows computed at once at most.
      round_size: documents taken at once.
      devices: where to run; None = all local devices, as many as divide `batch_size`.

    Raises:
      ConfigError: an argument is out of range.
      MismatchError: the model was trained for something else.
    """

    def __init__(
        self,
        model: HeadModel,
        *,
        bias: float | None = None,
        batch_size: int = 8,
        round_size: int = 16,
        devices: Sequence[Any] | None = None,
    ):
        if model.task != NAME:
            raise MismatchError(
                f"the model is one for {model.task}; expected one for {NAME}, see docs/proposer.md"
            )
        if batch_size < 1 or round_size < 1:
            raise ConfigError(
                f"batch_size {batch_size}, round_size {round_size}; expected at least 1 each"
            )
        self.bias: float = model.data["bias"] if bias is None else bias
        if not math.isfinite(self.bias):
            raise ConfigError(f"bias is {self.bias}; expected a number, such as 0.5")
        devices = list(jax.local_devices() if devices is None else devices)
        copies = math.gcd(batch_size, len(devices))
        mesh = Mesh(np.asarray(devices[:copies]), (DATA,))
        super().__init__(model, batch_size=batch_size, round_size=round_size, mesh=mesh)
        self.memory: Any = None  # nothing is learned from one document to the next

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        base: Base | None = None,
        dtype: str | None = None,
        **options: Any,
    ) -> MentionProposer:
        """A proposer with the model of a folder.

        Args:
          folder: of the model; of adapters, in the folder of the model that they adapt; or of a
            model of a format that has adapters in `proposer`.
          base: the model that the adapters adapt; None = that in whose folder they are.
          dtype: computation type of the encoder, unless `base` has it; None = as saved.
          **options: those of the class.

        Raises:
          ConfigError: there is no such model, or see above.
          MismatchError: see above, and `HeadModel`.
        """
        place = pathlib.Path(folder)
        if (place / PROPOSER).is_dir():
            place /= PROPOSER
        if not (place / SETTINGS).is_file():
            return cls(HeadModel.load(place, dtype=dtype), **options)
        base = Model.load(place.parent, dtype=dtype) if base is None else base
        return cls(HeadModel.adapted(place, base), **options)

    @property
    def identity(self) -> dict[str, Any]:
        """What proposals depend on, as JSON."""
        return {
            "model": self.model.card() | {"fingerprint": self.model.fingerprint()},
            "bias": self.bias,
            "batch_size": self.batch_size,
            "round_size": self.round_size,
        }

    def _round(self, documents: Sequence[Document], params: Any) -> Iterator[Document]:
        data, tokenizer = self.model.data, self.model.tokenizer
        depth: int = data["max_depth"]
        windows = [rows_of(d, tokenizer, data["window"], data["stride"]) for d in documents]
        rows = list(itertools.chain.from_iterable(windows))
        logits = self._computed(
            [length_bucket(len(row)) for row in rows],
            lambda members, length: self._compute([rows[k] for k in members], length, params),
        )
        computed = iter(logits)
        classes = len(tags(depth))
        scores = [
            scores_of(document, of_document, [next(computed) for _ in of_document], classes)
            for document, of_document in zip(documents, windows, strict=True)
        ]
        best = best_in_sentences(documents, scores, depth, self.bias)
        for document, chosen in zip(documents, best, strict=True):
            yield with_mentions(document, spans_of(chosen, depth), PREDICTED)

    def _compute(self, rows: Sequence[Row], length: int, params: Any) -> list[np.ndarray]:
        """The logits `[T, K]` of some windows; copies of the last one fill up the batch."""
        filled = [*rows, *[rows[-1]] * (self._padded_rows(len(rows)) - len(rows))]
        features = self._by_row(side_by_side(filled, length))
        head: Any = self.model.head  # hashable, which type checkers do not know of linen modules
        return list(np.asarray(compute(self.model.config, head, params, features))[: len(rows)])

"""Writing Hugging Face's layout; reading it is `t5coref.nn.checkpoint.open_hf`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from t5coref.nn.checkpoint import hf_tensors
from t5coref.nn.shards import SHARD_BYTES, Shards, Spec
from t5coref.nn.stack import T5Config


class HuggingFaceWriter:
    """Safetensors of a model, open for writing.

    Args:
        folder: where they are made.
        config: the model's.
        tensors: all that will be written, by our unscanned names.
        max_shard_bytes: see `Shards`.
    """

    def __init__(
        self,
        folder: Path,
        config: T5Config,
        tensors: Mapping[str, Spec],
        *,
        max_shard_bytes: int = SHARD_BYTES,
    ):
        named = hf_tensors(config).items()
        self._names = {tensor.path: (name, tensor.transpose) for name, tensor in named}
        specs = {name: Spec(tensor.shape, tensors[tensor.path].dtype) for name, tensor in named}
        self._shards = Shards(folder, specs, max_shard_bytes=max_shard_bytes)

    def write(self, name: str, values: np.ndarray) -> None:
        """Writes one tensor."""
        theirs, transpose = self._names[name]
        self._shards.write(theirs, values.T if transpose else values)

    def close(self) -> None:
        """Finishes the files."""
        self._shards.close()

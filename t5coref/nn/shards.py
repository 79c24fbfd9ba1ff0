"""Writing safetensors: one file or shards and an index, tensor by tensor in any order.

The format (https://github.com/huggingface/safetensors) says in its header where each tensor lies.
All shapes are known before the first tensor comes, so headers go first and nothing waits in memory.
Files have their full length from the start: until all is written they bear another name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from t5coref.nn.weight_files import FLOATS, INDEX, WEIGHTS

SHARD_BYTES = 5 * 10**9
"""Hugging Face's own limit of old; each shard is a little smaller."""

SLAB_BYTES = 4 << 20
"""Tensors are turned, converted and written in slabs of rows of about so many bytes."""

UNFINISHED = ".unfinished"
"""Behind the name of a file that is being written."""

TYPES = {dtype: name for name, dtype in FLOATS.items()}


class Spec(NamedTuple):
    """What a tensor will look like in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """How many bytes they take."""
        return self.size * self.dtype.itemsize


class Shards:
    """The weight files of a folder, open for writing.

    Args:
        folder: gets `model.safetensors`, or shards and their index.
        tensors: all that will be written, by name.
        max_shard_bytes: no shard is larger, unless a single tensor is.
    """

    def __init__(
        self, folder: Path, tensors: Mapping[str, Spec], *, max_shard_bytes: int = SHARD_BYTES
    ):
        self._folder, self._tensors = folder, dict(tensors)
        self._places: dict[str, tuple[Path, int]] = {}
        self._index: dict[str, str] = {}
        shards = list(_divided(self._tensors, max_shard_bytes))
        for i, names in enumerate(shards):
            whole = len(shards) == 1
            file = WEIGHTS if whole else f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
            self._index |= dict.fromkeys(names, file)
            self._begin(folder / (file + UNFINISHED), names)

    def _begin(self, path: Path, names: list[str]) -> None:
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        offset = 0
        # Wider types first, so that each tensor is aligned to its own.
        for name in sorted(names, key=lambda name: -self._tensors[name].dtype.itemsize):
            spec = self._tensors[name]
            end = offset + spec.nbytes
            header[name] = {
                "dtype": TYPES[spec.dtype],
                "shape": list(spec.shape),
                "data_offsets": [offset, end],
            }
            self._places[name] = path, offset
            offset = end
        encoded = json.dumps(header, separators=(",", ":")).encode()
        encoded += b" " * (-len(encoded) % 8)
        with path.open("wb") as file:
            file.write(len(encoded).to_bytes(8, "little") + encoded)
            file.truncate(file.tell() + offset)
        for name in names:
            start = self._places[name][1]
            self._places[name] = path, 8 + len(encoded) + start

    def write(self, name: str, values: np.ndarray) -> None:
        """Writes a tensor, converted to the type that was announced for it.

        Raises:
            ValueError: it has another shape than was announced.
        """
        spec = self._tensors[name]
        if values.shape != spec.shape:
            raise ValueError(f"{name}: expected shape {spec.shape}, got {values.shape}")
        path, offset = self._places.pop(name)
        with path.open("r+b") as file:
            file.seek(offset)
            for slab in slabs(values):
                file.write(np.ascontiguousarray(slab, spec.dtype).view(np.uint8).data)

    def close(self) -> None:
        """Gives the files their names and writes the index.

        Raises:
            ValueError: not every tensor has been written.
        """
        if self._places:
            raise ValueError(f"expected all tensors to be written, without {sorted(self._places)}")
        files = sorted(set(self._index.values()))
        for file in files:
            (self._folder / (file + UNFINISHED)).replace(self._folder / file)
        if len(files) > 1:
            total = sum(spec.nbytes for spec in self._tensors.values())
            content = {"metadata": {"total_size": total}, "weight_map": self._index}
            (self._folder / INDEX).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def slabs(values: np.ndarray, rows: int | None = None) -> Iterator[np.ndarray]:
    """Cuts a tensor along its first axis, into pieces of `rows` (None: of `SLAB_BYTES`)."""
    if not values.ndim or not len(values):
        yield values
        return
    step = rows or max(1, SLAB_BYTES // max(1, values[0].nbytes))
    for start in range(0, len(values), step):
        yield values[start : start + step]


def _divided(tensors: Mapping[str, Spec], limit: int) -> Iterator[list[str]]:
    shard: list[str] = []
    room = limit
    for name, spec in tensors.items():
        if shard and spec.nbytes > room:
            yield shard
            shard, room = [], limit
        shard.append(name)
        room -= spec.nbytes
    yield shard

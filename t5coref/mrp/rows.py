"""What one example of mention reference prediction is, and how a corpus of them is stored.

A shard is one file: rows one after another, an index of where each ends with a checksum of it, and
a trailer that says where the index is. Rows are read from the mapped file, none but those asked
for; a file that is cut short or changed is noticed. `manifest.json` lists the shards of a folder.
"""

from __future__ import annotations

import functools
import json
import mmap
import os
import pathlib
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from t5coref.core.errors import ConfigError, FormatError

MANIFEST = "manifest.json"

NOT_MASKED = -1
"""In the targets of rows that keep their length: the piece is not to be predicted."""

Buffer = bytes | mmap.mmap | memoryview

OPEN_SHARDS = 256
"""Mapped at once: each holds a file descriptor."""

_MAGIC = b"T5MRP\x00\x00\x01"
_TRAILER = struct.Struct("<QQI4x8s")  # where the index begins, rows, its checksum, the magic
_SIZES = np.dtype("<i4")
_ENDS, _SUMS = np.dtype("<u8"), np.dtype("<u4")
_REMEDY = "delete the file and start the command that made it again"


@dataclass(frozen=True, eq=False)
class MRPRow:
    """A masked sequence, its masked mentions and where what they refer to is written.

    All positions are into `inputs`, and ends are the last piece itself.

    Attributes:
      name: of the text, and which of its sequences it is.
      inputs: int32 `[S]`, with `</s>`, without padding.
      targets: int32 `[T]` for the decoder, with `</s>`; where masking keeps the length, `[S]` with
        the original piece at masked positions and `NOT_MASKED` elsewhere.
      query_start: int32 `[Q]`, the masked mentions; there may be none.
      query_end: int32 `[Q]`.
      query_single: bool `[Q]`, whether the masked word is one piece.
      ref_start: int32 `[Q, J]`, the mentions of the same surface that can be seen.
      ref_end: int32 `[Q, J]`.
      ref_mask: bool `[Q, J]`, which of them there are.
    """

    name: str
    inputs: np.ndarray
    targets: np.ndarray
    query_start: np.ndarray
    query_end: np.ndarray
    query_single: np.ndarray
    ref_start: np.ndarray
    ref_end: np.ndarray
    ref_mask: np.ndarray


_VECTORS = ("inputs", "targets", "query_start", "query_end")
_TABLES = ("ref_start", "ref_end")


def to_bytes(row: MRPRow) -> bytes:
    """A row as the bytes that are stored: sizes, then every array.

    Raises:
      ConfigError: shapes do not fit together.
    """
    name = row.name.encode()
    q, j = row.ref_start.shape
    expected = {"query_start": (q,), "query_end": (q,), "query_single": (q,), "ref_end": (q, j),
                "ref_mask": (q, j)}  # fmt: skip
    for field, shape in expected.items():
        if (found := getattr(row, field).shape) != shape:
            raise ConfigError(
                f"row {row.name!r}: {field} has shape {found}; expected {shape}, since ref_start "
                f"has {(q, j)}"
            )
    sizes = np.array([len(row.inputs), len(row.targets), q, j, len(name)], _SIZES)
    ints = [np.ascontiguousarray(getattr(row, f), _SIZES) for f in (*_VECTORS, *_TABLES)]
    flags = [np.ascontiguousarray(f, np.bool_) for f in (row.query_single, row.ref_mask)]
    content = b"".join((*(a.tobytes() for a in (sizes, *ints, *flags)), name))
    return content + bytes(-len(content) % 8)


def from_bytes(content: Buffer) -> MRPRow:
    """The row of stored bytes; its arrays are views of them."""
    s, t, q, j, name = np.frombuffer(content, _SIZES, 5).tolist()
    place = 5 * _SIZES.itemsize
    arrays: dict[str, np.ndarray] = {}
    shapes = ((s,), (t,), (q,), (q,), (q, j), (q, j))
    for field, shape in zip((*_VECTORS, *_TABLES), shapes, strict=True):
        count = int(np.prod(shape))
        arrays[field] = np.frombuffer(content, _SIZES, count, place).reshape(shape)
        place += count * _SIZES.itemsize
    for field, shape in (("query_single", (q,)), ("ref_mask", (q, j))):
        count = int(np.prod(shape))
        arrays[field] = np.frombuffer(content, np.bool_, count, place).reshape(shape)
        place += count
    return MRPRow(name=bytes(memoryview(content)[place : place + name]).decode(), **arrays)


def write_shard(path: str | os.PathLike[str], rows: Iterable[MRPRow]) -> int:
    """Writes one file of this machine, which appears whole or not at all; the number of rows."""
    path = pathlib.Path(path)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    ends, sums, place = [0], [], len(_MAGIC)
    with fresh.open("wb") as file:
        file.write(_MAGIC)
        for row in rows:
            content = to_bytes(row)
            file.write(content)
            place += len(content)
            ends.append(place - len(_MAGIC))
            sums.append(zlib.crc32(content))
        index = np.array(ends, _ENDS).tobytes() + np.array(sums, _SUMS).tobytes()
        file.write(index)
        file.write(_TRAILER.pack(place, len(sums), zlib.crc32(index), _MAGIC))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return len(sums)


class Shard:
    """The rows of one file, read when they are asked for.

    Args:
      content: the file, mapped or in memory.
      name: of the file, for messages.

    Raises:
      FormatError: it is no such file, or not all of it is there.
    """

    def __init__(self, content: Buffer, name: str):
        self._content, self._name = memoryview(content), name
        size = len(self._content)
        if size < len(_MAGIC) + _TRAILER.size or self._content[: len(_MAGIC)] != _MAGIC:
            raise FormatError(
                f"{name}: no shard of mention reference rows ({size} bytes); expected a file that "
                "`t5coref prepare mrp` wrote"
            )
        start, rows, checksum, magic = _TRAILER.unpack(self._content[size - _TRAILER.size :])
        index_size = (rows + 1) * _ENDS.itemsize + rows * _SUMS.itemsize
        if magic != _MAGIC or start + index_size + _TRAILER.size != size:
            raise FormatError(f"{name}: {size} bytes, the end of the file is missing; {_REMEDY}")
        index = self._content[start : start + index_size]
        if zlib.crc32(index) != checksum:
            raise FormatError(f"{name}: the index is damaged; {_REMEDY}")
        self._ends = np.frombuffer(index, _ENDS, rows + 1)
        self._sums = np.frombuffer(index, _SUMS, rows, (rows + 1) * _ENDS.itemsize)

    def __len__(self) -> int:
        return len(self._sums)

    def row(self, i: int) -> MRPRow:
        """The i-th row, from 0.

        Raises:
          FormatError: its bytes are not those that were written.
        """
        start, end = (len(_MAGIC) + int(self._ends[k]) for k in (i, i + 1))
        content = self._content[start:end]
        if zlib.crc32(content) != int(self._sums[i]):
            raise FormatError(f"{self._name}: row {i} is damaged; {_REMEDY}")
        return from_bytes(content)


class Rows(Sequence[MRPRow]):
    """The rows of a folder, in the order in which they were prepared.

    Args:
      folder: a path, or a URL for fsspec.
      shards: the files in it, and how many rows are in each.
    """

    def __init__(self, folder: str, shards: Mapping[str, int]):
        self._folder, self._shards = folder, dict(shards)
        self._names = list(self._shards)
        self._starts = np.cumsum([0, *self._shards.values()])
        self._open = functools.lru_cache(OPEN_SHARDS)(self._opened)

    def __reduce__(self):
        return Rows, (self._folder, self._shards)

    def __len__(self) -> int:
        return int(self._starts[-1])

    @overload
    def __getitem__(self, index: int) -> MRPRow: ...
    @overload
    def __getitem__(self, index: slice) -> list[MRPRow]: ...

    def __getitem__(self, index: int | slice) -> MRPRow | list[MRPRow]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = index + len(self) if index < 0 else int(index)
        if not 0 <= i < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        shard = int(np.searchsorted(self._starts, i, "right")) - 1
        return self._open(shard).row(i - int(self._starts[shard]))

    def _opened(self, k: int) -> Shard:
        name = f"{self._folder.rstrip('/')}/{self._names[k]}"
        content = _content(self._folder, self._names[k])
        if content is None:
            raise FormatError(f"{name} is in {MANIFEST} but not there; prepare the folder again")
        shard = Shard(content, name)
        if len(shard) != (expected := self._shards[self._names[k]]):
            raise FormatError(
                f"{name}: {len(shard)} rows, {MANIFEST} says {expected}; the two are not of one "
                "job: prepare the folder again"
            )
        return shard


def read_rows(folder: str | os.PathLike[str]) -> Rows:
    """The rows that `t5coref prepare mrp` wrote to a folder or URL; random access, lazy.

    Raises:
      FormatError: nothing that was finished is there.
    """
    folder = os.fspath(folder)
    shards = read_manifest(folder)["shards"]
    return Rows(folder, {shard["file"]: shard["rows"] for shard in shards})


def write_rows(folder: str | os.PathLike[str], rows: Iterable[MRPRow]) -> None:
    """Writes rows of one's own as a folder with one shard, for `read_rows`."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = "rows-00000.mrp"
    manifest = {"shards": [{"file": file, "rows": write_shard(folder / file, rows)}]}
    fresh = folder / f"{MANIFEST}.new"
    fresh.write_text(json.dumps(manifest, indent=1) + "\n")
    fresh.replace(folder / MANIFEST)


def read_manifest(folder: str) -> dict[str, Any]:
    """What a folder was made with, and its shards.

    Raises:
      FormatError: nothing that was finished is there.
    """
    content = _content(folder, MANIFEST)
    if content is None:
        raise FormatError(
            f"{folder} has no {MANIFEST}; expected a folder that `t5coref prepare mrp` has "
            "finished (an unfinished one goes on when the same command is started again)"
        )
    try:
        manifest = json.loads(bytes(content))
        shards = manifest["shards"]
        if not isinstance(shards, list) or not all(_is_shard(shard) for shard in shards):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FormatError(
            f"{folder}/{MANIFEST} does not list shards of mention reference rows; expected one "
            "that `t5coref prepare mrp` wrote"
        ) from None
    return manifest


def _is_shard(value: Any) -> bool:
    return isinstance(value["file"], str) and type(value["rows"]) is int and value["rows"] >= 0


def _content(folder: str, name: str) -> Buffer | None:
    """A file of this machine, mapped; or one of a store, in memory; None if it is not there."""
    if "://" in folder and not folder.startswith("file://"):
        from t5coref.jobs import storage  # brings in what prediction needs

        return storage.open_folder(folder).read(name)
    try:
        with open(pathlib.Path(folder.removeprefix("file://"), name), "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return b""  # cannot be mapped
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        return None

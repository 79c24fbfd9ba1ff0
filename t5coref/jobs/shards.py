"""How a job is cut into shards, one output file each, and which process does which.

Neither the names of the shards nor what is in them depends on the number of processes, so a job may
go on with another number of them.
"""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from t5coref.jobs.hosts import Host


@dataclass(frozen=True, slots=True)
class Part:
    """Documents of one input.

    Attributes:
      path: path or URL of the input.
      bytes: its size.
      start: the first document.
      stop: the document behind the last; None = all from `start` on.
    """

    path: str
    bytes: int
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """A piece of work: documents in the order of the inputs, and the output that they become.

    Attributes:
      name: of the output, below the output folder.
      parts: where the documents are.
      weight: how much work they are thought to be, in bytes.
    """

    name: str
    parts: tuple[Part, ...]
    weight: float

    def to_json(self) -> dict[str, Any]:
        """As it is written down."""
        return {**asdict(self), "parts": [asdict(part) for part in self.parts]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Shard:
        """What `to_json` made."""
        parts = tuple(Part(**part) for part in value["parts"])
        return cls(value["name"], parts, value["weight"])


def one_each(inputs: Mapping[str, int], ending: str) -> list[Shard]:
    """A shard for each input of `{path: bytes}`, named like it."""
    return [
        Shard(name + ending, (Part(path, size),), float(size))
        for (path, size), name in zip(inputs.items(), _names(list(inputs)), strict=True)
    ]


def numbered(
    inputs: Mapping[str, int], documents: Sequence[int], ending: str, most: int
) -> list[Shard]:
    """Shards of `most` documents, across the inputs of `{path: bytes}` with so many `documents`."""
    filled: list[list[Part]] = []
    weights: list[float] = []
    room = 0
    for (path, size), count in zip(inputs.items(), documents, strict=True):
        start = 0
        while start < count:
            if not room:
                filled.append([])
                weights.append(0.0)
                room = most
            stop = min(start + room, count)
            filled[-1].append(Part(path, size, start, stop))
            weights[-1] += size * (stop - start) / count
            room -= stop - start
            start = stop
    return [
        Shard(f"part-{i:05d}-of-{len(filled):05d}{ending}", tuple(parts), weight)
        for i, (parts, weight) in enumerate(zip(filled, weights, strict=True))
    ]


def share(shards: Sequence[Shard], host: Host) -> list[Shard]:
    """The shards of one process: neighbours, so that a large input is read by few processes.

    A shard belongs to the process in whose equal part of all bytes its middle lies.
    """
    heavy = [shard.weight + 1 for shard in shards]  # empty inputs are shared out as well
    total = sum(heavy)
    return [
        shard
        for shard, weight, end in zip(shards, heavy, itertools.accumulate(heavy), strict=True)
        if int((end - weight / 2) * host.count / total) == host.index
    ]


def _names(inputs: Sequence[str]) -> list[str]:
    """The paths below their common folder, without the ending where that keeps them apart."""
    parts = [path.replace("://", "/").strip("/").split("/") for path in inputs]
    levels = zip(*(part[:-1] for part in parts), strict=False)
    above = sum(1 for _ in itertools.takewhile(lambda level: len(set(level)) == 1, levels))
    below = ["/".join(part[above:]) for part in parts]
    short = [str(pathlib.PurePosixPath(name.removesuffix(".gz")).with_suffix("")) for name in below]
    # Not every file system tells upper from lower case.
    return short if len({name.lower() for name in short}) == len(short) else below

"""What happened at which step: `metrics.jsonl` and event files for TensorBoard."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
"""`kind` (train or dev), `step`, and numbers."""

METRICS_FILE = "metrics.jsonl"
EVENTS_FOLDER = "tensorboard"
WALL_CLOCK = ("seconds", "pieces_per_second")
"""Fields that differ between two otherwise equal runs."""


class Logbook:
    """Rows of numbers, in order of steps; a run that starts again goes on where it was.

    Args:
      folder: where the files are.
      after: the last step that counts; later rows, of a run that was killed, are removed.
    """

    def __init__(self, folder: str | os.PathLike[str], *, after: int):
        self._path = pathlib.Path(folder, METRICS_FILE)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _cut(self._path, after)
        self._file = self._path.open("a", encoding="utf-8")
        from tensorboardX import SummaryWriter  # takes seconds where torch is installed

        events = str(pathlib.Path(folder, EVENTS_FOLDER))
        self._events = SummaryWriter(events, purge_step=after + 1, write_to_disk=True)

    def write(self, row: Row) -> None:
        """Adds a row; it survives the end of this process from here on."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for name, value in row.items():
            if name not in ("kind", "step"):
                self._events.add_scalar(f"{row['kind']}/{name}", value, row["step"])

    def sync(self) -> None:
        """Returns when all rows are on disk."""
        os.fsync(self._file.fileno())
        self._events.flush()

    def close(self) -> None:
        """Writes the rest and closes the files."""
        self._file.close()
        self._events.close()

    def __enter__(self) -> Logbook:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a run."""
    lines = pathlib.Path(folder, METRICS_FILE).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def without_clock(row: Row) -> dict[str, Any]:
    """What an equal run would log, too."""
    return {name: value for name, value in row.items() if name not in WALL_CLOCK}


def _cut(path: pathlib.Path, after: int) -> None:
    """Drops rows of later steps, and a last line that was not finished."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text("utf-8").splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= after:
                kept.append(line)
        except (ValueError, TypeError, KeyError):
            continue
    fresh = path.with_suffix(".tmp")
    fresh.write_text("".join(kept), "utf-8")
    fresh.replace(path)

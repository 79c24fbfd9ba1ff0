"""A progress bar over the bytes of tensors; a line now and then where there is no terminal."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from t5coref.cli.progress import SECONDS_BETWEEN_LINES


class TensorProgress:
    """Shows how many bytes are written, on standard error."""

    def __init__(self, quiet: bool = False):
        self._console = Console(file=sys.stderr, highlight=False)
        self._quiet, self._spoke = quiet, time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("tensors", total=None)

    def __enter__(self) -> TensorProgress:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def advanced(self, name: str, done: int, total: int) -> None:
        """So many bytes of all are written, those of tensor `name` the last."""
        self._bar.update(self._task, completed=done, total=total)
        due = time.monotonic() - self._spoke > SECONDS_BETWEEN_LINES
        if due and not self._quiet and not self._console.is_terminal:
            self._spoke = time.monotonic()
            self._console.print(f"{size(done)} of {size(total)}, {name}", markup=False)


def size(nbytes: int) -> str:
    """A number of bytes to read."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if nbytes >= scale:
            return f"{nbytes / scale:,.2f} {unit}"
    return f"{nbytes:,} bytes"

"""A bar over the documents of each split: on a terminal a moving one, else a line now and then."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 30


class PrepareProgress:
    """Writes to standard error."""

    def __init__(self, quiet: bool = False):
        self._console = Console(file=sys.stderr, highlight=False, quiet=quiet)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._reading: TaskID | None = None
        self._name, self._total, self._done = "", 0, 0
        self._spoke = time.monotonic()

    def __enter__(self) -> PrepareProgress:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def read(self, split: str) -> None:
        """One document more is read."""
        if self._reading is None or self._name != split:
            self._name = split
            self._reading = self._bar.add_task(f"reading {split}", total=None)
        self._bar.advance(self._reading)

    def split(self, name: str, documents: int, done: int) -> None:
        """A split begins; so many of its documents are done already."""
        if self._reading is not None:
            self._bar.remove_task(self._reading)
            self._reading = None
        self._name, self._total, self._done = name, documents, done
        self._task = self._bar.add_task(name, total=documents, completed=done)
        if done:
            self._console.print(f"{name}: {done:,} of {documents:,} documents are there already")

    def advanced(self, documents: int) -> None:
        """So many documents more are done."""
        self._done += documents
        assert self._task is not None
        self._bar.advance(self._task, documents)
        silent = time.monotonic() - self._spoke
        if not self._console.is_terminal and silent > SECONDS_BETWEEN_LINES:
            self._spoke = time.monotonic()
            self._console.print(f"{self._name}: {self._done:,} of {self._total:,} documents")

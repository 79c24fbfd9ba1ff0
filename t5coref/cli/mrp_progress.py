"""A bar over the bytes of a text corpus: on a terminal a moving one, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from t5coref.cli.progress import SECONDS_BETWEEN_LINES


class MRPProgress:
    """Writes to standard error."""

    def __init__(self, quiet: bool = False):
        self._console = Console(file=sys.stderr, highlight=False, quiet=quiet)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("text", total=None, rate="")
        self._kept = self._kept_words = self._position = 0
        self._began = self._spoke = time.monotonic()

    def __enter__(self) -> MRPProgress:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()
        if self._kept:
            self._console.print(f"{self._kept:,} shards were there already")

    def finished(self, position: int, size: int, totals: Mapping[str, int], *, kept: bool) -> None:
        """A shard is there, made now or kept from before."""
        words = totals["words"]
        if kept:
            self._kept += 1
            self._kept_words = words
        seconds = time.monotonic() - self._began
        rate = f"{(words - self._kept_words) / max(seconds, 1e-9):,.0f} words/s"
        self._position = max(self._position, position)  # shards are not finished in their order
        self._bar.update(self._task, total=size, completed=self._position, rate=rate)
        silent = time.monotonic() - self._spoke
        if not self._console.is_terminal and silent > SECONDS_BETWEEN_LINES:
            self._spoke = time.monotonic()
            done = self._position / max(size, 1)
            self._console.print(f"{done:.0%} of the input, {totals['rows']:,} rows, {rate}")

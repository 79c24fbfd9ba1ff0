"""How one process of a job gets on: a bar over its files on a terminal, else a line at times."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from t5coref.cli.progress import SECONDS_BETWEEN_LINES
from t5coref.core.document import Document
from t5coref.jobs import Host, Shard
from t5coref.predict import error_of


class ShardProgress:
    """Writes to standard error; with several processes, each line begins with which it is of."""

    def __init__(self, host: Host, quiet: bool = False):
        self._console = Console(file=sys.stderr, highlight=False)
        self._who = f"process {host.index} of {host.count}: " if host.count > 1 else ""
        self._quiet = quiet
        self._shards = self._done = self._documents = self._words = 0
        self._began = self._spoke = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task(f"{self._who}files", total=None, rate="")

    def __enter__(self) -> ShardProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._documents and not self._console.is_terminal:
            self._line()

    def planned(self, shards: int, finished: int) -> None:
        """So many shards are this process's, so many of them were finished before."""
        self._shards, self._done = shards, finished
        self._bar.update(self._task, total=shards, completed=finished)
        already = f", {finished:,} of them already done" if finished else ""
        self._say(f"{shards:,} {'file' if shards == 1 else 'files'} to write{already}")

    def resumed(self, records: int) -> None:
        """So many records of a shard were already there."""
        if records:
            self._say(f"going on after {records:,} documents that are already done")

    def advanced(self, records: Sequence[Document]) -> None:
        """These documents are done."""
        self._documents += len(records)
        self._words += sum(len(d.words) for d in records)
        seconds = time.monotonic() - self._began
        rate = f"{self._documents:,} documents, {self._words / max(seconds, 1e-9):,.0f} words/s"
        self._bar.update(self._task, rate=rate)
        for d in records:
            if (reason := error_of(d)) is not None:
                self._console.print(f"{self._who}warning: {d.doc_id}: {reason}", markup=False)
        if not self._console.is_terminal and self._time_to_speak():
            self._line()

    def finished(self, shard: Shard) -> None:
        """A shard is finished."""
        self._done += 1
        self._bar.update(self._task, completed=self._done)

    def waiting(self, reason: str) -> None:
        """What the process waits for, again and again while it lasts."""
        self._bar.update(self._task, rate=f"waiting {reason}")
        if self._time_to_speak():
            self._say(f"waiting {reason}")

    def _time_to_speak(self) -> bool:
        return time.monotonic() - self._spoke > SECONDS_BETWEEN_LINES

    def _line(self) -> None:
        seconds = time.monotonic() - self._began
        self._say(
            f"{self._done:,} of {self._shards:,} {'file' if self._shards == 1 else 'files'}, "
            f"{self._documents:,} documents, {seconds:.0f} s"
        )

    def _say(self, text: str) -> None:
        self._spoke = time.monotonic()
        if not self._quiet:
            self._console.print(self._who + text, markup=False)

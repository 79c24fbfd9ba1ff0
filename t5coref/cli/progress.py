"""A progress bar over documents: on a terminal a moving one, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from t5coref.core.document import Document
from t5coref.predict import error_of

SECONDS_BETWEEN_LINES = 30


class DocumentProgress:
    """Shows how many documents are done, and reports those that failed at once.

    It writes to standard error, so that standard output stays free for results.
    """

    def __init__(self, total: int | None, quiet: bool = False):
        self._console = Console(file=sys.stderr, highlight=False)
        self._total, self._done, self._said, self._words = total, 0, 0, 0
        self._quiet, self._shared = quiet, 0
        self._started = self._spoke = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("documents", total=total, rate="")

    def __enter__(self) -> DocumentProgress:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()
        if not self._quiet and not self._console.is_terminal and self._done > self._said:
            self._line()
        if self._shared:
            plural = "span is" if self._shared == 1 else "spans are"
            self._console.print(
                f"note: {self._shared} {plural} in several clusters; scorers count the first"
            )

    def resumed(self, records: int) -> None:
        """So many records were already there."""
        if records:
            self._done += records
            self._bar.advance(self._task, records)
            if not self._quiet:
                self._console.print(f"going on after {records} documents that are already done")

    def advanced(self, records: Sequence[Document]) -> None:
        """These documents are done."""
        self._done += len(records)
        self._words += sum(len(d.words) for d in records)
        seconds = time.monotonic() - self._started
        rate = f"{self._words / max(seconds, 1e-9):,.0f} words/s"
        self._bar.update(self._task, advance=len(records), rate=rate)
        for d in records:
            self._shared += len(d.annotation.shared_spans()) if d.annotation else 0
            if (reason := error_of(d)) is not None:
                self._console.print(f"warning: {d.doc_id}: {reason}", markup=False)
        if (
            not self._quiet
            and not self._console.is_terminal
            and time.monotonic() - self._spoke > SECONDS_BETWEEN_LINES
        ):
            self._line()

    def _line(self) -> None:
        self._spoke, self._said = time.monotonic(), self._done
        of = f" of {self._total}" if self._total is not None else ""
        seconds = self._spoke - self._started
        plural = "" if (self._total or self._done) == 1 else "s"
        self._console.print(f"{self._done}{of} document{plural}, {seconds:.0f} s")

"""A bar over the examples of a data set: on a terminal a moving one, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from t5coref.cli.progress import SECONDS_BETWEEN_LINES

T = TypeVar("T")


def counting(items: Iterable[T], title: str, total: int, quiet: bool = False) -> Iterator[T]:
    """Yields the items, and shows on standard error how many there have been."""
    console = Console(file=sys.stderr, highlight=False, quiet=quiet)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    started = spoke = time.monotonic()
    done = 0
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        for item in items:
            yield item
            done += 1
            bar.advance(task)
            now = time.monotonic()
            if not console.is_terminal and now - spoke > SECONDS_BETWEEN_LINES:
                spoke = now
                console.print(f"{title}: {done} of {total}, {now - started:.0f} s", markup=False)

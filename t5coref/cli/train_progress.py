"""How training looks from outside: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from t5coref.train.listener import Listener, Plan, TrainResult
from t5coref.train.logbook import Row

SECONDS_BETWEEN_LINES = 30
SMOOTHING = 0.9  # share of the past in the loss and the speed that are shown
CURVE = 40  # characters for an F1 of 100
CONFIG_FILE = "config.gin"

SCORES = {"conll": "CoNLL F1", "coref": "COREF F1", "re": "RE F1", "mention_f1": "mention F1"}
"""What the scores that decide are called on the screen."""


def score_name(score: str) -> str:
    """What a score is called on the screen."""
    return SCORES.get(score, score)


class TrainingProgress(Listener):
    """Writes to standard error, and `config` to the run's folder.

    Args:
      quiet: show nothing.
      config: what the run was made with, asked for when it starts.
    """

    def __init__(self, *, quiet: bool = False, config: Callable[[], str] | None = None):
        self._console = Console(file=sys.stderr, highlight=False, quiet=quiet)
        self._config = config
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}  {task.fields[speed]} pieces/s  ETA"),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("loading", total=None, loss="-", speed="-")
        self._loss: float | None = None
        self._pieces: float | None = None
        self._spoke = self._began = time.monotonic()
        self._first = self._total = 0
        self._score = "conll"

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def started(self, plan: Plan) -> None:
        """Says what is about to happen."""
        say = self._say
        say(
            f"{plan.examples:,} examples, {plan.parameters:,} parameters, {plan.steps:,} steps on "
            f"{plan.devices} {'device' if plan.devices == 1 else 'devices'}"
        )
        if plan.idle:
            say(
                f"warning: {plan.idle} devices are idle: batch_size cannot be divided by more than "
                f"{plan.devices} of them"
            )
        if plan.skipped:
            say(f"warning: {len(plan.skipped)} examples are too long and left out")
        for note in plan.notes:
            say(f"note: {note}")
        if plan.done:
            say(f"going on after step {plan.done:,}")
        if self._config is not None:
            (plan.folder / CONFIG_FILE).write_text(self._config(), "utf-8")
        self._first, self._total, self._score = plan.done, plan.steps, plan.score
        self._began = time.monotonic()
        self._bar.update(self._task, description="compiling", total=plan.steps, completed=plan.done)

    def stepped(self, row: Row) -> None:
        """Moves the bar, or writes a line if the last one is long ago."""
        self._loss = _mean(self._loss, row["loss"])
        if row["step"] > self._first + 1:  # the first step compiles
            self._pieces = _mean(self._pieces, row["pieces_per_second"])
        loss, speed = f"{self._loss:.4f}", "-" if self._pieces is None else f"{self._pieces:,.0f}"
        self._bar.update(
            self._task, completed=row["step"], description="training", loss=loss, speed=speed
        )
        now = time.monotonic()
        if not self._console.is_terminal and now - self._spoke > SECONDS_BETWEEN_LINES:
            self._spoke = now
            left = (now - self._began) / (row["step"] - self._first) * (self._total - row["step"])
            self._say(
                f"step {row['step']:,} of {self._total:,}: loss {loss}, {speed} pieces/s, "
                f"{left:,.0f} s left"
            )

    def evaluating(self, step: int) -> None:
        """Says why the bar stands still."""
        self._bar.update(self._task, completed=step, description="evaluating")

    def evaluated(self, row: Row, best: bool) -> None:
        """Adds a line to the curve of dev scores."""
        score = row[self._score]
        curve = "█" * round(CURVE * score)
        mark = " best" if best else ""
        name = score_name(self._score)
        self._say(f"step {row['step']:>6,}  {name} {100 * score:6.2f} {curve}{mark}")
        if row.get("failed"):
            self._say(f"warning: {row['failed']:.0f} dev documents have no prediction")
        self._bar.update(self._task, description="training")

    def stopping(self) -> None:
        """Says what a signal has begun."""
        if not self._console.quiet:
            with contextlib.suppress(OSError):  # not through buffers, which may be in use just now
                os.write(2, b"\nstopping when this step is saved; a second signal ends at once\n")

    def stopped(self, step: int) -> None:
        """Says where the run is, even if all else is quiet: it is the result."""
        self._bar.stop()
        self._console.quiet = False
        self._say(
            f"stopped after step {step:,} of {self._total:,}, which is saved; start the same "
            "command again to go on"
        )

    def finished(self, result: TrainResult) -> None:
        """Ends the bar."""
        self._bar.update(self._task, completed=result.steps, description="done")

    def _say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._console.print(line, markup=False, soft_wrap=True)


def _mean(past: float | None, now: float) -> float:
    return now if past is None else SMOOTHING * past + (1 - SMOOTHING) * now

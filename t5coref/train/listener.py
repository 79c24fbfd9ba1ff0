"""What training tells those who watch it."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from t5coref.train.logbook import Row


class Plan(NamedTuple):
    """What a run is about to do.

    Attributes:
      folder: where its files go.
      steps: how many there are in all.
      done: how many of them an earlier process did.
      examples: distinct ones.
      skipped: names of examples that are left out as too long.
      devices: how many share the work.
      idle: how many are left out because the batch size cannot be divided by more.
      parameters: of the network.
      score: which of the dev scores decides.
      notes: what else is worth knowing about the examples.
    """

    folder: pathlib.Path
    steps: int
    done: int
    examples: int
    skipped: tuple[str, ...]
    devices: int
    idle: int
    parameters: int
    score: str = "conll"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainResult:
    """What a run led to.

    Attributes:
      best: folder of the model with the best dev `score` (without dev documents, the last).
      last: folder of the model after the last step.
      best_step: after which step it was the best; None without dev documents.
      scores: dev scores of that step, as fractions.
      history: every evaluation, in order.
      steps: steps made, fewer than planned after an early stop.
      skipped: names of examples that were too long.
      score: which of the dev scores decided.
    """

    best: pathlib.Path
    last: pathlib.Path
    best_step: int | None
    scores: Mapping[str, float]
    history: Sequence[Row]
    steps: int
    skipped: Sequence[str]
    score: str = "conll"


class Listener:
    """Hears what happens; derive from it and override what is of interest."""

    def started(self, plan: Plan) -> None:
        """Called once, before the first step."""

    def stepped(self, row: Row) -> None:
        """Called after a step, in order, though a step late."""

    def evaluating(self, step: int) -> None:
        """Called before an evaluation."""

    def evaluated(self, row: Row, best: bool) -> None:
        """Called after an evaluation; `best` if none was better or as good before."""

    def saved(self, step: int) -> None:
        """Called when a checkpoint has begun to be written."""

    def stopping(self) -> None:
        """Called when a signal has asked training to stop, in its handler: be brief."""

    def stopped(self, step: int) -> None:
        """Called when such a run has its last step on disk; the program ends then."""

    def finished(self, result: TrainResult) -> None:
        """Called once, after everything is on disk."""

"""The folder of a training run: its checkpoints, its exported models, and what it was made with.

    OUTPUT/checkpoints/STEP/   state and meta, by orbax; the last few, and the best as of each
    OUTPUT/best, OUTPUT/last   models for `Model.load`
    OUTPUT/best.json           the step that `best` is from

A process that is killed leaves a folder from which the run can go on: a checkpoint appears whole or
not at all, and `best` is written before the checkpoint that calls it the best. A checkpoint that
was damaged since is refused by name, and left to the user: orbax itself does not notice changed
bits of numbers, so `meta` has the SHA-256 of the state, and of itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from t5coref.core.errors import ConfigError, FormatError, MismatchError
from t5coref.model import CARD_FILE
from t5coref.train import logbook
from t5coref.train.objective import Savable

try:
    import fcntl
except ImportError:  # not a POSIX system: two runs in one folder go unnoticed
    fcntl = None

CHECKPOINTS, BEST, LAST = "checkpoints", "best", "last"
BEST_STEP_FILE = "best.json"
LOCK_FILE = ".lock"

Identity = Mapping[str, Any]
"""What makes two runs the same run, as JSON; `start` holds some of the first weights."""


def best_row(history: Sequence[Mapping[str, Any]], score: str) -> Mapping[str, Any] | None:
    """The evaluation with the highest `score`; the first of equals."""
    return max(history, key=lambda row: row[score], default=None)


class RunFolder:
    """Saves and restores one run; only one process at a time may have it.

    Args:
      path: the folder, made where there is none.
      identity: must equal that of the checkpoint that is there.
      score: which of the dev scores says which checkpoint is the best.
      keep: how many of the last checkpoints to keep, beside the best as of each.
      resume: go on from the checkpoint that is there; False deletes what an earlier run left.

    Raises:
      ConfigError: another process is training in this folder.
      FormatError: the checkpoint there is damaged.
      MismatchError: the checkpoint there is of a different run.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        identity: Identity,
        score: str,
        keep: int,
        resume: bool,
    ):
        self.path = pathlib.Path(path).absolute()
        self.path.mkdir(parents=True, exist_ok=True)
        self._open = contextlib.ExitStack()
        lock = self._open.enter_context((self.path / LOCK_FILE).open("w"))
        self._identity = json.loads(json.dumps(identity))
        self._score, self._keep = score, keep
        self._history: list[Mapping[str, Any]] = []
        try:
            _lock(lock, self.path)
            if not resume:
                self._clear()
            for stray in (*self.path.glob(f".{BEST}.*"), *self.path.glob(f".{LAST}.*")):
                shutil.rmtree(stray)
            options = ocp.CheckpointManagerOptions(
                preservation_policy=self, cleanup_tmp_directories=True
            )
            self._manager = ocp.CheckpointManager(self.path / CHECKPOINTS, options=options)
            self._open.callback(self._manager.close)
            self.step = self._manager.latest_step() or 0
            self.meta = self._own_meta() if self.step else {"history": [], "finished": False}
        except BaseException:
            self._open.close()
            raise
        self._history = list(self.meta["history"])

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def restore(self, like: Any, step: int | None = None) -> Any:
        """The state of a checkpoint (None: the latest) with the shapes and shardings of `like`.

        Raises:
          FormatError: it is damaged.
        """
        step = self.step if step is None else step
        expected = self._meta(step).get("state")
        state = self._read(step, "state", ocp.args.StandardRestore(like))
        if expected not in (None, state_digest(state)):
            raise self._damaged(step, "its numbers are not those that were saved")
        return state

    def save(self, step: int, state: Any, *, history: Sequence[Mapping], finished: bool) -> None:
        """Begins to write a checkpoint; the caller may go on at once, and may change `state`."""
        self._manager.wait_until_finished()
        self._history = list(history)
        meta = {
            "identity": self._identity,
            "history": self._history,
            "finished": finished,
            "state": state_digest(state),
        }
        meta["meta"] = _json_digest(meta)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta)
            ),
        )

    def should_preserve(self, checkpoints: Sequence[Any], *, context: object) -> list[bool]:
        """Which checkpoints, given by their steps, orbax is to keep."""
        del context
        kept = {c.step for c in checkpoints[max(0, len(checkpoints) - self._keep) :]}
        # A run may go on from any of them, and make `best` again from what was the best then.
        for step in tuple(kept):
            past = [row for row in self._history if row["step"] <= step]
            if (best := best_row(past, self._score)) is not None:
                kept.add(best["step"])
        return [c.step in kept for c in checkpoints]

    def wait(self) -> None:
        """Returns when the last checkpoint is on disk."""
        self._manager.wait_until_finished()

    def export_best(self, model: Savable, step: int) -> None:
        """Writes `best`, and of which step it is."""
        marker = self.path / BEST_STEP_FILE
        marker.unlink(missing_ok=True)
        model.save(self.path / BEST)
        fresh = marker.with_suffix(".tmp")
        fresh.write_text(json.dumps({"step": step}) + "\n", "utf-8")
        fresh.replace(marker)

    def export_last(self, model: Savable) -> None:
        """Writes `last`."""
        model.save(self.path / LAST)

    def exported_step(self) -> int | None:
        """The step that `best` is from; None if it is not there, or not whole."""
        if not (self.path / BEST / CARD_FILE).is_file():
            return None
        try:
            return json.loads((self.path / BEST_STEP_FILE).read_text("utf-8"))["step"]
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def _read(self, step: int, item: str, args: Any) -> Any:
        """One of the two things that a checkpoint is made of."""
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**{item: args}))[item]
        except jax.errors.JaxRuntimeError:
            raise  # of the device, which has too little memory perhaps
        except Exception as error:  # orbax raises whatever comes up, plain Exceptions among it
            said = textwrap.shorten(str(error), 200, placeholder=" ...")
            raise self._damaged(step, f"{type(error).__name__}: {said}") from error

    def _meta(self, step: int) -> dict[str, Any]:
        """What a checkpoint says of itself; without digests if an older release made it."""
        meta = self._read(step, "meta", ocp.args.JsonRestore())
        if not isinstance(meta, dict) or meta.pop("meta", None) not in (None, _json_digest(meta)):
            raise self._damaged(step, "it does not say what was saved")
        return meta

    def _damaged(self, step: int, what: str) -> FormatError:
        older = max((s for s in self._manager.all_steps() if s < step), default=None)
        way = "" if older is None else f"move it elsewhere to go on after step {older}, or "
        return FormatError(
            f"{self.path / CHECKPOINTS / str(step)} cannot be read: {what}; {way}start over with "
            "resume=False, which deletes the run there"
        )

    def _own_meta(self) -> dict[str, Any]:
        """That of the latest checkpoint, which must be of this run."""
        meta = self._meta(self.step)
        theirs, ours = dict(meta["identity"]), dict(self._identity)
        starts = theirs.pop("start"), ours.pop("start")
        differing = _differences(theirs, ours)
        if not differing and not _alike(*starts):
            differing = ["the weights that training starts from"]
        if differing:
            raise MismatchError(
                f"{self.path} has a checkpoint of another run (step {self.step}): "
                f"{'; '.join(differing)}; go on with the settings that it had, give another "
                "output_dir, or start over with resume=False, which deletes the run there"
            )
        return meta

    def _clear(self) -> None:
        for folder in (CHECKPOINTS, BEST, LAST, logbook.EVENTS_FOLDER):
            shutil.rmtree(self.path / folder, ignore_errors=True)
        for file in (BEST_STEP_FILE, logbook.METRICS_FILE):
            (self.path / file).unlink(missing_ok=True)


def start_of(params: Any) -> list[float]:
    """The first weight of each parameter: enough to tell one set of weights from another."""
    return [float(np.asarray(leaf[(0,) * leaf.ndim])) for leaf in jax.tree.leaves(params)]


def state_digest(state: Any) -> str:
    """The SHA-256 of all numbers of a state, wherever they are."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(state):
        digest.update(np.ascontiguousarray(jax.device_get(leaf)).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _json_digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _alike(a: Sequence[float], b: Sequence[float]) -> bool:
    # Random weights may differ in their last bits from one kind of device to another.
    return len(a) == len(b) and bool(np.allclose(a, b, rtol=1e-3, atol=1e-7))


def _differences(theirs: Any, ours: Any, name: str = "") -> list[str]:
    """Where two JSON values differ, in words."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = [*theirs, *(key for key in ours if key not in theirs)]
        return [
            difference
            for key in keys
            for difference in _differences(
                theirs.get(key, "absent"), ours.get(key, "absent"), f"{name}.{key}".lstrip(".")
            )
        ]
    return [] if theirs == ours else [f"{name} was {theirs!r} and is now {ours!r}"]


def _lock(file: Any, path: pathlib.Path) -> None:
    """Takes the folder for this process; the system gives it back when the process ends."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ConfigError(
            f"another process is training in {path}; wait for it, or give another output_dir"
        ) from None

"""Training on one machine: the whole loop, for any objective.

K micro-batches of B rows make one step. Every number of a run is a function of its arguments: batch
n depends on the seed and n, dropout on the seed and n, and a checkpoint holds everything else. So a
run that was killed and started again ends with the same weights as one that was not.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from t5coref.core.errors import ConfigError, T5CorefError
from t5coref.nn.lora import LoRA
from t5coref.train.batches import Batch, read_ahead
from t5coref.train.listener import Listener, Plan, TrainResult
from t5coref.train.logbook import Logbook, Row
from t5coref.train.lora import LoRAObjective, adapted
from t5coref.train.objective import Objective, Savable
from t5coref.train.optimizers import OptimizerFactory, adamw
from t5coref.train.run_folder import BEST, LAST, RunFolder, best_row
from t5coref.train.step import TrainState, make_step
from t5coref.train.stopping import StopSignals

Devices = Sequence[Any]
"""Of `jax.Device`, which type checkers do not know as a type."""

DATA = "data"
"""The mesh axis over which the rows of a batch are divided."""


class TrainingError(T5CorefError):
    """Training cannot go on: the loss is no number."""


def fit(
    *,
    objective: Objective,
    output_dir: str | os.PathLike[str],
    steps: int | None = None,
    epochs: float | None = None,
    batch_size: int = 8,
    accumulate: int = 1,
    optimizer: OptimizerFactory = adamw,
    lora: LoRA | None = None,
    seed: int = 0,
    eval_every: int | None = None,
    stop_at: float | None = None,
    patience: int | None = None,
    save_every: int | None = None,
    save_minutes: float = 20.0,
    keep: int = 2,
    resume: bool = True,
    devices: Devices | None = None,
    listener: Listener | None = None,
) -> TrainResult:
    """Learns an objective, or goes on where an earlier process in `output_dir` stopped.

    On SIGTERM and on Ctrl-C the step is finished and saved before the program ends.

    Args:
      objective: the loss, the batches, the evaluation, and the model to start from.
      output_dir: receives checkpoints, logs, and the models `best` and `last`.
      steps: how many; give either this or `epochs`.
      epochs: how many times to see each example.
      batch_size: rows that are computed at once, over all devices.
      accumulate: batches that make one step together.
      optimizer: total number of steps -> optimizer.
      lora: train adapters, the rows of new symbols and heads, and leave the rest of a T5 as it is;
        for objectives with a `model`, as every `T5Objective` has.
      seed: of the order of examples, of dropout, and of new adapters.
      eval_every: steps between evaluations; None = once an epoch. The last step is followed by one
        in any case.
      stop_at: stop after an evaluation with at least this score, a fraction.
      patience: stop after so many evaluations in a row without a new best.
      save_every: steps between checkpoints; None = at evaluations only.
      save_minutes: save also when so much time has passed since the last time.
      keep: checkpoints to keep beside the best.
      resume: False deletes what an earlier run left in `output_dir`.
      devices: the largest number of them that divides `batch_size` is used; None = all.
      listener: hears of progress.

    Raises:
      ConfigError: settings contradict each other or the documents.
      MismatchError: `output_dir` has a checkpoint of another run.
      TrainingError: the loss is no number; the message names the examples.
      KeyboardInterrupt: after Ctrl-C.
      SystemExit: after SIGTERM, with status 143.
    """
    listener = listener or Listener()
    if lora is not None:
        objective = adapted(objective, lora, seed)
    rows = batch_size * accumulate
    total = _total_steps(steps, epochs, objective.examples, rows)
    eval_every = eval_every or math.ceil(objective.examples / rows)
    made = optimizer(total)
    settings = {
        "steps": total,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "optimizer": made.settings,
        "seed": seed,
        "eval_every": eval_every,
        "stop_at": stop_at,
        "patience": patience,
    }
    whose = dict(objective.identity)
    identity = {**whose, "settings": {**settings, **whose["settings"]}}
    score, evaluate = objective.score, objective.evaluate
    mesh = data_mesh(batch_size, devices)
    everywhere = NamedSharding(mesh, PartitionSpec())
    fixed = (objective.place(everywhere),) if isinstance(objective, LoRAObjective) else ()
    by_row = NamedSharding(mesh, PartitionSpec(None, DATA))
    train_step = jax.jit(
        make_step(objective.loss, made),
        donate_argnums=0,
        out_shardings=(everywhere, everywhere),
    )

    def initial() -> TrainState:
        # Copies: the first step gives its arguments' memory away, and the model is the caller's.
        params = jax.tree.map(lambda leaf: jnp.array(leaf, jnp.float32), objective.initial())
        return TrainState(jnp.zeros((), jnp.int32), params, made.transform.init(params))

    def exported(state: TrainState) -> Savable:
        return objective.export(state.params)

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(
            RunFolder(output_dir, identity=identity, score=score, keep=keep, resume=resume)
        )
        log = stack.enter_context(Logbook(folder.path, after=folder.step))
        reporter = _Reporter(log, listener)
        history: list[Row] = list(folder.meta["history"])
        done = folder.meta["finished"]
        best = best_row(history, score)
        if folder.step:
            like = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere),
                jax.eval_shape(initial),
            )
            if best is not None and folder.exported_step() != best["step"]:
                folder.export_best(exported(folder.restore(like, best["step"])), best["step"])
            state = folder.restore(like)
        else:
            state = jax.device_put(initial(), everywhere)
        listener.started(
            Plan(
                folder=folder.path,
                steps=total,
                done=folder.step,
                examples=objective.examples,
                skipped=tuple(objective.skipped),
                devices=mesh.size,
                idle=len(devices or jax.devices()) - mesh.size,
                parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
                score=score,
                notes=tuple(objective.notes),
            )
        )
        key = jax.random.key(seed)
        step, saved = folder.step, time.monotonic()
        stream = read_ahead(objective.batches(rows, seed), step)
        stop = stack.enter_context(StopSignals(listener.stopping))
        while not done:
            batch = next(stream)
            features = {
                name: jax.device_put(
                    array.reshape(accumulate, batch_size, *array.shape[1:]), by_row
                )
                for name, array in batch.features.items()
            }
            state, metrics = train_step(state, features, key, *fixed)
            step += 1
            reporter.add(step, batch, metrics)
            done = step == total
            evaluated = evaluate is not None and (done or step % eval_every == 0)
            if evaluate is not None and evaluated:
                reporter.flush()
                listener.evaluating(step)
                began = time.monotonic()
                scores = {name: float(value) for name, value in evaluate(state.params).items()}
                row = {"kind": "dev", "step": step, **scores}
                history.append(row)
                best = best_row(history, score)
                log.write(row | {"seconds": time.monotonic() - began})
                if best is row:
                    folder.export_best(exported(state), step)
                listener.evaluated(row, best is row)
                done = done or _stops(history, score, stop_at, patience)
            late = time.monotonic() - saved > 60 * save_minutes
            stopped = stop.came and not done
            due = done or evaluated or late or (save_every and step % save_every == 0)
            if due or stopped:
                reporter.flush()
                log.sync()
                folder.save(step, state, history=history, finished=done)
                listener.saved(step)
                saved = time.monotonic()
            if stopped:
                folder.wait()
                listener.stopped(step)
                stop.end()
            if evaluated:
                reporter.restart_clock()
        folder.wait()
        folder.export_last(exported(state))
        if best is None:
            folder.export_best(exported(state), step)
    result = TrainResult(
        best=folder.path / BEST,
        last=folder.path / LAST,
        best_step=None if best is None else best["step"],
        scores={} if best is None else {k: v for k, v in best.items() if k not in ("kind", "step")},
        history=tuple(history),
        steps=step,
        skipped=tuple(objective.skipped),
        score=score,
    )
    listener.finished(result)
    return result


def data_mesh(batch_size: int, devices: Devices | None = None) -> Mesh:
    """As many of the devices as divide the rows of a batch, in a line."""
    devices = list(jax.devices() if devices is None else devices)
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    return Mesh(np.asarray(devices[:count]), (DATA,))


class _Reporter:
    """Logs each step while the next one is computed, and stops where a number is none."""

    def __init__(self, log: Logbook, listener: Listener):
        self._log, self._listener = log, listener
        self._began = self._last = time.monotonic()
        self._pending: tuple[int, Batch, Mapping[str, jax.Array]] | None = None

    def add(self, step: int, batch: Batch, metrics: Mapping[str, jax.Array]) -> None:
        """Takes a step that is being computed and reports the one before it."""
        before, self._pending = self._pending, (step, batch, metrics)
        if before is not None:
            self._report(*before)

    def flush(self) -> None:
        """Waits for the last step and reports it."""
        last, self._pending = self._pending, None
        if last is not None:
            self._report(*last)

    def restart_clock(self) -> None:
        """What was done since the last step is not counted as training."""
        self._last = time.monotonic()

    def _report(self, step: int, batch: Batch, metrics: Mapping[str, jax.Array]) -> None:
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        bad = {name: value for name, value in values.items() if not math.isfinite(value)}
        if bad:
            found = ", ".join(f"{name} is {value}" for name, value in bad.items())
            raise TrainingError(
                f"step {step}: {found}; the batch was {', '.join(batch.names)}. The last "
                "checkpoint is from before; look at these documents, lower the learning rate or "
                "clip gradients, and start over in another output_dir"
            )
        now = time.monotonic()
        clock = {
            "seconds": now - self._began,
            "pieces_per_second": batch.pieces / max(now - self._last, 1e-9),
        }
        self._last = now
        row = {"kind": "train", "step": step, **values, **clock}
        self._log.write(row)
        self._listener.stepped(row)


def _total_steps(steps: int | None, epochs: float | None, examples: int, rows: int) -> int:
    if (steps is None) == (epochs is None):
        raise ConfigError(f"steps is {steps} and epochs is {epochs}; expected one of the two")
    if rows < 1:
        raise ConfigError("batch_size and accumulate must be at least 1")
    total = steps if steps is not None else math.ceil((epochs or 0) * examples / rows)
    if total < 1:
        raise ConfigError(f"{total} steps; expected at least 1")
    return total


def _stops(history: Sequence[Row], score: str, stop_at: float | None, patience: int | None) -> bool:
    """Whether the last evaluation ends the run early."""
    best = best_row(history, score)
    since = len(history) - 1 - next((i for i, row in enumerate(history) if row is best), 0)
    reached = stop_at is not None and history[-1][score] >= stop_at
    return reached or (patience is not None and since >= patience)

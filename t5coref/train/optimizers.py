"""AdamW and Adafactor with warm-up, decay and clipping, as functions of the number of steps.

One for all parameters, or one for each of two groups of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import optax

from t5coref.core.errors import ConfigError
from t5coref.nn.lora import is_trained
from t5coref.nn.stack import PARAM_SCAN_AXIS

NOT_DECAYED = ("scale", "rel_embedding", "bias")
"""Last names of the parameters without weight decay: norms, relative positions, biases."""


@dataclass(frozen=True, eq=False)
class Optimizer:
    """What the training loop needs to know of an optimizer.

    Attributes:
      transform: gradients to updates.
      learning_rate: the rate of the step that follows `n` finished steps.
      settings: what it was made with, as JSON; a resumed run must have the same.
      further_rates: those of other groups of parameters, by the name that they are logged under.
    """

    transform: optax.GradientTransformation
    learning_rate: optax.Schedule
    settings: Mapping[str, Any]
    further_rates: Mapping[str, optax.Schedule] = field(default_factory=dict)


OptimizerFactory = Callable[[int], Optimizer]
"""The total number of steps -> an optimizer; `adamw`, `adafactor`, `encoder_and_task` are some."""


def schedule(
    total_steps: int, *, peak: float, warmup: int | float = 0.1, decay: str = "linear"
) -> optax.Schedule:
    """A rate that rises in a line to `peak` and then falls in a line to 0, or stays.

    No step is lost to a rate of 0: the first has `peak / warmup steps`, and the rate would be 0
    only one step after the last.

    Args:
      total_steps: steps of the run.
      peak: the highest rate.
      warmup: how many steps it takes to rise: an int counts them, a float is a part of the total.
      decay: `linear` or `constant`.

    Raises:
      ConfigError: an unknown decay, or a warm-up that is negative or longer than the run.
    """
    if decay not in ("linear", "constant"):
        raise ConfigError(f"decay is {decay!r}; expected 'linear' or 'constant'")
    rising = warmup if isinstance(warmup, int) else round(warmup * total_steps)
    if not 0 <= rising <= total_steps:
        raise ConfigError(
            f"warmup {warmup!r} is {rising} of {total_steps} steps; expected 0 to {total_steps}: "
            "an int counts steps, a float is a part of them all"
        )

    def rate(finished: jax.typing.ArrayLike) -> jax.Array:
        step = jnp.asarray(finished, jnp.float32)
        factor = jnp.minimum(1.0, (step + 1.0) / max(rising, 1))
        if decay == "linear":
            factor = jnp.minimum(factor, (total_steps - step) / max(total_steps - rising, 1))
        return peak * jnp.maximum(factor, 0.0)

    return rate


def adamw(
    total_steps: int,
    *,
    peak: float = 5e-4,
    warmup: int | float = 0.1,
    decay: str = "linear",
    weight_decay: float = 0.01,
    clip: float | None = 1.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019); only matrices are decayed.

    Args:
      total_steps: steps of the run.
      peak: the highest learning rate; the default is for base and large models.
      warmup: see `schedule`.
      decay: see `schedule`.
      weight_decay: times the learning rate.
      clip: the largest norm of the gradient of all parameters together; None = any.
      b1: decay of the mean of gradients.
      b2: decay of the mean of their squares.
      eps: added to the root of that.
    """
    settings = {"name": "adamw", **locals()}
    del settings["total_steps"]
    rate = schedule(total_steps, peak=peak, warmup=warmup, decay=decay)
    rule = optax.adamw(rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=is_decayed)
    return Optimizer(_clipped(rule, clip), rate, settings)


def adafactor(
    total_steps: int,
    *,
    peak: float = 1e-3,
    warmup: int | float = 0.1,
    decay: str = "linear",
    weight_decay: float | None = None,
    clip: float | None = 1.0,
    relative: bool = True,
) -> Optimizer:
    """Adafactor (Shazeer and Stern 2018), which keeps a row and a column of each matrix's moments.

    Each layer is clipped and scaled on its own, also where layers are scanned.

    Args:
      total_steps: steps of the run.
      peak: the highest learning rate.
      warmup: see `schedule`.
      decay: see `schedule`; T5 was fine-tuned with a constant rate.
      weight_decay: per step; matrices only.
      clip: the largest norm of the gradient of all parameters together; None = any.
      relative: multiply each update by the size of its parameter, as T5 was trained.
    """
    settings = {"name": "adafactor", **locals()}
    del settings["total_steps"]
    rate = schedule(total_steps, peak=peak, warmup=warmup, decay=decay)
    parts = [optax.scale_by_factored_rms(), _clip_each(1.0)]
    parts.append(optax.scale_by_learning_rate(rate, flip_sign=False))
    if relative:
        parts.append(_scale_by_size(1e-3))
    if weight_decay is not None:
        parts.append(optax.add_decayed_weights(weight_decay, mask=is_decayed))
    return Optimizer(_clipped(optax.chain(*parts, optax.scale(-1.0)), clip), rate, settings)


_ENCODER: OptimizerFactory = functools.partial(adamw, peak=5e-5, weight_decay=0.01, eps=1e-6)
_TASK: OptimizerFactory = functools.partial(adamw, peak=2e-4, warmup=0, weight_decay=0.0, eps=1e-6)


def encoder_and_task(
    total_steps: int,
    *,
    encoder: OptimizerFactory = _ENCODER,
    task: OptimizerFactory = _TASK,
    task_names: Collection[str] = ("heads",),
) -> Optimizer:
    """Two optimizers, one for a pretrained network and one for what is new on top of it.

    Each has its own rate, warm-up, decay and clipping: the norm that a gradient is clipped by is
    that of its group. The defaults are the rates of Xu and Choi 2022; they do not say the rest,
    which is that of the coreference code they build on: Adam's epsilon 1e-6, weight decay 0.01 and
    a warm-up over a tenth of the steps for the encoder, neither for the task, gradients clipped to
    norm 1 in each group.

    Args:
      total_steps: steps of the run.
      encoder: of all other parameters.
      task: of the parameters below `task_names`; its rate is logged as `task_learning_rate`.
      task_names: names in a parameter's path.
    """
    of_encoder, of_task = encoder(total_steps), task(total_steps)

    def group(path, leaf):
        del leaf
        return "task" if any(key.key in task_names for key in path) else "encoder"

    transform = optax.multi_transform(
        {"encoder": of_encoder.transform, "task": of_task.transform},
        lambda params: jax.tree_util.tree_map_with_path(group, params),
    )
    settings = {
        "name": "encoder_and_task",
        "encoder": of_encoder.settings,
        "task": of_task.settings,
        "task_names": sorted(task_names),
    }
    rates = {"task_learning_rate": of_task.learning_rate}
    return Optimizer(transform, of_encoder.learning_rate, settings, rates)


def adapters_alone(total_steps: int, *, optimizer: OptimizerFactory = adamw) -> Optimizer:
    """Leaves every parameter but adapters, rows of new symbols and heads as it is; for T5X.

    T5X keeps all parameters in one tree. The local loop has only those that are trained.

    Args:
      total_steps: steps of the run.
      optimizer: of what is trained; nothing else has moments.
    """
    made = optimizer(total_steps)

    def group(path, leaf):
        del leaf
        return "trained" if is_trained(tuple(key.key for key in path)) else "fixed"

    transform = optax.multi_transform(
        {"trained": made.transform, "fixed": optax.set_to_zero()},
        lambda params: jax.tree_util.tree_map_with_path(group, params),
    )
    settings = {"name": "adapters_alone", "optimizer": made.settings}
    return Optimizer(transform, made.learning_rate, settings, made.further_rates)


def is_decayed(params: Any) -> Any:
    """Which parameters weight decay pulls at, scanned or not: a tree of bools."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key not in NOT_DECAYED, params)


def _clipped(rule: optax.GradientTransformation, clip: float | None):
    return rule if clip is None else optax.chain(optax.clip_by_global_norm(clip), rule)


def _clip_each(threshold: float) -> optax.GradientTransformation:
    """Makes the root mean square of each parameter's update at most `threshold`."""

    def clip(path, update):
        return update / jnp.maximum(1.0, _size(path, update) / threshold)

    def transform(updates, params):
        del params
        return jax.tree_util.tree_map_with_path(clip, updates)

    return optax.stateless(transform)


def _scale_by_size(smallest: float) -> optax.GradientTransformation:
    """Multiplies each update by its parameter's root mean square, at least `smallest`."""

    def scale(path, update, param):
        return update * jnp.maximum(_size(path, param), smallest)

    return optax.stateless(lambda u, p: jax.tree_util.tree_map_with_path(scale, u, p))


def _size(path: tuple[Any, ...], x: jax.Array) -> jax.Array:
    """The root mean square of a parameter, or of each layer of scanned ones."""
    scanned = any(key.key == "layers" for key in path)
    axes = [i for i in range(x.ndim) if not scanned or i != PARAM_SCAN_AXIS]
    return jnp.sqrt(jnp.mean(jnp.square(x), axis=axes, keepdims=scanned))

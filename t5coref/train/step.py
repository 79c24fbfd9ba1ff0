"""One step of training as a pure function.

K micro-batches of B rows, S source pieces, T steps, A actions.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from t5coref.nn.losses import projected_loss
from t5coref.nn.partition import AbstractParameters, Layout
from t5coref.nn.t5 import T5, T5Config, head_kernel
from t5coref.train.objective import Loss, Sums
from t5coref.train.optimizers import Optimizer


class TrainState(NamedTuple):
    """What a step changes: int32[] steps made, parameters, moments."""

    step: jax.Array
    params: Any
    opt_state: Any


Step = Callable[..., tuple[TrainState, dict]]
"""(state, features `[K, B, ...]`, key, what else the loss takes) -> (state, metrics)."""


@functools.lru_cache(maxsize=8)
def make_step(loss: Loss, optimizer: Optimizer) -> Step:
    """The pure function (state, features `[K, B, ...]`, key) -> (state, metrics).

    For the same arguments it is the same function, which need not be traced again. What it is given
    further, such as parameters that are not trained, it hands to the loss.

    The sums of the K micro-batches are divided by their weight together, so that K times B rows
    give the same step however they are divided.

    Args:
      loss: see `objective`.
      optimizer: see `optimizers`.
    """
    return _step(loss, optimizer, None, None)


@functools.lru_cache(maxsize=8)
def make_train_step(
    config: T5Config,
    optimizer: Optimizer,
    symbols: tuple[int, ...] | None,
    *,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    layout: Layout | None = None,
) -> Step:
    """`make_step` for `sequence_loss`: the mean over all target symbols of the K micro-batches.

    Args:
      config: the network; its layers are scanned or not, as in the parameters.
      optimizer: see `optimizers`.
      symbols: see `sequence_loss`.
      z_loss: see `token_loss`.
      label_smoothing: see `token_loss`.
      layout: where arrays lie on a mesh, see `state_shardings`; None = where the arguments do.
    """
    loss = sequence_loss(config, symbols, z_loss=z_loss, label_smoothing=label_smoothing)
    if layout is None:
        return make_step(loss, optimizer)
    return _step(loss, optimizer, layout, layout.parameters(AbstractParameters.of(T5(config))))


@functools.lru_cache(maxsize=8)
def sequence_loss(
    config: T5Config,
    symbols: tuple[int, ...] | None,
    *,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    answer_length: int | None = None,
) -> Loss:
    """The loss of a linearization's actions; its weight is the number of target symbols.

    For the same arguments it is the same function.

    Args:
      config: the network; its layers are scanned or not, as in the parameters.
      symbols: vocabulary ids that the loss is over, `[A]`; None = the whole vocabulary.
      z_loss: see `token_loss`.
      label_smoothing: see `token_loss`.
      answer_length: see `T5.decode`.
    """
    network = T5(config)
    columns = None if symbols is None else jnp.asarray(symbols, jnp.int32)

    def loss(params, features, key):
        hidden = network.apply(
            {"params": params},
            features["encoder_input_tokens"],
            features["decoder_input_tokens"],
            features["decoder_target_tokens"],
            enable_dropout=True,
            answer_length=answer_length,
            rngs={"dropout": key},
            method="hidden",
        )
        assert isinstance(hidden, jax.Array)
        total, weight = projected_loss(
            hidden,
            head_kernel(config, params, columns),
            features["decoder_target_actions"],
            features["decoder_loss_weights"],
            z_loss,
            label_smoothing,
        )
        return total, Sums(weight, {})

    return loss


def _step(loss: Loss, optimizer: Optimizer, layout: Layout | None, places: Any) -> Step:
    def gradient(params, features, key, *fixed):
        total, grads = jax.value_and_grad(loss, has_aux=True)(params, features, key, *fixed)
        if places is not None:
            grads = jax.lax.with_sharding_constraint(grads, places)
        return total, grads

    def train_step(state, features, key, *fixed):
        key = jax.random.fold_in(key, state.step)
        count = features["encoder_input_tokens"].shape[0]
        keys = jax.random.split(key, count)

        def add(total, micro):
            return jax.tree.map(jnp.add, total, gradient(state.params, *micro, *fixed)), None

        if count == 1:
            total = gradient(state.params, {k: v[0] for k, v in features.items()}, keys[0], *fixed)
        else:
            one = {k: v[0] for k, v in features.items()}, keys[0], *fixed
            sums = jax.eval_shape(loss, state.params, *one)
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), sums)
            nothing = zeros, jax.tree.map(jnp.zeros_like, state.params)
            total = jax.lax.scan(add, nothing, (dict(features), keys))[0]
        (summed, (weight, parts)), grads = total
        grads = jax.tree.map(lambda g: g / weight, grads)
        with jax.numpy_dtype_promotion("standard"):  # optax counts on it
            updates, opt_state = optimizer.transform.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {
            "loss": summed / weight,
            **{name: part / weight for name, part in parts.items()},
            "learning_rate": optimizer.learning_rate(state.step),
            **{name: rate(state.step) for name, rate in optimizer.further_rates.items()},
            "grad_norm": optax.tree.norm(grads),
            "param_norm": optax.tree.norm(params),
        }
        return TrainState(state.step + 1, params, opt_state), metrics

    def placed_step(state, features, key, *fixed):
        with contextlib.nullcontext() if layout is None else layout.traced():
            return train_step(state, features, key, *fixed)

    return placed_step


def state_shardings(layout: Layout, config: T5Config, optimizer: Optimizer) -> TrainState:
    """Where a step made with `layout` takes its state from, and leaves it."""
    abstract = AbstractParameters.of(T5(config))
    moments = jax.eval_shape(optimizer.transform.init, abstract.shapes)
    scalar: Any = layout.sharding((), ())
    return TrainState(scalar, layout.parameters(abstract), layout.moments(abstract, moments))

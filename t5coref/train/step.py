"""One step of training as a pure function.

K micro-batches of B rows, S source pieces, T steps, A actions.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from t5coref.nn.losses import projected_loss
from t5coref.nn.partition import AbstractParameters, Layout
from t5coref.nn.t5 import T5, T5Config, head_kernel
from t5coref.train.optimizers import Optimizer


class TrainState(NamedTuple):
    """What a step changes: int32[] steps made, parameters, moments."""

    step: jax.Array
    params: Any
    opt_state: Any


@functools.lru_cache(maxsize=8)
def make_train_step(
    config: T5Config,
    optimizer: Optimizer,
    symbols: tuple[int, ...] | None,
    *,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    layout: Layout | None = None,
) -> Callable[[TrainState, Mapping[str, jax.Array], jax.Array], tuple[TrainState, dict]]:
    """The pure function (state, features `[K, B, ...]`, key) -> (state, metrics).

    For the same arguments it is the same function, which need not be traced again.

    The loss is the mean over all target symbols of the K micro-batches, so that K times B rows
    give the same step however they are divided.

    Args:
      config: the network; its layers are scanned or not, as in the parameters.
      optimizer: see `optimizers`.
      symbols: vocabulary ids that the loss is over, `[A]`; None = the whole vocabulary.
      z_loss: see `token_loss`.
      label_smoothing: see `token_loss`.
      layout: where arrays lie on a mesh, see `state_shardings`; None = where the arguments do.
    """
    network = T5(config)
    columns = None if symbols is None else jnp.asarray(symbols, jnp.int32)
    places = None if layout is None else layout.parameters(AbstractParameters.of(network))

    def loss_sum(params, features, key):
        hidden = network.apply(
            {"params": params},
            features["encoder_input_tokens"],
            features["decoder_input_tokens"],
            features["decoder_target_tokens"],
            enable_dropout=True,
            rngs={"dropout": key},
            method="hidden",
        )
        assert isinstance(hidden, jax.Array)
        return projected_loss(
            hidden,
            head_kernel(config, params, columns),
            features["decoder_target_actions"],
            features["decoder_loss_weights"],
            z_loss,
            label_smoothing,
        )

    def gradient(params, features, key):
        total, grads = jax.value_and_grad(loss_sum, has_aux=True)(params, features, key)
        if places is not None:
            grads = jax.lax.with_sharding_constraint(grads, places)
        return total, grads

    def train_step(state, features, key):
        key = jax.random.fold_in(key, state.step)
        count = features["encoder_input_tokens"].shape[0]

        def add(total, micro):
            return jax.tree.map(jnp.add, total, gradient(state.params, *micro)), None

        keys = jax.random.split(key, count)
        if count == 1:
            total = gradient(state.params, {k: v[0] for k, v in features.items()}, keys[0])
        else:
            zeros = functools.partial(jnp.zeros, (), jnp.float32)
            nothing = (zeros(), zeros()), jax.tree.map(jnp.zeros_like, state.params)
            total = jax.lax.scan(add, nothing, (dict(features), keys))[0]
        (loss, weight), grads = total
        grads = jax.tree.map(lambda g: g / weight, grads)
        with jax.numpy_dtype_promotion("standard"):  # optax counts on it
            updates, opt_state = optimizer.transform.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {
            "loss": loss / weight,
            "learning_rate": optimizer.learning_rate(state.step),
            "grad_norm": optax.tree.norm(grads),
            "param_norm": optax.tree.norm(params),
        }
        return TrainState(state.step + 1, params, opt_state), metrics

    def placed_step(state, features, key):
        with contextlib.nullcontext() if layout is None else layout.traced():
            return train_step(state, features, key)

    return placed_step


def state_shardings(layout: Layout, config: T5Config, optimizer: Optimizer) -> TrainState:
    """Where a step made with `layout` takes its state from, and leaves it."""
    abstract = AbstractParameters.of(T5(config))
    moments = jax.eval_shape(optimizer.transform.init, abstract.shapes)
    scalar: Any = layout.sharding((), ())
    return TrainState(scalar, layout.parameters(abstract), layout.moments(abstract, moments))

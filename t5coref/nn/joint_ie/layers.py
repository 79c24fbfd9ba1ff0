"""Linear maps and feed-forward networks of the heads, initialised as published coreference code is.

Parameters and computation are float32. Kernels carry logical axis names, as those of T5 do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.partitioning import param_with_axes

NORMAL = nn.initializers.normal(stddev=0.02)
"""Of every matrix of the heads (coref-hoi); biases start at zero."""


def parameter(
    name: str,
    init: Callable[..., jax.Array],
    shape: tuple[int, ...],
    axes: tuple[str | None, ...],
) -> jax.Array:
    """A parameter of the module that calls it, float32, with the logical axes of its dimensions."""
    names: Any = axes  # flax takes None for a dimension that is never divided
    return param_with_axes(name, init, shape, axes=names)


class Linear(nn.Module):
    """A linear map of the last axis."""

    features: int
    use_bias: bool = True
    axes: tuple[str | None, str | None] = ("embed", "mlp")

    @nn.compact
    def weights(self, width: int) -> tuple[jax.Array, jax.Array]:
        """The kernel `[width, features]` and the bias `[features]`, zero if there is none."""
        shape = (width, self.features)
        kernel = parameter("kernel", NORMAL, shape, self.axes)
        if not self.use_bias:
            return kernel, jnp.zeros((self.features,), jnp.float32)
        zeros = nn.initializers.zeros
        return kernel, parameter("bias", zeros, (self.features,), self.axes[1:])

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps `[..., width]` to `[..., features]`."""
        kernel, bias = self.weights(inputs.shape[-1])
        return shift(jnp.dot(inputs, kernel), bias)


class FeedForward(nn.Module):
    """Linear, ReLU, dropout, linear."""

    hidden_dim: int
    features: int
    dropout_rate: float

    def setup(self) -> None:
        """Declares the two linear maps."""
        self.hidden = Linear(self.hidden_dim)
        self.output = Linear(self.features, axes=("mlp", None))
        self.dropout = nn.Dropout(self.dropout_rate)

    def __call__(self, inputs: jax.Array, *, deterministic: bool) -> jax.Array:
        """Maps `[..., width]` to `[..., features]`."""
        hidden = nn.relu(self.hidden(inputs))
        return self.output(self.dropout(hidden, deterministic=deterministic))


def shift(x: jax.Array, bias: jax.Array) -> jax.Array:
    """`[..., D]` plus a bias `[D]`."""
    return x + jnp.expand_dims(bias, tuple(range(x.ndim - 1)))

"""The parts of a T5 layer that hold no cache: projections, norms, embedding, position biases.

Parameter names, shapes, initialisers and logical axis names are those of `t5x.examples.t5.layers`,
so that checkpoints and partitioning rules of T5X apply. Parameters are float32; `dtype` is the
type of the computation. Letters: B rows, S source length, T target length, D model width,
V vocabulary, A symbols, H heads.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import operator
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.partitioning import param_with_axes

from t5coref.nn.partition import constrain, gathered

Initializer = Callable[..., jax.Array]

FAN_IN_NORMAL = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
FAN_IN_TRUNCATED = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": nn.relu,
    "gelu": functools.partial(nn.gelu, approximate=True),
    "silu": nn.silu,
    "linear": lambda x: x,
}


def hidden_dropout(rate: float, deterministic: bool) -> nn.Dropout:
    """Dropout of whole features: one mask for all positions of a row, as T5 was trained."""
    return nn.Dropout(rate=rate, broadcast_dims=(-2,), deterministic=deterministic)


FEW = 32
"""Up to so many tokens at once, CPUs multiply a transposed kernel faster from the left."""


LORA_A, LORA_B = "lora_a", "lora_b"
"""Parameters `[in, rank]` and `[rank, features]` of an adapter beside a kernel; see `nn.lora`."""

_adapter_dropout: contextvars.ContextVar[float] = contextvars.ContextVar("dropout", default=0.0)


@contextlib.contextmanager
def adapter_dropout(rate: float) -> Iterator[None]:
    """While a function is traced in this context, adapters drop so much of what they read.

    Outside of it, as in evaluation, they drop nothing. The rng is "dropout".
    """
    token = _adapter_dropout.set(rate)
    try:
        yield
    finally:
        _adapter_dropout.reset(token)


class Dense(nn.Module):
    """A linear map without bias on the last axis.

    Its kernel is `kernel` `[in, features]`, or `transposed` `[features, in]`, which `for_decoding`
    makes of it. Where there are `lora_a` and `lora_b`, their product is added to the kernel.
    """

    features: int
    axes: tuple[str, str]
    dtype: jnp.dtype
    kernel_init: Initializer = FAN_IN_TRUNCATED

    @nn.compact
    def __call__(self, inputs: jax.Array, columns: jax.Array | None = None) -> jax.Array:
        """Maps `[..., in]` to `[..., features]`, or to `[..., A]` for the `columns` int32[A]."""
        if self.has_variable("params", "transposed"):
            transposed = self.get_variable("params", "transposed").astype(self.dtype)
            outputs = _times_transposed(inputs.astype(self.dtype), transposed)
        else:
            kernel = param_with_axes(
                "kernel", self.kernel_init, (inputs.shape[-1], self.features), axes=self.axes
            )
            if columns is not None:
                kernel = jnp.take(kernel, columns, axis=1)
            kernel = gathered(kernel.astype(self.dtype), self.axes)
            outputs = jnp.dot(inputs.astype(self.dtype), kernel)
        if self.has_variable("params", LORA_A):
            outputs = outputs + self._adapted(inputs.astype(self.dtype))
        return outputs

    def _adapted(self, inputs: jax.Array) -> jax.Array:
        """What the adapter adds for `[..., in]`; the product of its factors is never made."""
        rate = _adapter_dropout.get()
        if rate:
            keep = jax.random.bernoulli(self.make_rng("dropout"), 1.0 - rate, inputs.shape)
            inputs = jnp.where(keep, inputs / jnp.asarray(1.0 - rate, self.dtype), 0)
        a = self.get_variable("params", LORA_A).astype(self.dtype)
        b = self.get_variable("params", LORA_B).astype(self.dtype)
        a, b = gathered(a, (self.axes[0], None)), gathered(b, (None, self.axes[1]))
        return jnp.dot(jnp.dot(inputs, a), b)


def _times_transposed(inputs: jax.Array, transposed: jax.Array) -> jax.Array:
    """`[..., in]` times the transpose of `[out, in]`, in the order that is fast on the platform."""
    tokens = inputs.reshape(-1, inputs.shape[-1])

    def from_the_right(tokens, transposed):
        return jnp.dot(tokens, transposed.T)

    def from_the_left(tokens, transposed):
        # Without the barrier, XLA folds the outer transpose into the product and swaps it back.
        return jax.lax.optimization_barrier(jnp.dot(transposed, tokens.T)).T

    if 1 < tokens.shape[0] <= FEW:
        outputs = jax.lax.platform_dependent(
            tokens, transposed, cpu=from_the_left, default=from_the_right
        )
    else:
        outputs = from_the_right(tokens, transposed)
    return outputs.reshape(*inputs.shape[:-1], transposed.shape[0])


class LayerNorm(nn.Module):
    """Root-mean-square norm in float32, without mean or bias (Zhang & Sennrich 2019)."""

    epsilon: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Normalises the last axis of `[B, T, D]`."""
        scale = param_with_axes("scale", nn.initializers.ones, inputs.shape[-1:], axes=("embed",))
        x = inputs.astype(jnp.float32)
        x = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + self.epsilon)
        return (x * jnp.expand_dims(scale, (0, 1))).astype(self.dtype)


class Embed(nn.Module):
    """The token table, shared by both stacks and, in version 1.0, by the head."""

    num_embeddings: int
    features: int
    dtype: jnp.dtype

    def setup(self) -> None:
        """Declares the table `[V, D]`."""
        self.embedding = param_with_axes(
            "embedding",
            nn.initializers.normal(stddev=1.0),
            (self.num_embeddings, self.features),
            axes=("vocab", "embed"),
        )

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Maps int `[B, T]` to `[B, T, D]`; int `[B, T, M]` to the means of M embeddings each.

        A token outside the table yields NaN, not a guess.
        """
        table = gathered(self.embedding, ("vocab", "embed"))
        embedded = jnp.take(table, tokens, axis=0, mode="fill")
        if tokens.ndim == 3:
            embedded = embedded.mean(axis=2)
        embedded = embedded.astype(self.dtype)
        return constrain(embedded, ("batch", "length", "embed"))

    def attend(self, hidden: jax.Array, rows: jax.Array | None = None) -> jax.Array:
        """Scores `[B, T, D]` in float32 against all rows, or the `rows` int32[A], of the table."""
        table = self.embedding if rows is None else jnp.take(self.embedding, rows, axis=0)
        return jnp.einsum("btd,vd->btv", hidden.astype(jnp.float32), table)


class Mlp(nn.Module):
    """Feed-forward block: one activation in version 1.0, a gated product in 1.1 (Shazeer 2020)."""

    mlp_dim: int
    activations: Sequence[str]
    dropout_rate: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, inputs: jax.Array, deterministic: bool) -> jax.Array:
        """Maps `[B, T, D]` to `[B, T, D]`."""
        gates = []
        for i, activation in enumerate(self.activations):
            name = "wi" if len(self.activations) == 1 else f"wi_{i}"
            gate = Dense(self.mlp_dim, ("embed", "mlp"), self.dtype, name=name)(inputs)
            gates.append(ACTIVATIONS[activation](gate))
        hidden = hidden_dropout(self.dropout_rate, deterministic)(
            functools.reduce(operator.mul, gates)
        )
        hidden = constrain(hidden, ("batch", "length", "mlp"))
        return Dense(inputs.shape[-1], ("mlp", "embed"), self.dtype, name="wo")(hidden)


def distance_buckets(
    distances: np.ndarray, *, bidirectional: bool, num_buckets: int, max_distance: int
) -> np.ndarray:
    """T5's bucket of each `key position - query position` (Raffel et al. 2020, section 2.1).

    Half of the buckets (of each direction) are exact, the rest grow with the logarithm up to
    `max_distance`. Runs on the host, so the device sees a constant.
    """
    backward = -distances
    offset = np.zeros_like(distances)
    if bidirectional:
        num_buckets //= 2
        offset = np.where(backward < 0, num_buckets, 0)
        backward = np.abs(backward)
    backward = np.maximum(backward, 0)
    exact = num_buckets // 2
    # Float32 throughout: the trained models' bucket edges are those of float32 logarithms.
    ratio = np.log(np.maximum(backward, 1).astype(np.float32) / np.float32(exact))
    growth = ratio / np.float32(np.log(max_distance / exact)) * np.float32(num_buckets - exact)
    large = np.minimum(exact + growth.astype(np.int32), num_buckets - 1)
    return (offset + np.where(backward < exact, backward, large)).astype(np.int32)


class RelativePositionBias(nn.Module):
    """Learned attention biases per head and distance bucket, shared by the layers of a stack."""

    num_heads: int
    num_buckets: int
    max_distance: int
    bidirectional: bool
    dtype: jnp.dtype

    def setup(self) -> None:
        """Declares the table `[H, buckets]`."""
        self.rel_embedding = param_with_axes(
            "rel_embedding",
            nn.initializers.variance_scaling(1.0, "fan_avg", "uniform"),
            (self.num_heads, self.num_buckets),
            axes=("heads", "relpos_buckets"),
        )

    def __call__(self, queries: int, keys: int, first: int = 0) -> jax.Array:
        """The biases `[1, H, queries, keys]` of queries from position `first` on, keys from 0."""
        n = queries + keys
        # Distances 0, 1, .., keys-1, -queries, .., -1: entry d modulo n is distance d.
        distances = np.concatenate([np.arange(keys), np.arange(-queries, 0)])
        by_distance = self._lookup(distances - first)
        # Repeating a row of n and reading it in rows of n-1 shifts each row by one: entry (q, k)
        # is distance k-q-first. No gather, so the gradient is a plain sum rather than a scatter.
        rows = jnp.broadcast_to(by_distance[:, None, :], (self.num_heads, queries, n))
        rows = rows.reshape(self.num_heads, queries * n)[:, : queries * (n - 1)]
        return rows.reshape(1, self.num_heads, queries, n - 1)[..., :keys]

    def at(self, positions: jax.Array, keys: jax.Array) -> jax.Array:
        """The biases `[B, H, K, T]` of queries at int32 `positions` [B, T] for earlier `keys` [K].

        Those of keys ahead mean nothing.
        """
        # From `max_distance` on, all distances share a bucket.
        by_distance = self._lookup(-np.arange(self.max_distance + 1))
        back = jnp.clip(
            positions[:, None, None, :] - keys[None, None, :, None], 0, self.max_distance
        )
        heads = jnp.arange(self.num_heads)[None, :, None, None]
        return by_distance.at[heads, back].get(mode="promise_in_bounds")

    def _lookup(self, distances: np.ndarray) -> jax.Array:
        buckets = distance_buckets(
            distances,
            bidirectional=self.bidirectional,
            num_buckets=self.num_buckets,
            max_distance=self.max_distance,
        )
        return jnp.take(self.rel_embedding, buckets, axis=1).astype(self.dtype)

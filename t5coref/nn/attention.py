"""Multi-head attention and its two caches: self-attention that grows, cross-attention that stays.

Letters: B documents, N rows of the decoder (a multiple of B), T queries, K keys, H heads,
d head width, D model width.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.spmd import with_logical_constraint

from t5coref.nn.layers import FAN_IN_NORMAL, Dense

MASKED = -1e10
"""Finite, so that a row whose keys are all masked averages them instead of becoming NaN."""

HEADS = ("batch", "length", "heads", "kv")


@jax.checkpoint
def dot_product_attention(
    query: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    mask: jax.Array,
    bias: jax.Array | None,
) -> jax.Array:
    """softmax(q k + bias) v with logits and softmax in float32 and no scaling, as T5 does.

    Args:
        query: `[B, T, H, d]`.
        keys: `[B, K, H, d]`.
        values: `[B, K, H, d]`.
        mask: bool, broadcastable to `[B, H, T, K]`; True where a query may look.
        bias: broadcastable to `[B, H, T, K]`.

    Returns:
        `[B, T, H, d]` in the type of `values`. The `[B, H, T, K]` arrays are recomputed for the
        gradient rather than kept in every layer: measured on an H100 (T5-base, bfloat16, two
        documents of 2048 -> 3072, no remat), 12.6 GiB instead of 45 and no slower.
    """
    logits = jnp.einsum("bthd,bkhd->bhtk", query, keys, preferred_element_type=jnp.float32)
    if bias is not None:
        logits = logits + bias.astype(jnp.float32)
    weights = jax.nn.softmax(jnp.where(mask, logits, MASKED))
    return jnp.einsum("bhtk,bkhd->bthd", weights.astype(values.dtype), values)


class Attention(nn.Module):
    """Projections and caches of one attention; parameters as in T5X, kernels two-dimensional."""

    num_heads: int
    head_dim: int
    emb_dim: int
    dropout_rate: float
    dtype: jnp.dtype

    def setup(self) -> None:
        """Declares the four projections."""

        def query_init(*args):
            # T5 does not divide the logits by sqrt(d); it starts from smaller queries.
            return FAN_IN_NORMAL(*args) / self.head_dim**0.5

        def projection(kernel_init):
            width = self.num_heads * self.head_dim
            return Dense(width, ("embed", "joined_kv"), self.dtype, kernel_init)

        self.query = projection(query_init)
        self.key = projection(FAN_IN_NORMAL)
        self.value = projection(FAN_IN_NORMAL)
        self.out = Dense(self.emb_dim, ("joined_kv", "embed"), self.dtype, FAN_IN_NORMAL)
        self.dropout = nn.Dropout(self.dropout_rate, broadcast_dims=(-1,))

    def __call__(
        self,
        inputs: jax.Array,
        source: jax.Array,
        mask: jax.Array,
        bias: jax.Array | None = None,
        *,
        deterministic: bool,
    ) -> jax.Array:
        """Lets `inputs` [B, T, D] look at `source` [B, K, D]; returns `[B, T, D]`."""
        keys, values = self._keys_values(source)
        # T5X drops a key of a head for all queries at once; dropping its value is the same sum.
        values = self.dropout(values, deterministic=deterministic)
        return self._attend(inputs, keys, values, mask, bias)

    def extend(
        self, inputs: jax.Array, positions: jax.Array, mask: jax.Array, bias: jax.Array
    ) -> jax.Array:
        """Self-attention of the next tokens over everything cached before them.

        Keys and values of `inputs` [N, T, D] are written to slots `positions[n] ..
        positions[n] + T - 1` of the cache `[N, L, H, d]` (L = the last axis of `mask`), over
        whatever stood there; those beyond slot L - 1 are not kept. Dropout is never applied.
        """
        keys, values = self._keys_values(inputs)
        keys = self._append("cached_key", keys, positions, mask.shape[-1])
        values = self._append("cached_value", values, positions, mask.shape[-1])
        return self._attend(inputs, keys, values, mask, bias)

    def recall(
        self,
        inputs: jax.Array,
        source: jax.Array | None,
        mask: jax.Array | None,
        *,
        keep: bool,
    ) -> jax.Array:
        """Cross-attention with the cached keys and values of the source, if there are any.

        Args:
            inputs: `[N, T, D]`; N may be a multiple of B, rows of one document side by side: they
                share its keys and values, which are not repeated.
            source: `[B, K, D]`, projected where nothing is cached.
            mask: bool `[B, 1, 1, K]`, used together with `source`.
            keep: cache the projections and the mask for later calls.

        Raises:
            ValueError: nothing is cached and no `source` was given.
        """
        if self.has_variable("cache", "cached_key"):
            keys = self.get_variable("cache", "cached_key")
            values = self.get_variable("cache", "cached_value")
            mask = self.get_variable("cache", "cached_mask")[:, None, None, :]
        elif source is None or mask is None:
            raise ValueError("expected a cached source, got none; call T5.init_cache first")
        else:
            keys, values = self._keys_values(source)
            if keep:
                self.put_variable("cache", "cached_key", keys)
                self.put_variable("cache", "cached_value", values)
                self.put_variable("cache", "cached_mask", mask[:, 0, 0, :])
        rows, length, width = inputs.shape
        # [N, T, D] -> [B, N/B * T, D]: rows of a document become further queries.
        folded = inputs.reshape(keys.shape[0], rows // keys.shape[0] * length, width)
        return self._attend(folded, keys, values, mask, None).reshape(rows, length, width)

    def _append(self, name: str, new: jax.Array, positions: jax.Array, length: int) -> jax.Array:
        if self.has_variable("cache", name):
            slots = self.get_variable("cache", name)
            if slots.shape[0] != new.shape[0]:
                raise ValueError(
                    f"expected tokens for the {slots.shape[0]} rows of the cache, got "
                    f"{new.shape[0]} rows; init_cache takes rows_per_source for beams"
                )
        else:
            slots = jnp.zeros((new.shape[0], length, *new.shape[2:]), new.dtype)
        slots = jax.vmap(_write)(slots, new, positions)
        self.put_variable("cache", name, slots)
        return slots

    def _keys_values(self, source: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self._split(self.key(source)), self._split(self.value(source))

    def _split(self, x: jax.Array) -> jax.Array:
        """[B, K, H * d] -> [B, K, H, d]."""
        x = x.reshape(*x.shape[:2], self.num_heads, self.head_dim)
        return with_logical_constraint(x, HEADS)

    def _attend(self, inputs, keys, values, mask, bias) -> jax.Array:
        x = dot_product_attention(self._split(self.query(inputs)), keys, values, mask, bias)
        return self.out(x.reshape(*x.shape[:2], self.num_heads * self.head_dim))


def _write(slots: jax.Array, new: jax.Array, position: jax.Array) -> jax.Array:
    """Writes `new` [T, H, d] into `slots` [L, H, d] from `position` on, dropping what overflows.

    `dynamic_update_slice` would move an overflowing block back over valid slots.
    """
    index = position + jnp.arange(new.shape[0], dtype=position.dtype)
    return slots.at[index].set(new, mode="drop", unique_indices=True)

"""Multi-head attention and its two caches: self-attention that grows, cross-attention that stays.

Letters: B rows, T queries, Q queries of a block, K keys, L slots of a cache, H heads, d head width,
D model width.
Keys are cached as `[B, H, L, d]` and values as `[B, H, d, L]`, so that attention reads both along
their last axis.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from t5coref.nn.layers import FAN_IN_NORMAL, Dense
from t5coref.nn.partition import constrain

MASKED = -1e10
"""Finite, so that a row whose keys are all masked averages them instead of becoming NaN."""

BLOCK = 256
"""Slots of a cache that are read at a time."""

HEADS = ("batch", "length", "heads", "kv")


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["queries", "keys"], meta_fields=["causal"]
)
@dataclass(frozen=True)
class Sight:
    """Which keys a query may look at: those of its segment, and for causal attention none ahead.

    Attributes:
        queries: int32 `[B, T]`, the segment of each query; 0 sees nothing.
        keys: int32 `[B, K]`, the segment of each key.
        causal: whether keys ahead of the query are hidden.
    """

    queries: jax.Array
    keys: jax.Array
    causal: bool = False

    def mask(self, first: jax.Array | int = 0) -> jax.Array:
        """bool `[B, 1, T, K]` of queries that begin at position `first`."""
        same = self.queries[:, None, :, None] == self.keys[:, None, None, :]
        seen = same & (self.queries > 0)[:, None, :, None]
        if not self.causal:
            return seen
        positions = first + jnp.arange(self.queries.shape[1], dtype=jnp.int32)
        ahead = positions[:, None] < jnp.arange(self.keys.shape[1], dtype=jnp.int32)[None, :]
        return seen & ~ahead[None, None]


def blocks_of(length: int, block: int | None) -> tuple[int, int]:
    """How many blocks so many queries make, and how long each is; None = one of them all."""
    size = min(block or length, length)
    return -(-length // size), size


def attend(
    query: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    sight: Sight,
    bias: jax.Array | None,
    block: int | None,
) -> jax.Array:
    """`dot_product_attention`, a block of queries at a time.

    The arrays of all queries and keys, `[B, H, T, K]`, never exist: each block is computed, and
    computed again for its gradient, on its own. The result is that of all queries at once.

    Args:
        query: `[B, T, H, d]`.
        keys: `[B, K, H, d]`.
        values: `[B, K, H, d]`.
        sight: of these queries and keys.
        bias: `[B or 1, H, Q, (n - 1) Q + K]` for n blocks: that of the last block's queries for
            keys that begin at position 0. An earlier block has the same bias, further to the right.
        block: Q; None = T.

    Returns:
        `[B, T, H, d]` in the type of `values`.
    """
    rows, length, heads, width = query.shape
    count, size = blocks_of(length, block)
    if count == 1:
        return dot_product_attention(query, keys, values, sight.mask(), bias)

    def divided(x):
        x = jnp.pad(x, ((0, 0), (0, count * size - length), *[(0, 0)] * (x.ndim - 2)))
        return x.reshape(rows, count, size, *x.shape[2:]).swapaxes(0, 1)

    # Gradients of what the blocks share are added up in the type that it has outside of them.
    shared = jax.tree.map(lambda x: x.astype(jnp.float32), (keys, values, bias))
    types = jax.tree.map(lambda x: x.dtype, (keys, values, bias))

    # Inside a scan, XLA has no chance to merge the recomputation with the original.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def attend_block(shared, i, query, segments):
        keys, values, bias = jax.tree.map(lambda x, dtype: x.astype(dtype), shared, types)
        if bias is not None:
            start = (count - 1 - i) * size
            bias = jax.lax.dynamic_slice_in_dim(bias, start, keys.shape[1], axis=3)
        mask = Sight(segments, sight.keys, sight.causal).mask(i * size)
        return _attention(query, keys, values, mask, bias)

    def step(_, block):
        return None, attend_block(shared, *block)

    every = jnp.arange(count, dtype=jnp.int32)
    _, outputs = jax.lax.scan(step, None, (every, divided(query), divided(sight.queries)))
    return outputs.swapaxes(0, 1).reshape(rows, count * size, heads, width)[:, :length]


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
    return _attention(query, keys, values, mask, bias)


def _attention(query, keys, values, mask, bias) -> jax.Array:
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
    block: int | None = None

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
        sight: Sight,
        bias: jax.Array | None = None,
        *,
        deterministic: bool,
    ) -> jax.Array:
        """Lets `inputs` [B, T, D] look at `source` [B, K, D]; returns `[B, T, D]`. See `attend`."""
        keys, values = self._keys_values(source)
        # T5X drops a key of a head for all queries at once; dropping its value is the same sum.
        values = self.dropout(values, deterministic=deterministic)
        query = self._split(self.query(inputs))
        return self._merge(attend(query, keys, values, sight, bias, self.block))

    def extend(
        self, inputs: jax.Array, start: jax.Array, used: jax.Array, bias: jax.Array
    ) -> jax.Array:
        """Self-attention of the next tokens over everything cached before them.

        Keys and values of `inputs` [B, T, D] are written to slots `start[b] .. start[b] + T - 1`
        of the cache, over whatever stood there; those beyond the last slot are not kept. Dropout
        is never applied.

        Args:
            inputs: `[B, T, D]`.
            start: int32[B].
            used: int32[], the slots from here on are masked for every query.
            bias: float32 `[B, H, L, T]`, `MASKED` where a query may not look.
        """
        keys, values = self._columns(inputs)
        slots = bias.shape[2]
        keys = self._append("cached_key", keys, start, slots, axis=2)
        values = self._append("cached_value", values, start, slots, axis=3)
        return self._look_up(inputs, keys, values, bias, used)

    def recall(
        self,
        inputs: jax.Array,
        source: jax.Array | None,
        segments: jax.Array | None,
        *,
        keep: bool,
    ) -> jax.Array:
        """Cross-attention with the cached keys and values of the source, if there are any.

        Args:
            inputs: `[B, T, D]`.
            source: `[B, K, D]`, projected where nothing is cached.
            segments: int32 `[B, K]`, 0 where padded; used together with `source`.
            keep: cache the projections and the mask for later calls.

        Raises:
            ValueError: nothing is cached and no `source` was given.
        """
        if self.has_variable("cache", "cached_key"):
            keys = self.get_variable("cache", "cached_key")
            values = self.get_variable("cache", "cached_value")
            valid = self.get_variable("cache", "cached_mask")
        elif source is None or segments is None:
            raise ValueError("expected a cached source, got none; call T5.init_cache first")
        else:
            keys, values = self._columns(source)
            valid = segments > 0
            if keep:
                self.put_variable("cache", "cached_key", keys)
                self.put_variable("cache", "cached_value", values)
                self.put_variable("cache", "cached_mask", valid)
        bias = jnp.where(valid, 0.0, MASKED)[:, None, :, None]
        return self._look_up(inputs, keys, values, bias, None)

    def _append(
        self, name: str, new: jax.Array, start: jax.Array, length: int, axis: int
    ) -> jax.Array:
        if self.has_variable("cache", name):
            slots = self.get_variable("cache", name)
            if slots.shape[0] != new.shape[0]:
                raise ValueError(
                    f"expected tokens for the {slots.shape[0]} rows of the cache, got "
                    f"{new.shape[0]} rows; beams are further tokens of a row"
                )
        else:
            slots = jnp.zeros((*new.shape[:axis], length, *new.shape[axis + 1 :]), new.dtype)
        slots = write_slots(slots, new, start, axis=axis)
        self.put_variable("cache", name, slots)
        return slots

    def _keys_values(self, source: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self._split(self.key(source)), self._split(self.value(source))

    def _columns(self, source: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Keys `[B, H, K, d]` and values `[B, H, d, K]`, as they are cached."""
        keys, values = self._keys_values(source)
        return keys.transpose(0, 2, 1, 3), values.transpose(0, 2, 3, 1)

    def _split(self, x: jax.Array) -> jax.Array:
        """[B, K, H * d] -> [B, K, H, d]."""
        x = x.reshape(*x.shape[:2], self.num_heads, self.head_dim)
        return constrain(x, HEADS)

    def _merge(self, x: jax.Array) -> jax.Array:
        """[B, T, H, d] -> [B, T, D]."""
        x = constrain(x, HEADS)
        return self.out(x.reshape(*x.shape[:2], self.num_heads * self.head_dim))

    def _look_up(self, inputs, keys, values, bias, used) -> jax.Array:
        query = self._split(self.query(inputs))
        return self._merge(cached_attention(query, keys, values, bias, used))


def cached_attention(
    query: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    bias: jax.Array,
    used: jax.Array | None = None,
) -> jax.Array:
    """What `dot_product_attention` computes, of few queries over the layout of the caches.

    On CPUs only the blocks with used slots are read. Elsewhere all slots are: a loop whose length
    the device decides would cost more than it saves.

    Args:
        query: `[B, T, H, d]`.
        keys: `[B, H, L, d]`.
        values: `[B, H, d, L]`.
        bias: float32, broadcastable to `[B, H, L, T]`; `MASKED` where a query may not look.
        used: int32[], from which slot on all are masked; None: never.

    Returns:
        `[B, T, H, d]` in the type of `values`.
    """
    if used is None or keys.shape[2] <= BLOCK:
        return _finish(_partial(query, keys, values, bias), values.dtype)
    return jax.lax.platform_dependent(
        query,
        keys,
        values,
        bias,
        used,
        cpu=_attend_by_blocks,
        default=lambda q, k, v, b, _: _finish(_partial(q, k, v, b), v.dtype),
    )


def _attend_by_blocks(query, keys, values, bias, used) -> jax.Array:
    block = BLOCK
    last = keys.shape[2] - block

    def add(i, total):
        # The last block starts earlier if it would not fit, and leaves out what has been seen.
        start = jnp.minimum(i * block, last)
        cut = functools.partial(jax.lax.dynamic_slice_in_dim, start_index=start, slice_size=block)
        fresh = start + jnp.arange(block) >= i * block
        block_bias = jnp.where(fresh[None, None, :, None], cut(bias, axis=2), MASKED)
        part = _partial(query, cut(keys, axis=2), cut(values, axis=3), block_bias)
        return _combine(total, part)

    rows, length, heads, width = query.shape
    nothing = (
        jnp.full((rows, heads, 1, length), MASKED),
        jnp.zeros((rows, heads, 1, length)),
        jnp.zeros((rows, heads, width, length)),
    )
    blocks = (jnp.minimum(used, keys.shape[2]) + block - 1) // block
    return _finish(jax.lax.fori_loop(0, blocks, add, nothing), values.dtype)


def _partial(query, keys, values, bias) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Over some keys: maximum and sum `[B, H, 1, T]`, weighted values `[B, H, d, T]`.

    Keys and values stand on the left with the contracted axis last: so they are read in place.
    """
    logits = jnp.einsum("bhld,bthd->bhlt", keys, query, preferred_element_type=jnp.float32)
    logits = jnp.where(bias > MASKED, logits + bias, MASKED)
    top = logits.max(axis=2, keepdims=True)
    weights = jnp.exp(logits - top)
    weighted = jnp.einsum(
        "bhdl,bhlt->bhdt", values, weights.astype(values.dtype), preferred_element_type=jnp.float32
    )
    return top, weights.sum(axis=2, keepdims=True), weighted


def _combine(a, b) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The partial attention over the keys of both (Milakov & Gimelshein 2018)."""
    top = jnp.maximum(a[0], b[0])
    scale_a, scale_b = jnp.exp(a[0] - top), jnp.exp(b[0] - top)
    return top, a[1] * scale_a + b[1] * scale_b, a[2] * scale_a + b[2] * scale_b


def _finish(total: tuple[jax.Array, jax.Array, jax.Array], dtype) -> jax.Array:
    return (total[2] / total[1]).transpose(0, 3, 1, 2).astype(dtype)


def write_slots(slots: jax.Array, new: jax.Array, start: jax.Array, *, axis: int) -> jax.Array:
    """Writes `new` into `slots` along `axis` from `start` int32[B] on, dropping what overflows.

    One window per row is rewritten in place. A window that would overflow is moved back, and its
    first slots keep what they hold.
    """
    size = min(new.shape[axis], slots.shape[axis])

    def write(slots, new, start):
        first = jnp.clip(start, 0, slots.shape[axis - 1] - size)
        source = jnp.arange(size, dtype=start.dtype) - (start - first)
        old = jax.lax.dynamic_slice_in_dim(slots, first, size, axis - 1)
        fresh = jnp.take(new, source, axis=axis - 1, mode="clip")
        keep = jnp.expand_dims(source >= 0, [a for a in range(new.ndim) if a != axis - 1])
        window = jnp.where(keep, fresh, old)
        return jax.lax.dynamic_update_slice_in_dim(slots, window, first, axis - 1)

    return jax.vmap(write)(slots, new, start) if size else slots

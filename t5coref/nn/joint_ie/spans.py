"""Spans: what they are made of, which a document offers, and which of them are gold.

B documents, T pieces, W pieces in the widest span, d encoder width, D width of a mention vector,
N candidates, G gold mentions. A span is a pair of inclusive pieces. The flat index of a span is
`start * W + (end - start)`: its order is that of (start, end).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from t5coref.nn.joint_ie.layers import Linear

Features = Mapping[str, jax.Array]
"""Arrays of a batch, by the names in the docstring of `t5coref.nn.joint_ie`."""


class Candidates(NamedTuple):
    """Spans in the order of (start, end), padded behind; `[B, N]`, or `[N]` of one document.

    Attributes:
      start: int32, the first piece; 0 where padded.
      end: int32, the last piece; 0 where padded.
      valid: bool, False where padded.
      cluster: int32, the number of the gold cluster; 0 = not a gold mention.
    """

    start: jax.Array
    end: jax.Array
    valid: jax.Array
    cluster: jax.Array


class Boundaries(NamedTuple):
    """What each piece adds to the vector of a span that starts or ends there; both `[B, T, D]`."""

    start: jax.Array
    end: jax.Array

    def of(self, candidates: Candidates) -> jax.Array:
        """The vectors `[B, N, D]` of spans."""
        first = jnp.take_along_axis(self.start, candidates.start[..., None], axis=1)
        last = jnp.take_along_axis(self.end, candidates.end[..., None], axis=1)
        return first + last


class SpanRepresentation(nn.Module):
    """A span's vector is a linear map of the states of its first and last piece.

    Xu and Choi (2022, section 3.1) take the two states as they are; their relation heads then have
    `C * (2d)**2` weights.

    Attributes:
      mention_dim: D; 0 = the two states themselves, D = 2d.
    """

    mention_dim: int = 512

    @nn.compact
    def __call__(self, encoded: jax.Array) -> Boundaries:
        """Maps states `[B, T, d]` of any float type to float32 parts of spans."""
        states = encoded.astype(jnp.float32)
        if not self.mention_dim:
            nothing = jnp.zeros_like(states)
            return Boundaries(
                jnp.concatenate([states, nothing], axis=-1),
                jnp.concatenate([nothing, states], axis=-1),
            )
        first = Linear(self.mention_dim, name="start")(states)
        last = Linear(self.mention_dim, use_bias=False, name="end")(states)
        return Boundaries(first, last)


def offered_spans(
    sentence: jax.Array,
    word_start: jax.Array,
    word_end: jax.Array,
    *,
    max_width: int,
    word_boundaries: bool = True,
) -> jax.Array:
    """Which spans of one document may be mentions.

    Args:
      sentence: int32[T], 1-based; 0 for pieces of no sentence, which no span starts or ends with.
      word_start: bool[T].
      word_end: bool[T].
      max_width: W.
      word_boundaries: whether a span starts with a word's first piece and ends with a word's last.

    Returns:
      bool `[T, W]`: the span from piece t to piece t + w lies in one sentence.
    """
    length = sentence.shape[0]
    ends = np.arange(length)[:, None] + np.arange(max_width)
    there, ends = jnp.asarray(ends < length), np.minimum(ends, length - 1)
    offered = there & (sentence[ends] == sentence[:, None]) & (sentence[:, None] > 0)
    if word_boundaries:
        offered &= word_start[:, None] & word_end[ends]
    return offered


def gold_spans(
    start: jax.Array, end: jax.Array, cluster: jax.Array, *, length: int, max_width: int
) -> jax.Array:
    """The gold cluster of each span of one document, int32 `[T, W]`; 0 = not a gold mention.

    Wider mentions have no place. A span given twice belongs to the cluster of the lower number.

    Args:
      start: int32[G].
      end: int32[G], inclusive.
      cluster: int32[G], from 1 on; 0 where padded.
      length: T.
      max_width: W.
    """
    width = end - start
    fits = (cluster > 0) & (width >= 0) & (width < max_width) & (start >= 0) & (end < length)
    outside = length * max_width
    none = np.int32(np.iinfo(np.int32).max)
    table = jnp.full((outside,), none)
    table = table.at[jnp.where(fits, start * max_width + width, outside)].min(cluster, mode="drop")
    return jnp.where(table == none, 0, table).reshape(length, max_width)


def given_mentions(features: Features) -> Candidates:
    """The mentions that the features name, as candidates, `[B, G]`."""
    length = features["sentence"].shape[1]
    start, end, cluster = (features[f"mention_{name}"] for name in ("start", "end", "cluster"))
    valid = cluster > 0
    order = jnp.argsort(jnp.where(valid, start * length + end, length * length), axis=-1)

    def sort(x):
        return jnp.take_along_axis(jnp.where(valid, x, jnp.zeros_like(x)), order, axis=-1)

    return Candidates(sort(start), sort(end), sort(valid), sort(cluster))

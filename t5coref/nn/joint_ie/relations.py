"""Relations: scores of every class for every ordered pair, between mentions or between entities.

B documents, N mentions, E entities, R relation types, C = R + 1 classes of which class 0 is the
threshold, D width of a mention vector. Score tensors are `[B, N, C, N]`, head, class, tail: so laid
out, both products of a biaffine form are plain matrix products, and nothing is transposed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from t5coref.nn.joint_ie.layers import NORMAL, FeedForward, Linear, parameter


def biaffine(heads: jax.Array, kernel: jax.Array, tails: jax.Array) -> jax.Array:
    """`sum_de heads[h, d] kernel[d, c, e] tails[t, e]` as `[..., h, c, t]`.

    Args:
      heads: `[B, H, D]`.
      kernel: `[D, C, D']`.
      tails: `[B, T, D']`.
    """
    width, classes, other = kernel.shape
    mapped = jnp.dot(heads, kernel.reshape(width, classes * other))
    mapped = mapped.reshape(heads.shape[0], heads.shape[1] * classes, other)
    scores = jnp.einsum("bpe,bte->bpt", mapped, tails)
    return scores.reshape(heads.shape[0], heads.shape[1], classes, tails.shape[1])


class Biaffine(nn.Module):
    """The kernel of a biaffine form, `[D, C, D]`."""

    classes: int

    @nn.compact
    def __call__(self, heads: jax.Array, tails: jax.Array) -> jax.Array:
        """Maps `[B, H, D]` and `[B, T, D]` to `[B, H, C, T]`."""
        shape = (heads.shape[-1], self.classes, tails.shape[-1])
        kernel = parameter("kernel", NORMAL, shape, ("embed", None, "mlp"))
        return biaffine(heads, kernel, tails)


class MentionRelations(nn.Module):
    """Relations between mentions (Joint-M: Xu and Choi 2022, section 3.2).

    `s_c(h, t) = g_h W_c g_t + s_c(g_h) + s'_c(g_t)`; the threshold is a class like the others.

    Attributes:
      types: R.
      hidden_dim: of the two feed-forward networks.
      dropout_rate: of their hidden units and of either side of the biaffine form.
      gold_pairs_only: the loss is over pairs of gold mentions; otherwise over all pairs of
        candidates. A mention with itself is a pair that has no relation.
      per_gold_pair: the loss is divided by the number of ordered pairs of distinct gold mentions,
        at least 1; otherwise by the number of pairs that it is over.
      max_labels: a pair of entities has only relations that are among its so many highest classes,
        the threshold included; None = any number (ATLOP for DocRED: 4).
    """

    types: int
    hidden_dim: int = 1000
    dropout_rate: float = 0.3
    gold_pairs_only: bool = False
    per_gold_pair: bool = False
    max_labels: int | None = 4

    def setup(self) -> None:
        """Declares the three terms."""
        classes = self.types + 1
        self.biaffine = Biaffine(classes)
        self.head = FeedForward(self.hidden_dim, classes, self.dropout_rate)
        self.tail = FeedForward(self.hidden_dim, classes, self.dropout_rate)
        self.dropout = nn.Dropout(self.dropout_rate)

    def __call__(self, mentions: jax.Array, *, deterministic: bool) -> jax.Array:
        """Scores `[B, N, C, N]` of the pairs of mentions `[B, N, D]`."""
        heads, tails = (self.dropout(mentions, deterministic=deterministic) for _ in range(2))
        return _add_sides(
            self.biaffine(heads, tails),
            self.head(mentions, deterministic=deterministic),
            self.tail(mentions, deterministic=deterministic),
        )

    def entity_scores(self, mentions: jax.Array, cluster: jax.Array) -> jax.Array:
        """Means over all pairs of mentions of two entities, `[B, N, C, N]`.

        The scores are affine in each mention, so that their mean is the score of the means.

        Args:
          mentions: `[B, N, D]`.
          cluster: int32 `[B, N]`, the entity of each, below N; -1 = none.
        """
        members = _membership(cluster)
        size = jnp.sum(members, axis=-1, keepdims=True)
        members = members / jnp.maximum(size, 1.0)
        means = members @ mentions
        return _add_sides(
            self.biaffine(means, means),
            members @ self.head(mentions, deterministic=True),
            members @ self.tail(mentions, deterministic=True),
        )


class EntityRelations(nn.Module):
    """Relations between entities (ATLOP: Zhou et al. 2021, without localized context pooling).

    An entity is the logsumexp of its mentions; head and tail are mapped apart, and a bilinear form
    in blocks scores them.

    Attributes:
      types: R.
      projection_dim: width of a mapped entity.
      blocks: dimensions interact within one of so many equal parts.
      dropout_rate: of mapped entities.
      max_labels: see `MentionRelations`.
    """

    types: int
    projection_dim: int = 768
    blocks: int = 12
    dropout_rate: float = 0.3
    max_labels: int | None = 4

    @nn.compact
    def entity_scores(
        self, mentions: jax.Array, cluster: jax.Array, *, deterministic: bool = True
    ) -> jax.Array:
        """Scores `[B, N, C, N]` of the pairs of entities.

        Args:
          mentions: `[B, N, D]`.
          cluster: int32 `[B, N]`, the entity of each, below N; -1 = none.
          deterministic: without dropout.

        Raises:
          ValueError: `projection_dim` is not divisible by `blocks`.
        """
        if self.projection_dim % self.blocks:
            raise ValueError(
                f"expected projection_dim divisible by {self.blocks} blocks, got "
                f"{self.projection_dim}"
            )
        size, classes = self.projection_dim // self.blocks, self.types + 1
        drop = nn.Dropout(self.dropout_rate, deterministic=deterministic)
        entities = jax.vmap(pool)(mentions, cluster)
        rows, count = cluster.shape
        heads, tails = (
            drop(jnp.tanh(Linear(self.projection_dim, name=name)(entities)))
            for name in ("head", "tail")
        )
        kernel = parameter(
            "kernel", NORMAL, (self.blocks, size, classes, size), (None, "embed", None, "mlp")
        )
        bias = parameter("bias", nn.initializers.zeros, (classes,), (None,))
        # The outer products of all pairs, 49,152 numbers each, never exist.
        mapped = jnp.einsum(
            "bhki,kicj->bhckj", heads.reshape(rows, count, self.blocks, size), kernel
        )
        mapped = mapped.reshape(rows, count * classes, self.projection_dim)
        scores = jnp.einsum("bpe,bte->bpt", mapped, tails)
        scores = scores.reshape(rows, count, classes, count)
        return scores + bias[None, None, :, None]


def pool(mentions: jax.Array, cluster: jax.Array) -> jax.Array:
    """Logsumexp over the mentions of each entity, by dimension; zero for entities without any.

    Args:
      mentions: `[N, D]`.
      cluster: int32[N], the entity of each; -1 = none.

    Returns:
      `[N, D]`, entity e in row e.
    """
    count = mentions.shape[0]
    slot = jnp.where(cluster >= 0, cluster, count)
    top = jax.ops.segment_max(jax.lax.stop_gradient(mentions), slot, count + 1)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jax.ops.segment_sum(jnp.exp(mentions - top[slot]), slot, count + 1)
    there = total > 0
    return jnp.where(there, top + jnp.log(jnp.where(there, total, 1.0)), 0.0)[:count]


def _membership(cluster: jax.Array) -> jax.Array:
    """float32 `[B, N, N]`: 1 where the mention of the column belongs to the entity of the row."""
    entities = jnp.arange(cluster.shape[-1], dtype=cluster.dtype)
    return (cluster[:, None, :] == entities[None, :, None]).astype(jnp.float32)


def _add_sides(scores: jax.Array, head: jax.Array, tail: jax.Array) -> jax.Array:
    """`[B, N, C, N]` plus scores `[B, N, C]` of heads and of tails."""
    return scores + head[..., None] + jnp.swapaxes(tail, 1, 2)[:, None]

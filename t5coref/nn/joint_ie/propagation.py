"""Graph propagation: mention vectors take up those that they are related to (Xu and Choi 2022).

B documents, N mentions, R relation types (without the threshold), D width of a mention vector.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from t5coref.nn.joint_ie.coreference import MASKED
from t5coref.nn.joint_ie.layers import NORMAL, parameter


class GraphPropagation(nn.Module):
    """One round over the graph of relations, before coreference (equations 1 to 3).

    The indices of the printed equations contradict each other; we read: a mention takes up what it
    is the head of, and in the same way what it is the tail of. With both, the update is their mean.

    Attributes:
      outgoing: a head takes up its tails.
      incoming: a tail takes up its heads.
      rescore_mentions: score mentions by the new vectors; otherwise only their similarity.
    """

    outgoing: bool = True
    incoming: bool = True
    rescore_mentions: bool = False

    @nn.compact
    def __call__(self, mentions: jax.Array, scores: jax.Array, valid: jax.Array) -> jax.Array:
        """New vectors `[B, N, D]`.

        Args:
          mentions: `[B, N, D]`.
          scores: `[B, N, R, N]`, relation scores of all pairs, without the threshold.
          valid: bool `[B, N]`.

        Raises:
          ValueError: neither direction is taken.
        """
        if not (self.outgoing or self.incoming):
            raise ValueError("expected outgoing, incoming or both, got neither; set one of them")
        width = mentions.shape[-1]
        kernel = parameter(
            "kernel", NORMAL, (scores.shape[2], width, width), (None, "embed", "mlp")
        )
        spread = functools.partial(propagate, outgoing=self.outgoing, incoming=self.incoming)
        return jax.vmap(spread, in_axes=(0, 0, 0, None))(mentions, scores, valid, kernel)


def propagate(
    mentions: jax.Array,
    scores: jax.Array,
    valid: jax.Array,
    kernel: jax.Array,
    *,
    outgoing: bool = True,
    incoming: bool = True,
) -> jax.Array:
    """New vectors `[N, D]` of one document's mentions; padded ones stay as they are.

    One relation type at a time, so that no weights `[R, N, N]` exist.

    Args:
      mentions: `[N, D]`.
      scores: `[N, R, N]`, head, type, tail.
      valid: bool[N].
      kernel: `[R, D, D]`.
      outgoing: see `GraphPropagation`.
      incoming: see `GraphPropagation`.
    """
    directions = outgoing + incoming

    # Inside a scan, XLA has no chance to merge the recomputation with the original.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def update(mentions, scores, kernel):
        mapped = mentions @ kernel
        weights = nn.relu(scores)
        total = jnp.zeros_like(mentions)
        if outgoing:
            total += jnp.tanh(_neighbours(weights, valid) @ mapped)
        if incoming:
            total += jnp.tanh(_neighbours(weights.T, valid) @ mapped)
        return total

    def add(total, of_type):
        return total + update(mentions, *of_type), None

    by_type = (jnp.moveaxis(scores, 1, 0), kernel)
    total, _ = jax.lax.scan(add, jnp.zeros_like(mentions), by_type)
    mean = total / (directions * scores.shape[1])
    return jnp.where(valid[:, None], mentions + mean, mentions)


def _neighbours(weights: jax.Array, valid: jax.Array) -> jax.Array:
    """The share `[N, N]` of each neighbour (column); padding has none, although relu(..) = 0."""
    return jax.nn.softmax(jnp.where(valid[None, :], weights, MASKED), axis=-1)

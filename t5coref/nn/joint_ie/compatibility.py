"""Graph compatibility: mentions of one entity are related alike (Xu and Choi 2022, section 3.4).

B documents, N mentions, R relation types (without the threshold), C = R + 1 classes, K neighbours.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from t5coref.nn.joint_ie.layers import parameter


class GraphCompatibility(nn.Module):
    """How far apart two mentions are in what they are related to (equations 4 and 5).

    `D(x, y) = sum_r beta_r sum_k |s_r(x, k) - s_r(y, k)|` over the K mentions k with the largest
    sum of incoming scores. Nothing is detached: coreference trains the relation scores through it.

    The parameter `beta` `[R]` is a logarithm-like number unless `free_beta`. It must be kept out of
    optimizers that scale a step by the size of its parameter.

    Attributes:
      neighbours: K.
      weight: lambda, by which the distance lowers coreference scores.
      margin: of the contrastive loss.
      all_pairs: its loss is over all pairs of candidates; otherwise over pairs of gold mentions.
      minus_threshold: relation scores are taken relative to the threshold class.
      both_directions: neighbours are chosen by outgoing scores too.
      exclude_endpoints: x and y are no neighbours of their own pair.
      free_beta: beta may be negative; otherwise it is a softplus of the parameter.
    """

    neighbours: int = 24
    weight: float = 1e-3
    margin: float = 2.0
    all_pairs: bool = False
    minus_threshold: bool = False
    both_directions: bool = False
    exclude_endpoints: bool = False
    free_beta: bool = False

    @nn.compact
    def __call__(self, scores: jax.Array, valid: jax.Array) -> jax.Array:
        """Distances `[B, N, N]`.

        Args:
          scores: `[B, N, C, N]`, relation scores of all pairs, class 0 the threshold.
          valid: bool `[B, N]`.
        """
        types = scores.shape[2] - 1
        # So that the distance starts as a mean absolute difference.
        start = 1.0 / (types * self.neighbours)
        start = start if self.free_beta else math.log(math.expm1(start))
        beta = parameter("beta", nn.initializers.constant(start), (types,), (None,))
        beta = beta if self.free_beta else nn.softplus(beta)

        def measure(scores, valid):
            real = scores[:, 1:] - scores[:, :1] if self.minus_threshold else scores[:, 1:]
            chosen, there = salient(
                real, valid, neighbours=self.neighbours, both_directions=self.both_directions
            )
            return distances(real, chosen, there, beta, exclude_endpoints=self.exclude_endpoints)

        return jax.vmap(measure)(scores, valid)


def salient(
    scores: jax.Array, valid: jax.Array, *, neighbours: int, both_directions: bool = False
) -> tuple[jax.Array, jax.Array]:
    """The mentions of one document with the largest sums of relation scores; no gradient.

    Args:
      scores: `[N, R, N]`.
      valid: bool[N].
      neighbours: K; if N is smaller, there are N.
      both_directions: add up what a mention is the head of, too.

    Returns:
      (int32[K], bool[K]): the mentions, lower ones first where sums are equal, and which of them
      there are.
    """
    n = valid.shape[0]
    other = valid[:, None] & valid[None, :] & ~np.eye(n, dtype=bool)
    pairs = jnp.where(other, jnp.sum(jax.lax.stop_gradient(scores), axis=1), 0.0)
    saliency = jnp.sum(pairs, axis=0)
    if both_directions:
        saliency += jnp.sum(pairs, axis=1)
    _, chosen = jax.lax.top_k(jnp.where(valid, saliency, -jnp.inf), min(neighbours, n))
    return chosen, valid[chosen]


def distances(
    scores: jax.Array,
    chosen: jax.Array,
    there: jax.Array,
    beta: jax.Array,
    *,
    exclude_endpoints: bool = False,
) -> jax.Array:
    """Distances `[N, N]` of the mentions of one document.

    One relation type at a time, so that nothing larger than `[N, N]` and `[R, K, N]` exists.

    Args:
      scores: `[N, R, N]`.
      chosen: int32[K].
      there: bool[K].
      beta: `[R]`.
      exclude_endpoints: see `GraphCompatibility`.
    """
    n = scores.shape[0]
    counted = jnp.broadcast_to(there[:, None], (there.shape[0], n))
    if exclude_endpoints:
        counted &= chosen[:, None] != jnp.arange(n)[None, :]
    edges = jnp.transpose(scores[:, :, chosen], (1, 2, 0))
    return _weighted_l1(edges, counted.astype(scores.dtype), beta)


@jax.custom_vjp
def _weighted_l1(edges: jax.Array, counted: jax.Array, beta: jax.Array) -> jax.Array:
    """`sum_rk beta_r c_kx c_ky |e_rkx - e_rky|` for all x and y, `[N, N]`.

    Args:
      edges: `[R, K, N]`.
      counted: `[K, N]`, 0 or 1.
      beta: `[R]`.
    """
    counted = counted.T

    def add(total, of_type):
        edges, beta = of_type[0].T, of_type[1]
        apart = jnp.abs(edges[:, None, :] - edges[None, :, :])
        apart = jnp.sum(apart * counted[:, None, :] * counted[None, :, :], axis=-1)
        return total + beta * apart, None

    n = counted.shape[0]
    return jax.lax.scan(add, jnp.zeros((n, n), edges.dtype), (edges, beta))[0]


def _forward(edges, counted, beta):
    return _weighted_l1(edges, counted, beta), (edges, counted, beta)


def _backward(saved, slope):
    """With signs of differences to one mention at a time, which CPUs do four times faster.

    The derivative of `|e_x - e_y|` where both are equal is 0.
    """
    edges, counted, beta = saved

    def add(total, of_mention):
        edge, there, slope = of_mention  # [R, K], [K], [N]
        sign = jnp.sign(edges - edge[:, :, None])
        return total + sign * (there[:, None] * slope[None, :])[None], None

    columns = (jnp.moveaxis(edges, -1, 0), counted.T, slope + slope.T)
    total, _ = jax.lax.scan(add, jnp.zeros_like(edges), columns)
    total = total * counted[None]
    of_beta = jnp.sum(edges * total, axis=(1, 2))
    return beta[:, None, None] * total, jnp.zeros_like(counted), of_beta


_weighted_l1.defvjp(_forward, _backward)

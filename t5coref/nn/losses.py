"""The training loss over the action symbols."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp


def token_loss(
    logits: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """Summed cross-entropy of the targets, and the weight to divide it by.

    The same value as T5X's `compute_weighted_cross_entropy`: with smoothing e the target has
    probability 1 - e, the others share e, and the entropy of that distribution is subtracted, so
    that zero is the best loss; `z_loss * logsumexp(logits)**2` keeps the logits from drifting.
    No one-hot array and no log-softmax of size `[B, T, A]` is made.

    Args:
        logits: `[B, T, A]`; computed with in float32. Finite, if `label_smoothing` is not zero.
        targets: int32 `[B, T]`, positions on the A axis. One outside of it yields NaN, unless its
            weight is zero.
        weights: `[B, T]`, zero where padded.
        z_loss: weight of the squared log-partition.
        label_smoothing: e.

    Returns:
        (sum of weighted losses, sum of weights), float32 scalars.
    """
    logits = logits.astype(jnp.float32)
    weights = weights.astype(jnp.float32)
    symbols = logits.shape[-1]
    log_z = jax.nn.logsumexp(logits, axis=-1)
    target = jnp.take_along_axis(logits, targets[..., None], axis=-1, mode="fill")[..., 0]
    if label_smoothing:
        high, low = 1.0 - label_smoothing, label_smoothing / max(symbols - 1, 1)
        entropy = -high * math.log(high) - (symbols - 1) * low * math.log(low + 1e-20)
        expected = (high - low) * target + low * jnp.sum(logits, axis=-1)
        loss = log_z - expected - entropy
    else:
        loss = log_z - target
    loss = loss + z_loss * jnp.square(log_z)
    loss = jnp.where(weights > 0, loss * weights, 0.0)
    return jnp.sum(loss), jnp.sum(weights)

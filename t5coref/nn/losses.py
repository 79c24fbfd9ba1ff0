"""The training loss over the action symbols.

B rows, T steps, A symbols, D model width.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from t5coref.nn.partition import constrain, gathered

LOGITS = 2**22
"""So many logits of a row `projected_loss` computes at once."""


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
    # A sum with one term: unlike a gather, it needs no logits of other devices.
    chosen = targets[..., None] == jnp.arange(symbols, dtype=targets.dtype)[None, None, :]
    target = jnp.sum(jnp.where(chosen, logits, 0.0), axis=-1)
    target = jnp.where((targets >= 0) & (targets < symbols), target, jnp.nan)
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


def projected_loss(
    hidden: jax.Array,
    kernel: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    *,
    logits: int = LOGITS,
) -> tuple[jax.Array, jax.Array]:
    """`token_loss` of the logits `hidden @ kernel`, a part of the steps at a time.

    The logits of all steps, `[B, T, A]`, never exist, and those of a part are computed again for
    its gradient.

    Args:
        hidden: `[B, T, D]`, multiplied in float32.
        kernel: float32 `[D, A]`.
        targets: int32 `[B, T]`.
        weights: `[B, T]`.
        z_loss: see `token_loss`.
        label_smoothing: see `token_loss`.
        logits: so many of them in a part of a row; at least one step is computed at once.

    Returns:
        As `token_loss`.
    """
    kernel = gathered(kernel, ("embed", "vocab"))
    rows, length, _ = hidden.shape
    size = min(length, max(1, logits // kernel.shape[1]))
    count = -(-length // size)
    size = -(-length // count)  # parts of one size, with as little padding as can be

    def loss(kernel, hidden, targets, weights):
        scores = jnp.dot(hidden.astype(jnp.float32), kernel)
        scores = constrain(scores, ("batch", "length" if count == 1 else None, "vocab"))
        return token_loss(scores, targets, weights, z_loss, label_smoothing)

    if count == 1:
        return loss(kernel, hidden, targets, weights)

    def divided(x):
        x = jnp.pad(x, ((0, 0), (0, count * size - length), *[(0, 0)] * (x.ndim - 2)))
        return x.reshape(rows, count, size, *x.shape[2:]).swapaxes(0, 1)

    # Inside a scan, XLA has no chance to merge the recomputation with the original.
    part = functools.partial(jax.checkpoint, prevent_cse=False)(loss)

    def add(total, steps):
        return jax.tree.map(jnp.add, total, part(kernel, *steps)), None

    nothing = (jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32))
    hidden = constrain(hidden, ("batch", None, "embed"))
    return jax.lax.scan(add, nothing, jax.tree.map(divided, (hidden, targets, weights)))[0]

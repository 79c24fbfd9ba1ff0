"""The four losses of one document, as functions of scores and gold clusters alone.

N candidates, R relation types, C = R + 1 classes of which class 0 is the threshold. Clusters are
int32[N], 0 = not a gold mention.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from t5coref.nn.joint_ie.coreference import MASKED


def antecedent_loss(scores: jax.Array, cluster: jax.Array, valid: jax.Array) -> jax.Array:
    """Negative log-likelihood of all right antecedents together, summed (Lee et al. 2017).

    Where no earlier candidate is right, "no antecedent" is.

    Args:
      scores: `[N, N + 1]`, see `antecedent_scores`.
      cluster: int32[N].
      valid: bool[N].
    """
    n = cluster.shape[0]
    same = (cluster[:, None] == cluster[None, :]) & (cluster[:, None] > 0)
    same &= valid[:, None] & valid[None, :] & np.tril(np.ones((n, n), bool), -1)
    none = ~jnp.any(same, axis=1, keepdims=True)
    gold = jnp.concatenate([none, same], axis=1)
    of_all = jax.nn.logsumexp(scores, axis=1)
    of_gold = jax.nn.logsumexp(jnp.where(gold, scores, MASKED), axis=1)
    return jnp.sum(jnp.where(valid, of_all - of_gold, 0.0))


def mention_loss(scores: jax.Array, cluster: jax.Array, valid: jax.Array) -> jax.Array:
    """Binary cross-entropy of being a gold mention, summed.

    Args:
      scores: `[N]`.
      cluster: int32[N].
      valid: bool[N].
    """
    loss = jax.nn.softplus(jnp.where(cluster > 0, -scores, scores))
    return jnp.sum(jnp.where(valid, loss, 0.0))


def adaptive_threshold_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """ATLOP's loss of each pair (Zhou et al. 2021, equation 6).

    Positive classes compete with the threshold, each for itself; the threshold competes with the
    negative classes.

    Args:
      logits: `[H, C, T]`; computed with in float32.
      labels: bool `[H, C, T]`, False for class 0.

    Returns:
      float32 `[H, T]`.
    """
    logits = logits.astype(jnp.float32)
    above = labels.at[:, 0].set(True)
    of_positive = _log_partition(logits, above)
    positive = jnp.sum(jnp.where(labels, of_positive[:, None] - logits, 0.0), axis=1)
    negative = _log_partition(logits, ~labels) - logits[:, 0]
    return positive + negative


def pair_loss(
    scores: jax.Array,
    labels: jax.Array,
    cluster: jax.Array,
    valid: jax.Array,
    *,
    gold_pairs_only: bool = False,
    per_gold_pair: bool = False,
) -> jax.Array:
    """`adaptive_threshold_loss` of the ordered pairs of candidates, a mention with itself included.

    Args:
      scores: `[N, C, N]`.
      labels: bool `[N, C, N]`.
      cluster: int32[N].
      valid: bool[N].
      gold_pairs_only: see `MentionRelations`.
      per_gold_pair: see `MentionRelations`.

    Returns:
      float32[]; 0 if there is no pair.
    """
    real = valid & (cluster > 0)
    counted = real if gold_pairs_only else valid
    pairs = counted[:, None] & counted[None, :]
    each = adaptive_threshold_loss(scores, labels)
    if not per_gold_pair:
        return masked_mean(each, pairs)
    mentions = jnp.sum(real)
    norm = jnp.maximum(mentions * (mentions - 1), 1).astype(each.dtype)
    return jnp.sum(jnp.where(pairs, each, 0.0)) / norm


def _log_partition(logits: jax.Array, classes: jax.Array) -> jax.Array:
    """Logsumexp over the chosen classes, `[H, T]`."""
    return jax.nn.logsumexp(jnp.where(classes, logits, -1e30), axis=1)


def contrastive_loss(
    distance: jax.Array,
    cluster: jax.Array,
    valid: jax.Array,
    *,
    margin: float = 2.0,
    all_pairs: bool = False,
) -> jax.Array:
    """Mentions of one entity are drawn together, others driven apart up to a margin; a mean.

    `D**2` for pairs of one gold cluster, `max(0, margin - D)**2` for others (Xu and Choi 2022,
    equation 6).

    Args:
      distance: `[N, N]`, symmetric.
      cluster: int32[N].
      valid: bool[N].
      margin: m.
      all_pairs: over all pairs of candidates; otherwise over pairs of gold mentions.

    Returns:
      float32[]; 0 if there is no pair.
    """
    n = cluster.shape[0]
    counted = valid if all_pairs else valid & (cluster > 0)
    pairs = counted[:, None] & counted[None, :] & np.tril(np.ones((n, n), bool), -1)
    same = (cluster[:, None] == cluster[None, :]) & (cluster[:, None] > 0)
    loss = jnp.where(same, jnp.square(distance), jnp.square(jax.nn.relu(margin - distance)))
    return masked_mean(loss, pairs)


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """The mean where the mask holds; 0 if it holds nowhere."""
    total = jnp.sum(jnp.where(mask, values, 0.0))
    return total / jnp.maximum(jnp.sum(mask), 1).astype(total.dtype)

"""From scores to clusters and relations, of one document, with static shapes.

N candidates, E entities, C classes of which class 0 is the threshold, M rows for relations.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def link(
    scores: jax.Array, mention_scores: jax.Array, valid: jax.Array, *, all_mentions: bool = False
) -> jax.Array:
    """Clusters by the best antecedent of each candidate; ties are for no antecedent.

    A candidate that nothing links is a cluster of its own if its mention score is positive; one
    that is linked stays, whatever its score (Xu and Choi 2022, appendix A.1).

    Args:
      scores: `[N, N + 1]`, see `antecedent_scores`.
      mention_scores: `[N]`.
      valid: bool[N].
      all_mentions: candidates are known to be mentions.

    Returns:
      int32[N], see `number_clusters`.
    """
    n = valid.shape[0]
    place = jnp.arange(n, dtype=jnp.int32)
    choice = jnp.argmax(scores, axis=1).astype(jnp.int32) - 1
    root = jnp.where(valid & (choice >= 0), choice, place)
    # Each round doubles the number of links that are followed.
    for _ in range((n - 1).bit_length()):
        root = root[root]
    size = jnp.zeros((n,), jnp.int32).at[root].add(valid.astype(jnp.int32))
    alone = valid if all_mentions else mention_scores > 0
    return number_clusters(root, valid & ((size[root] > 1) | alone))


def number_clusters(name: jax.Array, member: jax.Array) -> jax.Array:
    """Numbers 0, 1, .. of clusters by first appearance, int32[N]; -1 = in none.

    Args:
      name: int32[N]; candidates with the same one are of one cluster.
      member: bool[N], which candidates are in any.
    """
    n = name.shape[0]
    same = (name[:, None] == name[None, :]) & member[:, None] & member[None, :]
    first = jnp.argmax(same, axis=1)
    number = jnp.cumsum(member & (first == jnp.arange(n))) - 1
    return jnp.where(member, number[first], -1).astype(jnp.int32)


def decide_relations(
    scores: jax.Array, cluster: jax.Array, *, max_labels: int | None, rows: int
) -> tuple[jax.Array, jax.Array]:
    """The classes above the threshold, best first (ATLOP: Zhou et al. 2021).

    Args:
      scores: `[E, C, E]`, head, class, tail.
      cluster: int32[N], the entity of each candidate; -1 = none.
      max_labels: a class must also be among the so many highest of its pair, threshold included;
        None = any number.
      rows: M; if more relations hold, the best are kept.

    Returns:
      (int32 `[M, 3]` head, tail and class; float32[M] margins over the threshold); -1 and 0 where
      there is none. No relation is of class 0, or of an entity with itself.
    """
    entities, classes, _ = scores.shape
    there = jnp.any(cluster[None, :] == jnp.arange(entities)[:, None], axis=1)
    pairs = there[:, None] & there[None, :] & ~np.eye(entities, dtype=bool)
    margin = scores - scores[:, :1]
    holds = (margin > 0) & pairs[:, None]
    if max_labels is not None and max_labels < classes:
        holds &= scores >= _highest(scores, max_labels)[:, None]
    key = jnp.where(holds, margin, -jnp.inf).reshape(-1)
    best, index = jax.lax.top_k(key, min(rows, key.shape[0]))
    head, rest = index // (classes * entities), index % (classes * entities)
    found = best > 0
    triples = jnp.stack([head, rest % entities, rest // entities], axis=-1)
    triples = jnp.where(found[:, None], triples, -1).astype(jnp.int32)
    missing = rows - triples.shape[0]
    return (
        jnp.pad(triples, ((0, missing), (0, 0)), constant_values=-1),
        jnp.pad(jnp.where(found, best, 0.0), (0, missing)),
    )


def _highest(scores: jax.Array, rank: int) -> jax.Array:
    """The score `[E, E]` of the class of that rank, from 1 on, in each pair's `[E, C, E]`.

    On CPUs a few passes over the tensor take a fraction of the time of `top_k` in each pair.
    """
    level = jnp.max(scores, axis=1)
    for _ in range(rank - 1):
        reached = jnp.sum(scores >= level[:, None], axis=1)
        lower = jnp.max(jnp.where(scores < level[:, None], scores, -jnp.inf), axis=1)
        level = jnp.where(reached < rank, lower, level)
    return level

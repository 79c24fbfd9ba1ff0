"""What is right: entities and relations of one document, from the arrays of a batch.

N candidates, G gold mentions, P gold relations, C classes of which class 0 is the threshold. An
entity is known by the slot (0 .. G - 1) of its first gold mention, so that cluster numbers may be
any positive numbers; slot G stands for no entity.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def entity_slots(cluster: jax.Array, gold: jax.Array) -> jax.Array:
    """The slot of each cluster number: int32[N] numbers, those int32[G] of gold mentions."""
    same = (cluster[:, None] == gold[None, :]) & (gold[None, :] > 0)
    slots = jnp.where(jnp.any(same, axis=1), jnp.argmax(same, axis=1), gold.shape[0])
    return slots.astype(jnp.int32)


def relation_table(
    gold: jax.Array, head: jax.Array, tail: jax.Array, kind: jax.Array, *, classes: int
) -> jax.Array:
    """Which relations hold between entities, bool `[G + 1, C, G + 1]`: head slot, class, tail slot.

    Class 0 never holds, nor does a relation of an entity with itself or of one without mentions.

    Args:
      gold: int32[G], the cluster of each gold mention; 0 where padded.
      head: int32[P], cluster numbers.
      tail: int32[P].
      kind: int32[P], from 1 on; 0 where padded.
      classes: C.
    """
    size = gold.shape[0]
    head, tail = entity_slots(head, gold), entity_slots(tail, gold)
    real = (kind > 0) & (head != tail) & (head < size) & (tail < size)
    table = jnp.zeros((size + 1, classes, size + 1), bool)
    return table.at[head, jnp.where(real, kind, classes), tail].set(True, mode="drop")


def relation_labels(table: jax.Array, slots: jax.Array) -> jax.Array:
    """The relations of all pairs of candidates, bool `[N, C, N]`: those of their entities.

    Args:
      table: see `relation_table`.
      slots: int32[N], see `entity_slots`.
    """
    return table[slots][:, :, slots]

"""The order of relations under `jit`: the twin of `core/triples.py`, function by function.

Numbers may be arrays of any one shape; a `Triple` of scalars goes with each of them.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from t5coref.core.rules import HEAD, TAIL


class Triple(NamedTuple):
    """`triples.Triple`."""

    head: Array  # int32[]
    tail: Array  # int32[]
    type: Array  # int32[]


def first() -> Triple:
    """The least of all triples."""
    zero = jnp.zeros((), jnp.int32)
    return Triple(zero, zero + 1, zero)


def exists(least: Triple, entities: Array) -> Array:
    """Whether a relation is left from `least` on."""
    return (least.head < entities) & (least.tail < entities)


def raised(least: Triple, role: Array, number: Array) -> Triple:
    """The least triple once `number` is the head, or the tail; neither where it is negative."""
    heads = (role == HEAD) & (number >= 0) & (number != least.head)
    tails = (role == TAIL) & (number >= 0) & (number != least.tail)
    return Triple(
        head=jnp.where(heads, number, least.head),
        tail=jnp.where(heads, 0, jnp.where(tails, number, least.tail)),
        type=jnp.where(heads | tails, 0, least.type),
    )


def following(triple: Triple, entities: Array, types: int) -> Triple:
    """The least triple behind `triple`; its head is `entities` where there is none."""
    wraps = triple.type + 1 == types
    tail = triple.tail + wraps.astype(jnp.int32)
    tail = tail + (tail == triple.head).astype(jnp.int32)
    over = tail >= entities
    return Triple(
        head=triple.head + over.astype(jnp.int32),
        tail=jnp.where(over, 0, tail),
        type=jnp.where(wraps | over, 0, triple.type + 1),
    )

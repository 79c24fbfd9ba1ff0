"""`Rules` as arrays, for functions under `jit`.

A actions, M modes, N cluster numbers, V vocabulary ids.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from t5coref.core.rules import Due, Rules

STATIC = (
    "copy", "copy_id", "marks", "due", "spread", "literal", "aliased", "echoed",
    "mixed", "twinned", "max_depth", "max_clusters", "first_pledge", "twin_pledge",
    "relations", "first_relation", "anywhere", "recites", "elements",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Tables:
    """`Rules` for jitted functions; the fields are theirs.

    Besides: `copy_id` is the id of the copy action, `action_of` `int32[V]` the action of each
    vocabulary id, -1 where there is none (V = the highest id of an action, plus 1).
    """

    ids: Array  # int32[A]
    effect: Array  # int32[A]
    next_mode: Array  # int32[M, A]
    guard: Array  # int32[M, A]
    slack_cost: Array  # int32[M, A]
    given: Array  # int32[M, A]
    at_least: Array  # int32[M, N + 1]
    role: Array  # int32[M]
    source_numbers: Array  # int32[N], or [0] where the output numbers the clusters
    number_ids: Array  # int32[N], or [0] where numbers are spelt
    openings: Array  # int32[N], or [0] where the decoder does not read them
    action_of: Array  # int32[V]
    copy: int
    copy_id: int
    marks: tuple[int, ...]
    due: Due
    spread: bool
    literal: bool
    aliased: bool
    echoed: bool
    mixed: bool
    twinned: bool
    max_depth: int
    max_clusters: int
    first_pledge: int
    twin_pledge: int
    relations: int
    first_relation: int
    anywhere: bool
    recites: bool
    elements: bool

    @classmethod
    def of(cls, rules: Rules) -> Tables:
        """The arrays of `rules`, on the default device."""
        ids = np.asarray(rules.inventory.ids, np.int32)
        by_id = np.full(ids.max() + 1, -1, np.int32)
        by_id[ids[ids >= 0]] = np.flatnonzero(ids >= 0)
        made = {
            "ids": jnp.asarray(ids),
            "action_of": jnp.asarray(by_id),
            "number_ids": jnp.asarray(rules.number_ids, jnp.int32),
            "copy_id": rules.inventory.ids[rules.copy],
        }
        for field in dataclasses.fields(cls):
            if field.name not in made:
                value = getattr(rules, field.name)
                made[field.name] = value if field.name in STATIC else jnp.asarray(value, jnp.int32)
        return cls(**made)


jax.tree_util.register_dataclass(
    Tables,
    data_fields=[f.name for f in dataclasses.fields(Tables) if f.name not in STATIC],
    meta_fields=list(STATIC),
)

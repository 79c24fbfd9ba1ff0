"""Relations between given entities, as CorefBERT was fine-tuned on DocRED.

Ye et al. 2020, section 4.4 and its released code: means of states, distances, one bilinear map and
a sigmoid for each relation, "no relation" among them.

B documents, T pieces, M mentions, E entities, P pairs, d encoder width, C classes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from t5coref.nn.downstream.head import ExampleLoss, Features, Head
from t5coref.nn.joint_ie.layers import Linear, parameter, shift

BUCKETS = 10
"""Distances 0, 1, 2-3, 4-7, ... 256 and more; with signs, and 0 in the middle, 19 of them."""


def distance_bucket(distance: jax.Array) -> jax.Array:
    """The signed bucket of a distance in pieces, int32 of -9 .. 9."""
    limits = jnp.asarray(2 ** np.arange(BUCKETS - 1), jnp.int32)
    size = jnp.sum(jnp.abs(distance)[..., None] >= limits.reshape((1,) * distance.ndim + (-1,)), -1)
    return jnp.sign(distance) * size.astype(jnp.int32)


class BilinearRelations(Head):
    """Scores all relations of pairs of entities.

    Features, int32:

        mention_start, mention_end    [B, M]       pieces, `mention_end` exclusive; 0, 0 = padding
        mention_entity                [B, M]       0 .. E - 1
        entity_start                  [B, E]       first piece of its earliest mention
        pair_head, pair_tail          [B, P]       entities
        pair_mask                     [B, P]       1 = a pair, 0 = padding
        pair_labels                   [B, P, C]    1 = holds; class 0 is "no relation"

    Attributes:
      classes: C, class 0 among them.
      hidden_dim: of a state, and so of a mention and an entity.
      distance_dim: of a distance.
    """

    classes: int
    hidden_dim: int = 128
    distance_dim: int = 20

    @nn.compact
    def __call__(self, encoded: jax.Array, features: Features, *, deterministic: bool) -> jax.Array:
        """Maps states `[B, T, d]` to logits, float32 `[B, P, C]`."""
        del deterministic
        states = Linear(self.hidden_dim, name="states")(encoded.astype(jnp.float32))
        entities = _means(states, features)
        head, tail = features["pair_head"], features["pair_tail"]
        start = features["entity_start"]
        bucket = distance_bucket(_taken(start, head) - _taken(start, tail))
        width = self.hidden_dim + self.distance_dim
        # The sizes of PyTorch's Embedding and Bilinear, with which the code begins.
        normal, small = nn.initializers.normal(1.0), nn.initializers.normal((3 * width) ** -0.5)
        table = parameter("distance", normal, (2 * BUCKETS, self.distance_dim), (None, None))
        # Distances that are no distance have the vector 0, whatever is learned of the others.
        known = (jnp.arange(2 * BUCKETS) != BUCKETS).astype(jnp.float32)
        table = table * known[:, None]
        of_head = jnp.concatenate([_taken(entities, head), table[bucket + BUCKETS]], axis=-1)
        of_tail = jnp.concatenate([_taken(entities, tail), table[BUCKETS - bucket]], axis=-1)
        kernel = parameter("bilinear", small, (self.classes, width, width), (None, "embed", "mlp"))
        bias = parameter("bias", nn.initializers.zeros, (self.classes,), (None,))
        return shift(jnp.einsum("bph,chk,bpk->bpc", of_head, kernel, of_tail), bias)

    def losses(self, output: jax.Array, features: Features) -> ExampleLoss:
        """Binary cross-entropy of all classes of all pairs; the weight is their number."""
        wanted = features["pair_labels"].astype(jnp.float32)
        mask = features["pair_mask"].astype(jnp.float32)
        each = jax.nn.softplus(output) - wanted * output
        total = jnp.sum(each * mask[..., None], axis=(1, 2))
        return ExampleLoss(total, self.classes * jnp.sum(mask, axis=1))

    def sample(self) -> dict[str, jax.Array]:
        """Features of one document of one pair."""
        names = ("mention_start", "mention_end", "mention_entity", "entity_start", "pair_head",
                 "pair_tail", "pair_mask")  # fmt: skip
        features = {name: jnp.zeros((1, 1), jnp.int32) for name in names}
        return {"encoder_input_tokens": jnp.zeros((1, 8), jnp.int32), **features}


def _means(states: jax.Array, features: Features) -> jax.Array:
    """Vectors of entities `[B, E, h]`: means of their mentions, which are means of their pieces."""
    start, end = features["mention_start"], features["mention_end"]
    piece = jnp.arange(states.shape[1], dtype=jnp.int32)[None, None, :]
    within = (piece >= start[..., None]) & (piece < end[..., None])
    length = jnp.maximum(end - start, 1)[..., None].astype(jnp.float32)
    count = features["entity_start"].shape[1]
    entity = jnp.arange(count, dtype=jnp.int32)[None, :, None]
    owns = (features["mention_entity"][:, None, :] == entity) & (end > start)[:, None, :]
    number = jnp.maximum(jnp.sum(owns, axis=-1, keepdims=True), 1).astype(jnp.float32)
    of_mentions = jnp.einsum("bmt,bth->bmh", within.astype(jnp.float32) / length, states)
    return jnp.einsum("bem,bmh->beh", owns.astype(jnp.float32) / number, of_mentions)


def _taken(x: jax.Array, places: jax.Array) -> jax.Array:
    """`x[b, places[b, p]]`: `[B, P, ...]` of `[B, E, ...]` and int32 `[B, P]`."""
    index = places.reshape(places.shape + (1,) * (x.ndim - 2))
    return jnp.take_along_axis(x, index, axis=1)

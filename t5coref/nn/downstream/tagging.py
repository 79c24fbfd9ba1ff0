"""A tag for pieces of a text.

B texts, T pieces, d encoder width, C classes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from t5coref.nn.downstream.head import ExampleLoss, Features, Head
from t5coref.nn.joint_ie.layers import FeedForward

TAG = "tag"
"""Feature int32 `[B, T]`, the class of a piece; `NO_TAG` where it has none."""

NO_TAG = -1


class TaggingHead(Head):
    """A feed-forward network on the state of each piece.

    Attributes:
      classes: C.
      hidden_dim: of its hidden layer.
      dropout_rate: of states and of hidden units.
    """

    classes: int
    hidden_dim: int = 1024
    dropout_rate: float = 0.1

    @nn.compact
    def __call__(self, encoded: jax.Array, features: Features, *, deterministic: bool) -> jax.Array:
        """Maps states `[B, T, d]` to float32 logits `[B, T, C]`."""
        del features
        states = encoded.astype(jnp.float32)
        states = nn.Dropout(self.dropout_rate, deterministic=deterministic)(states)
        network = FeedForward(self.hidden_dim, self.classes, self.dropout_rate, name="tags")
        return network(states, deterministic=deterministic)

    def losses(self, output: jax.Array, features: Features) -> ExampleLoss:
        """Cross-entropy of the pieces with a tag; the weight is their number."""
        tag = features[TAG]
        log = jax.nn.log_softmax(output, axis=-1)
        chosen = jnp.take_along_axis(log, jnp.maximum(tag, 0)[..., None], axis=-1)[..., 0]
        has_one = (tag != NO_TAG).astype(jnp.float32)
        return ExampleLoss(-jnp.sum(chosen * has_one, axis=-1), jnp.sum(has_one, axis=-1))

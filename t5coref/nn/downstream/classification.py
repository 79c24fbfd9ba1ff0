"""Classes or scores of whole texts.

B texts, T pieces, d encoder width, C classes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from t5coref.nn.downstream.head import ExampleLoss, Features, Head
from t5coref.nn.joint_ie.layers import Linear

LABEL = "label"
"""Feature int32 `[B]`, the class; or float32 `[B]`, the score."""


class ClassificationHead(Head):
    """A linear map of the state of the first piece, as BERT's classifier is of `[CLS]`.

    Devlin et al. 2019, section 4.1. T5 has no `[CLS]`: the first piece, which attends to all
    others, takes its place.

    Attributes:
      classes: C; 1 = a score, learned with the squared error.
      dropout_rate: of the state.
    """

    classes: int = 2
    dropout_rate: float = 0.1

    @nn.compact
    def __call__(self, encoded: jax.Array, features: Features, *, deterministic: bool) -> jax.Array:
        """Maps states `[B, T, d]` to float32 logits `[B, C]`, or scores `[B, 1]`."""
        del features
        state = encoded[:, 0].astype(jnp.float32)
        state = nn.Dropout(self.dropout_rate, deterministic=deterministic)(state)
        return Linear(self.classes, axes=("embed", None), name="classes")(state)

    def losses(self, output: jax.Array, features: Features) -> ExampleLoss:
        """Cross-entropy of the class, or the squared error of the score."""
        label = features[LABEL]
        if self.classes == 1:
            total = jnp.square(output[:, 0] - label)
        else:
            log = jax.nn.log_softmax(output, axis=-1)
            total = -jnp.take_along_axis(log, label[:, None], axis=-1)[:, 0]
        return ExampleLoss(total, jnp.ones_like(total))

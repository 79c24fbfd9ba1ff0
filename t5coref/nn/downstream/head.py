"""What every head on an encoder is: a module, its loss, and features to be initialised with.

B examples, T pieces, d encoder width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

Features = Mapping[str, jax.Array]
"""Arrays of a batch; `encoder_input_tokens` int32 `[B, ..., T]` is always there, 0 = padding."""


class ExampleLoss(NamedTuple):
    """The loss of each example as a sum and what it is divided by; both float32 `[B]`.

    The loss of a step is the sum of all sums over the sum of all weights. A mean over examples has
    weights 1.
    """

    total: jax.Array
    weight: jax.Array


class Head(nn.Module):
    """Base of the heads; a subclass has a `__call__`, `losses` and, if need be, `sample`.

    Its arguments are numbers, strings, tuples of them, or modules of `t5coref.nn.downstream`: the
    card of a model folder describes them as JSON.
    """

    def __call__(self, encoded: jax.Array, features: Features, *, deterministic: bool) -> Any:
        """What is predicted: a pytree of arrays `[B, ...]`.

        Args:
          encoded: states `[B, ..., T, d]` of any float type; heads compute in float32.
          features: of the batch.
          deterministic: no dropout; otherwise the rng "dropout" is needed.
        """
        raise NotImplementedError

    def losses(self, output: Any, features: Features) -> ExampleLoss:
        """The loss of each example, from what `__call__` has returned; no parameter is used."""
        raise NotImplementedError

    def sample(self) -> dict[str, jax.Array]:
        """Features that parameters can be initialised with, of any content; no labels."""
        return {"encoder_input_tokens": jnp.zeros((1, 8), jnp.int32)}

"""The kernel graph attention network over pieces of evidence for a claim.

Liu et al. 2020, "Fine-grained fact verification with kernel graph attention network", as CorefBERT
uses it (Ye et al. 2020, section 4.5). Its kernels are those of K-NRM (Xiong et al. 2017).

B claims, E pieces of evidence, T pieces of a text, d encoder width, K kernels, C classes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from t5coref.nn.downstream.head import ExampleLoss, Features, Head
from t5coref.nn.joint_ie.layers import Linear

SEGMENT = "segment"
"""Feature int32 `[B, E, T]`: 1 = of the claim, 2 = of the evidence, 0 = padding."""

LABEL = "label"
"""Feature int32 `[B]`: the class."""

MASKED = -1e9
"""Score of what must not be chosen: finite, so that no gradient is NaN."""

SMALLEST = 1e-10
"""Of the sum of a kernel over a text, whose logarithm is taken."""


def kernels(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Means and widths of Gaussian kernels, float32 `[K]` each.

    The first is for equal vectors: mean 1, width 0.001. The others share [-1, 1] evenly, from above
    to below, each with its mean in the middle of its part: .95, .85, ... -.95 for K = 21; width .1.
    """
    size = 2.0 / max(count - 1, 1)
    means = [1.0, *(1.0 - size * (k + 0.5) for k in range(count - 1))]
    return np.asarray(means, np.float32), np.asarray([1e-3] + [0.1] * (count - 1), np.float32)


class KernelGraphAttention(Head):
    """Each piece of evidence votes for a class; kernels say how much its vote counts.

    All evidence is encoded together with the claim, one text for each piece. The claim's pieces
    match an evidence in K kernels, from which comes its probability to be the one that counts
    (section 3.4). Each evidence attends, by kernels again, to the pieces of all others (section
    3.3); what it has found there and its own first state are classified (section 3.2).

    Evidence that is not there has no probability and is not attended to; the published code gives
    it some of both. A claim must have one at least.

    Attributes:
      classes: C.
      kernel_count: K.
      hidden_dim: of the network that weighs one evidence for another.
    """

    classes: int = 3
    kernel_count: int = 21
    hidden_dim: int = 128

    def setup(self) -> None:
        """Declares the linear maps."""
        self.select = Linear(1, axes=(None, None))
        self.attend = Linear(1, axes=(None, None))
        self.edge_hidden = Linear(self.hidden_dim)
        self.edge = Linear(1, axes=("mlp", None))
        self.classify = Linear(self.classes, axes=("embed", None))

    def __call__(self, encoded: jax.Array, features: Features, *, deterministic: bool) -> jax.Array:
        """Maps states `[B, E, T, d]` to log-probabilities of the classes, float32 `[B, C]`."""
        del deterministic
        states, segment = encoded.astype(jnp.float32), features[SEGMENT]
        text = segment > 0
        there = jnp.any(text, axis=-1)
        unit = _unit(states)
        pooled = states[:, :, 0]
        chosen = self._chosen(unit, segment, there)

        attended = [
            self._attended(states, unit, text, there, unit[:, e], text[:, e], pooled[:, e])
            for e in range(text.shape[1])
        ]
        votes = self.classify(jnp.concatenate([pooled, jnp.stack(attended, axis=1)], axis=-1))
        return jax.nn.logsumexp(chosen[..., None] + jax.nn.log_softmax(votes, axis=-1), axis=1)

    def losses(self, output: jax.Array, features: Features) -> ExampleLoss:
        """The negative log-probability of the class."""
        total = -jnp.take_along_axis(output, features[LABEL][:, None], axis=-1)[:, 0]
        return ExampleLoss(total, jnp.ones_like(total))

    def sample(self) -> dict[str, jax.Array]:
        """Features of one claim with two pieces of evidence."""
        nothing = jnp.zeros((1, 2, 8), jnp.int32)
        return {"encoder_input_tokens": nothing, SEGMENT: nothing}

    def _chosen(self, unit: jax.Array, segment: jax.Array, there: jax.Array) -> jax.Array:
        """Log-probability of each evidence, `[B, E]`: how its pieces match those of the claim."""
        claim = (segment == 1).astype(jnp.float32)
        similarity = jnp.einsum("betd,besd->bets", unit, unit)
        pooled = _pooled(similarity, segment[:, :, None, :] == 2, self.kernel_count)
        number = jnp.maximum(jnp.sum(claim, axis=-1, keepdims=True), 1.0)
        mean = jnp.sum(pooled * claim[..., None], axis=2) / number
        scores = self.select(mean)[..., 0]
        return jax.nn.log_softmax(jnp.where(there, scores, MASKED), axis=-1)

    def _attended(
        self,
        states: jax.Array,
        unit: jax.Array,
        text: jax.Array,
        there: jax.Array,
        own_unit: jax.Array,
        own_text: jax.Array,
        own_pooled: jax.Array,
    ) -> jax.Array:
        """What one evidence finds in all, `[B, d]`: tokens by kernels, then evidence by a network.

        Args:
          states: `[B, E, T, d]`.
          unit: the same of length 1.
          text: bool `[B, E, T]`.
          there: bool `[B, E]`.
          own_unit: `[B, T, d]` of the one that attends.
          own_text: bool `[B, T]`.
          own_pooled: `[B, d]`.
        """
        similarity = jnp.einsum("betd,bsd->bets", unit, own_unit)
        pooled = _pooled(similarity, own_text[:, None, None, :], self.kernel_count)
        scores = jnp.where(text, self.attend(pooled)[..., 0], MASKED)
        found = jnp.einsum("bet,betd->bed", jax.nn.softmax(scores, axis=-1), states)
        both = jnp.concatenate([jnp.broadcast_to(own_pooled[:, None], found.shape), found], axis=-1)
        scores = self.edge(nn.relu(self.edge_hidden(both)))[..., 0]
        weights = jax.nn.softmax(jnp.where(there, scores, MASKED), axis=-1)
        return jnp.einsum("be,bed->bd", weights, found)


def _pooled(similarity: jax.Array, mask: jax.Array, count: int) -> jax.Array:
    """Log of each kernel's sum over the last axis of `[..., T, S]`: `[..., T, K]`.

    One kernel after another, each computed again for its gradient: `[..., T, S, K]` never exists.
    """

    def one(similarity: jax.Array, mean: jax.Array, width: jax.Array) -> jax.Array:
        matches = jnp.exp(-jnp.square((similarity - mean) / width) / 2.0)
        return jnp.log(jnp.maximum(jnp.sum(jnp.where(mask, matches, 0.0), axis=-1), SMALLEST))

    one = jax.checkpoint(one)
    means, widths = map(jnp.asarray, kernels(count))
    found = jax.lax.map(lambda kernel: one(similarity, *kernel), (means, widths))
    return jnp.moveaxis(found, 0, -1)


def _unit(states: jax.Array) -> jax.Array:
    """Vectors of length 1; padding, which may be zero, stays what it is."""
    square = jnp.sum(jnp.square(states), axis=-1, keepdims=True)
    return states * jax.lax.rsqrt(jnp.maximum(square, 1e-24))

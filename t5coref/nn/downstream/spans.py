"""Answers as spans of a text: heads that choose first and last pieces.

B chunks, T pieces, A answers, d encoder width, H attention heads.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from t5coref.nn.downstream.head import ExampleLoss, Features, Head
from t5coref.nn.joint_ie.layers import Linear, parameter, shift

MASKED = -1e9
"""Logit of padding."""

COUNTS = 3
"""Answers of a chunk: none, one, several."""


class SpanLogits(NamedTuple):
    """What is said of a chunk.

    Attributes:
      start: float32 `[B, T]`, of the first piece of an answer; `MASKED` where there is padding.
      end: float32 `[B, T]`, of its last piece.
      count: float32 `[B, 3]`, of no, one and several answers; None where nothing is said of it.
    """

    start: jax.Array
    end: jax.Array
    count: jax.Array | None = None


class SpanHead(Head):
    """A linear map of each state to two logits, as BERT's for SQuAD (Devlin et al. 2019, 4.2).

    Features, int32: `answer_start`, `answer_end` `[B, A]`, first and last piece of each answer;
    `answer_mask` `[B, A]`, 1 = an answer. A chunk without an answer has one from piece 0 to 0.
    """

    @nn.compact
    def __call__(
        self, encoded: jax.Array, features: Features, *, deterministic: bool
    ) -> SpanLogits:
        """Maps states `[B, T, d]` to logits."""
        del deterministic
        return _pointers(encoded.astype(jnp.float32), features)

    def losses(self, output: SpanLogits, features: Features) -> ExampleLoss:
        """Half the sum of the cross-entropies of all answers' ends (CorefBERT's code for MRQA)."""
        total = 0.5 * pointer_loss(output, features)
        return ExampleLoss(total, jnp.ones_like(total))


class MultiSpanHead(Head):
    """CorefBERT's head for QUOREF: a Transformer layer, pointers, and how many answers there are.

    Ye et al. 2020, section 4.1, and its released code. The number of answers is read off the first
    piece, which takes the place of BERT's `[CLS]`. Features are those of `SpanHead`.

    Attributes:
      heads: H, of the layer; a quarter of the encoder's in the code.
      mlp_dim: of the layer; 256 times `heads` in the code.
      dropout_rate: of the layer.
    """

    heads: int = 3
    mlp_dim: int = 768
    dropout_rate: float = 0.1

    @nn.compact
    def __call__(
        self, encoded: jax.Array, features: Features, *, deterministic: bool
    ) -> SpanLogits:
        """Maps states `[B, T, d]` to logits."""
        present = features["encoder_input_tokens"] > 0
        layer = ReasoningLayer(self.heads, self.mlp_dim, self.dropout_rate, name="reasoning")
        states = layer(encoded.astype(jnp.float32), present, deterministic=deterministic)
        count = Linear(COUNTS, axes=("embed", None), name="count")(states[:, 0])
        return _pointers(states, features)._replace(count=count)

    def losses(self, output: SpanLogits, features: Features) -> ExampleLoss:
        """The sum of the cross-entropies of all answers' ends, and that of their number."""
        assert output.count is not None
        answers = jnp.sum(features["answer_mask"], axis=1)
        # Piece 0 is no place for an answer: it says that there is none.
        none = (features["answer_start"][:, 0] == 0) & (features["answer_end"][:, 0] == 0)
        number = jnp.where(none, 0, jnp.minimum(answers, COUNTS - 1))
        log = jax.nn.log_softmax(output.count, axis=-1)
        counted = -jnp.take_along_axis(log, number[:, None], axis=-1)[:, 0]
        total = pointer_loss(output, features) + counted
        return ExampleLoss(total, jnp.ones_like(total))


class ReasoningLayer(nn.Module):
    """A Transformer layer with biases and norms behind its parts (Vaswani et al. 2017), as BERT's.

    Attributes:
      heads: H, which divides d.
      mlp_dim: of the feed-forward part.
      dropout_rate: of attention and of both parts.
    """

    heads: int
    mlp_dim: int
    dropout_rate: float

    @nn.compact
    def __call__(self, states: jax.Array, present: jax.Array, *, deterministic: bool) -> jax.Array:
        """Maps float32 `[B, T, d]` to the same, looking at the pieces `present` bool `[B, T]`.

        Raises:
          ValueError: the number of heads does not divide d.
        """
        rows, length, width = states.shape
        if width % self.heads:
            raise ValueError(
                f"an encoder of width {width} with {self.heads} heads; expected a number of heads "
                "that divides it"
            )

        def dropped(x: jax.Array) -> jax.Array:
            return nn.Dropout(self.dropout_rate, deterministic=deterministic)(x)

        def divided(name: str) -> jax.Array:
            mapped = Linear(width, name=name)(states)
            return mapped.reshape(rows, length, self.heads, width // self.heads)

        query, key, value = divided("query"), divided("key"), divided("value")
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) * (width // self.heads) ** -0.5
        scores = jnp.where(present[:, None, None, :], scores, MASKED)
        weights = dropped(jax.nn.softmax(scores, axis=-1))
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(rows, length, width)
        attended = dropped(Linear(width, axes=("mlp", "embed"), name="attended")(mixed))
        states = Norm(name="attention_norm")(states + attended)
        hidden = nn.gelu(Linear(self.mlp_dim, name="hidden")(states), approximate=False)
        made = dropped(Linear(width, axes=("mlp", "embed"), name="output")(hidden))
        return Norm(name="output_norm")(states + made)


class Norm(nn.Module):
    """Layer norm with mean and bias (Ba et al. 2016)."""

    epsilon: float = 1e-12

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises the last axis."""
        shape = x.shape[-1:]
        scale = parameter("scale", nn.initializers.ones, shape, ("embed",))
        bias = parameter("bias", nn.initializers.zeros, shape, ("embed",))
        centered = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(jnp.square(centered), axis=-1, keepdims=True)
        normal = centered * jax.lax.rsqrt(variance + self.epsilon)
        return shift(normal * jnp.expand_dims(scale, tuple(range(x.ndim - 1))), bias)


def pointer_loss(output: SpanLogits, features: Features) -> jax.Array:
    """float32 `[B]`: cross-entropies of first and last pieces, summed over a chunk's answers."""
    mask = features["answer_mask"].astype(jnp.float32)

    def of(logits: jax.Array, places: jax.Array) -> jax.Array:
        log = jax.nn.log_softmax(logits, axis=-1)
        return -jnp.sum(jnp.take_along_axis(log, places, axis=-1) * mask, axis=-1)

    return of(output.start, features["answer_start"]) + of(output.end, features["answer_end"])


def _pointers(states: jax.Array, features: Features) -> SpanLogits:
    """The two logits of each state, within the module that calls it."""
    logits = Linear(2, axes=("embed", None), name="pointers")(states)
    present = features["encoder_input_tokens"] > 0
    start, end = (jnp.where(present, logits[..., i], MASKED) for i in range(2))
    return SpanLogits(start, end)

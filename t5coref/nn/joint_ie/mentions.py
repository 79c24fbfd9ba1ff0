"""Which spans may be mentions: their scores, and the best of them.

B documents, T pieces, W pieces in the widest span, D width of a mention vector, H hidden units,
N candidates.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from t5coref.nn.joint_ie.layers import FeedForward, parameter, shift
from t5coref.nn.joint_ie.spans import (
    Boundaries,
    Candidates,
    Features,
    gold_spans,
    offered_spans,
)


class MentionDetector(nn.Module):
    """Scores spans and keeps the best as candidates (Lee et al. 2017; Xu and Choi 2022).

    Candidates are chosen without dropout and without a gradient; their own scores, `__call__`, have
    both. Spans may nest and cross.

    Attributes:
      max_width: W, pieces of the widest candidate.
      ratio: so many candidates per piece of the document, `</s>` included.
      max_candidates: never more than so many.
      word_boundaries: candidates begin and end where words do.
      force_gold: in training, every gold mention that a candidate can be is one, whatever its
        score and however many there are.
      width_prior: add a learned number for each width (coref-hoi does, the paper does not).
      hidden_dim: H.
      dropout_rate: of the hidden units.
    """

    max_width: int = 30
    ratio: float = 0.4
    max_candidates: int = 410
    word_boundaries: bool = True
    force_gold: bool = True
    width_prior: bool = False
    hidden_dim: int = 3000
    dropout_rate: float = 0.3

    def setup(self) -> None:
        """Declares the scorer."""
        self.scorer = FeedForward(self.hidden_dim, 1, self.dropout_rate)
        if self.width_prior:
            zeros = nn.initializers.zeros
            self.prior = parameter("prior", zeros, (self.max_width,), (None,))

    def __call__(
        self, mentions: jax.Array, candidates: Candidates, *, deterministic: bool
    ) -> jax.Array:
        """The scores `[B, N]` of candidates with the vectors `[B, N, D]`."""
        scores = self.scorer(mentions, deterministic=deterministic)[..., 0]
        if self.width_prior:
            widths = jnp.clip(candidates.end - candidates.start, 0, self.max_width - 1)
            scores = scores + self.prior[widths]
        return scores

    def propose(self, boundaries: Boundaries, features: Features, *, gold: bool) -> Candidates:
        """The candidates of each document.

        With `gold`, their clusters are noted and there are at least G, so that `force_gold` can
        keep them all; without, `cluster` is 0 throughout.

        Args:
          boundaries: `[B, T, D]`.
          features: tokens, sentences and words; with `gold`, mentions.
          gold: the features have gold mentions.
        """
        length, width = features["sentence"].shape[1], self.max_width
        size = max(1, math.ceil(min(self.max_candidates, self.ratio * length)))
        scores = jax.lax.stop_gradient(self._all_scores(boundaries))
        clusters = jnp.zeros(scores.shape, jnp.int32)
        if gold:
            spans = [features[f"mention_{name}"] for name in ("start", "end", "cluster")]
            size = max(size, spans[0].shape[1])
            mark = functools.partial(gold_spans, length=length, max_width=width)
            clusters = jax.vmap(mark)(*spans)
        words = [features[name] for name in ("sentence", "word_start", "word_end")]
        offer = functools.partial(
            offered_spans, max_width=width, word_boundaries=self.word_boundaries
        )
        pieces = jnp.sum(features["encoder_input_tokens"] > 0, axis=-1)
        keep = functools.partial(prune, size=min(size, length * width), force=self.force_gold)
        return jax.vmap(keep)(
            scores, jax.vmap(offer)(*words), clusters, self._budgets(length)[pieces]
        )

    def _budgets(self, length: int) -> jax.Array:
        """int32[T + 1]: how many candidates a document of so many pieces has."""
        # In float64 and on the host: 0.4 * 5 is 2, not a little less.
        wanted = np.minimum(self.max_candidates, self.ratio * np.arange(length + 1))
        return jnp.asarray(np.floor(wanted), jnp.int32)

    def _all_scores(self, boundaries: Boundaries) -> jax.Array:
        """The scores `[B, T, W]` of all spans, without dropout."""
        kernel, bias = self.scorer.hidden.weights(boundaries.start.shape[-1])
        out, offset = self.scorer.output.weights(self.hidden_dim)
        first = shift(jnp.dot(boundaries.start, kernel), bias)
        scores = score_spans(first, jnp.dot(boundaries.end, kernel), out[:, 0], self.max_width)
        scores = scores + offset[0]
        return scores + self.prior[None, None, :] if self.width_prior else scores


def score_spans(first: jax.Array, last: jax.Array, out: jax.Array, max_width: int) -> jax.Array:
    """`relu(first[t] + last[t + w]) @ out` for every t and w, one w at a time.

    The first layer is linear in both ends of a span, so that it is applied to T pieces and not to
    T * W spans, and the hidden units of all spans, `[T * W, H]`, never exist.

    Args:
      first: `[B, T, H]`.
      last: `[B, T, H]`.
      out: `[H]`.
      max_width: W.

    Returns:
      `[B, T, W]`; where t + w is behind the text it means nothing.
    """
    length = first.shape[1]
    padded = jnp.pad(last, ((0, 0), (0, max_width), (0, 0)))

    def score(_, width):
        ends = jax.lax.dynamic_slice_in_dim(padded, width, length, axis=1)
        return None, jnp.dot(nn.relu(first + ends), out)

    _, scores = jax.lax.scan(score, None, jnp.arange(max_width))
    return jnp.moveaxis(scores, 0, -1)


def prune(
    scores: jax.Array,
    offered: jax.Array,
    gold: jax.Array,
    budget: jax.Array,
    *,
    size: int,
    force: bool = False,
) -> Candidates:
    """The best spans of one document, sorted by (start, end).

    Of spans with the same score the earlier ones are kept.

    Args:
      scores: `[T, W]`.
      offered: bool `[T, W]`, which spans may be kept.
      gold: int32 `[T, W]`, the gold cluster of each; 0 = not a gold mention.
      budget: int32[], how many to keep.
      size: N, at most T * W.
      force: keep gold mentions whatever their score; the budget grows to hold them, up to N.
    """
    count, max_width = scores.size, scores.shape[1]
    key = jnp.where(offered, scores, -jnp.inf)
    if force:
        forced = offered & (gold > 0)
        key = jnp.where(forced, jnp.inf, key)
        budget = jnp.maximum(budget, jnp.sum(forced))
    _, best = jax.lax.top_k(key.reshape(-1), size)
    kept = (jnp.arange(size) < budget) & offered.reshape(-1)[best]
    order = jnp.sort(jnp.where(kept, best, count))
    valid = order < count
    order = jnp.where(valid, order, 0)
    start = order // max_width
    end = start + order % max_width
    cluster = jnp.where(valid, gold.reshape(-1)[order], 0)
    return Candidates(start, end, valid, cluster)

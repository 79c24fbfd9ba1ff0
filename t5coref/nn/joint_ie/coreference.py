"""Coreference: how well each candidate and each earlier one go together.

B documents, N candidates, D width of a mention vector.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from t5coref.nn.joint_ie.layers import Linear

MASKED = -1e9
"""Score of what must not be chosen: finite, so that no gradient is NaN."""


class BilinearCoreference(nn.Module):
    """`g_x W g_y` for all pairs (Lee et al. 2018; Xu and Choi 2022, section 3.1).

    Attributes:
      dropout_rate: of either side.
      use_bias: a bias beside W (coref-hoi has one).
      max_antecedents: each candidate chooses among its best so many; None = among all earlier ones
        (coref-hoi: 50).
    """

    dropout_rate: float = 0.3
    use_bias: bool = False
    max_antecedents: int | None = None

    @nn.compact
    def __call__(self, mentions: jax.Array, *, deterministic: bool) -> jax.Array:
        """Maps `[B, N, D]` to `[B, N, N]`: mention x in the row, antecedent y in the column."""
        drop = nn.Dropout(self.dropout_rate, deterministic=deterministic)
        mapped = Linear(mentions.shape[-1], self.use_bias, name="bilinear")(mentions)
        return jnp.einsum("bxd,byd->bxy", drop(mapped), drop(mentions))


def antecedent_scores(
    similarity: jax.Array,
    mention_scores: jax.Array,
    valid: jax.Array,
    penalty: jax.Array | None = None,
    *,
    max_antecedents: int | None = None,
) -> jax.Array:
    """Scores of the choices that each candidate of one document has.

    Args:
      similarity: `[N, N]`.
      mention_scores: `[N]`.
      valid: bool[N].
      penalty: `[N, N]`, subtracted from the scores of real antecedents.
      max_antecedents: see `BilinearCoreference`.

    Returns:
      `[N, N + 1]`: column 0 is "no antecedent" and scores 0, column y + 1 is candidate y; `MASKED`
      where y is not an earlier candidate.
    """
    n = similarity.shape[0]
    scores = similarity + mention_scores[:, None] + mention_scores[None, :]
    if penalty is not None:
        scores = scores - penalty
    earlier = jnp.tril(jnp.ones((n, n), bool), -1) & valid[:, None] & valid[None, :]
    scores = jnp.where(earlier, scores, MASKED)
    if max_antecedents is not None and max_antecedents < n:
        least = jax.lax.stop_gradient(jax.lax.top_k(scores, max_antecedents)[0][:, -1:])
        scores = jnp.where(scores >= least, scores, MASKED)
    return jnp.pad(scores, ((0, 0), (1, 0)))

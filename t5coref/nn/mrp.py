"""Mention reference prediction: a hidden noun is to be copied from where else it stands.

Ye et al. 2020, "Coreferential Reasoning Learning for Language Representation" (CorefBERT),
equations 2 to 4. B rows, T pieces, d model width, Q queries (hidden words), J referents of each.

Three things vary, each a function: the form of the probability, what may be pointed at, and what
the loss is divided by. The first of each kind is the default.

mrp_form: `joint_form`, `factored_form`
mrp_candidates: `all_real_candidates`, `code_candidates`, `context_candidates`
mrp_norm: `words_norm`, `rows_norm`, `sum_norm`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.partitioning import param_with_axes

MASKED = -1e9
"""Score of what cannot be; not minus infinity, whose differences are no numbers."""

EOS = 1
"""T5's id of `</s>`; that of padding is 0."""

Form = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]
"""(log-probabilities of the referents' starts float32 `[B, Q, J]`, those of their ends, which
referents there are bool `[B, Q, J]`, words whose end is their start bool `[B, Q]`) ->
log-probabilities of the words, `[B, Q]`."""

Candidates = Callable[[Any, Any], Any]
"""(tokens int32 `[B, T]`, which of them are hidden bool `[B, T]`) -> what may be pointed at, bool
`[B, T]`; of arrays of numpy or jax."""

Normalization = Callable[[Any, Any], Any]
"""(queries that count bool `[B, Q]`, which words have one piece bool `[B, Q]`) -> float32[], what
the losses of the batch, added up, are divided by; of arrays of numpy or jax."""


class MRPResult(NamedTuple):
    """What `MRPHead` finds.

    Attributes:
      logp_word: float32 `[B, Q]`, log of the probability that the referents have together; 0 where
        no query counts.
      loss_sum: float32[], minus the sum of these (equation 4).
      counted: bool `[B, Q]`, the queries that have a referent.
      n_words: float32[], how many these are.
      copy_accuracy: float32[], in which part of them the likeliest start is that of a referent.
    """

    logp_word: jax.Array
    loss_sum: jax.Array
    counted: jax.Array
    n_words: jax.Array
    copy_accuracy: jax.Array


def joint_form(start: jax.Array, end: jax.Array, there: jax.Array, single: jax.Array) -> jax.Array:
    """Equations 3 and 4: start and end of one referent, summed over the referents."""
    return _either(start + jnp.where(single[:, :, None], 0.0, end), there)


def factored_form(
    start: jax.Array, end: jax.Array, there: jax.Array, single: jax.Array
) -> jax.Array:
    """The start of any referent, times the end of any referent, as in the published code."""
    return _either(start, there) + jnp.where(single, 0.0, _either(end, there))


def all_real_candidates(tokens: Any, hidden: Any) -> Any:
    """All places of the text."""
    del hidden
    return (tokens > 0) & (tokens != EOS)


def code_candidates(tokens: Any, hidden: Any) -> Any:
    """All places, padding as well, as in the published code."""
    del hidden
    return tokens >= 0


def context_candidates(tokens: Any, hidden: Any) -> Any:
    """All places of the text that are not hidden; the query itself is, and so is none of them."""
    return all_real_candidates(tokens, hidden) & ~hidden


def words_norm(counted: Any, single: Any) -> Any:
    """The number of hidden words."""
    del single
    return counted.sum().astype("float32")


def rows_norm(counted: Any, single: Any) -> Any:
    """The number of their boundaries, two unless a word has one piece, as in the published code."""
    return (counted.sum() + (counted & ~single).sum()).astype("float32")


def sum_norm(counted: Any, single: Any) -> Any:
    """One: equation 4 is a sum."""
    del counted, single
    return np.float32(1.0)


def counted_queries(
    cand_mask: jax.Array,
    q_mask: jax.Array,
    ref_start: jax.Array,
    ref_end: jax.Array,
    ref_mask: jax.Array,
) -> jax.Array:
    """Which queries have a referent that may be pointed at, bool `[B, Q]`; see `MRPHead`."""
    can = jnp.broadcast_to(cand_mask[:, None, :], (*q_mask.shape, cand_mask.shape[1]))
    return q_mask & jnp.any(_seen(can, ref_start, ref_end, ref_mask), axis=-1)


class MRPHead(nn.Module):
    """Points from hidden words at the places of the text where the same word stands.

    Place j has for the query i the score `sum_k V_k h_jk h_ik` (equation 2), in float32 whatever
    the states are. V is a parameter, which starts at 1, over the width.

    Attributes:
      form: `joint_form` or `factored_form`.
      tied_v: one V, the parameter `v_s`, points at starts and ends, as in the paper; otherwise ends
        have their own, `v_e`. Words that are hidden behind one sentinel need it: their start and
        their end are one query, and one V would have to put all its mass on two places.
      square_single: a word of one piece counts as start and as end, which is equation 3 to the
        letter; otherwise as start only.
    """

    form: Form = joint_form
    tied_v: bool = False
    square_single: bool = False

    @nn.compact
    def __call__(
        self,
        enc: jax.Array,
        cand_mask: jax.Array,
        q_start: jax.Array,
        q_end: jax.Array,
        q_mask: jax.Array,
        q_single: jax.Array,
        ref_start: jax.Array,
        ref_end: jax.Array,
        ref_mask: jax.Array,
        segment_ids: jax.Array | None = None,
    ) -> MRPResult:
        """Log-probabilities of hidden words, and their loss.

        Args:
          enc: `[B, T, d]`, the encoder's states.
          cand_mask: bool `[B, T]`, what may be pointed at.
          q_start: int32 `[B, Q]`, the first place of each hidden word.
          q_end: int32 `[B, Q]`, the last one.
          q_mask: bool `[B, Q]`, which queries there are.
          q_single: bool `[B, Q]`, whose words have one piece.
          ref_start: int32 `[B, Q, J]`, the first places of the referents.
          ref_end: int32 `[B, Q, J]`, the last ones.
          ref_mask: bool `[B, Q, J]`, which there are. One that is no candidate does not count, and
            neither does a query that is left without any.
          segment_ids: int32 `[B, T]` of packed texts; a query points into its own only.
        """
        width = enc.shape[-1]
        v_s = self._pointer("v_s", width)
        v_e = v_s if self.tied_v else self._pointer("v_e", width)
        enc = enc.astype(jnp.float32)
        can = jnp.broadcast_to(cand_mask[:, None, :], (*q_start.shape, enc.shape[1]))
        if segment_ids is not None:
            own = jnp.take_along_axis(segment_ids, q_start, axis=1)
            can &= segment_ids[:, None, :] == own[:, :, None]
        there = _seen(can, ref_start, ref_end, ref_mask)
        counted = q_mask & jnp.any(there, axis=-1)

        starts = _log_probabilities(enc, v_s, q_start, can)
        ends = _log_probabilities(enc, v_e, q_end, can)
        single = jnp.zeros_like(q_single) if self.square_single else q_single
        logp = self.form(_at(starts, ref_start), _at(ends, ref_end), there, single)
        logp = jnp.where(counted, logp, 0.0)
        chosen = jnp.argmax(starts, axis=-1)
        right = counted & jnp.any(there & (ref_start == chosen[:, :, None]), axis=-1)
        n_words = jnp.sum(counted, dtype=jnp.float32)
        accuracy = jnp.sum(right, dtype=jnp.float32) / jnp.maximum(n_words, 1.0)
        return MRPResult(logp, -jnp.sum(logp), counted, n_words, accuracy)

    def _pointer(self, name: str, width: int) -> jax.Array:
        return param_with_axes(name, nn.initializers.ones, (width,), axes=("embed",)) / width


def _log_probabilities(
    enc: jax.Array, pointer: jax.Array, queries: jax.Array, can: jax.Array
) -> jax.Array:
    """Of each place for each query (equation 2), `[B, Q, T]`; `can` bool `[B, Q, T]`."""
    asking = jnp.take_along_axis(enc, queries[:, :, None], axis=1) * pointer[None, None, :]
    # TPUs would otherwise multiply in bfloat16.
    scores = jnp.einsum("bqd,btd->bqt", asking, enc, precision=jax.lax.Precision.HIGHEST)
    return jax.nn.log_softmax(jnp.where(can, scores, MASKED), axis=-1)


def _at(values: jax.Array, places: jax.Array) -> jax.Array:
    """`[B, Q, T]` at places `[B, Q, J]`."""
    return jnp.take_along_axis(values, places, axis=2)


def _seen(
    can: jax.Array, ref_start: jax.Array, ref_end: jax.Array, ref_mask: jax.Array
) -> jax.Array:
    """The referents whose two ends may be pointed at, bool `[B, Q, J]`."""
    return ref_mask & _at(can, ref_start) & _at(can, ref_end)


def _either(logp: jax.Array, there: jax.Array) -> jax.Array:
    """The log of the sum of the probabilities that there are, over the last axis."""
    return jax.nn.logsumexp(jnp.where(there, logp, MASKED), axis=-1)

"""Search under a constraint: one compiled loop for a batch, no word with the host in between.

B rows, A actions, S source pieces, T steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from t5coref.core.automaton import DONE
from t5coref.decode import constraint
from t5coref.decode.constraint import Tables

NextLogits = Callable[[Any, Array, Array], "tuple[Array, Any]"]
"""(carry, tokens `int32[B]`, positions `int32[B]`) -> (logits `float32[B, A]`, carry)."""

START = 0
"""What the decoder reads first: T5's padding token."""


class Decoded(NamedTuple):
    """What a search found.

    Attributes:
      actions: `int32[B, T]` vocabulary ids, 0 after the end.
      lengths: `int32[B]` actions of each row.
      scores: `float32[B]` sums of the log-probabilities of the chosen actions, under a softmax
        over all A actions (the constraint masks, it does not renormalise).
      steps: `int32[]` decoder calls made.
    """

    actions: Array
    lengths: Array
    scores: Array
    steps: Array


def greedy(
    next_logits: NextLogits,
    carry: Any,
    tables: Tables,
    sources: Array,
    source_lengths: Array,
    budgets: Array,
    max_steps: int,
) -> Decoded:
    """The likeliest legal action at each step, until every row has ended.

    Args:
      next_logits: the model; called once a step.
      carry: its state (parameters, key/value cache).
      tables: the rules.
      sources: `int32[B, S]` source pieces, 0 = padding.
      source_lengths: `int32[B]`, `</s>` included; rows of length 0 hold no document.
      budgets: `int32[B]` steps that a row may take, `source_lengths <= budgets <= max_steps`.
      max_steps: T.
    """
    rows, width = sources.shape

    def cond(loop) -> Array:
        t, _, state, *_ = loop
        return (t < max_steps) & jnp.any(state.mode != DONE)

    def body(loop):
        t, token, state, carry, actions, lengths, scores = loop
        logits, carry = next_logits(carry, token, jnp.full((rows,), t, jnp.int32))
        log_probs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
        allowed = constraint.legal(tables, state, source_lengths)
        action = jnp.argmax(jnp.where(allowed, log_probs, -jnp.inf), axis=-1).astype(jnp.int32)
        alive = state.mode != DONE
        gained = jnp.take_along_axis(log_probs, action[:, None], axis=1)[:, 0]
        token = jnp.where(alive, constraint.feed(tables, state, action, sources), START)
        written = jnp.where(alive, tables.ids[action], 0)
        return (
            t + 1,
            token,
            constraint.step(tables, state, action, source_lengths),
            carry,
            actions.at[:, t].set(written),
            lengths + alive.astype(jnp.int32),
            scores + jnp.where(alive, gained, 0.0),
        )

    first = (
        jnp.zeros((), jnp.int32),
        jnp.full((rows,), START, jnp.int32),
        constraint.initial(source_lengths, width, budgets),
        carry,
        jnp.zeros((rows, max_steps), jnp.int32),
        jnp.zeros((rows,), jnp.int32),
        jnp.zeros((rows,), jnp.float32),
    )
    t, _, _, _, actions, lengths, scores = jax.lax.while_loop(cond, body, first)
    return Decoded(actions, lengths, scores, t)

"""What a search is asked for, what it finds, and what it needs of a model.

B documents, K hypotheses of each, k tokens in one call, X columns of the logits (the actions, or
the vocabulary), S source pieces, T steps, L slots of the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from t5coref.core.errors import ConfigError
from t5coref.decode import constraint
from t5coref.decode.constraint import Source, State, Tables

NextLogits = Callable[[Any, Array, Array, "Array | None"], "tuple[Array, Any]"]
"""The model: (carry, tokens, positions `int32[B]`, visible) -> (logits, carry).

Greedy search gives each row k tokens at consecutive positions: tokens `int32[B, k]`, logits
`float32[B, k, X]`, visible None. A beam search gives K hypotheses one token each at one position:
tokens `int32[B, K]`, logits `[B, K, X]`, visible `bool[B, K, L]`, the slots that each may look at;
slot `position * K + hypothesis` is the one that its token is written to. Tokens have one more axis
of two where `Rules.mixed` asks for it.
"""

START = 0
"""What the decoder reads first: T5's padding token."""


@dataclass(frozen=True)
class Greedy:
    """The likeliest legal action at each step.

    Attributes:
      drafts: tokens fed in one call, ascending. Those behind the first are guesses; the longest
        prefix that step-by-step search would have chosen is kept, so the outcome is the same for
        any drafts, up to actions whose logits differ by rounding alone. The more guesses hold, the
        higher a number is used. (1,) = step by step.
    """

    drafts: tuple[int, ...] = (4, 8)

    def __post_init__(self) -> None:
        if not self.drafts or self.drafts[0] < 1 or list(self.drafts) != sorted(set(self.drafts)):
            raise ConfigError(f"drafts {self.drafts}; expected ascending numbers from 1 on")


@dataclass(frozen=True)
class Beam:
    """The `width` likeliest hypotheses at each step.

    Attributes:
      width: K.
      length_penalty: a hypothesis counts as its log-probability divided by its steps to this power.
    """

    width: int = 4
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ConfigError(f"beam width {self.width}; expected at least 1")


class Decoded(NamedTuple):
    """What a search found, the best hypothesis first.

    Attributes:
      actions: `int32[B, K, T]` vocabulary ids, 0 after the end.
      lengths: `int32[B, K]` actions of each hypothesis; 0 = there is none.
      scores: `float32[B, K]` sums of the log-probabilities of the chosen actions, under a softmax
        over all X columns (the constraint masks, it does not renormalise); beams divide them by
        the length. What was forced was not chosen and adds nothing.
      log_probs: `float32[B, K, T]` log-probability of each action among those that were legal; 0
        where it was forced.
      calls: `int32[]` decoder calls made.
    """

    actions: Array
    lengths: Array
    scores: Array
    log_probs: Array
    calls: Array


class Rows(NamedTuple):
    """The documents of a batch.

    Attributes:
      sources: `int32[B, S]` pieces, 0 = padding; rows of padding alone hold no document.
      budgets: `int32[B]` steps that an output may take, at most T and enough for the shortest one.
      forced: `int32[B, P]` vocabulary ids that the output has to begin with, -1 behind them.
    """

    sources: Array
    budgets: Array
    forced: Array


def start(tables: Tables, rows: Rows) -> tuple[Source, State]:
    """The sources `[B, ...]` and the states before the first action `[B]`."""
    source = jax.vmap(lambda pieces: Source.of(tables, pieces))(rows.sources)
    state = jax.vmap(lambda s, budget: constraint.initial(tables, s, budget))(source, rows.budgets)
    return source, state


def decoder_tokens(tables: Tables, fed: Array, written: Array) -> Array:
    """What the decoder reads: `fed`, or beside it what was written, on a last axis of two."""
    return jnp.stack([fed, written], axis=-1) if tables.mixed else fed


def log_probs(logits: Array, allowed: Array) -> tuple[Array, Array]:
    """Log-probabilities among all columns, and among the legal ones (-inf for the others)."""
    masked = jnp.where(allowed, logits, -jnp.inf)
    rest = jax.nn.logsumexp(masked, axis=-1, keepdims=True)
    return jax.nn.log_softmax(logits, axis=-1), masked - jnp.where(jnp.isfinite(rest), rest, 0.0)

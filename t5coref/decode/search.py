"""What a search is asked for, what it finds, and what it needs of a model.

B documents, K hypotheses of each, k tokens in one call, X columns of the logits (the actions, or
the vocabulary), S source pieces, T steps, L slots of the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from t5coref.core.errors import ConfigError
from t5coref.decode import constraint
from t5coref.decode.constraint import Source, State, Tables

NextLogits = Callable[[Any, Array, Array, "Array | None"], "tuple[Array, Any]"]
"""The model: (carry, tokens, positions `int32[B]`, visible) -> (logits, carry).

Greedy search gives each row k tokens at consecutive positions: tokens `int32[B, k]`, logits
`float32[B, k, X]`, visible None. A beam search gives each of K hypotheses k tokens, position by
position: tokens `int32[B, k * K]`, logits `[B, k * K, X]`, visible `bool[B, k, K, L]`, the slots
that each may look at; slot `position * K + hypothesis` is the one that a token is written to.
Tokens have one more axis of two where `Rules.mixed` asks for it.
"""

MEMORY = 0.8  # how much of a running mean the last call leaves

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
        _check_drafts(self.drafts)


@dataclass(frozen=True)
class Beam:
    """The `width` likeliest hypotheses at each step.

    Attributes:
      width: K.
      length_penalty: a hypothesis counts as its log-probability divided by its steps to this power.
      drafts: tokens fed for each hypothesis in one call, see `Greedy`; steps are made from them
        while all K hypotheses follow their guesses, so the outcome is the same for any drafts.
    """

    width: int = 4
    length_penalty: float = 1.0
    drafts: tuple[int, ...] = (2, 4)

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ConfigError(f"beam width {self.width}; expected at least 1")
        _check_drafts(self.drafts)


@dataclass(frozen=True)
class Free:
    """The likeliest symbol at each step, without the constraint: see `decode/free.py`.

    Attributes:
      budget: steps that an output may take behind what it has to begin with; None = as many as
        under the constraint.
    """

    budget: int | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget < 1:
            raise ConfigError(f"budget {self.budget}; expected at least 1 step")


Search = Greedy | Beam | Free
"""What outputs are looked for."""


def _check_drafts(drafts: tuple[int, ...]) -> None:
    if not drafts or drafts[0] < 1 or list(drafts) != sorted(set(drafts)):
        raise ConfigError(f"drafts {drafts}; expected ascending numbers from 1 on")


class Decoded(NamedTuple):
    """What a search found, the best hypothesis first.

    Attributes:
      actions: `int32[B, K, T]` vocabulary ids, 0 after the end.
      lengths: `int32[B, K]` actions of each hypothesis; 0 = there is none.
      scores: `float32[B, K]` sums of the log-probabilities of the chosen actions, under a softmax
        over all X columns (the constraint masks, it does not renormalise); beams divide them by
        the length. What was forced was not chosen and adds nothing; nor does text that the rules
        make the only choice (`Rules.recites`).
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


def decoder_tokens(tables: Tables, fed: Array, beside: Array) -> Array:
    """What the decoder reads: `fed`, or with it what is read beside, on a last axis of two."""
    return jnp.stack([fed, beside], axis=-1) if tables.mixed else fed


def log_probs(logits: Array, allowed: Array) -> tuple[Array, Array]:
    """Log-probabilities among all columns, and among the legal ones (-inf for the others)."""
    masked = jnp.where(allowed, logits, -jnp.inf)
    rest = jax.nn.logsumexp(masked, axis=-1, keepdims=True)
    return jax.nn.log_softmax(logits, axis=-1), masked - jnp.where(jnp.isfinite(rest), rest, 0.0)


def choose_rows(rows: Array, new: Array, old: Array) -> Array:
    """`new` `[B, ...]` in the `rows` bool[B], `old` in the others."""
    return jnp.where(rows.reshape(rows.shape + (1,) * (new.ndim - 1)), new, old)


class Paced(Protocol):
    """A loop that knows how many actions its calls have yielded lately."""

    @property
    def run(self) -> Array:
        """Their running mean, `float32[]`."""
        ...


L = TypeVar("L", bound=Paced)


def rounds(
    loop: L, call: Callable[[L, int], L], going: Callable[[L], Array], drafts: tuple[int, ...]
) -> L:
    """Calls until nothing is `going`, each with as many tokens of `drafts` as seem worth it.

    Twice as many guesses as held lately leave room for better luck.
    """

    def chosen(loop: L) -> Array:
        fitting = [(2 * loop.run > k).astype(jnp.int32) for k in drafts[:-1]]
        return sum(fitting, jnp.zeros((), jnp.int32))

    def round_(loop: L) -> L:
        # One loop for each number of tokens: a branch inside one loop would copy the cache.
        for i, k in enumerate(drafts):
            loop = jax.lax.while_loop(
                lambda loop, i=i: going(loop) & (chosen(loop) == i),
                lambda loop, k=k: call(loop, k),
                loop,
            )
        return loop

    return jax.lax.while_loop(going, round_, loop)


def running_mean(run: Array, yielded: Array) -> Array:
    """The mean after one more call; the last ten calls or so count."""
    return MEMORY * run + (1 - MEMORY) * yielded.astype(jnp.float32)

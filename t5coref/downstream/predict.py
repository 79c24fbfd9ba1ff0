"""What a T5 writes, and how probable it finds what others wrote: many texts at a time.

N inputs, M targets, S source pieces, T target pieces, D model width, V vocabulary.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from t5coref.core.errors import ConfigError, T5CorefError
from t5coref.decode.free import Alphabet
from t5coref.decode.search import Free, Rows
from t5coref.downstream import text
from t5coref.downstream.model import TextModel
from t5coref.nn.partition import DATA
from t5coref.nn.t5 import T5, for_decoding, head_kernel
from t5coref.predict import decode_batch, padded_length
from t5coref.tokenizer import Tokenizer

SHORTEST_SOURCE, SHORTEST_TARGET = 32, 8
"""Texts are padded to at least so many pieces."""

Text = str | Sequence[int]
"""A text, or its pieces without `</s>`."""

NO_TOKENS = np.zeros(0, np.int32)
NO_NUMBERS = np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False)
class Written:
    """What a model wrote for one input.

    Attributes:
      text: without `</s>`.
      tokens: int32[T] ids, `</s>` included if it came.
      log_probs: float32[T], of each id, given those before it.
      ended: whether `</s>` came before the longest length was reached.
      error: why nothing was written; None if something was.
    """

    text: str = ""
    tokens: np.ndarray = field(default_factory=lambda: NO_TOKENS)
    log_probs: np.ndarray = field(default_factory=lambda: NO_NUMBERS)
    ended: bool = False
    error: str | None = None


@dataclass(frozen=True, eq=False)
class Target:
    """How probable one target text is.

    Attributes:
      tokens: int32[T] ids, `</s>` included.
      log_probs: float32[T], natural logarithms, of each id, given the input and the ids before it.
    """

    tokens: np.ndarray
    log_probs: np.ndarray

    @property
    def total(self) -> float:
        """The log-probability of the whole text and its end."""
        return float(np.sum(self.log_probs, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Scored:
    """How probable the targets of one input are.

    Attributes:
      targets: one for each target asked for, in order; empty after an error.
      error: why there are none; None if there are.
    """

    targets: tuple[Target, ...] = ()
    error: str | None = None

    @property
    def totals(self) -> np.ndarray:
        """float64[targets], see `Target.total`."""
        return np.asarray([target.total for target in self.targets], np.float64)


class _Asked(NamedTuple):
    """Some targets of one input, as pieces with `</s>`."""

    place: int  # of the input in its round
    source: list[int]
    first: int  # number of the first of the targets
    targets: list[list[int]]


class TextPredictor:
    """Writes texts, and scores given ones, for streams of inputs.

    Inputs are taken in rounds, sorted by padded length and computed in batches; results come in the
    order of the inputs, and do not depend on it but for rounding. An input that cannot be read gets
    a result with an `error`; the others are not affected.

    Args:
      model: weights and tokenizer.
      batch_size: texts written or targets scored at once at most.
      max_source_length: longest input in pieces, `</s>` included; a longer one is an error, since
        nothing is cut. None = any.
      max_target_length: longest text to write, `</s>` included; longer targets to be scored are an
        error.
      round_size: inputs taken at once.
      devices: where to run; None = all local devices. As many as divide `batch_size` are used.

    Raises:
      ConfigError: a number is smaller than 1.
    """

    def __init__(
        self,
        model: TextModel,
        *,
        batch_size: int = 16,
        max_source_length: int | None = None,
        max_target_length: int = 64,
        round_size: int = 1024,
        devices: Sequence[Any] | None = None,
    ):
        sizes = {
            "batch_size": batch_size,
            "max_source_length": math.inf if max_source_length is None else max_source_length,
            "max_target_length": max_target_length,
            "round_size": round_size,
        }
        if min(sizes.values()) < 1:
            raise ConfigError(f"{sizes}; expected at least 1 each")
        self.model = model
        self.batch_size, self.round_size = batch_size, round_size
        self.max_source_length, self.max_target_length = max_source_length, max_target_length
        self._network = model.network
        devices = list(jax.local_devices() if devices is None else devices)
        self._copies = math.gcd(batch_size, len(devices))
        self._mesh = Mesh(np.asarray(devices[: self._copies]), (DATA,))
        self._own: dict[Callable[..., Any], Any] = {}

    def write(
        self, inputs: Iterable[Text], params: Mapping[str, Any] | None = None
    ) -> Iterator[Written]:
        """The likeliest next piece, again and again, for each input.

        Padding and ids that stand for nothing are never written.

        Args:
          inputs: read as they are needed.
          params: other weights than the model's, for evaluation during training.
        """
        placed = self._placed(params, for_decoding)
        for round_ in _rounds(inputs, self.round_size):
            results: list[Any] = [None] * len(round_)
            asked = []
            for place, given in enumerate(round_):
                try:
                    asked.append(_Asked(place, self._source(given), 0, []))
                except T5CorefError as error:
                    results[place] = Written(error=str(error))
            for batch in _batches(asked, self.batch_size):
                for one, written in zip(batch, self._write(batch, placed), strict=True):
                    results[one.place] = written
            yield from results

    def score(
        self,
        requests: Iterable[tuple[Text, Sequence[Text]]],
        params: Mapping[str, Any] | None = None,
    ) -> Iterator[Scored]:
        """The log-probability of each piece of each target, the target's earlier ones given.

        An input is encoded once for all of its targets (once for every `batch_size` of them).

        Args:
          requests: an input and its targets each; read as they are needed.
          params: other weights than the model's.
        """
        placed = self._placed(params, _as_it_is)
        for round_ in _rounds(requests, self.round_size):
            results: list[Any] = [None] * len(round_)
            asked = []
            for place, (given, targets) in enumerate(round_):
                try:
                    source = self._source(given)
                    wanted = [self._target(target) for target in targets]
                except T5CorefError as error:
                    results[place] = Scored(error=str(error))
                    continue
                results[place] = [None] * len(wanted)
                for first in range(0, len(wanted), self.batch_size):
                    part = wanted[first : first + self.batch_size]
                    asked.append(_Asked(place, source, first, part))
            for batch in _batches(asked, self.batch_size):
                for one, scored in zip(batch, self._score(batch, placed), strict=True):
                    results[one.place][one.first : one.first + len(scored)] = scored
            for result in results:
                yield result if isinstance(result, Scored) else Scored(tuple(result))

    def _write(self, batch: Sequence[_Asked], params: Any) -> list[Written]:
        width = max(padded_length(len(one.source), SHORTEST_SOURCE) for one in batch)
        sources = _side_by_side([one.source for one in batch], self._rows(len(batch)), width)
        size = self.model.tokenizer.size
        steps = self.max_target_length
        tokens, log_probs = greedy(self._network, params, self._divided(sources), steps, size)
        tokens, log_probs = np.asarray(tokens), np.asarray(log_probs)
        return [
            written(self.model.tokenizer, tokens[row], log_probs[row]) for row in range(len(batch))
        ]

    def _score(self, batch: Sequence[_Asked], params: Any) -> list[list[Target]]:
        targets = [target for one in batch for target in one.targets]
        owners = [number for number, one in enumerate(batch) for _ in one.targets]
        width = max(padded_length(len(one.source), SHORTEST_SOURCE) for one in batch)
        length = max(padded_length(len(target), SHORTEST_TARGET) for target in targets)
        rows = self._rows(len(targets))
        sources = _side_by_side([one.source for one in batch], self._rows(len(batch)), width)
        owner = np.zeros(rows, np.int32)
        owner[: len(owners)] = owners
        padded = _side_by_side(targets, rows, length)
        found = np.asarray(
            log_probabilities(self._network, params, *map(self._divided, (sources, owner, padded)))
        )
        made = iter(
            Target(np.asarray(target, np.int32), found[row, : len(target)])
            for row, target in enumerate(targets)
        )
        return [list(itertools.islice(made, len(one.targets))) for one in batch]

    def _source(self, given: Text) -> list[int]:
        return self._pieces(given, self.max_source_length, "max_source_length")

    def _target(self, given: Text) -> list[int]:
        return self._pieces(given, self.max_target_length, "max_target_length")

    def _pieces(self, given: Text, limit: int | None, option: str) -> list[int]:
        tokenizer = self.model.tokenizer
        ids = text.encode(tokenizer, given) if isinstance(given, str) else [int(i) for i in given]
        if ids and not 0 < min(ids) <= max(ids) < self.model.config.vocab_size:
            raise ConfigError(
                f"ids from {min(ids)} to {max(ids)}; expected from 1 to "
                f"{self.model.config.vocab_size - 1}"
            )
        ids.append(tokenizer.eos_id)
        if limit is not None and len(ids) > limit:
            raise ConfigError(
                f"a text of {len(ids)} pieces; expected at most {option} = {limit}; raise it or "
                "shorten the text"
            )
        return ids

    def _rows(self, needed: int) -> int:
        """How many rows a batch is padded to: few programs have to be compiled."""
        power = 1 << (needed - 1).bit_length()
        return min(self.batch_size, math.ceil(power / self._copies) * self._copies)

    def _placed(self, params: Mapping[str, Any] | None, prepare: Callable[[Any], Any]) -> Any:
        everywhere = NamedSharding(self._mesh, PartitionSpec())
        if params is not None:
            return jax.device_put(prepare(params), everywhere)
        if prepare not in self._own:
            self._own[prepare] = jax.device_put(prepare(self.model.params), everywhere)
        return self._own[prepare]

    def _divided(self, rows: np.ndarray) -> Any:
        return jax.device_put(rows, NamedSharding(self._mesh, PartitionSpec(DATA)))


@functools.partial(jax.jit, static_argnames=("network",))
def log_probabilities(
    network: T5,
    params: Mapping[str, Any],
    sources: jax.Array,
    owner: jax.Array,
    targets: jax.Array,
) -> jax.Array:
    """float32 `[M, T]`: log-probability of each target piece, over the whole vocabulary.

    Args:
      network: not scanned.
      params: its parameters.
      sources: int32 `[N, S]`, `</s>` included, 0 = padding.
      owner: int32[M], the row of `sources` that a target belongs to.
      targets: int32 `[M, T]`, `</s>` included, 0 = padding; what stands there means nothing.
    """
    variables = {"params": params}
    encoded = network.apply(variables, sources, enable_dropout=False, method="encode")
    assert isinstance(encoded, jax.Array)
    hidden = network.apply(
        variables,
        jnp.take(encoded, owner, axis=0),
        jnp.take(sources, owner, axis=0),
        jnp.pad(targets[:, :-1], ((0, 0), (1, 0))),
        targets,
        enable_dropout=False,
        method="hidden_of",
    )
    kernel = head_kernel(network.config, params)

    def of_row(row: tuple[jax.Array, jax.Array]) -> jax.Array:
        states, wanted = row
        logits = jnp.dot(states.astype(jnp.float32), kernel)
        chosen = jnp.take_along_axis(logits, wanted[:, None], axis=1)[:, 0]
        return chosen - jax.nn.logsumexp(logits, axis=-1)

    # Row by row: the logits of all rows, [M, T, V], would fill the memory.
    return jax.lax.map(of_row, (hidden, targets))


def greedy(
    network: T5, params: Mapping[str, Any], sources: jax.Array, max_steps: int, size: int
) -> tuple[jax.Array, jax.Array]:
    """The likeliest piece at each step, until every row has ended.

    Args:
      network: not scanned.
      params: its parameters; `for_decoding` makes them faster.
      sources: int32 `[N, S]`; rows of padding alone hold no input.
      max_steps: T.
      size: ids from here on stand for nothing.

    Returns:
      int32 `[N, T]` ids, 0 after `</s>`, and their float32 log-probabilities over the whole
      vocabulary.
    """
    count = sources.shape[0]
    budgets, forced = np.full(count, max_steps, np.int32), np.zeros((count, 0), np.int32)
    found, _ = decode_batch(
        network,
        params,
        Alphabet.text(size, Tokenizer.eos_id),
        Rows(sources, jnp.asarray(budgets), jnp.asarray(forced)),
        jnp.zeros((0,), jnp.int32),
        max_steps,
        Free(),
    )
    return found.actions[:, 0], found.log_probs[:, 0]


def written(tokenizer: Tokenizer, tokens: np.ndarray, log_probs: np.ndarray) -> Written:
    """One row of what `greedy` found."""
    length = int(np.count_nonzero(tokens))
    tokens = tokens[:length]
    ended = bool(length and tokens[-1] == tokenizer.eos_id)
    return Written(text.decode(tokenizer, tokens), tokens, log_probs[:length], ended)


T = TypeVar("T")


def _rounds(stream: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(stream)
    while round_ := list(itertools.islice(iterator, size)):
        yield round_


def _batches(asked: Sequence[_Asked], size: int) -> Iterator[list[_Asked]]:
    """Those of one padded length together, the longest first, at most `size` rows at once.

    The longest come first so that a batch that does not fit the memory fails at once.
    """
    widths: dict[tuple[int, int], list[_Asked]] = {}
    for one in asked:
        longest = max(map(len, one.targets), default=0)
        width = padded_length(len(one.source), SHORTEST_SOURCE)
        widths.setdefault((width, padded_length(longest, SHORTEST_TARGET)), []).append(one)
    for _, members in sorted(widths.items(), reverse=True):
        batch: list[_Asked] = []
        rows = 0
        for one in members:
            taken = max(1, len(one.targets))
            if batch and rows + taken > size:
                yield batch
                batch, rows = [], 0
            batch.append(one)
            rows += taken
        yield batch


def _side_by_side(lists: Sequence[Sequence[int]], rows: int, length: int) -> np.ndarray:
    out = np.zeros((rows, length), np.int32)
    for row, ids in enumerate(lists):
        out[row, : len(ids)] = ids
    return out


def _as_it_is(params: Any) -> Any:
    return params

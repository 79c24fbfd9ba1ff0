"""Documents in, the same documents with predicted clusters out.

B rows, S source pieces, T steps.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh

from t5coref.core.automaton import shortest
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, T5CorefError
from t5coref.decode import draft
from t5coref.decode.beam import beam
from t5coref.decode.constraint import Tables
from t5coref.decode.free import Alphabet, free
from t5coref.decode.greedy import greedy
from t5coref.decode.search import Beam, Decoded, Free, Greedy, Rows, Search
from t5coref.linearize import Answer, Linearization, Turn
from t5coref.model import Model
from t5coref.nn.partition import DATA, DECODING_RULES, MODEL, AbstractParameters, Layout
from t5coref.nn.t5 import T5, for_decoding
from t5coref.rounds import RoundPredictor

SHORTEST = 64
"""Sources are padded to at least this many pieces."""

GREEDY = Greedy()

ERROR = "error"
"""Key of `Document.extra` that says why a document has no prediction."""

ACTIONS = "actions"
"""Key of `Document.extra` with the outputs of a document, one list a turn, where they are kept."""


@functools.partial(jax.jit, static_argnames=("network", "max_steps", "search"))
def decode_batch(
    network: T5,
    params: Mapping[str, Any],
    tables: Tables | Alphabet,
    rows: Rows,
    memory: jax.Array,
    max_steps: int,
    search: Search,
) -> tuple[Decoded, jax.Array]:
    """Encodes a batch and decodes it, under rules or freely.

    Args:
      network: not scanned.
      params: its parameters; `for_decoding` makes them faster.
      tables: the rules; for free generation, what may be written.
      rows: the batch.
      memory: what searches guess from, see `decode.draft`; no outcome depends on it.
      max_steps: T.
      search: which hypotheses to look for; of no account for free generation.

    Returns:
      What was found, and the memory with what it learned.
    """
    variables = {"params": params}
    beams = search.width if isinstance(search, Beam) else 1
    encoded = network.apply(variables, rows.sources, enable_dropout=False, method="encode")
    _, cache = network.apply(
        variables, encoded, rows.sources, max_steps, beams, method="init_cache", mutable=["cache"]
    )
    symbols = None if tables.literal else tables.ids
    width = network.config.vocab_size if symbols is None else len(symbols)

    def next_logits(cache: Any, tokens: jax.Array, positions: jax.Array, visible: Any):
        return network.apply(
            variables | cache,
            tokens,
            positions,
            visible=visible,
            logit_symbols=symbols,
            method="decode_step",
            mutable=["cache"],
        )

    if isinstance(tables, Alphabet):
        return free(next_logits, cache, tables, rows, max_steps, width), memory
    if isinstance(search, Beam):
        return beam(next_logits, cache, tables, rows, memory, max_steps, width, search)
    assert isinstance(search, Greedy)
    return greedy(next_logits, cache, tables, rows, memory, max_steps, width, search)


def padded_length(length: int, minimum: int = SHORTEST) -> int:
    """The smallest of 2^k and 3 * 2^k that is at least `length` and `minimum`.

    A corpus then needs a handful of compiled programs, and rows are padded by half at most.
    """
    power = 1 << (max(length, minimum, 2) - 1).bit_length()
    return power * 3 // 4 if power * 3 // 4 >= max(length, minimum) else power


@dataclass
class _Conversation:
    """A document whose turns are being answered."""

    document: Document
    turns: Generator[list[Turn], list[Answer], Annotation]
    pending: list[Turn]
    answers: list[Answer | None]
    said: list[Answer]  # to the turns before


class Extractor(Protocol):
    """What finds clusters, and relations perhaps, in streams of documents: `Predictor` is one.

    Attributes:
      round_size: documents taken at once.
      memory: what was learned from documents and helps with the next ones; None = nothing.
    """

    round_size: int
    memory: Any

    @property
    def identity(self) -> dict[str, Any]:
        """What predictions depend on, as JSON."""
        ...

    def predict(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yields each document with its predicted annotation, in order; see `Predictor.predict`."""
        ...


class Predictor(RoundPredictor[Model]):
    """Predicts clusters for streams of documents, many at a time.

    Documents are taken in rounds; the turns that the documents of a round ask for are sorted by
    padded length and decoded in batches.

    Args:
      model: weights, tokenizer and format.
      batch_size: rows decoded at once at most.
      target_ratio: steps that an output may take, as a multiple of its padded source length; the
        constraint makes every output end within them. Formats whose outputs do not grow with their
        source have a limit of their own (`longest`). Of no account where all outputs for a source
        have one length (`Rules.exact`). What an output has to begin with counts
        extra where there would be no room for it.
      round_size: documents taken at once.
      search: greedy (any `Greedy` finds the same) or a beam, of which the best hypothesis is
        taken; or `Free`, without the constraint.
      devices: where to run; None = all local devices. As many copies of the weights as divide
        `batch_size` are used.
      model_parallel: devices that share one copy of the weights, for networks too large for one.

    Attributes:
      keep_actions: whether documents keep their outputs, in `Document.extra["actions"]`.
    """

    keep_actions = False

    def __init__(
        self,
        model: Model,
        *,
        batch_size: int = 8,
        target_ratio: float = 3.0,
        round_size: int = 16,
        search: Search = GREEDY,
        devices: Sequence[Any] | None = None,
        model_parallel: int = 1,
    ):
        if batch_size < 1 or round_size < 1 or target_ratio < 1:
            raise ConfigError(
                f"batch_size {batch_size}, round_size {round_size}, target_ratio {target_ratio}; "
                "expected at least 1 each"
            )
        devices = list(jax.local_devices() if devices is None else devices)
        if model_parallel < 1 or len(devices) % model_parallel:
            raise ConfigError(
                f"model_parallel {model_parallel} with {len(devices)} devices; expected a number "
                "that divides them"
            )
        copies = math.gcd(batch_size, len(devices) // model_parallel)
        places = np.asarray(devices[: copies * model_parallel]).reshape(copies, model_parallel)
        mesh = Mesh(places, (DATA, MODEL))
        super().__init__(model, batch_size=batch_size, round_size=round_size, mesh=mesh)
        self.linearization = model.format.make(model.tokenizer)
        self.target_ratio = target_ratio
        self.search = search = _suited(self.linearization, search)
        # Decoding copies a scanned cache at each step: decode layer by layer.
        self._network = T5(replace(model.config, scan_layers=False, remat=False))
        if model_parallel == 1:
            self._layout, self._decode_batch = None, decode_batch
        else:
            self._layout = Layout(self._mesh, DECODING_RULES)
            self._decode_batch = _divided(self._layout)
        rules, tokenizer = self.linearization.rules, model.tokenizer
        if isinstance(search, Free):
            tables = Alphabet.of(rules, tokenizer.size, tokenizer.eos_id)
        else:
            tables = Tables.of(rules)
        self._tables = self._everywhere(tables)
        self.memory = None

    @property
    def identity(self) -> dict[str, Any]:
        """What predictions depend on, as JSON."""
        search = {"name": type(self.search).__name__.lower(), **asdict(self.search)}
        search.pop("drafts", None)  # the same clusters are found with any
        return {
            "model": self.model.card() | {"fingerprint": self.model.fingerprint()},
            "search": search,
            "target_ratio": self.target_ratio,
            "batch_size": self.batch_size,
            "round_size": self.round_size,
        }

    @property
    def memory(self) -> np.ndarray:
        """What greedy search has learned to guess from; None, when set, forgets it.

        It changes how many tokens a call checks, and with that the last digits of probabilities.
        """
        return np.asarray(self._memory)

    @memory.setter
    def memory(self, learned: np.ndarray | None) -> None:
        self._memory = self._everywhere(draft.empty() if learned is None else learned)

    def _round(self, documents: Sequence[Document], params: Any) -> Iterator[Document]:
        results: list[Document | None] = [None] * len(documents)
        open_: dict[int, _Conversation] = {}
        for i, document in enumerate(documents):
            turns = self.linearization.turns(document)
            self._advance(i, document, turns, None, open_, results, [])
        while open_:
            asked = [(i, k) for i, c in open_.items() for k in range(len(c.pending))]
            answers = self._answer([open_[i].pending[k] for i, k in asked], params)
            for (i, k), answer in zip(asked, answers, strict=True):
                open_[i].answers[k] = answer
            for i, c in list(open_.items()):
                del open_[i]
                said = [*c.said, *c.answers]
                self._advance(i, c.document, c.turns, c.answers, open_, results, said)
        for result in results:
            assert result is not None
            yield result

    def _advance(self, i, document, turns, answers, open_, results, said) -> None:
        """Moves a conversation to its next turns or its end; an error ends only this one."""
        try:
            pending = next(turns) if answers is None else turns.send(answers)
        except StopIteration as stop:
            found = document.with_annotation(stop.value)
            if self.keep_actions:
                kept = [answer.actions.tolist() for answer in said]
                found = replace(found, extra={**found.extra, ACTIONS: kept})
            results[i] = found
        except T5CorefError as error:
            results[i] = failed(document, error)
        else:
            open_[i] = _Conversation(document, turns, pending, [None] * len(pending), said)

    def _answer(self, turns: Sequence[Turn], params: Any) -> list[Answer]:
        """The model's actions for turns of any lengths, in order."""
        return self._computed(
            [padded_length(len(turn.source)) for turn in turns],
            lambda rows, width: self._decode([turns[i] for i in rows], width, params),
        )

    def _decode(self, turns: Sequence[Turn], width: int, params: Any) -> list[Answer]:
        rows = self._padded_rows(len(turns))
        own = self.search.budget if isinstance(self.search, Free) else None
        budget = math.ceil(self.target_ratio * width) if own is None else own
        budget = min(budget, getattr(self.linearization, "longest", budget))
        rules = self.linearization.rules
        exact = rules.exact and not isinstance(self.search, Free)
        if exact:
            budget = padded_length(max(shortest(rules, turn.source) for turn in turns))
        # What is forced must leave room for the rest of the source; where it would not, it comes
        # on top, in a length that other batches share.
        budgets = np.full(rows, budget, np.int32)
        for row, turn in enumerate(turns):
            rest = len(turn.source) if own is None else budget
            if not exact and len(turn.forced) and len(turn.forced) + rest > budget:
                budgets[row] += padded_length(len(turn.forced))
        max_steps = int(budgets.max())
        sources = np.zeros((rows, width), np.int32)
        forced = np.full((rows, max_steps), -1, np.int32)
        for row, turn in enumerate(turns):
            sources[row, : len(turn.source)] = turn.source
            forced[row, : len(turn.forced)] = turn.forced
        batch = Rows(*self._by_row((sources, budgets, forced)))
        found, self._memory = self._decode_batch(
            self._network,
            params,
            self._tables,
            batch,
            self._memory,
            max_steps,
            self.search,
        )
        self.decoder_calls += int(found.calls)
        actions, log_probs, ends = (
            np.asarray(x[:, 0]) for x in (found.actions, found.log_probs, found.lengths)
        )
        return [
            Answer(actions[row, : ends[row]], log_probs[row, : ends[row]])
            for row in range(len(turns))
        ]

    def _placed(self, params: Mapping[str, Any]) -> Any:
        """The parameters where and as the decoder wants them."""
        prepared = _stored(for_decoding(params), self.model.config.dtype)
        if self._layout is None:
            return self._everywhere(prepared)
        abstract = AbstractParameters.of(self._network)
        turned = {
            (*path[:-1], "transposed"): names[::-1]
            for path, names in abstract.axes.items()
            if path[-1] == "kernel"
        }
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), prepared)
        axes = AbstractParameters(shapes, {**abstract.axes, **turned})
        return jax.device_put(prepared, self._layout.parameters(axes))


def _suited(linearization: Linearization, search: Search) -> Search:
    """The search, but `Free` for a format whose answers may be anything.

    Raises:
      ConfigError: a beam is asked for.
    """
    if not getattr(linearization, "free", False) or isinstance(search, Free):
        return search
    if isinstance(search, Beam):
        raise ConfigError(
            f"beams with {linearization.name} and constraint reference, whose answers may be any "
            "text and are written greedily, as published; use constraint strict, or no beams"
        )
    return Free()


def _divided(layout: Layout) -> Any:
    """`decode_batch` for parameters that lie on several devices each."""

    # A jitted function remembers what it was traced for: each layout needs its own.
    plain: Any = decode_batch

    @functools.partial(
        jax.jit,
        static_argnames=("network", "max_steps", "search"),
        out_shardings=(None, layout.sharding((), ())),
    )
    def decode(network, params, tables, rows, memory, max_steps, search):
        with layout.traced():
            return plain.__wrapped__(network, params, tables, rows, memory, max_steps, search)

    return decode


def _stored(params: Mapping[str, Any], dtype: str) -> Mapping[str, Any]:
    """The parameters with matrices in the type that they are used in; the head is used in float32.

    Half the memory for bfloat16, and the same results.
    """
    flat: Any = flatten_dict(params)
    for path, leaf in flat.items():
        if path[-1] in ("kernel", "transposed") and path[-2] != "logits_dense":
            flat[path] = leaf if leaf.dtype == dtype else leaf.astype(jnp.dtype(dtype))
    return unflatten_dict(flat)


def failed(document: Document, error: Exception) -> Document:
    """The document without clusters, with the reason why."""
    bare = document.with_annotation(Annotation())
    return replace(bare, extra={**bare.extra, ERROR: str(error)})


def error_of(document: Document) -> str | None:
    """Why a document has no prediction; None if it has one."""
    return document.extra.get(ERROR)

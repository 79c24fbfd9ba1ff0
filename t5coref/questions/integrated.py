"""Iterative generation that hears what questions say: both techniques at once (Gan et al. 2025).

The paper does not say how it combines them; we add the evidence of joint inference to the score of
each symbol, where L and tau are those of `questions.inference`:

    score(c | j) = log p(c | j) + weight * max over mentions i of c of L(i, j)
    score(new | j) = log p(new | j) + weight * tau

and the same for null. A cluster that no question links to the mention counts like a new one. With
weight 0 it is plain iterative generation.

L says something of j, the later one in reading order. A mention within j has its symbol before j
has: whether that one refers to j is what L(j, i) less what i finds best apart from j (tau at least)
says, and tau more than that counts in place of L(i, j).

B rows, S source pieces, n mentions of a window.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, MismatchError, T5CorefError
from t5coref.linearize import Answer, Turn
from t5coref.linearize.iterative_handles import IterativeHandles
from t5coref.linearize.iterative_ids import IterativeIds
from t5coref.linearize.known_clusters import known
from t5coref.model import Model
from t5coref.nn.t5 import T5
from t5coref.predict import Predictor, failed, padded_length
from t5coref.questions.inference import Evidence, Weights
from t5coref.questions.predict import QuestionPredictor
from t5coref.questions.scores import QuestionScores

SHORTEST = 16
"""Outputs are padded to at least so many steps."""


@functools.partial(jax.jit, static_argnames=("network", "steps"))
def begin(network: T5, params: Mapping[str, Any], sources: jax.Array, steps: int) -> Any:
    """The cache of a batch int32 `[B, S]` before the first of so many steps."""
    variables = {"params": params}
    encoded = network.apply(variables, sources, enable_dropout=False, method="encode")
    _, cache = network.apply(
        variables, encoded, sources, steps, method="init_cache", mutable=["cache"]
    )
    return cache


@functools.partial(jax.jit, static_argnames=("network", "symbols"))
def advance(
    network: T5,
    params: Mapping[str, Any],
    cache: Any,
    tokens: jax.Array,
    positions: jax.Array,
    symbols: tuple[int, ...],
) -> tuple[jax.Array, Any]:
    """The logits float32 `[B, A]` of symbols behind tokens, and the next cache.

    Tokens are int32 `[B, 1]`, or `[B, 1, 2]` where the decoder reads two at once.
    """
    logits, cache = network.apply(
        {"params": params} | cache,
        tokens,
        positions,
        logit_symbols=np.asarray(symbols, np.int32),
        method="decode_step",
        mutable=["cache"],
    )
    return logits[:, 0], cache


class IntegratedPredictor(Predictor):
    """Predicts clusters of given mentions with iterative-ids and the answers to questions.

    Args:
      model: of the format iterative-ids, or iterative-handles.
      questions: asks about the same mentions.
      weight: of the evidence of questions beside the model's own; 0 = none.
      weights: of joint inference; None = those of the questions' model.
      **options: those of `Predictor`; the search is greedy.

    Raises:
      ConfigError: a number is out of range.
      MismatchError: the model is of another format.
    """

    def __init__(
        self,
        model: Model,
        questions: QuestionPredictor,
        *,
        weight: float = 1.0,
        weights: Weights | None = None,
        **options: Any,
    ):
        super().__init__(model, **options)
        if not isinstance(self.linearization, IterativeIds):
            raise MismatchError(
                f"the model's format is {model.format.name!r}; expected iterative-ids or "
                "iterative-handles, whose choices the answers to questions can speak to"
            )
        if weight < 0 or self._layout is not None:
            raise ConfigError(
                f"weight {weight}, and the devices of one copy of the weights; expected at least "
                "0, and one device"
            )
        self._questions, self._weight = questions, weight
        self._weights = questions.weights if weights is None else weights
        self._evidence: dict[int, np.ndarray] = {}

    @property
    def identity(self) -> dict[str, Any]:
        """What predictions depend on, as JSON."""
        told = {"weight": self._weight, **self._weights._asdict()}
        return {**super().identity, "questions": self._questions.identity, "integrated": told}

    def _round(self, documents: Sequence[Document], params: Any) -> Iterator[Document]:
        for document in documents:
            try:
                (scores,) = self._questions.scores([document])
                self._evidence = self._windows(document, scores)
            except T5CorefError as error:
                yield failed(document, error)
                continue
            yield from super()._round([document], params)

    def _windows(self, document: Document, scores: QuestionScores) -> dict[int, np.ndarray]:
        """`[n, n]` of each window: what speaks for a handle (row) to go with another one."""
        evidence, tau = Evidence.of(scores), self._weights.tau
        found = evidence.weighed(self._weights)
        rivals = _rivals(evidence.pairs, found, tau)
        assert isinstance(self.linearization, IterativeIds)
        out = {}
        for window in self.linearization.marked(document):
            handle_of = {span: handle for handle, span in enumerate(window.spans)}
            at = np.asarray([handle_of.get(span, -1) for span in scores.spans], np.int64)
            pairs = at[evidence.pairs] if len(evidence.pairs) else np.zeros((0, 2), np.int64)
            here = (pairs >= 0).all(axis=1) & np.isfinite(found)
            i, j = pairs[here].T
            table = np.full((len(window.spans),) * 2, tau)
            table[j, i] = found[here]
            table[i, j] = tau + found[here] - rivals[here]
            out[window.turn.index] = table
        return out

    def _decode(self, turns: Sequence[Turn], width: int, params: Any) -> list[Answer]:
        lin = self.linearization
        assert isinstance(lin, IterativeIds)
        sources = np.zeros((self._padded_rows(len(turns)), width), np.int32)
        for row, turn in enumerate(turns):
            sources[row, : len(turn.source)] = turn.source
        outputs = [
            _Output(lin, turn, self._evidence[turn.index], self._weight, self._weights.tau)
            for turn in turns
        ]
        longest = max(len(output.slots) for output in outputs)
        cache = begin(
            self._network, params, self._by_row(sources), padded_length(longest, SHORTEST)
        )
        tokens = np.zeros((len(sources), 1, *((2,) if lin.rules.mixed else ())), np.int32)
        for step in range(longest):
            positions = np.full(len(sources), step, np.int32)
            batch = self._by_row((tokens, positions))
            logits, cache = advance(self._network, params, cache, *batch, lin.rules.inventory.ids)
            for row, scores in enumerate(np.asarray(logits, np.float64)[: len(turns)]):
                if step < len(outputs[row].slots):
                    tokens[row, 0] = outputs[row].choose(scores)
        return [output.answer() for output in outputs]


def _rivals(pairs: np.ndarray, found: np.ndarray, tau: float) -> np.ndarray:
    """`[P]` the greatest L that j of a pair has with another mention, tau at least."""
    count = int(pairs.max()) + 1 if len(pairs) else 0
    best, second = np.full(count, tau), np.full(count, tau)
    chosen = np.full(count, -1)
    for k, (j, value) in enumerate(zip(pairs[:, 1].tolist(), found.tolist(), strict=True)):
        if value > best[j]:
            second[j], best[j], chosen[j] = best[j], value, k
        elif value > second[j]:
            second[j] = value
    j = pairs[:, 1]
    return np.where(chosen[j] == np.arange(len(pairs)), second[j], best[j])


class _Output:
    """The symbols of a window, one after the other."""

    def __init__(
        self, lin: IterativeIds, turn: Turn, evidence: np.ndarray, weight: float, tau: float
    ):
        self.slots = [handle for _, handle in lin.without_marks(turn)[1]]
        self._beside = None
        if isinstance(lin, IterativeHandles):
            self._beside = lin.beside(turn, np.full(len(self.slots), lin.new, np.int32)).tolist()
        self._lin, self._forced = lin, turn.forced.tolist()
        self._evidence, self._weight, self._tau = evidence, weight, tau
        self._cluster = np.full(len(self.slots), -1)  # of each handle
        self._entities = len(known(turn))
        self._actions: list[int] = []
        self._log_probs: list[float] = []

    def choose(self, logits: np.ndarray) -> int | tuple[int, int]:
        """What the decoder reads after the likeliest symbol, by logits `[A]`."""
        lin, handle = self._lin, self.slots[len(self._actions)]
        assert lin.new is not None
        other = self._weight * self._tau
        said = [(token, k) for k, token in enumerate(lin.clusters[: self._entities])]
        bonus = [self._weight * self._speaks(handle, k) for _, k in said]
        if self._entities < lin.max_clusters:
            said.append((lin.new, self._entities))
            bonus.append(other)
        if lin.null is not None:
            said.append((lin.null, -1))
            bonus.append(other)
        columns = [lin.rules.inventory.index[token] for token, _ in said]
        scores = logits[columns] + np.asarray(bonus)
        scores = scores - scores.max()
        scores -= np.log(np.exp(scores).sum())
        best = int(np.argmax(scores))
        if len(self._actions) < len(self._forced):
            best = [token for token, _ in said].index(self._forced[len(self._actions)])
        token, number = said[best]
        self._actions.append(token)
        self._log_probs.append(float(scores[best]))
        self._cluster[handle] = number
        self._entities = max(self._entities, number + 1)
        read = token if number < 0 else lin.clusters[number]
        return read if self._beside is None else (read, self._beside[len(self._actions) - 1])

    def _speaks(self, handle: int, cluster: int) -> float:
        """The evidence for a mention in a cluster, of which the window may show none."""
        evidence = self._evidence[handle, self._cluster == cluster]
        return float(evidence.max()) if len(evidence) else self._tau

    def answer(self) -> Answer:
        """All symbols, and `</s>`."""
        actions = [*self._actions, self._lin.tokenizer.eos_id]
        return Answer(np.asarray(actions, np.int32), np.asarray([*self._log_probs, 0], np.float32))

"""Documents in, the same documents with clusters out: every question of a window in one call.

B windows, S source pieces, Q questions, A answers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, MismatchError, T5CorefError
from t5coref.core.given_mentions import given, with_mentions
from t5coref.linearize.questions import BLOCK, Questionnaire, Questions, QuestionTurn
from t5coref.model import Model
from t5coref.nn.partition import DATA
from t5coref.nn.t5 import T5, head_kernel
from t5coref.predict import failed, padded_length
from t5coref.questions.inference import Weights, clusters
from t5coref.questions.scores import QuestionScores
from t5coref.rounds import RoundPredictor, rounds

FEWEST = 16
"""Questions of a window are padded to at least so many."""

ATTENTION = 512
"""Tokens of a decoder call that look at the source at once."""


@functools.partial(jax.jit, static_argnames=("network", "answers"))
def answer_batch(
    network: T5,
    params: Mapping[str, Any],
    sources: jax.Array,
    prompts: jax.Array,
    legal: jax.Array,
    answers: tuple[int, ...],
) -> jax.Array:
    """Encodes windows and answers all their questions.

    Args:
      network: not scanned.
      params: its parameters.
      sources: int32 `[B, S]`.
      prompts: int32 `[B, Q, 2]` task and handle of each question, 0 where there is none.
      legal: bool `[B, Q, A]` the answers that a question may have.
      answers: vocabulary ids, `[A]`.

    Returns:
      float32 `[B, Q, A]` log-probabilities among the legal answers, -inf for others.
    """
    rows, count, _ = prompts.shape
    feeds = jnp.pad(prompts, ((0, 0), (0, 0), (1, 0)))
    there = jnp.broadcast_to(prompts[:, :, :1], feeds.shape)
    encoded = network.apply({"params": params}, sources, enable_dropout=False, method="encode")
    hidden = network.apply(
        {"params": params},
        encoded,
        sources,
        feeds.reshape(rows, count * BLOCK),
        there.reshape(rows, count * BLOCK),
        enable_dropout=False,
        answer_length=BLOCK,
        method="hidden_of",
    )
    assert isinstance(hidden, jax.Array)
    columns = jnp.asarray(answers, jnp.int32)
    kernel = head_kernel(network.config, params, columns)
    logits = jnp.dot(hidden[:, BLOCK - 1 :: BLOCK].astype(jnp.float32), kernel)
    some = jnp.any(legal, axis=-1, keepdims=True)
    masked = jnp.where(legal | ~some, logits, -jnp.inf)
    return jnp.where(legal, jax.nn.log_softmax(masked), -jnp.inf)


class QuestionPredictor(RoundPredictor[Model]):
    """Predicts clusters of given mentions by asking about them.

    Documents are taken in rounds. Each window of a document is encoded once, and all that is asked
    about it is answered in one call of the decoder; joint inference does the rest.

    Args:
      model: of the format qa or qa-passage, whose options hold the weights of joint inference.
      batch_size: windows computed at once at most.
      round_size: documents taken at once.
      devices: where to run; None = all local devices, as many as divide `batch_size`.

    Raises:
      ConfigError: a number is out of range.
      MismatchError: the model's format asks no questions.
    """

    def __init__(
        self,
        model: Model,
        *,
        batch_size: int = 8,
        round_size: int = 16,
        devices: Sequence[Any] | None = None,
    ):
        if batch_size < 1 or round_size < 1:
            raise ConfigError(
                f"batch_size {batch_size}, round_size {round_size}; expected at least 1 each"
            )
        linearization = model.format.make(model.tokenizer)
        if not isinstance(linearization, Questions) or linearization.in_words:
            raise MismatchError(
                f"the model's format {model.format.name!r} asks no questions; expected qa or "
                "qa-passage; use t5coref.predictors.predictor_of for models of any format"
            )
        devices = list(jax.local_devices() if devices is None else devices)
        copies = math.gcd(batch_size, len(devices))
        mesh = Mesh(np.asarray(devices[:copies]), (DATA,))
        super().__init__(model, batch_size=batch_size, round_size=round_size, mesh=mesh)
        self.linearization: Questions = linearization
        self.weights = Weights(linearization.alpha, linearization.gamma, linearization.tau)
        self.memory: Any = None  # nothing is learned from one document to the next
        self._network = T5(
            replace(model.config, scan_layers=False, remat=False, attention_block=ATTENTION)
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What predictions depend on, as JSON."""
        return {
            "model": self.model.card() | {"fingerprint": self.model.fingerprint()},
            "batch_size": self.batch_size,
            "round_size": self.round_size,
        }

    def scores(self, documents: Iterable[Document]) -> Iterator[QuestionScores]:
        """Yields what the model says to the questions of each document.

        Raises:
          T5CorefError: a document cannot be asked about.
        """
        for taken in rounds(documents, self.round_size):
            for found in self._scores(taken, self.ready()):
                if isinstance(found, T5CorefError):
                    raise found
                yield found

    def _round(self, documents: Sequence[Document], params: Any) -> Iterator[Document]:
        for document, found in zip(documents, self._scores(documents, params), strict=True):
            if isinstance(found, T5CorefError):
                yield failed(document, found)
                continue
            mentions = given(document)
            annotation = clusters(
                found,
                self.weights,
                one_to_one=self.linearization.one_to_one,
                min_mentions=self.linearization.min_mentions,
            )
            # The clusters take the place of those that the mentions may be from.
            told = with_mentions(document, mentions.spans, mentions.source)
            yield told.with_annotation(annotation)

    def _scores(
        self, documents: Sequence[Document], params: Any
    ) -> list[QuestionScores | T5CorefError]:
        asked: list[Questionnaire | T5CorefError] = []
        for document in documents:
            try:
                asked.append(self.linearization.ask(document))
            except T5CorefError as error:
                asked.append(error)
        turns = [
            window.turn
            for questions in asked
            if isinstance(questions, Questionnaire)
            for window in questions.windows
        ]
        found = self._computed(
            [padded_length(len(turn.source)) for turn in turns],
            lambda rows, width: self._answer([turns[i] for i in rows], width, params),
        )
        rest = iter(found)
        return [
            QuestionScores.of(questions, [next(rest) for _ in questions.windows])
            if isinstance(questions, Questionnaire)
            else questions
            for questions in asked
        ]

    def _answer(self, turns: Sequence[QuestionTurn], width: int, params: Any) -> list[np.ndarray]:
        """float64 `[Q, A]` of each turn."""
        rows = self._padded_rows(len(turns))
        count = padded_length(max(len(turn.asked) for turn in turns), FEWEST)
        answers = self.linearization.answers
        sources = np.zeros((rows, width), np.int32)
        prompts = np.zeros((rows, count, BLOCK - 1), np.int32)
        legal = np.zeros((rows, count, len(answers)), bool)
        for row, turn in enumerate(turns):
            asked = len(turn.asked)
            sources[row, : len(turn.source)] = turn.source
            prompts[row, :asked] = self.linearization.prompts(turn)
            legal[row, :asked] = self.linearization.legal(turn)
        batch = self._by_row((sources, prompts, legal))
        self.decoder_calls += 1
        log_probs = np.asarray(answer_batch(self._network, params, *batch, answers), np.float64)
        return [log_probs[row, : len(turn.asked)] for row, turn in enumerate(turns)]

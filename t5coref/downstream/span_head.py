"""Questions answered by pointing into the text, for `HeadObjective`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t5coref.downstream import answer_metrics
from t5coref.downstream.answers import QuestionSet, question_set
from t5coref.downstream.head_objective import Outputs, Score
from t5coref.downstream.head_rows import digest, padded
from t5coref.downstream.spans import Chunk, Chunking, Logits, answers, chunks
from t5coref.downstream.text import TextExample
from t5coref.nn.downstream import Head
from t5coref.tokenizer import Tokenizer


class SpanAnswers:
    """A `HeadTask`: first and last pieces of answers, and perhaps how many there are.

    Args:
      questions: the data set, a name of `t5coref.downstream.answers.QUESTION_SETS`.
      head: `SpanHead`, or `MultiSpanHead` where there may be several answers.
      train_set: questions with answers.
      dev_set: questions that decide which model is the best; none = nothing is evaluated.
      chunking: how texts are divided.
      max_answers: of a chunk; where there are more, other ones are drawn each time.
      max_pieces: longest answer.
      n_best: see `spans.answers`.

    Raises:
      ConfigError: there is no such data set.
    """

    score = "f1"

    def __init__(
        self,
        *,
        questions: str,
        head: Head,
        train_set: Sequence[TextExample],
        dev_set: Sequence[TextExample] = (),
        chunking: Chunking | None = None,
        max_answers: int = 2,
        max_pieces: int = 30,
        n_best: int = 20,
    ):
        self._set = question_set(questions)
        self.name, self.head = questions, head
        self._chunking = chunking or Chunking()
        self._max_answers, self._max_pieces, self._n_best = max_answers, max_pieces, n_best
        self._train, self._dev = train_set, dev_set

    @property
    def data(self) -> Mapping[str, Any]:
        """What prediction needs besides the head."""
        return {
            "chunking": dataclasses.asdict(self._chunking),
            "max_pieces": self._max_pieces,
            "n_best": self._n_best,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a resumed run must share."""
        files = {"train": digest(self._train), "dev": digest(self._dev)}
        return {**self.data, **files, "max_answers": self._max_answers}

    def rows(self, tokenizer: Tokenizer) -> list[Chunk]:
        """The chunks of all training questions, those without an answer included."""
        return [c for example in self._train for c in chunks(example, tokenizer, self._chunking)]

    def batch(
        self, rows: Sequence[Chunk], random: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        """Chunks side by side; see `SpanHead` for the features."""
        return side_by_side(rows, random, self._max_answers)

    def scorer(self, tokenizer: Tokenizer) -> Score | None:
        """Exact match and F1 of the dev questions."""
        if not self._dev:
            return None

        def score(computed: Outputs[Chunk]) -> dict[str, float]:
            found = answered(self._dev, tokenizer, computed, self._set, self.data)
            scores = answer_metrics.score(self._dev, found, self._set.rule)
            return {"f1": scores.f1 / 100, "exact": scores.exact / 100}

        return score

    def notes(self, rows: Sequence[Chunk]) -> Sequence[str]:
        """How many chunks hold no answer."""
        empty = sum(len(chunk.answers) == 0 for chunk in rows)
        return (f"{empty} of {len(rows)} chunks hold no whole answer",)


def answered(
    examples: Sequence[TextExample],
    tokenizer: Tokenizer,
    outputs: Outputs[Chunk],
    questions: QuestionSet,
    data: Mapping[str, Any],
) -> dict[str, Any]:
    """Name of a question -> its answer, as `QuestionSet` has it.

    Args:
      examples: the questions.
      tokenizer: of the model.
      outputs: computes what the head says about chunks.
      questions: the data set.
      data: `HeadModel.data` of a model that `SpanAnswers` has trained.
    """
    chunking = Chunking(**data["chunking"])
    parts = [chunks(example, tokenizer, chunking) for example in examples]
    logits = iter(outputs([chunk for part in parts for chunk in part]))
    found = {}
    for example, part in zip(examples, parts, strict=True):
        said = [(chunk, Logits(*next(logits))) for chunk in part]
        texts = answers(
            example.data["context"],
            said,
            n_best=data["n_best"],
            max_pieces=data["max_pieces"],
            may_be_empty=questions.rule is answer_metrics.squad2,
        )
        found[example.name] = texts if questions.several else (texts or [""])[0]
    return found


def side_by_side(
    rows: Sequence[Chunk], random: np.random.Generator | None = None, max_answers: int = 1
) -> dict[str, np.ndarray]:
    """The features of chunks: `encoder_input_tokens` `[B, T]`, answers `[B, A]`, all int32."""
    places = np.zeros((2, len(rows), max_answers), np.int32)
    mask = np.zeros((len(rows), max_answers), np.int32)
    for row, chunk in enumerate(rows):
        found = chunk.answers
        if random is not None and len(found) > max_answers:
            found = found[random.choice(len(found), max_answers, replace=False)]
        found = found[:max_answers] if len(found) else np.zeros((1, 2), np.int32)
        places[:, row, : len(found)] = found.T
        mask[row, : len(found)] = 1
    return {
        "encoder_input_tokens": padded([chunk.ids for chunk in rows]),
        "answer_start": places[0],
        "answer_end": places[1],
        "answer_mask": mask,
    }

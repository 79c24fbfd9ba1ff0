"""GLUE with a classifier on the encoder, as BERT and CorefBERT were compared on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t5coref.core.errors import ConfigError, MismatchError
from t5coref.downstream.glue import GlueReader, GlueTask, task_of
from t5coref.downstream.glue_metrics import scores
from t5coref.downstream.head_model import HeadModel, outputs
from t5coref.downstream.head_objective import Outputs, Score
from t5coref.downstream.head_rows import TextRow, digest, left_out, padded, pieces_of
from t5coref.downstream.text import Mistakes, TextExample
from t5coref.nn.downstream.classification import LABEL, ClassificationHead
from t5coref.tokenizer import Tokenizer


class GlueClassification:
    """A `HeadTask`: classes, or the score of STS-B, from the state of the first piece.

    The encoder reads the text form, so that the first piece is that of the task's name.

    Args:
      task: its name: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte or wnli.
      train_file: its train.tsv.
      dev_file: its dev.tsv; None = nothing is evaluated.
      max_length: pieces of an example, `</s>` included; of longer ones the longest text is cut.
      dropout_rate: of the state.

    Raises:
      ConfigError: there is no such task, or no example with a label in a file.
      FormatError: a file as a whole breaks the format.
    """

    score = "glue"

    def __init__(
        self,
        *,
        task: str,
        train_file: str,
        dev_file: str | None = None,
        max_length: int = 128,
        dropout_rate: float = 0.1,
    ):
        self.task = task_of(task)
        self.name = f"glue/{task}"
        self.head = ClassificationHead(self.task.classes, dropout_rate)
        self.max_length = max_length
        self._mistakes = Mistakes()
        self._train = self._read(train_file)
        self._dev = self._read(dev_file) if dev_file is not None else []

    @property
    def data(self) -> Mapping[str, Any]:
        """What prediction needs."""
        return {"task": self.task.name, "max_length": self.max_length}

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a resumed run must share."""
        return {**self.data, "train": digest(self._train), "dev": digest(self._dev)}

    def rows(self, tokenizer: Tokenizer) -> list[TextRow]:
        """The examples of the training file."""
        return rows_of(self.task, self._train, tokenizer, self.max_length)

    def batch(
        self, rows: Sequence[TextRow], random: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        """Pieces and labels."""
        del random
        kind = np.int32 if self.task.words else np.float32
        labels = np.asarray([row.label for row in rows], kind)
        return {"encoder_input_tokens": padded([row.source for row in rows]), LABEL: labels}

    def scorer(self, tokenizer: Tokenizer) -> Score | None:
        """The task's metrics on the dev file; `glue` is their mean."""
        if not self._dev:
            return None
        rows = rows_of(self.task, self._dev, tokenizer, self.max_length)
        gold = [example.data["label"] for example in self._dev]

        def score(computed: Outputs) -> dict[str, float]:
            return scores(self.task.name, gold, [_label(self.task, o) for o in computed(rows)])

        return score

    def notes(self, rows: Sequence[TextRow]) -> tuple[str, ...]:
        """What was left out of the files."""
        del rows
        return left_out(self._mistakes)

    def _read(self, path: str) -> list[TextExample]:
        examples = [
            example
            for example in GlueReader(self.task.name)(path, self._mistakes)
            if example.data["label"] is not None
        ]
        if not examples:
            raise ConfigError(
                f"{path}: no example of {self.task.name} with a label; expected its train or dev "
                "file (test files have no labels)"
            )
        return examples


def classify(
    model: HeadModel, examples: Sequence[TextExample], *, batch_size: int = 32
) -> list[float]:
    """Classes, or scores of STS-B, for the examples of any file of the model's task.

    Raises:
      MismatchError: the model was trained for something else.
    """
    if not model.task.startswith("glue/"):
        raise MismatchError(f"the model is one for {model.task}; expected one for a GLUE task")
    task = task_of(model.data["task"])
    rows = rows_of(task, examples, model.tokenizer, model.data["max_length"])

    def batch(rows: Sequence[TextRow], random: Any) -> dict[str, np.ndarray]:
        del random
        return {"encoder_input_tokens": padded([row.source for row in rows])}

    return [_label(task, found) for found in outputs(model, rows, batch, batch_size=batch_size)]


def rows_of(
    task: GlueTask, examples: Sequence[TextExample], tokenizer: Tokenizer, max_length: int
) -> list[TextRow]:
    """Examples as pieces of their text form."""
    headings = [f"{name}:" for name, _ in task.texts]
    headings[0] = f"{task.prefix} {headings[0]}"
    rows = []
    for example in examples:
        parts = list(zip(headings, example.data["texts"], strict=True))
        source = np.asarray(pieces_of(tokenizer, parts, max_length), np.int32)
        rows.append(TextRow(example.name, source, example.data["label"]))
    return rows


def _label(task: GlueTask, output: np.ndarray) -> float:
    return int(np.argmax(output)) if task.words else float(output[0])

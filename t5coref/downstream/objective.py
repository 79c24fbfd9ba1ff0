"""Learning to write texts, for `t5coref.train.fit`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grain
import numpy as np

from t5coref.core.errors import ConfigError
from t5coref.downstream import text
from t5coref.downstream.head_rows import digest
from t5coref.downstream.model import TextModel
from t5coref.downstream.predict import SHORTEST_SOURCE, SHORTEST_TARGET, TextPredictor
from t5coref.downstream.text import Metric, TextExample
from t5coref.predict import padded_length
from t5coref.train.batches import AlikeInLength, Batch
from t5coref.train.objective import Loss
from t5coref.train.step import sequence_loss
from t5coref.train.t5_objective import Evaluate, T5Objective


@dataclass(frozen=True, eq=False)
class Pair:
    """An example as pieces, `</s>` included: int32[S] and int32[T]."""

    name: str
    source: np.ndarray
    target: np.ndarray


def text_model(
    *, folder: str | os.PathLike[str], tokenizer: str | None = None, dtype: str | None = None
) -> TextModel:
    """A T5 to be trained; see `TextModel.load`."""
    return TextModel.load(folder, tokenizer=tokenizer, dtype=dtype)


def dev_scorer(
    model: TextModel,
    examples: Sequence[TextExample],
    metric: Metric,
    *,
    batch_size: int = 16,
    max_target_length: int = 64,
    devices: Sequence[Any] | None = None,
) -> Evaluate:
    """Writes an answer to each example with given parameters, and scores them all.

    The scores are those of the metric, as fractions; and `unfinished`, the texts that were cut at
    `max_target_length`.
    """
    predictor = TextPredictor(
        model, batch_size=batch_size, max_target_length=max_target_length, devices=devices
    )

    def evaluate(params: Any) -> dict[str, float]:
        written = list(predictor.write((example.inputs for example in examples), params))
        scores = metric(examples, [one.text for one in written])
        unfinished = sum(not one.ended for one in written)
        return {**{name: value / 100 for name, value in scores.items()}, "unfinished": unfinished}

    return evaluate


class TextObjective(T5Objective[TextModel]):
    """The mean loss of the pieces that are to be written, over the whole vocabulary.

    Args:
      model: where to start from.
      train_set: examples with targets.
      dev_set: examples that decide which model is the best.
      metric: how they are scored; needed with `dev_set`.
      score: which of its scores says which model is the best.
      max_source_length: longest input in pieces, `</s>` included; None = any.
      max_target_length: longest target, and longest text that evaluation writes.
      skip_long: leave longer examples out instead of refusing them; none is ever cut.
      eval_batch_size: texts that evaluation writes at once.
      dtype: see `T5Objective`.
      dropout: see `T5Objective`.
      scan_layers: see `T5Objective`.
      remat: see `T5Objective`.
      z_loss: weight of the squared log-partition in the loss.
      label_smoothing: probability that the targets leave to other pieces.
      together: so many batches are sorted by length together, see `AlikeInLength`.
      devices: for the evaluation; None = all local ones.

    Raises:
      ConfigError: there is nothing to train on, an example is too long or has no target, or dev
        examples lack a metric.
    """

    def __init__(
        self,
        *,
        model: TextModel,
        train_set: Sequence[TextExample],
        dev_set: Sequence[TextExample] = (),
        metric: Metric | None = None,
        score: str = "f1",
        max_source_length: int | None = None,
        max_target_length: int = 64,
        skip_long: bool = False,
        eval_batch_size: int = 16,
        dtype: str | None = None,
        dropout: float | None = None,
        scan_layers: bool = False,
        remat: bool = False,
        z_loss: float = 0.0,
        label_smoothing: float = 0.0,
        together: int = 16,
        devices: Sequence[Any] | None = None,
    ):
        super().__init__(model, dtype=dtype, dropout=dropout, scan_layers=scan_layers, remat=remat)
        limits = {"source": max_source_length, "target": max_target_length}
        self._rows, self.skipped = _rows(model, train_set, limits, skip_long=skip_long)
        self._together = together
        self.examples, self.score = len(self._rows), score
        self.loss: Loss = sequence_loss(
            self.config, None, z_loss=z_loss, label_smoothing=label_smoothing
        )
        if dev_set:
            if metric is None:
                raise ConfigError("dev examples without a metric; expected both, or neither")
            self.scores = dev_scorer(
                self.model,
                dev_set,
                metric,
                batch_size=eval_batch_size,
                max_target_length=max_target_length,
                devices=devices,
            )
        self.settings |= {
            "score": score,
            "lengths": limits,
            "z_loss": z_loss,
            "label_smoothing": label_smoothing,
            "together": together,
            "examples": digest((row.source.tolist(), row.target.tolist()) for row in self._rows),
            "dev_set": digest(dev_set),
        }

    def batches(self, rows: int, seed: int) -> grain.MapDataset[Batch]:
        """Examples of about one length each, padded to it."""
        lengths = [len(row.source) + len(row.target) for row in self._rows]
        order: Any = AlikeInLength(lengths, rows, seed, self._together)
        return grain.MapDataset.source(order).map(
            lambda numbers: batch([self._rows[i] for i in numbers])
        )


def batch(rows: Sequence[Pair]) -> Batch:
    """Examples side by side; see `t5coref.train.batches.Batch`."""
    width = max(padded_length(len(row.source), SHORTEST_SOURCE) for row in rows)
    length = max(padded_length(len(row.target), SHORTEST_TARGET) for row in rows)
    sources = np.zeros((len(rows), width), np.int32)
    targets = np.zeros((len(rows), length), np.int32)
    for i, row in enumerate(rows):
        sources[i, : len(row.source)] = row.source
        targets[i, : len(row.target)] = row.target
    features: Mapping[str, np.ndarray] = {
        "encoder_input_tokens": sources,
        "decoder_input_tokens": np.pad(targets[:, :-1], ((0, 0), (1, 0))),
        "decoder_target_tokens": targets,
        "decoder_target_actions": targets,
        "decoder_loss_weights": (targets > 0).astype(np.float32),
    }
    pieces = sum(len(row.source) + len(row.target) for row in rows)
    return Batch(dict(features), tuple(row.name for row in rows), pieces)


def _rows(
    model: TextModel,
    examples: Sequence[TextExample],
    limits: Mapping[str, int | None],
    *,
    skip_long: bool,
) -> tuple[list[Pair], list[str]]:
    tokenizer = model.tokenizer
    rows: list[Pair] = []
    skipped: list[str] = []
    for example in examples:
        if not example.targets:
            raise ConfigError(f"example {example.name} has no target; expected a text to learn")
        source, target = (
            np.asarray([*text.encode(tokenizer, part), tokenizer.eos_id], np.int32)
            for part in (example.inputs, example.targets)
        )
        lengths = {"source": len(source), "target": len(target)}
        long = [side for side, most in limits.items() if most is not None and lengths[side] > most]
        if not long:
            rows.append(Pair(example.name, source, target))
        elif skip_long:
            skipped.append(example.name)
        else:
            raise ConfigError(
                f"example {example.name} has a {long[0]} of {lengths[long[0]]} pieces; expected at "
                f"most max_{long[0]}_length = {limits[long[0]]}; raise it, or set skip_long to "
                "train without such examples"
            )
    if not rows:
        raise ConfigError(
            f"there is nothing to train on: no example is left, {len(skipped)} were too long; "
            "expected at least one"
        )
    return rows, skipped

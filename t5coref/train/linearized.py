"""Learning a linearization: the decoder writes what a document's annotation looks like."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import grain

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError
from t5coref.core.metrics import Scorer
from t5coref.core.relation_metrics import RelationScorer
from t5coref.model import Format, Model
from t5coref.nn.lora import LoRA
from t5coref.predict import error_of
from t5coref.predictors import predictor_of
from t5coref.train.batches import Batch, batches, fingerprint, training_examples
from t5coref.train.inputs import digest
from t5coref.train.listener import Listener, TrainResult
from t5coref.train.loop import Devices, fit
from t5coref.train.objective import Loss
from t5coref.train.optimizers import OptimizerFactory, adamw
from t5coref.train.step import sequence_loss
from t5coref.train.t5_objective import Evaluate, T5Objective


def dev_scorer(
    model: Model,
    documents: Sequence[Document],
    *,
    remove_singletons: bool = False,
    batch_size: int = 8,
    target_ratio: float = 3.0,
    devices: Devices | None = None,
) -> Evaluate:
    """Decodes documents with given parameters and scores the clusters against the gold ones.

    F1 of each metric under its name; `failed`, the documents without a prediction, which are scored
    as if without clusters; and, where gold documents have relations, `re` with `re_precision` and
    `re_recall` (`RelationScorer`).
    """
    # The suffixes of a document are windows for training only.
    options = {k: v for k, v in model.format.options.items() if k != "suffixes"}
    model = dataclasses.replace(model, format=Format(model.format.name, options))
    predictor = predictor_of(
        model, batch_size=batch_size, target_ratio=target_ratio, devices=devices
    )

    related = any(d.annotation is not None and d.annotation.relations for d in documents)

    def evaluate(params: Mapping[str, Any]) -> dict[str, float]:
        scorer, relations = Scorer(remove_singletons=remove_singletons), RelationScorer()
        failed = 0
        for gold, found in zip(documents, predictor.predict(documents, params), strict=True):
            key, response = gold.annotation or Annotation(), found.annotation or Annotation()
            scorer.add(key.clusters, response.clusters)
            if related:
                relations.add(gold, response)
            failed += error_of(found) is not None
        scores = {name: prf.f1 for name, prf in scorer.compute().items()}
        if related:
            found_relations = relations.compute()["re"]
            scores["re"] = found_relations.f1
            scores["re_precision"] = found_relations.precision
            scores["re_recall"] = found_relations.recall
        return {**scores, "failed": failed}

    return evaluate


class LinearizationObjective(T5Objective[Model]):
    """The mean loss of the actions that a format writes for annotated documents.

    The arguments are those of `train`.

    Raises:
      ConfigError: settings contradict each other or the documents.
    """

    def __init__(
        self,
        model: Model,
        train_set: Sequence[Document],
        dev_set: Sequence[Document] = (),
        *,
        eval_batch_size: int = 8,
        target_ratio: float = 3.0,
        remove_singletons: bool = False,
        dtype: str | None = None,
        dropout: float | None = None,
        scan_layers: bool = False,
        remat: bool = False,
        z_loss: float = 0.0,
        label_smoothing: float = 0.0,
        max_source_length: int | None = None,
        max_target_length: int | None = None,
        fixed_lengths: bool = False,
        skip_long: bool = False,
        devices: Devices | None = None,
        evaluate: Evaluate | None = None,
        score: str = "conll",
    ):
        format_ = model.format.make(model.tokenizer)
        limits = {"max_source_length": max_source_length, "max_target_length": max_target_length}
        if fixed_lengths and None in limits.values():
            raise ConfigError(f"fixed_lengths needs two lengths; expected numbers, got {limits}")
        examples, skipped = training_examples(format_, train_set, **limits, skip_long=skip_long)
        super().__init__(model, dtype=dtype, dropout=dropout, scan_layers=scan_layers, remat=remat)
        if evaluate is None and dev_set:
            evaluate = dev_scorer(
                self.model,
                dev_set,
                remove_singletons=remove_singletons,
                batch_size=eval_batch_size,
                target_ratio=target_ratio,
                devices=devices,
            )
        self.examples, self.score = len(examples), score
        self.skipped: Sequence[str] = skipped
        self.scores = evaluate
        self.loss: Loss = sequence_loss(
            self.config,
            format_.rules.scored_ids,
            z_loss=z_loss,
            label_smoothing=label_smoothing,
            answer_length=format_.rules.answer_length,
        )
        self._rules, self._rows = format_.rules, examples
        self._lengths = tuple(limits.values()) if fixed_lengths else (None, None)
        self.settings |= {
            "remove_singletons": remove_singletons,
            "target_ratio": target_ratio,
            "z_loss": z_loss,
            "label_smoothing": label_smoothing,
            "examples": fingerprint(examples),
            "dev_set": digest(dev_set),
            **({} if score == "conll" else {"score": score}),
        }

    def batches(self, rows: int, seed: int) -> grain.MapDataset[Batch]:
        """Padded examples."""
        source, target = self._lengths
        return batches(
            self._rows, self._rules, rows, seed=seed, source_length=source, target_length=target
        )


def train(
    *,
    model: Model,
    train_set: Sequence[Document],
    output_dir: str | os.PathLike[str],
    dev_set: Sequence[Document] = (),
    steps: int | None = None,
    epochs: float | None = None,
    batch_size: int = 8,
    accumulate: int = 1,
    optimizer: OptimizerFactory = adamw,
    lora: LoRA | None = None,
    seed: int = 0,
    eval_every: int | None = None,
    eval_batch_size: int = 8,
    target_ratio: float = 3.0,
    remove_singletons: bool = False,
    stop_at: float | None = None,
    patience: int | None = None,
    save_every: int | None = None,
    save_minutes: float = 20.0,
    keep: int = 2,
    resume: bool = True,
    dtype: str | None = None,
    dropout: float | None = None,
    scan_layers: bool = False,
    remat: bool = False,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    max_source_length: int | None = None,
    max_target_length: int | None = None,
    fixed_lengths: bool = False,
    skip_long: bool = False,
    devices: Devices | None = None,
    evaluate: Evaluate | None = None,
    score: str = "conll",
    listener: Listener | None = None,
) -> TrainResult:
    """Trains a model, or goes on where an earlier process in `output_dir` stopped.

    Args:
      model: where to start from.
      train_set: documents with clusters.
      output_dir: receives checkpoints, logs, and the models `best` and `last`.
      dev_set: documents that decide which model is the best.
      steps: how many; give either this or `epochs`.
      epochs: how many times to see each example.
      batch_size: rows that are computed at once, over all devices.
      accumulate: batches that make one step together.
      optimizer: total number of steps -> optimizer.
      lora: train adapters and the rows of the format's symbols, and nothing else.
      seed: of the order of examples, of dropout, and of new adapters.
      eval_every: steps between evaluations by decoding; None = once an epoch. The last step is
        followed by one in any case.
      eval_batch_size: rows that are decoded at once.
      target_ratio: steps that a decoded output may take, for each padded source piece.
      remove_singletons: score without clusters of one mention, on both sides.
      stop_at: stop after an evaluation with at least this score, a fraction.
      patience: stop after so many evaluations in a row without a new best.
      save_every: steps between checkpoints; None = at evaluations only.
      save_minutes: save also when so much time has passed since the last time.
      keep: checkpoints to keep beside the best.
      resume: False deletes what an earlier run left in `output_dir`.
      dtype: of the computation; None = the model's.
      dropout: rate; None = the model's.
      scan_layers: compile one layer instead of all, for deep networks.
      remat: recompute activations instead of keeping them.
      z_loss: weight of the squared log-partition in the loss.
      label_smoothing: probability that the targets leave to other actions.
      max_source_length: longest input; None = any.
      max_target_length: longest answer; None = any.
      fixed_lengths: pad all batches to the two lengths, so that one program is compiled.
      skip_long: leave longer examples out instead of refusing them.
      devices: the largest number of them that divides `batch_size` is used; None = all.
      evaluate: instead of decoding `dev_set`.
      score: which of the scores says which model is the best: `conll`, or `re` for formats that
        write relations.
      listener: hears of progress.

    Raises:
      ConfigError: settings contradict each other or the documents.
      MismatchError: `output_dir` has a checkpoint of another run.
      TrainingError: the loss is no number; the message names the examples.
    """
    objective = LinearizationObjective(
        model,
        train_set,
        dev_set,
        eval_batch_size=eval_batch_size,
        target_ratio=target_ratio,
        remove_singletons=remove_singletons,
        dtype=dtype,
        dropout=dropout,
        scan_layers=scan_layers,
        remat=remat,
        z_loss=z_loss,
        label_smoothing=label_smoothing,
        max_source_length=max_source_length,
        max_target_length=max_target_length,
        fixed_lengths=fixed_lengths,
        skip_long=skip_long,
        devices=devices,
        evaluate=evaluate,
        score=score,
    )
    return fit(
        objective=objective,
        output_dir=output_dir,
        steps=steps,
        epochs=epochs,
        batch_size=batch_size,
        accumulate=accumulate,
        optimizer=optimizer,
        lora=lora,
        seed=seed,
        eval_every=eval_every,
        stop_at=stop_at,
        patience=patience,
        save_every=save_every,
        save_minutes=save_minutes,
        keep=keep,
        resume=resume,
        devices=devices,
        listener=listener,
    )

"""Learning mentions, coreference and relations, for `t5coref.train.fit`."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import grain
import numpy as np

from t5coref import linearize
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError
from t5coref.core.relation_metrics import RelationScorer, train_facts
from t5coref.joint_ie.features import (
    Row,
    annotated,
    batch,
    length_bucket,
    parts,
    sentence_of,
)
from t5coref.joint_ie.losses import TARGETS_PER_ROW, auxiliary_loss, heads_loss
from t5coref.joint_ie.model import JointModel
from t5coref.joint_ie.predict import JointPredictor
from t5coref.linearize import Example
from t5coref.predict import error_of
from t5coref.train.batches import AlikeInLength, Batch, collator, fingerprint, name
from t5coref.train.inputs import digest
from t5coref.train.objective import Loss
from t5coref.train.t5_objective import Evaluate, T5Objective

WHICH_PART = 2
"""What a part of the seed is for; `AlikeInLength` has 0 and 1."""

STEP = 8
"""Mentions and relations of a batch are padded to multiples of this."""


def dev_scorer(
    model: JointModel,
    documents: Sequence[Document],
    *,
    train_set: Sequence[Document] = (),
    given_entities: bool = False,
    batch_size: int = 8,
    devices: Sequence[Any] | None = None,
) -> Evaluate:
    """Predicts documents with given parameters and scores them.

    F1 of each score of `RelationScorer` under its name, precision and recall of relations, and
    `failed`, the documents without a prediction, which are scored as if without clusters.

    Args:
      model: the network and its relation types.
      documents: gold ones.
      train_set: whose facts `ign` leaves out; where there are none, there is no `ign`.
      given_entities: see `JointPredictor`.
      batch_size: documents computed at once.
      devices: see `JointPredictor`.
    """
    predictor = JointPredictor(
        model, batch_size=batch_size, given_entities=given_entities, devices=devices
    )
    known = train_facts(train_set) if train_set else None

    def evaluate(params: Any) -> dict[str, float]:
        scorer, failed = RelationScorer(known), 0
        for gold, found in zip(documents, predictor.predict(documents, params), strict=True):
            scorer.add(gold, found.annotation or Annotation())
            failed += error_of(found) is not None
        scores = scorer.compute()
        f1 = {score: prf.f1 for score, prf in scores.items()}
        if "re" in scores:
            f1 |= {"re_precision": scores["re"].precision, "re_recall": scores["re"].recall}
        return {**f1, "failed": failed}

    return evaluate


class JointObjective(T5Objective[JointModel]):
    """The losses of the heads on annotated documents, or, where the model has a decoder, the loss
    of its linearization plus `w_aux` times those.

    Args:
      model: where to start from.
      train_set: documents with entities and relations.
      dev_set: documents that decide which model is the best.
      score: which of the scores of `dev_scorer` does; None = `re`, or `coref` where the heads
        predict no relations.
      max_length: pieces of a document, `</s>` included, that training reads at once: of a longer
        one, whole sentences from a random one on, each time it comes. The dev documents are read
        whole. Not used with a decoder, whose format has windows.
      given_entities: dev relations are predicted between the gold entities; None = where the heads
        find no clusters.
      w_aux: weight of the heads beside a linearization.
      eval_batch_size: documents that are predicted at once.
      dtype: of the T5's computation; None = the model's.
      dropout: rate of the T5; None = the model's.
      scan_layers: compile one layer instead of all.
      remat: recompute activations of the T5 instead of keeping them.
      z_loss: weight of the squared log-partition in the loss of the linearization.
      label_smoothing: of that loss.
      together: so many batches are sorted by length together, see `AlikeInLength`.
      devices: for the evaluation; None = all local ones.
      evaluate: instead of predicting `dev_set`.

    Raises:
      ConfigError: there is nothing to train on, or settings contradict the model.
      DocumentError: a document is not annotated, or has a relation that the model does not know.
    """

    def __init__(
        self,
        *,
        model: JointModel,
        train_set: Sequence[Document],
        dev_set: Sequence[Document] = (),
        score: str | None = None,
        max_length: int = 1024,
        given_entities: bool | None = None,
        w_aux: float = 1.0,
        eval_batch_size: int = 8,
        dtype: str | None = None,
        dropout: float | None = None,
        scan_layers: bool = False,
        remat: bool = False,
        z_loss: float = 0.0,
        label_smoothing: float = 0.0,
        together: int = 16,
        devices: Sequence[Any] | None = None,
        evaluate: Evaluate | None = None,
    ):
        super().__init__(model, dtype=dtype, dropout=dropout, scan_layers=scan_layers, remat=remat)
        if given_entities is None:
            given_entities = model.heads.coreference is None
        self.score = score or ("coref" if model.heads.relations is None else "re")
        self._together, self._collate = together, None
        heads: Any = model.heads  # hashable, which type checkers do not know of linen modules
        if model.format is None:
            self._rows, self._examples = _rows(model, train_set, max_length), ()
            self.loss: Loss = heads_loss(self.config, heads)
        else:
            self._rows, self._examples = _example_rows(model, train_set)
            rules = model.format.make(model.tokenizer).rules
            self._collate = collator(rules)
            self.loss = auxiliary_loss(
                self.config,
                heads,
                rules.scored_ids,
                w_aux=w_aux,
                z_loss=z_loss,
                label_smoothing=label_smoothing,
            )
        if not self._rows:
            raise ConfigError(
                "there is nothing to train on: expected at least one annotated document with text"
            )
        self.examples = len(self._rows)
        self.notes = _notes(self._rows, model, max_length)
        self._sizes = _sizes(itertools.chain.from_iterable(self._rows))
        if evaluate is None and dev_set:
            evaluate = dev_scorer(
                self.model,
                dev_set,
                train_set=train_set,
                given_entities=given_entities,
                batch_size=eval_batch_size,
                devices=devices,
            )
        self.scores = evaluate
        self.settings |= {
            "score": self.score,
            "given_entities": given_entities,
            "w_aux": w_aux if model.format else None,
            "z_loss": z_loss,
            "label_smoothing": label_smoothing,
            "max_length": max_length,
            "together": together,
            "train_set": digest(train_set),
            "examples": fingerprint(self._examples) if self._examples else None,
            "dev_set": digest(dev_set),
        }

    def batches(self, rows: int, seed: int) -> grain.MapDataset[Batch]:
        """Documents of about one length each, padded to it."""
        lengths = [max(map(len, of_document)) for of_document in self._rows]
        order: Any = AlikeInLength(lengths, rows, seed, self._together)
        return grain.MapDataset.source(order).map_with_index(functools.partial(self._batch, seed))

    def _batch(self, seed: int, batch_number: int, numbers: Sequence[int]) -> Batch:
        rng = np.random.default_rng((seed, WHICH_PART, batch_number))
        rows = [self._rows[i][rng.integers(len(self._rows[i]))] for i in numbers]
        length = length_bucket(max(map(len, rows)))
        pieces = sum(map(len, rows))
        features = {}
        if self._collate is not None:
            made = self._collate([self._examples[i] for i in numbers])
            length = made.features["encoder_input_tokens"].shape[1]
            pieces = made.pieces
            targets = float(made.features["decoder_loss_weights"].sum())
            share = np.full(len(rows), targets / len(rows), np.float32)
            features = {**made.features, TARGETS_PER_ROW: share}
        mentions, relations = self._sizes[length_bucket(max(map(len, rows)))]
        features |= batch(
            rows,
            length=length,
            mentions=mentions,
            relations=relations,
            segmented=self.model.segment_length is not None,
        )
        return Batch(features, tuple(row.name for row in rows), pieces)


Parts = tuple[Row, ...]
"""What may be read of a document."""


def _rows(model: JointModel, documents: Sequence[Document], max_length: int) -> list[Parts]:
    return [
        tuple(
            annotated(row, document, model.types)
            for row in parts(
                document,
                model.tokenizer,
                max_length=max_length,
                segment_length=model.segment_length,
            )
        )
        for document in documents
        if document.words
    ]


def _example_rows(
    model: JointModel, documents: Sequence[Document]
) -> tuple[list[Parts], list[Example]]:
    """The windows of a format as rows, each with its example."""
    assert model.format is not None
    format_ = model.format.make(model.tokenizer)
    rows, examples = [], []
    for document in documents:
        for example in linearize.examples(format_, document):
            turn = example.turn
            sentence = sentence_of(document, turn.word)
            bare = Row(name(example), turn.source, turn.word, sentence, np.zeros_like(turn.word))
            rows.append((annotated(bare, document, model.types),))
            examples.append(example)
    return rows, examples


def _notes(documents: Sequence[Parts], model: JointModel, max_length: int) -> tuple[str, ...]:
    """What of the gold annotation the heads will never be shown, or not always, in words."""
    detector = model.heads.mentions
    width = None if detector is None else detector.max_width
    cut = lost = out = 0
    for of_document in documents:
        cut += len(of_document) > 1
        seen = {
            span: unreachable
            for part in of_document
            for span, unreachable in zip(part.spans, part.unreachable(width), strict=True)
        }
        lost += len(of_document[0].mentions) + of_document[0].lost - len(seen)
        out += sum(seen.values())
    notes = []
    if cut:
        notes.append(
            f"{cut} documents are longer than {max_length} pieces; training reads a random part of "
            "them each time"
        )
    if lost:
        notes.append(f"{lost} gold mentions lie outside the pieces that training reads")
    if out and detector is not None:
        notes.append(
            f"{out} gold mentions are wider than {detector.max_width} pieces or cross the end of a "
            "sentence; they can never be found"
        )
    return tuple(notes)


def _sizes(rows: Iterable[Row]) -> dict[int, tuple[int, int]]:
    """For each padded length, to how many mentions and relations batches of it are padded.

    One pair for each length, so that a run compiles one program for each.
    """
    most = {}
    for row in rows:
        length = length_bucket(len(row))
        mentions, relations = most.get(length, (0, 0))
        most[length] = max(mentions, len(row.mentions)), max(relations, len(row.relations))
    sizes, so_far = {}, (STEP, STEP)
    for length in sorted(most):
        # A batch may hold shorter rows than those that its length is for.
        rounded = (-(-count // STEP) * STEP for count in most[length])
        so_far = tuple(map(max, so_far, rounded))
        sizes[length] = so_far
    return sizes

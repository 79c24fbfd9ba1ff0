"""Learning to point from hidden mentions to where else they stand, for `t5coref.train.fit`."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np

from t5coref.core.errors import ConfigError
from t5coref.downstream.model import TextModel
from t5coref.model import Model
from t5coref.mrp.features import Lengths, query_features, survey
from t5coref.mrp.losses import HEAD, measure, mrp_loss
from t5coref.mrp.masking import Masking, SentinelSpan, padded
from t5coref.mrp.rows import MRPRow, read_rows
from t5coref.nn.mrp import (
    Candidates,
    MRPHead,
    Normalization,
    all_real_candidates,
    words_norm,
)
from t5coref.tokenizer import Tokenizer
from t5coref.train.batches import FOREVER, Batch
from t5coref.train.objective import Loss
from t5coref.train.t5_objective import Evaluate, T5Objective

SENTINEL_SPAN = SentinelSpan()
POINTING = MRPHead()


class MRPObjective(T5Objective[TextModel]):
    """The loss of the pieces that rows hide, plus `w_mrp` times that of their hidden mentions.

    The head is new and is left behind: what is exported is a T5 as it was, with other weights and
    no linearization. Dev rows are scored by `accuracy` (target pieces that are the likeliest, given
    those before them), `loss` and, with a head, `mrp_loss` and `copy_accuracy`, without dropout.

    Args:
      model: where to start from; its linearization does not matter.
      train_rows: of `read_rows`.
      dev_rows: others, likewise.
      masking: how the rows hide pieces.
      head: which points. Rows that are masked in place can have `tied_v`, as in the paper.
      w_mrp: weight of the mentions; at 0 there is no head, and only hidden pieces are learned.
      candidates: what may be pointed at.
      norm: what the sum over the mentions is divided by.
      score: which of the scores says which model is the best, `accuracy` or `copy_accuracy`.
      eval_batch_size: dev rows that are computed at once.
      dtype: of the T5's computation; None = the model's.
      dropout: rate of the T5; None = the model's.
      scan_layers: compile one layer instead of all.
      remat: recompute activations of the T5 instead of keeping them.
      z_loss: see `token_loss`.
      label_smoothing: see `token_loss`.

    Raises:
      ConfigError: there are no rows, they are masked in another way, or their ids are not those of
        the model.
    """

    def __init__(
        self,
        *,
        model: Model,
        train_rows: Sequence[MRPRow],
        dev_rows: Sequence[MRPRow] = (),
        masking: Masking = SENTINEL_SPAN,
        head: MRPHead = POINTING,
        w_mrp: float = 1.0,
        candidates: Candidates = all_real_candidates,
        norm: Normalization = words_norm,
        score: str = "accuracy",
        eval_batch_size: int = 8,
        dtype: str | None = None,
        dropout: float | None = None,
        scan_layers: bool = False,
        remat: bool = False,
        z_loss: float = 0.0,
        label_smoothing: float = 0.0,
    ):
        bare = Tokenizer(model.tokenizer.model, ()).with_word_rule(model.tokenizer.word_rule)
        super().__init__(
            TextModel(model.config, model.params, bare),
            dtype=dtype,
            dropout=dropout,
            scan_layers=scan_layers,
            remat=remat,
        )
        known = ("accuracy", "copy_accuracy") if w_mrp else ("accuracy",)
        if score not in known:
            raise ConfigError(f"score is {score!r}; expected {' or '.join(known)}")
        if not len(train_rows):
            raise ConfigError("there is nothing to train on: expected at least one row")
        found = survey(train_rows, masking)
        _refuse_foreign(train_rows[0], bare)
        self._rows, self._masking, self._lengths = train_rows, masking, found.lengths.rounded()
        self._head = head if w_mrp else None
        self._pointing = {"candidates": candidates, "norm": norm}
        of_head: Any = head  # hashable, which type checkers do not know of linen modules
        self.examples, self.score = len(train_rows), score
        self.loss: Loss = mrp_loss(
            self.config,
            masking,
            of_head,
            w_mrp=w_mrp,
            z_loss=z_loss,
            label_smoothing=label_smoothing,
        )
        self.notes = (
            f"{found.queries} hidden mentions in {len(train_rows)} rows; inputs are padded to "
            f"{self._lengths.inputs} pieces, targets to {self._lengths.targets}",
        )
        self.settings |= {
            "masking": type(masking).__name__,
            "w_mrp": w_mrp,
            "mrp_form": head.form.__name__,
            "tied_v": head.tied_v,
            "square_single": head.square_single,
            "mrp_candidates": candidates.__name__,
            "mrp_norm": norm.__name__,
            "score": score,
            "z_loss": z_loss,
            "label_smoothing": label_smoothing,
            "train_rows": found.digest,
        }
        self._evaluate: Evaluate | None = None
        if len(dev_rows):
            of_dev = survey(dev_rows, masking)
            self.settings["dev_rows"] = of_dev.digest
            self._evaluate = functools.partial(
                self._scores, dev_rows, of_dev.lengths.rounded(), eval_batch_size
            )

    def initial(self) -> Any:
        """The T5's parameters, scanned if so asked, and those of a new head."""
        params = super().initial()
        if self._head is None:
            return params
        return {**params, HEAD: initial_head(self._head, self.config.emb_dim)}

    def batches(self, rows: int, seed: int) -> grain.MapDataset[Batch]:
        """Padded rows, in an order of their own in each epoch."""
        source: Any = self._rows
        dataset = grain.MapDataset.source(source).seed(seed).shuffle().repeat(FOREVER)
        return dataset.batch(rows, batch_fn=functools.partial(self._batch, self._lengths))

    @property
    def evaluate(self) -> Evaluate | None:
        """Scores the dev rows."""
        return self._evaluate

    def export(self, params: Any) -> TextModel:
        """The T5 with these parameters, without the head."""
        return super().export({name: tree for name, tree in params.items() if name != HEAD})

    def _batch(self, lengths: Lengths, rows: Sequence[MRPRow]) -> Batch:
        targets = sum(map(self._masking.count, rows))
        features = {
            "encoder_input_tokens": padded([row.inputs for row in rows], lengths.inputs),
            **self._masking.features(rows, lengths.targets),
        }
        if self._head is not None:
            hidden = [self._masking.hidden(row, self.model.tokenizer) for row in rows]
            features |= query_features(rows, hidden, lengths, targets=targets, **self._pointing)
        pieces = targets + sum(len(row.inputs) for row in rows)
        return Batch(features, tuple(row.name for row in rows), pieces)

    def _scores(
        self, rows: Sequence[MRPRow], lengths: Lengths, size: int, params: Any
    ) -> dict[str, float]:
        of_head: Any = self._head
        sums = measure(self.config, self._masking, of_head)
        totals: Mapping[str, float] = {}
        for first in range(0, len(rows), size):
            some = [rows[i] for i in range(first, min(first + size, len(rows)))]
            features = self._batch(lengths, some).features
            # The last batch is filled up, so that there is one program; weights and masks are 0.
            full: dict[str, Any] = {
                name: np.pad(x, ((0, size - len(some)), *[(0, 0)] * (x.ndim - 1)))
                for name, x in features.items()
            }
            found = jax.device_get(sums(params, full))
            totals = {name: totals.get(name, 0.0) + float(x) for name, x in found.items()}
        scores = {
            "accuracy": totals["right"] / max(totals["pieces"], 1.0),
            "loss": totals["loss"] / max(totals["pieces"], 1.0),
        }
        if self._head is not None:
            mentions = max(totals["mentions"], 1.0)
            scores |= {
                "mrp_loss": totals["mrp"] / mentions,
                "copy_accuracy": totals["copied"] / mentions,
            }
        return scores


def mrp_rows(*, folder: str | None = None) -> Sequence[MRPRow]:
    """The rows of a folder that `t5coref prepare mrp` wrote; None = there are none."""
    return () if folder is None else read_rows(folder)


def initial_head(head: MRPHead, width: int) -> Mapping[str, Any]:
    """The parameters of a new head on an encoder of that width."""
    place = jnp.zeros((1, 1), jnp.int32)
    there = jnp.zeros((1, 1), bool)
    made = head.init(
        jax.random.key(0), jnp.zeros((1, 1, width)), there, place, place, there, there,
        place[:, :, None], place[:, :, None], there[:, :, None],
    )  # fmt: skip
    return jax.device_get(made["params"])


def _refuse_foreign(row: MRPRow, tokenizer: Tokenizer) -> None:
    highest = max(int(row.inputs.max()), int(row.targets.max()))
    if highest >= tokenizer.size:
        raise ConfigError(
            f"row {row.name!r} has the id {highest}, the model's tokenizer has {tokenizer.size}; "
            "prepare the rows with this model's spiece.model"
        )

"""T5X's model and trainer of mention reference prediction beside span corruption.

`MRPModel` and `CountingTrainer` are what `gin/models/t5x_mrp.gin` makes. The parameters are named
as in the local loop: those of a T5, and `mrp`. B rows, T targets, d model width.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import seqio
from clu import metrics as clu_metrics
from flax.core import freeze

# Before T5X: it puts back a name of jax's that T5X's dependencies import.
from t5coref import t5x_adapter  # noqa: F401

# isort: split
from t5x import metrics, models, optimizers
from t5x import trainer as trainers

from t5coref.core.errors import MismatchError
from t5coref.data.mrp_features import MRPFeatureConverter
from t5coref.data.vocabulary import CorefVocabulary
from t5coref.mrp.masking import is_sentinel
from t5coref.nn.losses import projected_loss
from t5coref.nn.mrp import (
    Candidates,
    MRPHead,
    MRPResult,
    Normalization,
    all_real_candidates,
    counted_queries,
    words_norm,
)
from t5coref.nn.t5 import T5, head_kernel

TOTALS = "mrp_totals"
"""Feature float32 `[B, 3]` that `CountingTrainer` adds, the same in all rows of a step: its target
pieces, what the loss of its queries is divided by, and its queries."""


class T5WithMRP(T5):
    """A T5 whose encoder points from hidden mentions to where else they stand.

    Attributes:
      mrp: the head.
    """

    mrp: MRPHead | None = None

    def states(
        self,
        features: Mapping[str, jax.Array],
        cand_mask: jax.Array,
        *,
        point: bool,
        enable_dropout: bool,
    ) -> tuple[jax.Array, MRPResult | None]:
        """`T5.hidden` `[B, T, d]`, and, to `point`, what the head finds in the same encoding."""
        assert self.mrp is not None
        encoded = self.encode(features["encoder_input_tokens"], None, enable_dropout)
        names = ("encoder_input_tokens", "decoder_input_tokens", "decoder_target_tokens")
        hidden = self.hidden_of(
            encoded, *(features[name] for name in names), enable_dropout=enable_dropout
        )
        if not point:
            return hidden, None
        asked = {
            name: features[f"mrp_{name}"]
            for name in (
                "q_start", "q_end", "q_mask", "q_single", "ref_start", "ref_end", "ref_mask",
            )
        }  # fmt: skip
        return hidden, self.mrp(encoded, cand_mask, **asked)

    def everything(self, features: Mapping[str, jax.Array], cand_mask: jax.Array) -> None:
        """Uses every parameter once: what `states` leaves to the loss, the head of targets, too."""
        names = ("encoder_input_tokens", "decoder_input_tokens", "decoder_target_tokens")
        self(*(features[name] for name in names), enable_dropout=False)
        self.states(features, cand_mask, point=True, enable_dropout=False)


class Totals(NamedTuple):
    """What sums are divided by: target pieces, the norm of the queries, the queries."""

    pieces: jax.Array
    norm: jax.Array
    queries: jax.Array


class MRPModel(models.EncoderDecoderModel):
    """The mean loss of the target pieces, plus `w_mrp` times that of the hidden mentions.

    The second is divided by its own number, never by that of the pieces. Targets are scored over
    the whole vocabulary, those of coreference tasks in a mixture too.

    Args:
      module: the network.
      optimizer_def: one of T5X's, or `t5x_adapter.local_optimizer`.
      task: name of a task of `t5coref.data.mrp.mrp_task` or a mixture of `mrp_mixture`.
      w_mrp: weight of the mentions; at 0 the head is not computed.
      candidates: what may be pointed at.
      norm: what the sum over the mentions is divided by.
      label_smoothing: see `token_loss`.
      z_loss: see `token_loss`.

    Raises:
      MismatchError: the network has fewer rows than the vocabulary has ids, or the task is none of
        those.
    """

    FEATURE_CONVERTER_CLS = MRPFeatureConverter

    def __init__(
        self,
        module: T5WithMRP,
        optimizer_def: optimizers.OptimizerDefType,
        task: str,
        w_mrp: float = 1.0,
        candidates: Candidates = all_real_candidates,
        norm: Normalization = words_norm,
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
    ):
        features = seqio.get_mixture_or_task(task).output_features
        if "mrp_q_start" not in features:
            raise MismatchError(
                f"{task!r} has no features for queries; expected a task of mrp_task or a mixture "
                "of mrp_mixture (t5coref.data.mrp)"
            )
        vocabulary = features["targets"].vocabulary
        assert isinstance(vocabulary, CorefVocabulary)
        rows = module.config.vocab_size
        if rows < vocabulary.vocab_size:
            raise MismatchError(
                f"task {task!r} has {vocabulary.vocab_size} vocabulary ids, the network has {rows} "
                f"rows; set T5Config.vocab_size to at least {vocabulary.vocab_size}, and convert "
                "the checkpoint with as many rows"
            )
        super().__init__(
            module=module,
            input_vocabulary=vocabulary,
            output_vocabulary=vocabulary,
            optimizer_def=optimizer_def,
            label_smoothing=label_smoothing,
            z_loss=z_loss,
        )
        tokenizer = vocabulary.wrapped
        self._behind_sentinels = tokenizer.size - len(tokenizer.symbols)
        self._w_mrp, self._candidates, self._norm = w_mrp, candidates, norm

    def get_initial_variables(
        self,
        rng: jax.Array,
        input_shapes: Mapping[str, Any],
        input_types: Mapping[str, Any] | None = None,
    ) -> Any:
        """The variables of a fresh network, with the axis names that T5X partitions by."""
        del input_types
        flags = ("mrp_q_mask", "mrp_q_single", "mrp_ref_mask")
        features = {
            name: jnp.zeros(shape, bool if name in flags else jnp.int32)
            for name, shape in input_shapes.items()
        }
        made = self.module.init(rng, features, self._can(features), method="everything")
        return freeze(made)

    def loss_fn(
        self,
        params: Any,
        batch: Mapping[str, jax.Array],
        dropout_rng: jax.Array | None,
    ) -> tuple[jax.Array, dict[str, clu_metrics.Metric]]:
        """The loss of a batch, or its share of the loss of a step that `totals` were counted of."""
        hidden, found = self.module.apply(
            {"params": params},
            batch,
            self._can(batch),
            point=bool(self._w_mrp),
            enable_dropout=dropout_rng is not None,
            rngs=None if dropout_rng is None else {"dropout": dropout_rng},
            method="states",
        )
        written, _ = projected_loss(
            hidden,
            head_kernel(self.module.config, params),
            batch["decoder_target_tokens"],
            batch["decoder_loss_weights"],
            self._z_loss,
            self._label_smoothing,
        )
        totals = self.totals(batch)
        loss = written / totals.pieces
        terms = {"pieces": loss}
        if found is not None:
            terms["mrp"] = found.loss_sum / totals.norm
            terms["copy_accuracy"] = found.copy_accuracy * found.n_words / totals.queries
            loss = loss + self._w_mrp * terms["mrp"]
        logged: dict[str, clu_metrics.Metric] = {
            name: metrics.AveragePerStep.from_model_output(value)
            for name, value in {"loss": loss, **terms}.items()
        }
        pieces = jnp.sum(batch["encoder_input_tokens"] > 0) + jnp.sum(
            batch["decoder_target_tokens"] > 0
        )
        logged["timing/pieces_per_second"] = metrics.TimeRate.from_model_output(numerator=pieces)
        return loss, logged

    def totals(self, batch: Mapping[str, jax.Array]) -> Totals:
        """What the sums of a batch are divided by: of the whole step if that was counted."""
        if TOTALS in batch:
            return Totals(*batch[TOTALS][0])
        counted = counted_queries(
            self._can(batch),
            *(batch[f"mrp_{name}"] for name in ("q_mask", "ref_start", "ref_end", "ref_mask")),
        )
        pieces = jnp.sum(batch["decoder_loss_weights"]).astype(jnp.float32)
        norm = jnp.asarray(self._norm(counted, batch["mrp_q_single"]), jnp.float32)
        queries = jnp.sum(counted).astype(jnp.float32)
        return Totals(*(jnp.maximum(count, 1.0) for count in (pieces, norm, queries)))

    def _can(self, batch: Mapping[str, jax.Array]) -> jax.Array:
        tokens = batch["encoder_input_tokens"]
        return self._candidates(tokens, is_sentinel(tokens, self._behind_sentinels))


class CountingTrainer(trainers.Trainer):
    """T5X's trainer; it counts pieces and queries of a batch before it is divided.

    T5X adds up the gradients of micro-batches. With the counts of the whole batch in each of them,
    the sum is the gradient of the undivided batch, however unlike they are.
    """

    @cached_property
    def _partitioned_train_step(self) -> Any:
        def train_step(state: Any, batch: Mapping[str, jax.Array]) -> Any:
            model: Any = self._model
            totals = jnp.stack(model.totals(batch))
            rows = batch["encoder_input_tokens"].shape[0]
            return trainers.train_with_lr(
                state,
                {**batch, TOTALS: jnp.broadcast_to(totals[None, :], (rows, len(totals)))},
                learning_rate=self._learning_rate_fn(state.step),
                dropout_rng=self._get_step_rng(state.step),
                model=model,
                num_microbatches=self._num_microbatches,
                weight_metrics_computer=self._weight_metrics_computer,
                data_partition_spec=self._partitioner.data_partition_spec,
            )

        of_batch = self._partitioner.data_partition_spec
        return self._partitioner.partition(
            train_step,
            in_axis_resources=(self._train_state_axes, of_batch),
            out_axis_resources=(self._train_state_axes, None),
            donate_argnums=(0,),
        )

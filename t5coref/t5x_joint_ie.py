"""T5X's model of heads on an encoder: it trains mentions, coreference and relations under T5X.

`JointIEModel` is what `gin/models/t5x_joint_ie.gin` makes. The parameters are named as in the local
loop: `token_embedder`, `encoder`, `heads`. B documents, T pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from clu import metrics as clu_metrics
from flax.core import freeze

# Before T5X: it puts back a name of jax's that T5X's dependencies import.
from t5coref import t5x_adapter  # noqa: F401

# isort: split
from t5x import metrics, models, optimizers

from t5coref.core.errors import MismatchError
from t5coref.data.joint_ie import JointFeatureConverter, joint_recipe
from t5coref.joint_ie.composition import for_types
from t5coref.nn.joint_ie import JointIE
from t5coref.nn.t5 import T5


class EncoderWithHeads(T5):
    """A T5 whose encoder carries heads; its decoder is never called and has no parameters.

    Attributes:
      heads: what is computed from the encoder's states.
    """

    heads: JointIE | None = None

    def losses(
        self, features: Mapping[str, jax.Array], *, enable_dropout: bool
    ) -> dict[str, jax.Array]:
        """The losses of a batch, see `JointIE`."""
        assert self.heads is not None
        encoded = self.encode(features["encoder_input_tokens"], None, enable_dropout)
        return self.heads(encoded, features, deterministic=not enable_dropout)


class JointIEModel(models.BaseModel):
    """Trains heads on a T5 encoder on the documents of a task.

    The number of relation types is that of the task.

    Args:
      module: the network.
      optimizer_def: `t5x_adapter.local_optimizer` with `encoder_and_task` has the two learning
        rates.
      task: name of a task that `t5coref.data.joint_ie.joint_task` made.
      documents_per_step: what the sum over the documents of a micro-batch is divided by; needed
        where a batch is divided into micro-batches, whose gradients T5X adds. None = the
        documents at hand.

    Raises:
      MismatchError: the network has fewer rows than the vocabulary has pieces.
    """

    FEATURE_CONVERTER_CLS = JointFeatureConverter

    def __init__(
        self,
        module: EncoderWithHeads,
        optimizer_def: optimizers.OptimizerDefType,
        task: str,
        documents_per_step: int | None = None,
    ):
        super().__init__(optimizer_def=optimizer_def)
        recipe = joint_recipe(task)
        size, rows = recipe.tokenizer().size, module.config.vocab_size
        if rows < size:
            raise MismatchError(
                f"task {task!r} has {size} ids, the network has {rows} rows; set "
                f"T5Config.vocab_size to at least {size}, as the checkpoint has them"
            )
        self.relations = recipe.inventory()
        assert module.heads is not None
        self.module = module.clone(heads=for_types(module.heads, len(self.relations)))
        self._documents_per_step = documents_per_step

    def get_initial_variables(
        self,
        rng: jax.Array,
        input_shapes: Mapping[str, Any],
        input_types: Mapping[str, Any] | None = None,
    ) -> Any:
        """The variables of a fresh network, with the axis names that T5X partitions by."""
        del input_types
        features = {
            name: jnp.zeros(shape, bool if name.startswith("word_") else jnp.int32)
            for name, shape in input_shapes.items()
        }
        made = self.module.init(rng, features, enable_dropout=False, method="losses")
        return freeze(made)

    def loss_fn(
        self,
        params: Any,
        batch: Mapping[str, jax.Array],
        dropout_rng: jax.Array | None,
    ) -> tuple[jax.Array, dict[str, clu_metrics.Metric]]:
        """The mean of the documents' losses, and each of its terms as a metric."""
        found: Any = self.module.apply(
            {"params": params},
            batch,
            enable_dropout=dropout_rng is not None,
            rngs=None if dropout_rng is None else {"dropout": dropout_rng},
            method="losses",
        )
        documents = batch["encoder_input_tokens"].shape[0]
        share = documents / (self._documents_per_step or documents)
        terms = {name: value * share for name, value in found.items()}
        logged = {
            name: metrics.AveragePerStep.from_model_output(value) for name, value in terms.items()
        }
        pieces = jnp.sum(batch["encoder_input_tokens"] > 0)
        logged["timing/pieces_per_second"] = metrics.TimeRate.from_model_output(numerator=pieces)
        return terms["loss"], logged

    def predict_batch_with_aux(
        self,
        params: Any,
        batch: Mapping[str, jax.Array],
        rng: jax.Array | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Clusters int32 `[B, N]` of candidates, and the other arrays of `Prediction`."""
        del rng

        def predict(module: EncoderWithHeads):
            encoded = module.encode(batch["encoder_input_tokens"], None, False)
            assert module.heads is not None
            return module.heads.predict(encoded, batch, gold_mentions=False, gold_clusters=False)

        found: Any = self.module.apply({"params": params}, method=predict)
        others = {name: value for name, value in found._asdict().items() if name != "cluster"}
        return found.cluster, others

    def score_batch(
        self, params: Any, batch: Mapping[str, jax.Array], return_intermediates: bool = False
    ) -> jax.Array:
        """The negative loss of each document, float32[B].

        Raises:
          MismatchError: intermediates are asked for, which there are none of.
        """
        if return_intermediates:
            raise MismatchError("scores of heads have no intermediates; ask without them")

        def one(row: Mapping[str, jax.Array]) -> jax.Array:
            return -self.loss_fn(params, {k: v[None] for k, v in row.items()}, None)[0]

        return jax.lax.map(one, dict(batch))

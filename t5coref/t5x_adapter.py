"""T5X's model with our feeds, loss and search; the only file that imports T5X.

`CorefModel` is what gin files make (`gin/models/t5x.gin`): T5X trains, evaluates and infers with it
as with its own models. B rows, S source pieces, T steps, K hypotheses, A action symbols, X columns
of the logits (the actions, or the vocabulary where pieces are written as themselves).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.core import freeze, unfreeze
from jax.experimental import pjit

# jestimator 0.3.3, which T5X's optimizers import, still takes this name from there.
if not hasattr(pjit, "PartitionSpec"):
    pjit.PartitionSpec = jax.sharding.PartitionSpec  # pyright: ignore[reportAttributeAccessIssue]

import seqio
from t5x import checkpoints, decoding, losses, models, optimizers, partitioning

from t5coref.core.errors import ConfigError, MismatchError
from t5coref.core.rules import Rules
from t5coref.data.features import CorefFeatureConverter
from t5coref.data.task import task_linearization
from t5coref.decode import answers, constraint, draft
from t5coref.decode.beam import beam
from t5coref.decode.constraint import Source, Tables
from t5coref.decode.greedy import greedy
from t5coref.decode.search import Beam, Decoded, Greedy, NextLogits, Rows
from t5coref.nn import lora as low_rank
from t5coref.nn.layers import adapter_dropout
from t5coref.nn.lora import LoRA
from t5coref.nn.losses import token_loss
from t5coref.nn.partition import Layout
from t5coref.nn.scan import unscan_params
from t5coref.nn.t5 import T5
from t5coref.train.optimizers import OptimizerFactory


def _own_place_only(restore: Callable[..., Any]) -> Callable[..., Any]:
    """Leaves the place in the data alone that checkpoints of other runs have, or do not have.

    T5X otherwise asks for it wherever it restores, if a run saves its own: a converted checkpoint
    would be refused, and another run's would begin the data at a place of other data.
    """

    def path_of(place: Any) -> str:
        text = os.fspath(place).rstrip("/")
        return text if "://" in text else os.path.realpath(text)

    @functools.wraps(restore)
    def restore_own(self, step=None, path=None, *args, **kwargs):
        before = self._should_write_dataset_ckpt
        if path is not None and os.path.dirname(path_of(path)) != path_of(self.directory):
            self._should_write_dataset_ckpt = False
        try:
            return restore(self, step, path, *args, **kwargs)
        finally:
            self._should_write_dataset_ckpt = before

    return restore_own


# T5X compares the classes that save and restore, so that a subclass of ours is refused.
checkpoints.OrbaxCheckpointManagerInterface.restore = _own_place_only(
    checkpoints.OrbaxCheckpointManagerInterface.restore
)

Found = tuple[jax.Array, jax.Array]
"""What T5X wants of a search: int32 `[B, K, T]` and float32 scores `[B, K]`, the best one last."""


class CorefModel(models.EncoderDecoderModel):
    """An encoder-decoder that reads feeds, is scored on actions and decodes under the rules.

    Format, rules and vocabularies are those of the task, so that they cannot contradict it.

    Args:
      module: the network.
      optimizer_def: one of T5X's, or `local_optimizer`.
      task: name of a task or mixture that `t5coref.data.task.coref_task` made; the tasks of a
        mixture must share their rules and vocabulary.
      decode_fn: `greedy_search` or `beam_search`.
      label_smoothing: see `token_loss`.
      z_loss: see `token_loss`.
      loss_normalizing_factor: what the summed loss is divided by, as T5X has it; with
        "NUM_REAL_TARGET_TOKENS" it is the loss of the local training loop.
      default_decoder_params: how many hypotheses to look for, and whether to return them all.
      partitioner: that of the run, another object made alike. With it, training places activations
        as `t5coref plan` and the local loop do on large meshes (`nn.partition.Layout`): positions
        are divided between layers, and kernels come together one layer at a time. None = by the
        partitioner's logical axis rules alone.
      lora: put adapters beside the matrices and train them and the rows of new symbols alone, with
        an optimizer of `adapters_alone`; None = train everything.

    Raises:
      MismatchError: the network has fewer rows than the vocabulary has ids, or the tasks of the
        mixture differ.
    """

    FEATURE_CONVERTER_CLS = CorefFeatureConverter

    def __init__(
        self,
        module: T5,
        optimizer_def: optimizers.OptimizerDefType,
        task: str,
        decode_fn: Callable[..., Found] | None = None,
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
        loss_normalizing_factor: float | int | str | None = None,
        default_decoder_params: models.DecoderParams | None = None,
        partitioner: partitioning.BasePartitioner | None = None,
        lora: LoRA | None = None,
    ):
        rules, vocabulary = _rules_and_vocabulary(task)
        rows = module.config.vocab_size
        if rows < vocabulary.vocab_size:
            raise MismatchError(
                f"task {task!r} has {vocabulary.vocab_size} vocabulary ids, the network has "
                f"{rows} rows; set T5Config.vocab_size to at least {vocabulary.vocab_size}, and "
                "convert the checkpoint with as many rows"
            )
        super().__init__(
            module=module,
            input_vocabulary=vocabulary,
            output_vocabulary=vocabulary,
            optimizer_def=optimizer_def,
            decode_fn=decode_fn or greedy_search,
            label_smoothing=label_smoothing,
            z_loss=z_loss,
            loss_normalizing_factor=loss_normalizing_factor,
            default_decoder_params=default_decoder_params,
        )
        self._rules = rules
        self._columns = _columns(rules)
        self._partitioner = partitioner
        self._lora, self._new_rows = lora, low_rank.Rows(0, 0)
        if lora is not None:
            self._new_rows = low_rank.Rows.of(vocabulary.wrapped)

    def get_initial_variables(
        self,
        rng: jax.Array,
        input_shapes: Mapping[str, Any],
        input_types: Mapping[str, Any] | None = None,
    ) -> Any:
        """The variables of a fresh network, with the axis names that T5X partitions by.

        Unlike T5X's own method it knows that feeds may be `[B, T, 2]` beside targets `[B, T]`, and
        that tokens are integers even where T5X names no type.
        """
        del input_types
        names = ("encoder_input_tokens", "decoder_input_tokens", "decoder_target_tokens")
        tokens = [jnp.ones(input_shapes[name], jnp.int32) for name in names]
        variables = unfreeze(self.module.init(rng, *tokens, enable_dropout=False))
        if self._lora is not None:
            variables = low_rank.with_adapted_variables(self._lora, variables, self._new_rows, rng)
        return freeze(variables)

    def loss_fn(
        self,
        params: Any,
        batch: Mapping[str, jax.Array],
        dropout_rng: jax.Array | None,
    ) -> tuple[jax.Array, Any]:
        """The loss over the format's symbols, and T5X's metrics of it."""
        batch = self._weighted(batch)
        with self._placed():
            logits = self._compute_logits(params, batch, dropout_rng)
        factor, weights = losses.get_loss_normalizing_factor_and_weights(
            self._loss_normalizing_factor, batch
        )
        targets = self._target_columns(batch)
        smoothing = self._label_smoothing
        loss, _ = token_loss(logits, targets, weights, self._z_loss, smoothing)
        # For the metrics only; the compiler computes the log-partition once.
        log_z = jax.nn.logsumexp(logits.astype(jnp.float32), axis=-1)
        z_loss = self._z_loss * jnp.sum(jnp.where(weights > 0, jnp.square(log_z) * weights, 0.0))
        if factor is not None:
            loss, z_loss = loss / factor, z_loss / factor
        written = ("encoder_input_tokens", "decoder_target_tokens")
        metrics = self._compute_metrics(
            logits=logits,
            targets=targets,
            mask=weights,
            loss=loss,
            z_loss=z_loss,
            segment_ids={name: batch[name] != 0 for name in written},
        )
        return loss, metrics

    def score_batch(self, params: Any, batch: Mapping[str, jax.Array]) -> jax.Array:
        """Log-probabilities float32[B] of the targets among the format's symbols.

        What counts less in training counts as much less here (`Rules.copy_weight`).
        """
        batch = self._weighted(batch)
        logits = self._compute_logits(params, batch)

        def log_prob(logits, targets, weights):
            return -token_loss(logits[None], targets[None], weights[None])[0]

        return jax.vmap(log_prob)(
            logits, self._target_columns(batch), batch["decoder_loss_weights"]
        )

    def predict_batch_with_aux(
        self,
        params: Any,
        batch: Mapping[str, jax.Array],
        rng: jax.Array | None = None,
        decoder_params: Mapping[str, Any] | None = None,
        return_all_decodes: bool | None = None,
        num_decodes: int | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Decodes a batch under the rules; formats of questions answer those of the batch at once.

        The output may take as many steps as the batch's targets have places. A source that was cut
        at its end, or whose shortest output is longer than that, has an empty output.

        Args:
          params: of the network.
          batch: model features; of the targets only the number of places counts.
          rng: unused; both searches are deterministic.
          decoder_params: further arguments of the search.
          return_all_decodes: all hypotheses or the best; None = as `default_decoder_params` has it.
          num_decodes: K; None likewise.

        Returns:
          Actions as vocabulary ids, int32 `[B, T]`, or `[B, K, T]` with the best one last, and
          their scores under "scores", float32 `[B]` or `[B, K]`.
        """
        defaults = self._default_decoder_params
        every = defaults.return_all_decodes if return_all_decodes is None else return_all_decodes
        count = defaults.num_decodes if num_decodes is None else num_decodes
        if self._rules.answer_length is not None:
            logits = self._compute_logits(params, batch)
            actions, scores = answers.likeliest(self._rules, logits, batch["decoder_input_tokens"])
            return (actions[:, None], {"scores": scores[:, None]}) if every else (
                actions, {"scores": scores}
            )  # fmt: skip
        sources = batch["encoder_input_tokens"]
        steps = batch["decoder_target_tokens"].shape[1]
        tables = Tables.of(self._rules)
        symbols = None if tables.literal else tables.ids

        params = unfreeze(params)
        if self._lora is not None:
            params = low_rank.merged(self._lora, params, self._new_rows)
        encoded = self.module.apply(
            {"params": params}, sources, enable_dropout=False, method="encode"
        )
        network, params = _layer_by_layer(self.module, params)
        _, made = network.apply(
            {"params": params}, encoded, sources, steps, count, method="init_cache",
            mutable=["cache"],
        )  # fmt: skip

        def next_logits(cache: Any, tokens: jax.Array, positions: jax.Array, visible: Any):
            logits, changed = network.apply(
                {"params": params, "cache": cache},
                tokens,
                positions,
                visible=visible,
                logit_symbols=symbols,
                method="decode_step",
                mutable=["cache"],
            )
            return logits, changed["cache"]

        given = {"eos_id": self.output_vocabulary.eos_id, "decode_rng": rng}
        given |= {"sources": sources, "tables": tables}
        given |= {"columns": network.config.vocab_size if symbols is None else len(symbols)}
        decodes, scores = self.decode_fn(
            inputs=jnp.zeros((sources.shape[0], steps), jnp.int32),
            cache=made["cache"],
            tokens_to_logits=next_logits,
            num_decodes=count,
            cache_offset=0,
            **given | dict(decoder_params or {}),
        )
        if every:
            return decodes, {"scores": scores}
        return decodes[:, -1], {"scores": scores[:, -1]}

    def _compute_logits(
        self,
        params: Any,
        batch: Mapping[str, jax.Array],
        dropout_rng: jax.Array | None = None,
    ) -> jax.Array:
        """The logits `[B, T, X]`."""
        training = dropout_rng is not None
        drops = contextlib.nullcontext()
        if self._lora is not None:
            trained, fixed = low_rank.split(unfreeze(params))
            both = low_rank.joined(jax.lax.stop_gradient(fixed), trained)
            params = low_rank.composed(self._lora, both, self._new_rows)
            drops = adapter_dropout(self._lora.dropout if training else 0.0)
        with drops:
            return self.module.apply(
                {"params": params},
                batch["encoder_input_tokens"],
                batch["decoder_input_tokens"],
                batch["decoder_target_tokens"],
                enable_dropout=training,
                answer_length=self._rules.answer_length,
                logit_symbols=(
                    None if self._columns is None else jnp.asarray(self._rules.scored_ids)
                ),
                rngs={"dropout": dropout_rng} if training else None,
            )

    def _placed(self) -> contextlib.AbstractContextManager[None]:
        if self._partitioner is None or self._partitioner.mesh.size == 1:
            return contextlib.nullcontext()
        return Layout(self._partitioner.mesh).traced()

    def _weighted(self, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """The batch with the weights of the rules, as the local loop has them."""
        there = batch["decoder_loss_weights"].astype(jnp.float32)
        weights = self._rules.loss_weights(jnp.asarray(batch["decoder_target_tokens"]))
        return {**batch, "decoder_loss_weights": there * weights}

    def _target_columns(self, batch: Mapping[str, jax.Array]) -> jax.Array:
        """The targets int32 `[B, T]` as columns of the logits; one that is none yields a NaN."""
        tokens = batch["decoder_target_tokens"]
        if self._columns is None:
            return tokens
        outside = len(self._rules.scored_ids or ())
        columns = jnp.asarray(self._columns).at[tokens].get(mode="fill", fill_value=outside)
        return jnp.where(batch["decoder_loss_weights"] > 0, columns, 0)


def greedy_search(
    *,
    inputs: jax.Array,
    cache: Any,
    tokens_to_logits: NextLogits,
    num_decodes: int,
    cache_offset: int,
    eos_id: int,
    sources: jax.Array,
    tables: Tables,
    columns: int,
    decode_rng: jax.Array | None = None,
    drafts: tuple[int, ...] = Greedy.drafts,
) -> Found:
    """The likeliest legal action at each step, several of them from one call of the decoder.

    Args:
      inputs: int `[B, T]`, for its shape: prompts are not supported.
      cache: of `T5.init_cache`.
      tokens_to_logits: the network.
      num_decodes: must be 1.
      cache_offset: unused, nothing cached moves.
      eos_id: the mark that a whole source ends with.
      sources: int32 `[B, S]`.
      tables: the rules.
      columns: X.
      decode_rng: unused.
      drafts: see `Greedy`; the outcome does not depend on it.

    Raises:
      ConfigError: more than one hypothesis is asked for.
    """
    del cache_offset, decode_rng
    if num_decodes != 1:
        raise ConfigError(
            f"greedy search finds one hypothesis, got num_decodes = {num_decodes}; "
            "include gin/decode/beam.gin for more"
        )
    rows, possible = _rows(tables, sources, inputs.shape[1], eos_id)
    found, _ = greedy(
        tokens_to_logits, cache, tables, rows, draft.empty(), inputs.shape[1], columns,
        Greedy(tuple(drafts)),
    )  # fmt: skip
    return _best_last(found, possible)


def beam_search(
    *,
    inputs: jax.Array,
    cache: Any,
    tokens_to_logits: NextLogits,
    num_decodes: int,
    cache_offset: int,
    eos_id: int,
    sources: jax.Array,
    tables: Tables,
    columns: int,
    decode_rng: jax.Array | None = None,
    length_penalty: float = 1.0,
    drafts: tuple[int, ...] = Beam.drafts,
) -> Found:
    """The likeliest hypotheses, by log-probability over length.

    Args:
      inputs: as in `greedy_search`, and so are the others.
      cache: of `T5.init_cache` for K beams.
      tokens_to_logits: the network.
      num_decodes: K.
      cache_offset: unused.
      eos_id: the mark that a whole source ends with.
      sources: int32 `[B, S]`.
      tables: the rules.
      columns: X.
      decode_rng: unused.
      length_penalty: see `Beam`.
      drafts: see `Beam`; the outcome does not depend on it.
    """
    del cache_offset, decode_rng
    rows, possible = _rows(tables, sources, inputs.shape[1], eos_id)
    found, _ = beam(
        tokens_to_logits, cache, tables, rows, draft.empty(), inputs.shape[1], columns,
        Beam(num_decodes, length_penalty, tuple(drafts)),
    )  # fmt: skip
    return _best_last(found, possible)


def local_optimizer(factory: OptimizerFactory, total_steps: int) -> optimizers.OptaxWrapper:
    """An optimizer of the local training loop for T5X, with its own learning rates.

    Args:
      factory: `t5coref.train.optimizers.adamw`; T5X cannot partition the state of optax's
        Adafactor and has one of its own.
      total_steps: of the run.
    """
    return optimizers.OptaxWrapper(factory(total_steps).transform)


def local_learning_rate(factory: OptimizerFactory, total_steps: int) -> optax.Schedule:
    """The learning rates of `local_optimizer`, for T5X's trainer to report."""
    return factory(total_steps).learning_rate


def _rules_and_vocabulary(name: str) -> tuple[Rules, seqio.Vocabulary]:
    tasks = seqio.get_subtasks(seqio.get_mixture_or_task(name))
    first, *others = tasks
    rules = task_linearization(first).rules
    vocabulary = first.output_features["targets"].vocabulary
    for task in others:
        same = _equal(Tables.of(rules), Tables.of(task_linearization(task).rules))
        if not same or task.output_features["targets"].vocabulary != vocabulary:
            raise MismatchError(
                f"mixture {name!r}: tasks {first.name!r} and {task.name!r} have different rules "
                "or vocabularies; register them with the same format, options and tokenizer"
            )
    return rules, vocabulary


def _equal(one: Tables, other: Tables) -> bool:
    (leaves, form), (leaves2, form2) = jax.tree.flatten(one), jax.tree.flatten(other)
    return form == form2 and all(map(np.array_equal, leaves, leaves2))


def _columns(rules: Rules) -> np.ndarray | None:
    """Vocabulary id -> column of the logits, beyond them all where an id is no action."""
    if rules.scored_ids is None:
        return None
    columns = np.full(max(rules.scored_ids) + 1, len(rules.scored_ids), np.int32)
    columns[np.asarray(rules.scored_ids)] = np.arange(len(rules.scored_ids))
    return columns


def _layer_by_layer(module: Any, params: dict[str, Any]) -> tuple[T5, dict[str, Any]]:
    """The decoder unscanned: scanned layers copy the cache at each step."""
    if not module.config.scan_layers:
        return module, params
    config = dataclasses.replace(module.config, scan_layers=False, remat=False)
    return T5(config), unscan_params({k: v for k, v in params.items() if k != "encoder"})


def _rows(tables: Tables, sources: jax.Array, steps: int, eos_id: int) -> tuple[Rows, jax.Array]:
    """The batch, and which rows bool[B] can be answered; the others are emptied."""

    def can_end(pieces: jax.Array) -> jax.Array:
        last = pieces[jnp.maximum(jnp.sum(pieces > 0) - 1, 0)]
        return (last == eos_id) & (constraint.shortest(tables, Source.of(tables, pieces)) <= steps)

    count = sources.shape[0]
    sources = sources.astype(jnp.int32)
    possible = jax.vmap(can_end)(sources)
    budgets = jnp.full((count,), steps, jnp.int32)
    forced = jnp.full((count, 1), -1, jnp.int32)
    return Rows(jnp.where(possible[:, None], sources, 0), budgets, forced), possible


def _best_last(found: Decoded, possible: jax.Array) -> Found:
    scores = jnp.where(possible[:, None], found.scores, decoding.NEG_INF_VALUE)
    # Where there are fewer hypotheses, the score is finite, as it is in T5X: it goes into JSON.
    return found.actions[:, ::-1], jnp.maximum(scores, decoding.NEG_INF_VALUE)[:, ::-1]

"""Learning with adapters: an objective of which little is trained (Hu et al. 2021, "LoRA").

What is trained, the adapters, the rows of new symbols and heads, are the parameters of the run: its
optimizer, its gradients and its checkpoints know of nothing else. The rest of the T5 is given to
the loss beside them.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import grain
import jax
import jax.numpy as jnp

from t5coref.adapters import Adapters, fingerprint
from t5coref.core.errors import ConfigError
from t5coref.nn import lora as low_rank
from t5coref.nn.layers import adapter_dropout
from t5coref.nn.lora import LoRA, Rows
from t5coref.nn.scan import unscan_params
from t5coref.tokenizer import Tokenizer
from t5coref.train.batches import Batch
from t5coref.train.objective import Loss, Objective, Savable

ADAPTERS = "adapters"
"""Folder with the adapters alone, in that of an exported model."""


class T5Model(Protocol):
    """A model with a T5 and a tokenizer: `Model`, or one that has heads as well."""

    @property
    def params(self) -> Any:
        """Not scanned."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """Its symbols have rows of their own."""
        ...

    def card(self) -> dict[str, Any]:
        """What identifies the model's parts."""
        ...


class T5Learning(Objective, Protocol):
    """What can be learned with adapters: every `T5Objective`."""

    @property
    def model(self) -> Any:
        """A `T5Model`, where training starts from."""
        ...


class LoRAObjective:
    """An objective whose T5 keeps its weights, beside which adapters learn.

    Its parameters are those that are trained; its loss takes the others as a fourth argument.

    Args:
      base: what is learned.
      lora: the adapters.
      seed: of their initial values.

    Raises:
      ValueError: there is no T5 in it that the adapters fit.
    """

    def __init__(self, base: T5Learning, lora: LoRA, seed: int):
        model: T5Model = base.model
        self._base, self._lora, self._tokenizer = base, lora, model.tokenizer
        self._rows = Rows.of(model.tokenizer)
        everything = low_rank.with_adapters(lora, base.initial(), self._rows, jax.random.key(seed))
        self._trained, self.fixed = low_rank.split(everything)
        self.examples, self.score = base.examples, base.score
        self.skipped: Sequence[str] = base.skipped
        counts = [_count(tree) for tree in (self._trained, everything)]
        note = f"adapters train {counts[0]:,} of {counts[1]:,} parameters"
        self.notes: Sequence[str] = (*base.notes, note)
        self.loss: Loss = adapted_loss(base.loss, lora, self._rows)

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a resumed run must share."""
        whose = dict(self._base.identity)
        settings = {**whose["settings"], "lora": dataclasses.asdict(self._lora)}
        return {**whose, "settings": settings}

    def initial(self) -> Any:
        """What is trained."""
        return self._trained

    def place(self, sharding: Any) -> Any:
        """What is not trained, on devices; training and evaluation share it."""
        self.fixed = jax.device_put(
            jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), self.fixed), sharding
        )
        return self.fixed

    def batches(self, rows: int, seed: int) -> grain.MapDataset[Batch]:
        """Those of the objective."""
        return self._base.batches(rows, seed)

    @property
    def evaluate(self) -> Callable[[Any], Mapping[str, float]] | None:
        """Scores the merged model."""
        score = self._base.evaluate
        return None if score is None else lambda params: score(self._merged(params))

    def export(self, params: Any) -> Savable:
        """The merged model, and the adapters alone in its folder."""
        model: T5Model = self._base.model
        weights = unscan_params(params) if _is_scanned(params) else params
        adapters = Adapters(
            lora=self._lora,
            weights=jax.device_get(weights),
            rows=self._rows,
            base=self._fingerprint,
            tokenizer=model.tokenizer,
            card=model.card(),
        )
        return WithAdapters(self._base.export(self._merged(params)), adapters)

    def _merged(self, params: Any) -> Any:
        return _merge(self._lora, self._rows, params, self.fixed)

    @functools.cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self._base.model.params, self._rows)


@dataclasses.dataclass(frozen=True)
class WithAdapters:
    """A merged model, and the adapters that were merged."""

    model: Savable
    adapters: Adapters

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the model, and the adapters into the folder `adapters` there."""
        self.model.save(folder)
        self.adapters.save(pathlib.Path(folder, ADAPTERS))


def adapted(objective: Objective, lora: LoRA, seed: int) -> LoRAObjective:
    """The objective with adapters, `LoRAObjective`.

    Raises:
      ConfigError: the objective has no T5, or the adapters do not fit it.
    """
    if not hasattr(objective, "model"):
        raise ConfigError(
            f"lora with {type(objective).__name__}, which has no `model` that adapters could be "
            "put beside; expected a T5Objective, or no lora"
        )
    learning: Any = objective
    try:
        return LoRAObjective(learning, lora, seed)
    except ValueError as e:
        raise ConfigError(f"lora: {e}") from e


@functools.lru_cache(maxsize=8)
def adapted_loss(loss: Loss, lora: LoRA, rows: Rows) -> Any:
    """(what is trained, features, key, what is not) -> `loss` of the T5 with adapters.

    For the same arguments it is the same function.
    """

    def adapted(params, features, key, fixed):
        composed = low_rank.composed(lora, low_rank.joined(fixed, params), rows)
        with adapter_dropout(lora.dropout):
            return loss(composed, features, key)

    return adapted


@functools.partial(jax.jit, static_argnums=(0, 1))
def _merge(lora: LoRA, rows: Rows, trained: Any, fixed: Any) -> Any:
    return low_rank.merged(lora, low_rank.joined(fixed, trained), rows)


def _is_scanned(params: Mapping[str, Any]) -> bool:
    return any("layers" in params.get(stack, {}) for stack in ("encoder", "decoder"))


def _count(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))

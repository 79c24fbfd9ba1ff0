"""A T5 encoder with the head of a downstream task: its folder, and what it computes.

The folder is that of all models with heads (`t5coref.headed`); the card says under `head` which
task it is, which head, and what else prediction needs to know.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from t5coref import headed
from t5coref import model as models
from t5coref.adapters import Adapters
from t5coref.core.errors import ConfigError
from t5coref.headed import HEADS, Base, HeadedModel
from t5coref.model import CARD_FILE
from t5coref.nn import downstream
from t5coref.nn.downstream import Head
from t5coref.nn.t5 import T5Config
from t5coref.tokenizer import Tokenizer

HEAD_KEY = "head"
"""Of the cards of models with the head of a downstream task, and of no others."""


@dataclasses.dataclass(frozen=True, eq=False)
class HeadModel(HeadedModel):
    """Weights, tokenizer and the head of a task.

    Attributes:
      config: the encoder's shape; there are no decoder layers.
      params: its parameters, not scanned, and those of the head under `HEADS`.
      tokenizer: text to pieces.
      head: what is computed from encoder states.
      task: its name, for people and to choose the right model.
      data: JSON of what else prediction needs, such as the names of classes.
    """

    head: Head
    task: str
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def card(self) -> dict[str, Any]:
        """What identifies the model's parts."""
        return models.card(self.tokenizer, None, self.config.dtype) | {
            HEAD_KEY: {
                "task": self.task,
                "head": headed.describe(self.head),
                "data": dict(self.data),
            }
        }

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, dtype: str | None = None) -> HeadModel:
        """Reads what `save` wrote.

        Args:
          folder: of the model.
          dtype: computation type of the encoder; None = as saved.

        Raises:
          ConfigError: there is no such model.
          MismatchError: the tokenizer, the encoder or the head are not those that the card names.
        """
        place = pathlib.Path(folder)
        card = models.read_card(place) if (place / CARD_FILE).is_file() else {}
        if HEAD_KEY not in card:
            raise ConfigError(
                f"{folder} is no model with the head of a downstream task: expected {CARD_FILE} "
                f"with {HEAD_KEY!r} in it; train one, see docs/downstream.md"
            )
        config, params, tokenizer = headed.load_folder(place, card, dtype=dtype)
        return cls._of(place, card[HEAD_KEY], config, params, tokenizer)

    @classmethod
    def adapted(cls, folder: str | os.PathLike[str], base: Base) -> HeadModel:
        """What adapters, which have a head among them, make of a T5.

        Args:
          folder: of the adapters, `RUN/best/adapters` of a training with `lora`.
          base: the T5 that they were trained beside; its decoder is left out.

        Raises:
          ConfigError: there are no adapters, or they have no head.
          MismatchError: they were trained beside another T5.
        """
        adapters = Adapters.load(folder)
        if HEAD_KEY not in adapters.card:
            raise ConfigError(
                f"{folder} has adapters without the head of a downstream task; expected some that "
                "were trained with one, see docs/proposer.md"
            )
        config, params, tokenizer = headed.without_decoder(base)
        params[HEADS] = adapters.weights[HEADS]
        place, described = pathlib.Path(folder), adapters.card[HEAD_KEY]
        return adapters.merge(cls._of(place, described, config, params, tokenizer))

    @classmethod
    def _of(
        cls,
        place: pathlib.Path,
        described: Mapping[str, Any],
        config: T5Config,
        params: Mapping[str, Any],
        tokenizer: Tokenizer,
    ) -> HeadModel:
        head = headed.build(described["head"], downstream)
        wanted = jax.eval_shape(lambda key: _init(head, config.emb_dim, key), jax.random.key(0))
        headed.refuse_misfits(place, wanted, params)
        return cls(config, params, tokenizer, head, described["task"], described["data"])


def head_model(
    *,
    base: Base,
    head: Head,
    task: str,
    data: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> HeadModel:
    """The encoder of a pretrained T5 with a new head.

    Args:
      base: the T5, such as `Model` or `TextModel`; its decoder and its format are left out.
      head: one of `t5coref.nn.downstream`.
      task: its name.
      data: see `HeadModel`.
      seed: of the head's parameters.
    """
    config, params, tokenizer = headed.without_decoder(base)
    make = jax.jit(lambda key: _init(head, config.emb_dim, key))
    params[HEADS] = jax.device_get(make(jax.random.key(seed)))
    return HeadModel(config, params, tokenizer, head, task, dict(data or {}))


class Row(Protocol):
    """An example as the head takes it."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def __len__(self) -> int:
        """How long it is in pieces: rows of about one length are computed together."""
        ...


R = TypeVar("R", bound=Row)

Collate = Callable[[Sequence[R], np.random.Generator | None], Mapping[str, np.ndarray]]
"""(rows, where to draw from) -> their features; rounded lengths make few programs. There is nothing
to draw from outside training."""


@functools.partial(jax.jit, static_argnames=("config", "head"))
def compute(config: T5Config, head: Head, params: Any, features: Mapping[str, jax.Array]) -> Any:
    """What a head says about a batch, `[B, ...]` each; no dropout."""
    encoded = headed.encode(config, params, features, enable_dropout=False)
    return head.apply({"params": params[HEADS]}, encoded, features, deterministic=True)


def outputs(
    model: HeadModel,
    rows: Sequence[R],
    collate: Collate[R],
    params: Any = None,
    *,
    batch_size: int = 8,
    devices: Sequence[Any] | None = None,
) -> list[Any]:
    """What the head says about each of some rows, in their order: pytrees of arrays on the host.

    Args:
      model: with the head.
      rows: any number, of any lengths.
      collate: makes a batch of them.
      params: other weights than the model's, for evaluation during training.
      batch_size: rows that are computed at once.
      devices: where to run; None = all local devices, as many as divide `batch_size`.
    """
    devices = list(jax.local_devices() if devices is None else devices)
    mesh = Mesh(np.asarray(devices[: math.gcd(batch_size, len(devices))]), ("data",))
    placed = jax.device_put(
        model.params if params is None else params, NamedSharding(mesh, PartitionSpec())
    )
    by_row = NamedSharding(mesh, PartitionSpec("data"))
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: list[Any] = [None] * len(rows)
    for start in range(0, len(order), batch_size):
        numbers = order[start : start + batch_size]
        filled = [rows[i] for i in numbers] + [rows[numbers[-1]]] * (batch_size - len(numbers))
        features = jax.device_put(dict(collate(filled, None)), by_row)
        output = jax.device_get(compute(model.config, model.head, placed, features))
        for place, i in enumerate(numbers):
            found[i] = jax.tree.map(lambda leaf, place=place: leaf[place], output)
    return found


def _init(head: Head, width: int, key: jax.Array) -> Any:
    features = head.sample()
    states = jnp.zeros((*features["encoder_input_tokens"].shape, width), jnp.float32)
    return head.init(key, states, features, deterministic=True)["params"]

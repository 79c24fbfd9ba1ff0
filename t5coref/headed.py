"""What models with heads on a T5 share: their folder, the description of their parts, encoding.

FOLDER/model.safetensors, config.json   the T5, or its encoder, as transformers reads it
FOLDER/heads.safetensors                the heads
FOLDER/spiece.model, t5coref.json       the tokenizer, and the card that says what fits together
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Protocol

import jax
import numpy as np
import safetensors.numpy
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from t5coref import model as models
from t5coref.checkpoints import load
from t5coref.checkpoints.folders import appearing
from t5coref.core.errors import MismatchError
from t5coref.model import CARD_FILE
from t5coref.nn.checkpoint import save_hf
from t5coref.nn.t5 import T5, T5Config
from t5coref.nn.weight_files import CheckpointError, write_tensors
from t5coref.tokenizer import Tokenizer

HEADS = "heads"
"""Name of the heads among the parameters; the others are those of the T5."""

HEADS_FILE = "heads.safetensors"

PART = "part"
_OF_FLAX = ("parent", "name")


def describe(module: nn.Module) -> dict[str, Any]:
    """A module as JSON: its name and its arguments, modules among them likewise."""
    arguments = {
        field.name: getattr(module, field.name)
        for field in dataclasses.fields(module)
        if field.init and field.name not in _OF_FLAX
    }
    return {PART: type(module).__name__} | {
        name: describe(value) if isinstance(value, nn.Module) else value
        for name, value in arguments.items()
    }


def build(description: Mapping[str, Any], home: ModuleType) -> Any:
    """The module that `describe` described.

    Args:
      description: of a module and those within it.
      home: has all of them.

    Raises:
      MismatchError: there is no such module, or it has other arguments.
    """
    name = description.get(PART)
    part = getattr(home, str(name), None)
    if not (isinstance(part, type) and issubclass(part, nn.Module)):
        raise MismatchError(
            f"the card names a part {name!r}, which this version does not have; load the model "
            "with the version of t5coref that wrote it"
        )
    arguments = {key: _built(value, home) for key, value in description.items() if key != PART}
    try:
        return part(**arguments)
    except (TypeError, ValueError) as error:
        raise MismatchError(f"the card's part {name} cannot be made: {error}") from error


def _built(value: Any, home: ModuleType) -> Any:
    if isinstance(value, Mapping):
        return build(value, home)
    return tuple(value) if isinstance(value, list) else value  # JSON has no tuples


class Base(Protocol):
    """A T5 to put heads on: `Model`, or any other that has these."""

    @property
    def config(self) -> T5Config:
        """The network's shape."""
        ...

    @property
    def params(self) -> Mapping[str, Any]:
        """Its parameters, not scanned."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to pieces."""
        ...


def without_decoder(base: Base) -> tuple[T5Config, dict[str, Any], Tokenizer]:
    """The encoder of a T5 and the tokenizer without the symbols of a format."""
    params = {name: tree for name, tree in base.params.items() if name != "decoder"}
    tokenizer = Tokenizer(base.tokenizer.model, ()).with_word_rule(base.tokenizer.word_rule)
    return dataclasses.replace(base.config, num_decoder_layers=0), params, tokenizer


def apart(params: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """The parameters of the T5, and those of the heads."""
    return {name: tree for name, tree in params.items() if name != HEADS}, params[HEADS]


@dataclasses.dataclass(frozen=True, eq=False)
class HeadedModel(ABC):
    """Base of models with heads.

    Attributes:
      config: of the T5; without decoder layers it is an encoder alone.
      params: its parameters, not scanned, and those of the heads under `HEADS`.
      tokenizer: text to pieces.
    """

    config: T5Config
    params: Mapping[str, Any]
    tokenizer: Tokenizer

    @abstractmethod
    def card(self) -> dict[str, Any]:
        """What identifies the model's parts."""

    def fingerprint(self) -> str:
        """A digest of the card and the weights."""
        return models.fingerprint(self.card(), self.params)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes a folder that `load` can read; it appears whole or not at all."""
        t5, heads = apart(self.params)
        flat: Any = flatten_dict(heads, sep="/")
        with appearing(pathlib.Path(folder), overwrite=True, foreign=lambda names: []) as fresh:
            save_hf(fresh, self.config, t5)
            write_tensors(
                fresh / HEADS_FILE, {k: np.asarray(leaf, np.float32) for k, leaf in flat.items()}
            )
            self.tokenizer.save(fresh)
            models.write_card(fresh, self.card())


def load_folder(
    place: pathlib.Path, card: Mapping[str, Any], *, dtype: str | None = None
) -> tuple[T5Config, dict[str, Any], Tokenizer]:
    """Reads what `HeadedModel.save` wrote: the T5's shape, all parameters, the tokenizer.

    Args:
      place: the folder.
      card: its card.
      dtype: computation type of the T5; None = as saved.

    Raises:
      MismatchError: the tokenizer, the T5 or the file of the heads are not those of the card.
    """
    tokenizer = models.tokenizer_of(place, card)
    models.check_weights(place, card)
    try:
        config, t5 = load(place, dtype=dtype or card["dtype"])
    except CheckpointError as error:
        raise MismatchError(f"{place}: {error}") from error
    tensors = safetensors.numpy.load_file(place / HEADS_FILE)
    return config, {**t5, HEADS: unflatten_dict(tensors, sep="/")}, tokenizer


def refuse_misfits(place: pathlib.Path, wanted: Any, params: Mapping[str, Any]) -> None:
    """Checks that the heads' parameters have the names and shapes of `wanted`.

    Raises:
      MismatchError: they do not.
    """
    leaves: Any = flatten_dict(wanted, sep="/")
    given: Any = flatten_dict(params[HEADS], sep="/")
    shapes = {name: leaf.shape for name, leaf in leaves.items()}
    found = {name: leaf.shape for name, leaf in given.items()}
    if shapes != found:
        differing = sorted(n for n in shapes.keys() | found if shapes.get(n) != found.get(n))
        raise MismatchError(
            f"{place}: {HEADS_FILE} does not fit the heads of {CARD_FILE}: {differing[:4]}; "
            "restore both from the same model"
        )


def encode(config: T5Config, params: Any, features: Mapping[str, jax.Array], **options: Any):
    """The encoder's states `[B, ..., T, d]` of the pieces `[B, ..., T]` of a batch.

    Each text is encoded on its own, and so is each segment where there are segments.
    """
    tokens, segments = features["encoder_input_tokens"], features.get("encoder_segment_ids")
    length = tokens.shape[-1]
    states: Any = T5(config).apply(
        {"params": params},
        tokens.reshape(-1, length),
        None if segments is None else segments.reshape(-1, length),
        method="encode",
        **options,
    )
    return states.reshape(*tokens.shape, states.shape[-1])

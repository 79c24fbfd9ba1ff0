"""Trained adapters and what they belong to.

FOLDER/adapters.safetensors     what was trained: adapters, changes to rows of symbols, heads
FOLDER/adapters.json            the card of the adapted model, the settings of the adapters, and the
                                fingerprint of the T5 that they fit
FOLDER/spiece.model             the tokenizer
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

from t5coref import model as models
from t5coref.checkpoints.folders import appearing
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.nn import compact
from t5coref.nn import lora as low_rank
from t5coref.nn.checkpoint import HEAD, TABLE
from t5coref.nn.lora import T5_PARTS, LoRA, Rows
from t5coref.nn.weight_files import write_tensors
from t5coref.tokenizer import MODEL_FILE, Tokenizer

WEIGHTS, SETTINGS = "adapters.safetensors", "adapters.json"

M = TypeVar("M")
"""A dataclass with the `params` of a T5 and its `tokenizer`: `Model`, or one with heads as well."""


@dataclasses.dataclass(frozen=True, eq=False)
class Adapters:
    """What training with adapters has learned, without the T5.

    Attributes:
      lora: which matrices have adapters.
      weights: what was trained, a part of an adapted tree (`nn.lora`), not scanned.
      rows: the ids of the symbols.
      base: `fingerprint` of the T5 that they were trained beside.
      tokenizer: words to pieces.
      card: that of the adapted model.
    """

    lora: LoRA
    weights: Mapping[str, Any]
    rows: Rows
    base: str
    tokenizer: Tokenizer
    card: Mapping[str, Any]

    def save(self, folder: str | os.PathLike[str], *, eight_bits: bool = False) -> None:
        """Writes a folder that `load` can read; it appears whole or not at all.

        Args:
          folder: to make.
          eight_bits: store matrices as `nn.compact` does, a quarter as large.
        """
        flat: Any = flatten_dict(dict(self.weights), sep="/")
        tensors: dict[str, np.ndarray] = {}
        for name, leaf in flat.items():
            values = np.asarray(leaf, np.float32)
            small = eight_bits and values.ndim == 2
            tensors |= compact.quantized(name, values) if small else {name: values}
        with appearing(pathlib.Path(folder), overwrite=True, foreign=_foreign) as fresh:
            write_tensors(fresh / WEIGHTS, tensors)
            self.tokenizer.save(fresh)
            described = {
                "model": dict(self.card),
                "lora": dataclasses.asdict(self.lora),
                "rows": self.rows._asdict(),
                "base": self.base,
                "weights": models.digest(fresh / WEIGHTS),
            }
            (fresh / SETTINGS).write_text(json.dumps(described, indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Adapters:
        """Reads what `save` wrote.

        Raises:
          ConfigError: there are no adapters.
          MismatchError: the tokenizer or the weights are not those that the card names.
        """
        place = pathlib.Path(folder)
        if not (place / SETTINGS).is_file():
            raise ConfigError(
                f"{folder} holds no adapters: expected {SETTINGS} in it; training with lora writes "
                "it to RUN/best/adapters"
            )
        described = json.loads((place / SETTINGS).read_text("utf-8"))
        if described["weights"] != models.digest(place / WEIGHTS):
            raise MismatchError(
                f"{place}: {WEIGHTS} is not the one that {SETTINGS} was written with; restore both "
                "from the same run"
            )
        tensors = safetensors.numpy.load_file(place / WEIGHTS)
        return cls(
            lora=LoRA(**described["lora"]),
            weights=unflatten_dict(_whole(tensors), sep="/"),
            rows=Rows(**described["rows"]),
            base=described["base"],
            tokenizer=models.tokenizer_of(place, described["model"]),
            card=described["model"],
        )

    def check(self, model: Any) -> None:
        """Compares a model with that which the adapters were trained beside.

        Args:
          model: a dataclass with the `params` of a T5 and its `tokenizer`.

        Raises:
          MismatchError: it is another one; the message says what differs.
        """
        theirs, ours = model.tokenizer.fingerprint, self.tokenizer.fingerprint
        if theirs != ours:
            raise MismatchError(
                f"the adapters were trained with tokenizer {ours}, the model has {theirs}; load "
                "the model with the tokenizer and the symbols that lie beside the adapters"
            )
        heads = self.weights.keys() - {*T5_PARTS}
        if not heads <= model.params.keys():
            raise MismatchError(
                f"the adapters were trained with {sorted(heads)}, which the model does not have; "
                "give the model with heads that training began with"
            )
        found = fingerprint(model.params, self.rows)
        if found != self.base:
            raise MismatchError(
                f"the adapters were trained beside a T5 with fingerprint {self.base}, this one has "
                f"{found}; give the T5 that training began with"
            )

    def merge(self, model: M) -> M:
        """The model with these adapters in its matrices: an ordinary one, the same function.

        Args:
          model: the T5 that they were trained beside, with rows for the same symbols.

        Raises:
          MismatchError: it is another one; the message says what differs.
        """
        base: Any = model
        self.check(base)
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            both = low_rank.joined(base.params, self.weights)
            params = jax.device_get(low_rank.merged(self.lora, both, self.rows))
        return dataclasses.replace(base, params=params)


def _whole(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What was stored, in floats."""
    names = [name for name in tensors if not name.endswith(compact.SCALE)]
    parts = {name: compact.parts(tensors, name) for name in names}
    return {n: compact.restored(*made) if made else tensors[n] for n, made in parts.items()}


def fingerprint(params: Mapping[str, Any], rows: Rows) -> str:
    """A digest of a T5's weights. Heads do not count, nor do rows that belong to no id.

    Args:
      params: not scanned.
      rows: those of the symbols, the last that belong to ids.
    """
    size = rows.first + rows.count
    flat: Any = flatten_dict({part: params[part] for part in T5_PARTS if part in params}, sep="/")
    found = hashlib.sha256()
    for name in sorted(flat):
        leaf = np.asarray(flat[name], np.float32)
        if name in (TABLE, HEAD):
            leaf = leaf[:size] if name == TABLE else leaf[:, :size]
        found.update(f"{name} {leaf.shape}".encode())
        found.update(np.ascontiguousarray(leaf).data)
    return found.hexdigest()[:16]


def _foreign(names: Any) -> list[str]:
    """What in a folder is not of adapters, and must not be replaced by them."""
    return [name for name in names if name not in (WEIGHTS, SETTINGS, MODEL_FILE)]

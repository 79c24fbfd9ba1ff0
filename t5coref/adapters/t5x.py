"""Adapters in the checkpoints of T5X, which hold them beside the whole T5."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from t5coref.adapters.folder import Adapters, fingerprint
from t5coref.checkpoints import t5x_tensors
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.model import Model
from t5coref.nn.lora import LORA_A, LoRA, Rows, is_trained
from t5coref.nn.weight_files import CheckpointError


def from_t5x(folder: str | os.PathLike[str], model: Model, alpha: float) -> Adapters:
    """Reads what T5X has trained with `CorefModel.lora`.

    Args:
      folder: a T5X checkpoint, or a folder of them, of which the last is taken.
      model: the T5 that training began with, with the tokenizer and the format of the task.
      alpha: that of the run; T5X keeps no settings in its checkpoints.

    Raises:
      ConfigError: there are no adapters.
      MismatchError: training began with another T5.
    """
    try:
        tensors = t5x_tensors(folder)
    except CheckpointError as e:
        raise ConfigError(str(e)) from e
    paths = {name: tuple(name.split("/")) for name in tensors}
    factors = [path for path in paths.values() if path[-1] == LORA_A]
    if not factors:
        raise ConfigError(
            f"{folder}: expected a checkpoint of a run with adapters, there are none in it; "
            "`t5coref convert` reads others"
        )
    flat = {}
    base: Any = flatten_dict(dict(model.params))
    for name, path in paths.items():
        values = np.asarray(tensors[name].read(), np.float32)
        if is_trained(path):
            flat[path] = values
        elif path not in base or not np.array_equal(base[path], values):
            raise MismatchError(
                f"{folder}: {name} is not that of the T5 that was given; give the one that "
                "training began with"
            )
    rows = Rows.of(model.tokenizer)
    targets = tuple(dict.fromkeys(path[-2] for path in factors))
    return Adapters(
        lora=LoRA(rank=flat[factors[0]].shape[1], alpha=alpha, targets=targets),
        weights=unflatten_dict(flat),
        rows=rows,
        base=fingerprint(model.params, rows),
        tokenizer=model.tokenizer,
        card=model.card(),
    )

"""Small model folders: weights in eight bits, without what decoding does not need."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict

from t5coref.checkpoints.folders import appearing
from t5coref.core.errors import ConfigError
from t5coref.model import Model
from t5coref.nn import compact
from t5coref.nn.checkpoint import HEAD, config_to_hf, hf_tensors
from t5coref.nn.weight_files import CONFIG, WEIGHTS, write_tensors


class Compressed(NamedTuple):
    """What was written.

    Attributes:
      nbytes: of the weights.
      head_rows: of the head that are there, and of the vocabulary.
      error: how much of a matrix rounding changed, in the mean of all: the Frobenius norm of the
        change over that of the matrix.
    """

    nbytes: int
    head_rows: tuple[int, int]
    error: float


def without_decoder_layers(model: Model, dropped: Collection[int]) -> Model:
    """The model without some layers of its decoder, counted from 0; train it before it is used.

    Raises:
      ConfigError: it has no such layers, or no others.
    """
    depth = model.config.num_decoder_layers
    kept = [i for i in range(depth) if i not in set(dropped)]
    if not set(dropped) <= set(range(depth)) or not kept:
        raise ConfigError(
            f"expected some, not all, of the decoder layers 0 to {depth - 1}, got "
            f"{sorted(set(dropped))}"
        )
    decoder = model.params["decoder"]
    rest = {name: tree for name, tree in decoder.items() if not name.startswith("layers_")}
    layers = {f"layers_{new}": decoder[f"layers_{old}"] for new, old in enumerate(kept)}
    return dataclasses.replace(
        model,
        config=dataclasses.replace(model.config, num_decoder_layers=len(kept)),
        params={**model.params, "decoder": {**rest, **layers}},
    )


def compress(model: Model, destination: pathlib.Path, *, overwrite: bool = False) -> Compressed:
    """Writes a folder that `Model.load` reads, a quarter as large or less.

    Matrices are stored in eight bits (`nn.compact`). Of a head that is not the table, only the rows
    are stored whose symbols the format writes; others score 0 when the folder is loaded.

    Raises:
      CheckpointError: the destination is not free.
    """
    scored = model.format.make(model.tokenizer).rules.scored_ids
    flat = flatten_dict(dict(model.params), sep="/")
    stored: dict[str, np.ndarray] = {}
    errors: list[float] = []
    rows = model.config.vocab_size
    for name, tensor in hf_tensors(model.config).items():
        values = np.asarray(flat[tensor.path], np.float32)
        values = values.T if tensor.transpose else values
        if values.ndim == 1 or "relative_attention_bias" in name:
            stored[name] = values
            continue
        kept = None
        if tensor.path == HEAD and scored is not None:
            kept = np.zeros(len(values), np.bool_)
            kept[list(scored)] = True
            rows = int(kept.sum())
        made = compact.quantized(name, values, kept)
        whole = compact.restored(*compact.parts(made, name))
        there = values if kept is None else values * kept[:, None]
        errors.append(float(np.linalg.norm(whole - there) / np.linalg.norm(there)))
        stored |= made
    with appearing(destination, overwrite=overwrite, foreign=_foreign) as fresh:
        write_tensors(fresh / WEIGHTS, stored)
        description = json.dumps(config_to_hf(model.config), indent=2) + "\n"
        (fresh / CONFIG).write_text(description, encoding="utf-8")
        model.identity.save(fresh)
        nbytes = (fresh / WEIGHTS).stat().st_size
    return Compressed(nbytes, (rows, model.config.vocab_size), float(np.mean(errors)))


def _foreign(names: Collection[str]) -> list[str]:
    return [name for name in names if name not in (WEIGHTS, CONFIG, "t5coref.json", "spiece.model")]

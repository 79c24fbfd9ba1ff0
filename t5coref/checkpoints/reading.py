"""Opening a checkpoint of any layout as tensors that are read one at a time."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from t5coref.checkpoints import legacy, orbax
from t5coref.checkpoints.shape import config_of
from t5coref.checkpoints.zarr import STEP, unstacked
from t5coref.nn.checkpoint import (
    config_from_hf,
    config_to_hf,
    hf_tensors,
    open_hf,
    our_shapes,
    parameters,
    refuse_misfits,
)
from t5coref.nn.stack import T5Config
from t5coref.nn.weight_files import (
    CONFIG,
    CheckpointError,
    Stored,
    find,
    has_weights,
    read_json,
)

OF_PRETRAINING = ("mrp",)
"""Heads that only pre-training needs (`t5coref.nn.mrp`): they are no part of the T5."""

_STEP_FOLDER = re.compile(r"checkpoint_(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """An open checkpoint.

    Attributes:
        layout: what it is, in words.
        folder: where the configuration and the tokenizer are.
        config: the shape of the model; layers are not scanned in it.
        description: `config.json`, or what it would be.
        tensors: every parameter, under the names of unscanned layers.
        scanned: whether the file has stacked layers.
        step: the training step.
        left_behind: the arrays that are no parameters: the optimizer's.
    """

    layout: str
    folder: Path
    config: T5Config
    description: Mapping[str, Any]
    tensors: Mapping[str, Stored]
    scanned: bool = False
    step: int = 0
    left_behind: tuple[str, ...] = ()


def open_checkpoint(folder: str | os.PathLike[str], *, dtype: str = "float32") -> Checkpoint:
    """Opens a checkpoint of Hugging Face's or one of T5X's layouts.

    Args:
        folder: weights with `config.json`, or their name on the Hugging Face hub; a T5X
            checkpoint, or a folder of T5X checkpoints, of which the last is taken.
        dtype: of the computation that the configuration describes.

    Raises:
        CheckpointError: there is none, or one that does not fit its configuration; tensors that
            are missing, left over or of the wrong shape are all named.
    """
    place = find(folder)
    if has_weights(place):
        config, tensors = open_hf(place, dtype=dtype)
        return Checkpoint("Hugging Face", place, config, read_json(place / CONFIG), tensors)
    t5x = _t5x_folder(place)
    if t5x is not None:
        return _open_t5x(t5x, dtype)
    raise CheckpointError(
        f"{place}: expected a checkpoint of Hugging Face (config.json and model.safetensors) or "
        f"T5X (checkpoint_N), found {sorted(p.name for p in place.iterdir())[:8]}"
    )


def load(
    folder: str | os.PathLike[str], *, dtype: str = "float32"
) -> tuple[T5Config, dict[str, Any]]:
    """Reads a checkpoint of any layout: its configuration and float32 parameters, unscanned.

    Raises:
        CheckpointError: as `open_checkpoint`.
    """
    checkpoint = open_checkpoint(folder, dtype=dtype)
    return checkpoint.config, parameters(checkpoint.tensors)


def home(folder: Path) -> Path:
    """Where the files beside the weights are: for a T5X checkpoint, the folder that holds it."""
    return folder.parent if is_step_folder(folder.name) and not has_weights(folder) else folder


def step_folder(step: int) -> str:
    """What T5X calls the checkpoint of a step."""
    return f"checkpoint_{step}"


def is_step_folder(name: str) -> bool:
    """Whether T5X would take a folder of this name for a checkpoint."""
    return _STEP_FOLDER.fullmatch(name) is not None


def _t5x_folder(place: Path) -> Path | None:
    """The folder itself if it is a T5X checkpoint, else the last one in it."""
    if legacy.is_legacy(place) or orbax.state_folder(place):
        return place
    steps = {
        int(found[1]): child
        for child in place.iterdir()
        if (found := _STEP_FOLDER.fullmatch(child.name)) and child.is_dir()
    }
    return steps[max(steps)] if steps else None


class _T5X(NamedTuple):
    """What is in a T5X checkpoint; the fields are those of `Checkpoint`."""

    layout: str
    tensors: Mapping[str, Stored]
    scanned: bool
    step: int
    left_behind: tuple[str, ...]


def t5x_tensors(folder: str | os.PathLike[str]) -> Mapping[str, Stored]:
    """All parameters of a T5X checkpoint, whatever they are, by the names of unscanned layers.

    Raises:
        CheckpointError: there is none.
    """
    found = _t5x_folder(find(folder))
    if found is None:
        raise CheckpointError(f"{folder}: expected a checkpoint of T5X (checkpoint_N)")
    return _read_t5x(found).tensors


def _read_t5x(folder: Path) -> _T5X:
    state = orbax.state_folder(folder)
    if state is not None:
        layout = "T5X"
        arrays, step = orbax.open_arrays(state)
    elif legacy.is_legacy(folder):
        layout = "T5X legacy"
        arrays, step = legacy.open_arrays(folder)
    else:
        raise CheckpointError(
            f"{folder}: expected {orbax.STATE}/{orbax.METADATA} (orbax) or a file "
            f"{legacy.FILE!r} (legacy T5X), found {sorted(p.name for p in folder.iterdir())[:8]}; "
            "copy the checkpoint again"
        )
    others = ["/".join(key) for key, array in arrays.items() if array is None and key != STEP]
    strange = [name for name in others if not name.startswith("state/")]
    if strange:
        raise CheckpointError(f"{folder}: expected target and state, unmapped: {sorted(strange)}")
    found = {"/".join(key[1:]): array for key, array in arrays.items() if array is not None}
    tensors, scanned = unstacked(folder, found)
    return _T5X(layout, tensors, scanned, step, tuple(sorted(others)))


def _open_t5x(folder: Path, dtype: str) -> Checkpoint:
    layout, every, scanned, step, left_behind = _read_t5x(folder)
    tensors = {
        name: tensor
        for name, tensor in every.items()
        if name.partition("/")[0] not in OF_PRETRAINING
    }
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    beside = home(folder)
    if (beside / CONFIG).is_file():
        description = read_json(beside / CONFIG)
        config = config_from_hf(description, dtype=dtype)
    else:
        config = config_of(folder, shapes, dtype=dtype)
        description = config_to_hf(config)
    wanted = our_shapes(hf_tensors(config))
    refuse_misfits(folder, wanted, shapes)
    ordered = {name: tensors[name] for name in wanted}
    return Checkpoint(layout, beside, config, description, ordered, scanned, step, left_behind)

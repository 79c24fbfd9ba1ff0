"""T5X's own layout: `checkpoint_N/state`, by orbax.

`_METADATA` lists the tree. Arrays lie in one key-value store over a few files (OCDBT), as T5X
writes them, or in a zarr folder each, as we do: so an array can be written chunk by chunk, and
orbax reads either. What is on disk is read and written here without orbax, which restores whole
trees only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from t5coref.checkpoints.zarr import (
    STEP,
    Array,
    ZarrFolders,
    create_array,
    open_array,
    step_of,
)
from t5coref.nn.shards import Spec
from t5coref.nn.weight_files import CheckpointError, read_json

METADATA = "_METADATA"
STATE = "state"

COMMITTED = "commit_success.txt"
"""Orbax takes a checkpoint on Cloud Storage for whole only where this file is in its folders."""

_DICT_KEY = 2  # how orbax numbers the kinds of tree nodes


def state_folder(folder: Path) -> Path | None:
    """Where the tree of a checkpoint is: the folder itself or its `state`; None = not orbax."""
    return next((f for f in (folder, folder / STATE) if (f / METADATA).is_file()), None)


def open_arrays(folder: Path) -> tuple[dict[tuple[str, ...], Array | None], int]:
    """The arrays of a tree by their keys (None: of anything but parameters), and the step.

    Raises:
        CheckpointError: damaged, or arrays are missing.
    """
    metadata = read_json(folder / METADATA)
    try:
        keys = [
            tuple(str(key["key"]) for key in entry["key_metadata"])
            for entry in metadata["tree_metadata"].values()
        ]
    except (KeyError, TypeError, AttributeError) as e:
        raise CheckpointError(
            f"{folder / METADATA}: expected the tree_metadata of orbax; copy the checkpoint again"
        ) from e
    database = metadata.get("use_ocdbt")
    if database is None:
        database = (folder / "manifest.ocdbt").exists()
    context = ts.Context()
    driver = "zarr3" if metadata.get("use_zarr3") else "zarr"

    def array(key: tuple[str, ...]) -> Array:
        return open_array(_place(folder, ".".join(key), bool(database)), context, driver)

    arrays = {key: array(key) if key[0] == "target" else None for key in keys}
    return arrays, step_of(array(STEP)) if STEP in arrays else 0


def _place(folder: Path, name: str, database: bool) -> dict[str, Any]:
    if not database:
        return {"driver": "file", "path": f"{folder / name}/"}
    base = {"driver": "file", "path": f"{folder}/"}
    return {"driver": "ocdbt", "base": base, "path": f"{name}/"}


class OrbaxWriter:
    """A checkpoint that T5X and orbax restore: parameters and the step, no optimizer.

    Args:
        folder: `checkpoint_N`, made here.
        tensors: all that will be written, by unscanned names.
        scanned: whether to stack the layers.
        step: the training step.
    """

    def __init__(self, folder: Path, tensors: Mapping[str, Spec], *, scanned: bool, step: int):
        self._folder, self._step = folder, step
        (folder / STATE).mkdir(parents=True)
        self._zarr = ZarrFolders(folder / STATE, tensors, scanned=scanned)

    def write(self, name: str, values: np.ndarray) -> None:
        """Writes one tensor."""
        self._zarr.write(name, values)

    def close(self) -> None:
        """Writes the step and the tree."""
        state = self._folder / STATE
        step = create_array(state, ".".join(STEP), Spec((), np.dtype(np.int32)), layered=False)
        step.write(np.int32(self._step)).result()
        keys = [STEP, *(("target", *name.split("/")) for name in self._zarr.arrays)]
        (state / METADATA).write_text(json.dumps(_metadata(keys)), "utf-8")
        for folder in (state, self._folder):
            (folder / COMMITTED).write_text("Written by t5coref convert.\n", "utf-8")


def _metadata(keys: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    leaf = {"value_type": "np.ndarray", "skip_deserialize": False}
    return {
        "tree_metadata": {
            str(key): {
                "key_metadata": [{"key": part, "key_type": _DICT_KEY} for part in key],
                "value_metadata": leaf,
            }
            for key in keys
        },
        "use_ocdbt": False,
        "use_zarr3": False,
        "store_array_data_equal_to_fill_value": True,
        "custom_metadata": None,
    }

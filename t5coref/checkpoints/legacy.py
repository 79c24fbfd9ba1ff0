"""T5X's layout before orbax: a zarr folder an array and one msgpack file, version 3.

`checkpoint_N/checkpoint` holds the tree; a leaf is a value or says in which folder its array lies.
The checkpoints of T5 and Flan-T5 that Google published for T5X are of this kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from flax.serialization import msgpack_restore, msgpack_serialize
from flax.traverse_util import unflatten_dict

from t5coref.checkpoints.zarr import (
    STEP,
    Array,
    ZarrFolders,
    array_metadata,
    folder_name,
    is_stack,
    open_array,
    step_of,
)
from t5coref.nn.shards import Spec
from t5coref.nn.weight_files import CheckpointError

FILE = "checkpoint"
VERSION = 3

_TENSORFLOW = b"model_checkpoint_path"


def is_legacy(folder: Path) -> bool:
    """Whether the folder holds the file of a legacy checkpoint, or TensorFlow's of that name."""
    return (folder / FILE).is_file()


def open_arrays(folder: Path) -> tuple[dict[tuple[str, ...], Array | None], int]:
    """The arrays of a tree by their keys (None: of anything but parameters), and the step.

    Raises:
        CheckpointError: another version, damaged, or arrays are missing.
    """
    path = folder / FILE
    content = path.read_bytes()
    if content.startswith(_TENSORFLOW):
        raise CheckpointError(
            f"{folder}: expected a T5X checkpoint, got one of the Mesh TensorFlow T5; convert it "
            "with t5x/scripts/convert_tf_checkpoint.py first"
        )
    try:
        tree = msgpack_restore(content)
        version, tree = tree["version"], dict(tree["optimizer"])
    except (KeyError, TypeError, ValueError) as e:
        raise CheckpointError(
            f"{path}: expected T5X's msgpack with version and optimizer ({type(e).__name__}); "
            "copy the checkpoint again"
        ) from e
    if version not in (2, VERSION):
        raise CheckpointError(f"{path}: expected version {VERSION}, got {version}")
    leaves = dict(_leaves(tree, ()))
    context = ts.Context()
    arrays = {
        key: _array(folder, leaf, context) if key[0] == "target" else None
        for key, leaf in leaves.items()
    }
    return arrays, step_of(_array(folder, leaves.get(STEP, 0), context))


def _leaves(tree: Any, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, dict) and not tree.keys() >= {"driver", "kvstore", "metadata"}:
        for name, branch in tree.items():
            yield from _leaves(branch, (*key, str(name)))
    elif tree is not None:  # parameters that no optimizer updates have no state
        yield key, tree


def _array(folder: Path, leaf: Any, context: ts.Context) -> Array:
    if not isinstance(leaf, dict):
        return np.asarray(leaf)
    # Written to a bucket, on another file system or by an old tensorstore: only the path counts.
    path = leaf["kvstore"].get("path") or leaf.get("path", "")
    return open_array({"driver": "file", "path": f"{folder / path}/"}, context)


class LegacyWriter:
    """A legacy checkpoint of parameters and the step, without optimizer.

    Args:
        folder: `checkpoint_N`, made here.
        tensors: all that will be written, by unscanned names.
        scanned: whether to stack the layers.
        step: the training step.
    """

    def __init__(self, folder: Path, tensors: Mapping[str, Spec], *, scanned: bool, step: int):
        self._folder, self._step = folder, step
        folder.mkdir(parents=True)
        self._zarr = ZarrFolders(folder, tensors, scanned=scanned)

    def write(self, name: str, values: np.ndarray) -> None:
        """Writes one tensor."""
        self._zarr.write(name, values)

    def close(self) -> None:
        """Writes the tree."""
        leaves = {
            name: {
                "driver": "zarr",
                "dtype": spec.dtype.name,
                "kvstore": {"driver": "file", "path": folder_name(name) + "/"},
                "metadata": array_metadata(spec, layered=is_stack(name)),
            }
            for name, spec in self._zarr.arrays.items()
        }
        tree = {
            "version": VERSION,
            "optimizer": {
                "target": unflatten_dict(leaves, sep="/"),
                "state": {"step": np.array(self._step, np.int32)},
            },
        }
        (self._folder / FILE).write_bytes(msgpack_serialize(tree))

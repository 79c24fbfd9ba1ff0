"""The arrays of a T5X checkpoint, which both of its layouts keep as zarr folders.

An array lies in `target.encoder.layers_0.mlp.wo.kernel`, or, where layers are scanned, all layers
of a stack in `target.encoder.layers.mlp.wo.kernel` with the layer on axis 1.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from t5coref.nn.shards import Spec, slabs
from t5coref.nn.stack import PARAM_SCAN_AXIS
from t5coref.nn.weight_files import FLOATS, CheckpointError, Stored

Array = ts.TensorStore | np.ndarray
"""What is read slice by slice: an array on disk or, in the legacy layout, of the msgpack file."""

STEP = ("state", "step")
"""The key of the training step in a checkpoint's tree."""

CHUNK_BYTES = 64 << 20
"""Chunks are at most so large (T5X's own bound), so that hosts can share an array out."""

COMPRESSOR = {"id": "zstd", "level": 1}

_LAYER = re.compile(r"/layers_(\d+)/")
_STACK = "/layers/"
_EVERY = (slice(None),) * PARAM_SCAN_AXIS


def open_array(
    kvstore: Mapping[str, Any], context: ts.Context, driver: str = "zarr"
) -> ts.TensorStore:
    """An array on disk, in zarr's version 2 or (driver `zarr3`) 3.

    Raises:
        CheckpointError: there is none.
    """
    # A chunk that is not there would else be read as zeros.
    spec = {"driver": driver, "kvstore": dict(kvstore), "fill_missing_data_reads": False}
    try:
        return ts.open(spec, open=True, read=True, context=context).result()
    except ValueError as e:
        raise CheckpointError(
            f"{kvstore}: expected an array ({_reason(e)}); copy the checkpoint again, with all of "
            "its folders"
        ) from e


def step_of(array: Array) -> int:
    """The training step that an array holds."""
    return int(_read("the training step", array))


def unstacked(place: object, arrays: Mapping[str, Array]) -> tuple[dict[str, Stored], bool]:
    """The arrays under the names of unscanned layers, and whether there were scanned ones.

    Raises:
        CheckpointError: some are no floats; all of them are named.
    """
    types = {name: _dtype(array) for name, array in arrays.items()}
    others = [f"{name}: {dtype}" for name, dtype in types.items() if dtype not in FLOATS.values()]
    if others:
        raise CheckpointError(
            f"{place}: expected floats, got {others}; checkpoints of version 2 keep bfloat16 as "
            "uint16, and T5X itself no longer reads them: save it again with a T5X of 2022"
        )
    tensors: dict[str, Stored] = {}
    stacks = _Stacks()
    scanned = False
    for name, array in arrays.items():
        dtype, shape = types[name], tuple(array.shape)
        if not is_stack(name):
            tensors[name] = Stored(shape, dtype, functools.partial(_read, name, array))
            continue
        scanned = True
        depth = shape[PARAM_SCAN_AXIS] if len(shape) > PARAM_SCAN_AXIS else 0
        shape = shape[:PARAM_SCAN_AXIS] + shape[PARAM_SCAN_AXIS + 1 :]
        for i in range(depth):
            tensors[name.replace(_STACK, f"/layers_{i}/")] = Stored(
                shape, dtype, functools.partial(stacks.read, name, array, i)
            )
    return tensors, scanned


class _Stacks:
    """Reads layers of stacked arrays.

    Where a chunk holds several layers, reading one decodes them all: the stack that was read last
    is kept, for its other layers come next.
    """

    def __init__(self) -> None:
        self._name: str | None = None
        self._values = np.empty(0)

    def read(self, name: str, array: Array, i: int) -> np.ndarray:
        layer = (*_EVERY, i)
        if isinstance(array, np.ndarray):
            return array[layer]
        if _chunk(array)[PARAM_SCAN_AXIS] == 1:
            return _read(name, array[layer])
        if self._name != name:
            self._name, self._values = None, np.empty(0)  # free the last before the next
            self._values = _read(name, array)
            self._name = name
        values = self._values[layer]
        if i == array.shape[PARAM_SCAN_AXIS] - 1:
            self._name, self._values = None, np.empty(0)
        return values


class ZarrFolders:
    """Zarr folders of a T5X checkpoint, open for writing.

    Args:
        folder: where they are made.
        tensors: all that will be written, by unscanned names.
        scanned: whether to stack the layers.
    """

    def __init__(self, folder: Path, tensors: Mapping[str, Spec], *, scanned: bool):
        self._folder, self._scanned = folder, scanned
        stacks = Counter(_stack(name)[0] for name in tensors) if scanned else {}
        self.arrays: dict[str, Spec] = {}
        for name, (shape, dtype) in tensors.items():
            stack, i = _stack(name) if scanned else (name, None)
            if i is not None:
                axis = PARAM_SCAN_AXIS
                shape = (*shape[:axis], stacks[stack], *shape[axis:])
            before = self.arrays.get(stack)
            self.arrays[stack] = Spec(shape, _common(before.dtype, dtype) if before else dtype)
        self._open: dict[str, ts.TensorStore] = {}

    def write(self, name: str, values: np.ndarray) -> None:
        """Writes a tensor, one layer of a stack if layers are scanned; converts its type."""
        stack, i = _stack(name) if self._scanned else (name, None)
        spec = self.arrays[stack]
        target = self._open.get(stack)
        if target is None:
            layered = is_stack(stack)
            target = create_array(self._folder, folder_name(stack), spec, layered=layered)
            self._open[stack] = target
        rows = _chunk(target)[0]
        if i is not None:
            target = target[(*_EVERY, i)]
        start = 0
        for slab in slabs(values, rows):
            slab = np.ascontiguousarray(slab, spec.dtype)
            target[start : start + len(slab)].write(slab).result()
            start += len(slab)


def is_stack(name: str) -> bool:
    """Whether an array holds all layers of a stack."""
    return _STACK in name


def folder_name(name: str) -> str:
    """The folder of a parameter."""
    return ".".join(("target", *name.split("/")))


def create_array(parent: Path, folder: str, spec: Spec, *, layered: bool) -> ts.TensorStore:
    """A new zarr folder; `layered` gives each layer of a stack chunks of its own."""
    return ts.open(
        {
            "driver": "zarr",
            "kvstore": {"driver": "file", "path": f"{parent / folder}/"},
            "dtype": spec.dtype.name,
            "metadata": array_metadata(spec, layered=layered),
            # Else a chunk of zeros could not be told from one that got lost.
            "store_data_equal_to_fill_value": True,
        },
        create=True,
    ).result()


def array_metadata(spec: Spec, *, layered: bool) -> dict[str, Any]:
    """Shape, chunks and compression, as zarr's and T5X's own metadata have them."""
    chunks = list(spec.shape)
    if layered:
        chunks[PARAM_SCAN_AXIS] = 1
    while np.prod(chunks) * spec.dtype.itemsize > CHUNK_BYTES:
        longest = chunks.index(max(chunks))
        chunks[longest] = -(-chunks[longest] // 2)
    return {"shape": list(spec.shape), "chunks": chunks, "compressor": COMPRESSOR}


def _stack(name: str) -> tuple[str, int | None]:
    """The stack that holds a tensor, and its layer there; itself and None if it is in none."""
    found = _LAYER.search(name)
    return (name, None) if found is None else (_LAYER.sub(_STACK, name), int(found[1]))


def _common(a: np.dtype, b: np.dtype) -> np.dtype:
    """The type that holds every number of both."""
    if a.itemsize == b.itemsize:  # bfloat16 and float16 have different exponents
        return a if a == b else FLOATS["F32"]
    return max(a, b, key=lambda dtype: dtype.itemsize)


def _chunk(array: ts.TensorStore) -> tuple[int | None, ...]:
    """The shape of its chunks; zarr has the same for reading and writing."""
    return array.chunk_layout.read_chunk.shape or (None,) * array.rank


def _dtype(array: Array) -> np.dtype:
    return array.dtype if isinstance(array, np.ndarray) else array.dtype.numpy_dtype


def _read(name: str, array: Array) -> np.ndarray:
    if isinstance(array, np.ndarray):
        return array
    try:
        return array.read().result()
    except ValueError as e:
        raise CheckpointError(
            f"{name}: expected all chunks of the array ({_reason(e)}); copy the checkpoint again"
        ) from e


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]

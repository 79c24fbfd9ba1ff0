"""The files of a Hugging Face checkpoint: where they are, and the tensors in them.

Weights lie in `model.safetensors` or, in older checkpoints, in `pytorch_model.bin`, each of them
whole or in shards that an index names. Tensors are read one at a time, in the type that the file
has; only PyTorch's files need torch.
"""

from __future__ import annotations

import functools
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from t5coref.nn import compact

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TORCH_WEIGHTS, TORCH_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
LAYOUTS = (WEIGHTS, INDEX), (TORCH_WEIGHTS, TORCH_INDEX)
CONFIG = "config.json"

FLOATS = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
"""Types of tensors as safetensors calls them."""

PACKED = {"I8": np.dtype(np.int8), "BOOL": np.dtype(np.bool_)}
"""Types that are read as parts of a matrix in eight bits (`nn.compact`) and not otherwise."""

SMALL_FILES = ("*.json", "spiece.model")
"""What is fetched from the hub beside weights: the configuration and the tokenizer."""


class CheckpointError(ValueError):
    """A checkpoint is not there or does not fit the model."""


class Stored(NamedTuple):
    """A tensor in a file, not read yet.

    Attributes:
      shape: its shape.
      dtype: its type, a kind of float.
      read: loads it; each call reads the file again.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]


def find(folder_or_hub_name: str | os.PathLike[str]) -> Path:
    """The folder of a checkpoint; what is none is looked up on the Hugging Face hub.

    The hub's client keeps what it fetches, and finds it there when it is offline. PyTorch's weights
    are fetched only where there are no others.

    Raises:
        CheckpointError: no such folder or name, or no way to look it up.
    """
    folder = Path(folder_or_hub_name)
    if folder.is_dir():
        return folder
    name = os.fspath(folder_or_hub_name)
    try:
        import huggingface_hub
    except ImportError as e:
        raise CheckpointError(
            f"expected a folder, got {name!r}; to look it up on the Hugging Face hub, "
            "install t5coref[hf]"
        ) from e
    try:
        patterns = [*SMALL_FILES, "*.safetensors"]
        folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=patterns))
        if not ((folder / WEIGHTS).exists() or (folder / INDEX).exists()):
            patterns = [*SMALL_FILES, "pytorch_model*.bin"]
            folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=patterns))
        return folder
    except (OSError, ValueError) as e:
        raise CheckpointError(
            f"expected a folder or a name on the Hugging Face hub, got {name!r}, which is not "
            f"a folder and could not be fetched ({type(e).__name__}); check the spelling and the "
            "connection, or download the model and give its folder"
        ) from e


def write_tensors(
    path: Path, tensors: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None
) -> None:
    """Writes a safetensors file of small tensors, which whoever may read its folder may read.

    The library's `save_file` makes files that their owner alone may read, and writes the memory of
    transposed arrays as it lies.
    """
    whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    path.write_bytes(safetensors.numpy.save(whole, metadata))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: there is no such file, or something else is in it.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        there = sorted(p.name for p in path.parent.iterdir())
        raise CheckpointError(f"{path.parent}: expected {path.name}, found {there}") from None
    except (ValueError, RecursionError) as e:
        raise CheckpointError(f"{path}: expected JSON ({e}); fetch the file again") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object; fetch the file again")
    return value


def open_tensors(folder: Path) -> dict[str, Stored]:
    """The tensors of a folder by name.

    Raises:
        CheckpointError: files are missing or damaged, need torch, or hold other types than floats.
    """
    found: dict[str, Stored] = {}
    for path in _weight_files(folder):
        found |= _from_safetensors(path) if path.suffix != ".bin" else _from_torch(path)
    return found


def has_weights(folder: Path) -> bool:
    """Whether the folder itself holds weights in one of Hugging Face's layouts."""
    return any((folder / file).exists() for layout in LAYOUTS for file in layout)


def _weight_files(folder: Path) -> list[Path]:
    whole, index = next(
        (layout for layout in LAYOUTS if any((folder / file).exists() for file in layout)),
        LAYOUTS[0],
    )
    names = [whole]
    if (folder / index).exists():
        weight_map = read_json(folder / index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(f"{folder / index}: expected a weight_map; fetch the file again")
        outside = [n for n in weight_map.values() if not isinstance(n, str) or Path(n).name != n]
        if outside:
            raise CheckpointError(
                f"{folder / index}: expected files of this folder, found {outside[:3]}"
            )
        names = sorted(set(weight_map.values()))
    absent = [name for name in names if not (folder / name).exists()]
    if absent:
        raise CheckpointError(
            f"{folder}: expected {absent}, found {sorted(p.name for p in folder.iterdir())}; "
            "download them, or convert other formats with transformers' save_pretrained"
        )
    return [folder / name for name in names]


def _from_safetensors(path: Path) -> dict[str, Stored]:
    try:
        with safe_open(path, framework="np"):  # it checks the header against the file
            pass
    except SafetensorError as e:
        raise CheckpointError(f"{path}: not safetensors ({e}); fetch the file again") from e
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    types = {**FLOATS, **PACKED}
    others = {name: t["dtype"] for name, t in header.items() if t["dtype"] not in types}
    if others:
        raise _no_floats(path, others)

    def read(start: int, end: int, dtype: np.dtype, shape: list[int]) -> np.ndarray:
        # Read and not mapped: mapped pages would count as this process's memory until it ends.
        with path.open("rb") as file:
            file.seek(8 + length + start)
            return np.fromfile(file, np.uint8, end - start).view(dtype).reshape(shape)

    found = {}
    for name, tensor in header.items():
        dtype, shape = types[tensor["dtype"]], tensor["shape"]
        found[name] = Stored(
            tuple(shape),
            dtype,
            functools.partial(read, *tensor["data_offsets"], dtype, shape),
        )
    return _unpacked(path, found)


def _unpacked(path: Path, found: dict[str, Stored]) -> dict[str, Stored]:
    """Puts together the matrices that are stored in eight bits."""
    for name in [name for name in found if name + compact.SCALE in found]:
        stored = compact.parts(found, name)
        rows = stored[-1].shape[0]  # of the scale, or of what says which rows are kept

        def read(stored: list[Stored] = stored) -> np.ndarray:
            return compact.restored(*(part.read() for part in stored))

        found[name] = Stored((rows, *stored[0].shape[1:]), FLOATS["F32"], read)
        for behind in (compact.SCALE, compact.KEPT):
            found.pop(name + behind, None)
    packed = {dtype: name for name, dtype in PACKED.items()}
    others = {name: packed[t.dtype] for name, t in found.items() if t.dtype in packed}
    if others:
        raise _no_floats(path, others)
    return found


def _from_torch(path: Path) -> dict[str, Stored]:
    try:
        import torch
    except ImportError as e:
        raise CheckpointError(
            f"{path.name} is in PyTorch's own format: expected torch to read it, it is not "
            "installed; pip install torch, or convert the file to safetensors elsewhere"
        ) from e
    try:
        # Files older than 2020 are no archives and cannot be mapped into memory.
        mapped = zipfile.is_zipfile(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as e:
        reason = str(e).strip().partition("\n")[0]
        raise CheckpointError(
            f"{path}: expected tensors in PyTorch's format and nothing else ({reason}); "
            "fetch the file again"
        ) from e
    if not isinstance(tensors, Mapping) or not all(
        isinstance(t, torch.Tensor) for t in tensors.values()
    ):
        raise CheckpointError(f"{path}: expected a mapping of names to tensors")

    floats = {
        torch.float64: FLOATS["F64"],
        torch.float32: FLOATS["F32"],
        torch.float16: FLOATS["F16"],
        torch.bfloat16: FLOATS["BF16"],
    }
    others = {name: str(t.dtype) for name, t in tensors.items() if t.dtype not in floats}
    if others:
        raise _no_floats(path, others)

    def read(tensor: Any) -> np.ndarray:
        # numpy has no bfloat16 of its own: the bits are copied, and named afterwards.
        bits = tensor.detach().contiguous().view(torch.uint8).numpy()
        return np.array(bits).view(floats[tensor.dtype])

    return {
        name: Stored(tuple(tensor.shape), floats[tensor.dtype], functools.partial(read, tensor))
        for name, tensor in tensors.items()
    }


def _no_floats(path: Path, others: Mapping[str, str]) -> CheckpointError:
    shown = [f"{name}: {dtype}" for name, dtype in sorted(others.items())]
    return CheckpointError(
        f"{path}: expected floats of 16, 32 or 64 bits, got {shown}; "
        "give the checkpoint before it was quantized"
    )

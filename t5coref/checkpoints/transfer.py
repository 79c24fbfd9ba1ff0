"""Copying a checkpoint from one layout to another, one tensor in memory at a time."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from t5coref.checkpoints.folders import appearing
from t5coref.checkpoints.huggingface import HuggingFaceWriter
from t5coref.checkpoints.legacy import LegacyWriter
from t5coref.checkpoints.orbax import OrbaxWriter
from t5coref.checkpoints.reading import Checkpoint, is_step_folder, step_folder
from t5coref.nn.checkpoint import HEAD, TABLE, averaged, grown
from t5coref.nn.shards import SHARD_BYTES, Spec
from t5coref.nn.weight_files import CONFIG, FLOATS, INDEX, CheckpointError, Stored


class Writer(Protocol):
    """Takes tensors one by one, in any order."""

    def write(self, name: str, values: np.ndarray) -> None:
        """Writes the tensor of an unscanned name."""

    def close(self) -> None:
        """Finishes what was written."""


class Layout(NamedTuple):
    """A way to lay out a checkpoint.

    Attributes:
        title: what it is, in words.
        t5x: its writer's class where the layout is one of T5X; None for Hugging Face's.
    """

    title: str
    t5x: type[OrbaxWriter] | type[LegacyWriter] | None = None


HUGGING_FACE = Layout("Hugging Face")
T5X = Layout("T5X", OrbaxWriter)
T5X_LEGACY = Layout("T5X legacy", LegacyWriter)

DTYPES = {"float32": FLOATS["F32"], "bfloat16": FLOATS["BF16"]}

FILES_BESIDE = (
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
)
"""What goes along with the weights wherever it is there, unchanged."""

ROWS_MULTIPLE = 128
"""Tables grow to a multiple of it, as T5's own 32,128 rows are one: chips can share them out."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a transfer did.

    Attributes:
        source: layout of the source.
        target: layout that was written.
        folder: of the weights: the destination, or its `checkpoint_N`.
        tensors: parameters of the model, layer by layer.
        numbers: that they hold.
        nbytes: that they take, without headers and compression.
        dtypes: tensors of each type.
        rows: of the table, in the source and now.
        scanned: whether the layers are stacked now.
        left_behind: arrays of the source's optimizer, which are not copied.
        seconds: that it took.
    """

    source: str
    target: str
    folder: Path
    tensors: int
    numbers: int
    nbytes: int
    dtypes: Mapping[str, int]
    rows: tuple[int, int]
    scanned: bool
    left_behind: int
    seconds: float


def rounded_up(rows: int) -> int:
    """The rows of a table that has to have so many at least."""
    return -(-rows // ROWS_MULTIPLE) * ROWS_MULTIPLE


def transfer(
    source: Checkpoint,
    destination: Path,
    layout: Layout,
    *,
    at_least: int = 0,
    means: Mapping[int, Sequence[int]] = MappingProxyType({}),
    dtype: str | None = None,
    scan: bool | None = None,
    step: int | None = None,
    overwrite: bool = False,
    max_shard_bytes: int = SHARD_BYTES,
    beside: Callable[[Path], None] = lambda folder: None,
    advanced: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Summary:
    """Writes a checkpoint anew; the destination appears whole or not at all.

    One tensor is in memory at a time; of a stack that the source keeps in one piece, all layers.

    Args:
        source: what to copy.
        destination: the folder to make; T5X's layouts get a `checkpoint_N` in it.
        layout: how to lay it out.
        at_least: rows that the table needs; those that it lacks are drawn as by `grow_vocab`.
        means: rows of the table, and columns of an untied head, that become the means of others.
        dtype: float32 or bfloat16; None = each tensor's own.
        scan: stack the layers, or not; None = as in the source. Only T5X's layouts can.
        step: of training, in the checkpoint's name; None = the source's. Only T5X's have one.
        overwrite: replace a checkpoint that is there.
        max_shard_bytes: of Hugging Face's files.
        beside: writes what else belongs into the destination, after the weights.
        advanced: called after each tensor with its name, the bytes written and those of all.

    Raises:
        CheckpointError: the destination is not free, an option does not suit the layout, or the
            source cannot be read.
    """
    started = time.monotonic()
    if layout.t5x is None and (scan or step is not None):
        option = "scanned layers" if scan else "a step"
        raise CheckpointError(f"the layout {layout.title} has no {option}; expected one of T5X's")
    if step is not None and step < 0:
        raise CheckpointError(f"expected a step from 0 on, got {step}")
    place = Path(destination).absolute()
    if place.resolve() in source.folder.resolve().parents:
        raise CheckpointError(f"{destination} contains the source; give a folder outside it")
    rows = source.config.vocab_size
    wanted = rows if rows >= at_least else rounded_up(at_least)
    config = dataclasses.replace(source.config, vocab_size=wanted)
    tensors = _grown(source.tensors, wanted) if wanted > rows else dict(source.tensors)
    if means:
        tensors |= _changed(tensors, lambda name, old: averaged(name, old, means))
    to = None if dtype is None else DTYPES[dtype]
    specs = {name: Spec(tensor.shape, to or tensor.dtype) for name, tensor in tensors.items()}
    scanned = layout.t5x is not None and (source.scanned if scan is None else scan)
    step = source.step if step is None else step
    total = sum(spec.nbytes for spec in specs.values())
    with appearing(place, overwrite=overwrite, foreign=_foreign) as fresh:
        if layout.t5x is None:
            writer: Writer = HuggingFaceWriter(
                fresh, config, specs, max_shard_bytes=max_shard_bytes
            )
        else:
            writer = layout.t5x(fresh / step_folder(step), specs, scanned=scanned, step=step)
        done = 0
        for name, tensor in tensors.items():
            _copy(name, tensor, writer)
            done += specs[name].nbytes
            advanced(name, done, total)
        writer.close()
        for file in FILES_BESIDE:
            if (source.folder / file).is_file():
                (fresh / file).write_bytes((source.folder / file).read_bytes())
        description = _description(source.description, config, dtype)
        (fresh / CONFIG).write_text(json.dumps(description, indent=2) + "\n", "utf-8")
        beside(fresh)
    return Summary(
        source=source.layout,
        target=layout.title,
        folder=Path(destination) / step_folder(step) if layout.t5x else Path(destination),
        tensors=len(specs),
        numbers=sum(spec.size for spec in specs.values()),
        nbytes=total,
        dtypes=Counter(spec.dtype.name for spec in specs.values()),
        rows=(rows, wanted),
        scanned=scanned,
        left_behind=len(source.left_behind),
        seconds=time.monotonic() - started,
    )


def _copy(name: str, tensor: Stored, writer: Writer) -> None:
    # A function of its own: its values are freed before the next tensor is read.
    writer.write(name, tensor.read())


def _grown(tensors: Mapping[str, Stored], rows: int) -> dict[str, Stored]:
    def shape(name: str, old: Stored) -> tuple[int, ...]:
        return (rows, old.shape[1]) if name == TABLE else (old.shape[0], rows)

    made = _changed(tensors, lambda name, old: grown(name, old, rows))
    return {**tensors, **{name: new._replace(shape=shape(name, new)) for name, new in made.items()}}


def _changed(
    tensors: Mapping[str, Stored], change: Callable[[str, np.ndarray], np.ndarray]
) -> dict[str, Stored]:
    """The table and the head, changed when they are read."""

    def changing(name: str, old: Stored) -> Stored:
        return old._replace(read=lambda: change(name, old.read()))

    return {name: changing(name, tensors[name]) for name in (TABLE, HEAD) if name in tensors}


def _description(original: Mapping[str, Any], config: Any, dtype: str | None) -> dict[str, Any]:
    """`config.json` with what has changed."""
    changed = {**original, "vocab_size": config.vocab_size}
    if dtype is not None:
        # Which of the two transformers reads depends on its version.
        changed.pop("dtype", None)
        changed["torch_dtype"] = dtype
    return changed


def _foreign(names: Sequence[str]) -> list[str]:
    """What in a folder is no part of one checkpoint as it is written here."""
    steps = [name for name in names if is_step_folder(name)]
    known = {CONFIG, "t5coref.json", INDEX, *FILES_BESIDE, *steps[:1]}
    return [name for name in names if name not in known and not name.endswith(".safetensors")]

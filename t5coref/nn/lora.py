"""Low-rank adapters of a T5's matrices (Hu et al. 2021, "LoRA"), and rows of new symbols.

An adapted tree is that of the T5 with further leaves, named as T5X would name them:

    .../query/kernel       [in, out]           W, as it was pretrained
    .../query/lora_a       [in, rank]          A, drawn from a normal distribution at first
    .../query/lora_b       [rank, out]         B, zero at first
    token_embedder/symbols          [N, D]     what is added to the table's rows of the N symbols
    decoder/logits_dense/symbols    [D, N]     what is added to the columns of an untied head

Changes of rows begin with zero, too. The layers compute x W + alpha / rank (x A) B. Scanned layers
have one axis more, that of all their parameters. `composed` makes of an adapted tree what the
network reads, `merged` an ordinary T5.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.partitioning import AxisMetadata
from flax.traverse_util import flatten_dict, unflatten_dict

from t5coref.nn.checkpoint import HEAD, MATRICES, TABLE
from t5coref.nn.layers import LORA_A, LORA_B
from t5coref.nn.partition import AbstractParameters, Axes
from t5coref.nn.stack import PARAM_SCAN_AXIS

SYMBOLS = "symbols"
"""Name of the changes to rows of new symbols, beside the table and the head that they are of."""

T5_PARTS = ("token_embedder", "encoder", "decoder")
"""What a T5's parameters are below; heads that are computed from it have other names."""

ATTENTION = ("query", "key", "value", "out")
PARTS = ("encoder", "decoder", "cross_attention")

Path = tuple[str, ...]


@dataclass(frozen=True)
class LoRA:
    """Which matrices of a T5 have adapters, and of which size.

    The defaults are those of the project for base and large models; XL takes rank 32 and alpha 64.

    Attributes:
        rank: r, columns of A and rows of B.
        alpha: the product of A and B counts alpha / rank times.
        dropout: share of what an adapter reads that is dropped in training.
        targets: `query`, `key`, `value`, `out` of attention, `wo` and `wi` of the feed-forward
            block; `wi` is all of its first matrices, `wi_0` or `wi_1` one of version 1.1.
        parts: `encoder`, `decoder` (its self-attention and feed-forward block), `cross_attention`.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = (*ATTENTION, "wi", "wo")
    parts: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(self.targets))
        object.__setattr__(self, "parts", tuple(self.parts))
        if self.rank < 1 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"expected a rank of at least 1 and a dropout in [0, 1), got rank {self.rank} and "
                f"dropout {self.dropout}"
            )
        known = {"targets": (*ATTENTION, *MATRICES), "parts": PARTS}
        for field, names in known.items():
            given = getattr(self, field)
            if not given or not set(given) <= set(names):
                raise ValueError(f"expected {field} among {[*names]}, got {[*given]}")

    @property
    def scale(self) -> float:
        """What the product of A and B is multiplied by."""
        return self.alpha / self.rank

    def chooses(self, path: Path) -> bool:
        """Whether the parameter at a path, such as `encoder/.../query/kernel`, has an adapter."""
        if path[-1] != "kernel" or part_of(path) not in self.parts:
            return False
        matrix = path[-2]
        return matrix in self.targets or (matrix.startswith("wi_") and "wi" in self.targets)


class Vocabulary(Protocol):
    """A tokenizer, as far as it concerns the rows of the table."""

    @property
    def symbols(self) -> Sequence[str]:
        """The added symbols."""
        ...

    @property
    def size(self) -> int:
        """How many ids there are."""
        ...


class Rows(NamedTuple):
    """The ids of new symbols: `count` of them from `first` on."""

    first: int
    count: int

    @classmethod
    def of(cls, tokenizer: Vocabulary) -> Rows:
        """Those of a tokenizer's added symbols, which stand behind the pretrained ids."""
        count = len(tokenizer.symbols)
        return cls(tokenizer.size - count, count)


def with_adapters(
    lora: LoRA, params: Mapping[str, Any], rows: Rows, key: jax.Array
) -> dict[str, Any]:
    """The adapted tree of a T5, which computes exactly what the T5 does.

    A is drawn from a normal distribution with deviation `in ** -0.5`, so that x A is as large as x.
    The draw depends on the key and on the matrix, not on which others have adapters or whether
    layers are scanned.

    Raises:
        ValueError: a target is no matrix of this model, or its table lacks the rows of symbols.
    """
    flat = _flat(params)
    chosen = [path for path in flat if lora.chooses(path)]
    _refuse_missing(lora, flat, chosen)
    for path in chosen:
        kernel = flat[path]
        size, features = kernel.shape[0], kernel.shape[-1]
        a, b = (size, lora.rank), (lora.rank, features)
        layers = kernel.shape[1:-1]
        if layers:
            each = [
                _normal(key, tuple(f"layers_{i}" if p == "layers" else p for p in path), a)
                for i in range(*layers)
            ]
            flat[*path[:-1], LORA_A] = jnp.stack(each, axis=PARAM_SCAN_AXIS)
        else:
            flat[*path[:-1], LORA_A] = _normal(key, path, a)
        flat[*path[:-1], LORA_B] = jnp.zeros((b[0], *layers, b[1]), jnp.float32)
    for path, axis in tables(flat).items() if rows.count else ():
        shape = list(flat[path].shape)
        if shape[axis] < rows.first + rows.count:
            raise ValueError(
                f"expected {'/'.join(path)} to have at least {rows.first + rows.count} rows, "
                f"got {shape[axis]}; grow it with nn.checkpoint.grow_vocab"
            )
        shape[axis] = rows.count
        flat[*path[:-1], SYMBOLS] = jnp.zeros(shape, jnp.float32)
    return unflatten_dict(flat)


def split(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An adapted tree as (what is trained, what is not).

    Trained are adapters, rows of new symbols, and heads, which are no part of the T5.
    """
    flat = _flat(params)
    trained = {path: leaf for path, leaf in flat.items() if is_trained(path)}
    fixed = {path: leaf for path, leaf in flat.items() if not is_trained(path)}
    return unflatten_dict(trained), unflatten_dict(fixed)


def is_trained(path: Path) -> bool:
    """Whether the parameter at this path of an adapted tree is one that is trained."""
    return path[-1] in (LORA_A, LORA_B, SYMBOLS) or path[0] not in T5_PARTS


def joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `split`, in any order."""
    return unflatten_dict(_flat(one) | _flat(other))


def composed(lora: LoRA, params: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """What the network reads of an adapted tree: B scaled, and the tables with the new rows."""
    flat = _with_rows(_flat(params), rows)
    for path, leaf in flat.items():
        if path[-1] == LORA_B:
            flat[path] = leaf * lora.scale
    return unflatten_dict(flat)


def merged(lora: LoRA, params: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """The T5 with the kernels W + alpha / rank A B: the same function without adapters."""
    flat = _with_rows(_flat(params), rows)
    for path in [path for path in flat if path[-1] == LORA_A]:
        a, b = flat.pop(path), flat.pop((*path[:-1], LORA_B))
        kernel = (*path[:-1], "kernel")
        if a.ndim == 3:
            a, b = a.swapaxes(0, PARAM_SCAN_AXIS), b.swapaxes(0, PARAM_SCAN_AXIS)
        # The default of GPUs would round the factors.
        change = jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST) * lora.scale
        if change.ndim == 3:
            change = change.swapaxes(0, PARAM_SCAN_AXIS)
        flat[kernel] = flat[kernel] + change
    return unflatten_dict(flat)


def abstract(lora: LoRA, base: AbstractParameters, rows: Rows) -> AbstractParameters:
    """Shapes and logical axes of the adapted tree; the rank and the new symbols lie everywhere."""
    shapes = jax.eval_shape(
        lambda params, key: with_adapters(lora, params, rows, key), base.shapes, jax.random.key(0)
    )
    axes = {path: axes_of(path, base.axes) for path in _flat(shapes)}
    return AbstractParameters(shapes, axes)


def with_adapted_variables(
    lora: LoRA, variables: Mapping[str, Any], rows: Rows, key: jax.Array
) -> dict[str, Any]:
    """The variables of a T5's `init`, parameters and their axes, with `with_adapters`."""
    params = with_adapters(lora, variables["params"], rows, key)
    own = {
        (*path[:-1], path[-1].removesuffix("_axes")): tuple(metadata.names)
        for path, metadata in _flat(variables["params_axes"]).items()
    }
    axes = {
        (*path[:-1], f"{path[-1]}_axes"): AxisMetadata(axes_of(path, own)) for path in _flat(params)
    }
    return {**variables, "params": params, "params_axes": unflatten_dict(axes)}


def nearest(lora: LoRA, change: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The A and B that come nearest to adding `change` to a kernel [in, out], and how near.

    The last is the share of the sum of squares of `change` that they hold.
    """
    left, values, right = np.linalg.svd(np.asarray(change, np.float64), full_matrices=False)
    root = np.sqrt(values[: lora.rank] / lora.scale)
    a, b = left[:, : lora.rank] * root, root[:, None] * right[: lora.rank]
    missing = lora.rank - len(root)  # of a matrix that is no larger than the rank
    a, b = np.pad(a, ((0, 0), (0, missing))), np.pad(b, ((0, missing), (0, 0)))
    total = float(np.square(values).sum())
    share = float(np.square(values[: lora.rank]).sum()) / total if total else 1.0
    return a.astype(np.float32), b.astype(np.float32), share


def axes_of(path: Path, axes: Mapping[Path, tuple[str | None, ...]]) -> tuple[str | None, ...]:
    """The logical axes of a parameter of an adapted tree, given those of the T5's own."""
    if path[-1] == SYMBOLS:
        place = (*path[:-1], "embedding" if path[0] == "token_embedder" else "kernel")
        return tuple(None if axis == "vocab" else axis for axis in axes[place])
    if path[-1] not in (LORA_A, LORA_B):
        return axes[path]
    own: Axes = axes[*path[:-1], "kernel"]
    return (*own[:-1], None) if path[-1] == LORA_A else (None, *own[1:])


def part_of(path: Path) -> str:
    """Which of `PARTS` the parameter at a path is of, or the first name of the path."""
    return "cross_attention" if "encoder_decoder_attention" in path else path[0]


def _with_rows(flat: dict[Path, Any], rows: Rows) -> dict[Path, Any]:
    for path, axis in tables(flat).items():
        change = flat.pop((*path[:-1], SYMBOLS), None)
        if change is not None:
            table = jnp.asarray(flat[path])
            old = jax.lax.slice_in_dim(table, rows.first, rows.first + rows.count, axis=axis)
            flat[path] = jax.lax.dynamic_update_slice_in_dim(table, old + change, rows.first, axis)
    return flat


def tables(flat: Mapping[Path, Any]) -> dict[Path, int]:
    """The table and the head, as far as there are any, and on which axis they have the symbols."""
    paths = {tuple(TABLE.split("/")): 0, tuple(HEAD.split("/")): 1}
    return {path: axis for path, axis in paths.items() if path in flat}


def _normal(key: jax.Array, path: Path, shape: tuple[int, int]) -> jax.Array:
    own = jax.random.fold_in(key, zlib.crc32("/".join(path).encode()))
    return jax.random.normal(own, shape, jnp.float32) * shape[0] ** -0.5


def _refuse_missing(lora: LoRA, flat: Mapping[Path, Any], chosen: list[Path]) -> None:
    found = {name for path in chosen for name in (path[-2], path[-2].partition("_")[0])}
    missing = [name for name in lora.targets if name not in found]
    if missing:
        there = {path[-2] for path in flat if path[-1] == "kernel"} & {*ATTENTION, *MATRICES}
        raise ValueError(
            f"expected targets among the matrices of this model in {[*lora.parts]}, which has "
            f"{sorted(there)}; {missing} are none of them"
        )


def _flat(params: Mapping[str, Any]) -> dict[Path, Any]:
    return dict(flatten_dict(dict(params)))

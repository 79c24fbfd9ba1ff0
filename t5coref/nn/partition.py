"""Which device holds what: from logical axes to places on a mesh.

A mesh has the axes `data` and `model`. Parameters are divided over both (matrices by their heads,
hidden units or vocabulary over `model`, by the model width over `data`) and brought together, one
layer at a time, where they are used. Rows of a batch are divided over `data`; inside a layer heads
and hidden units are divided over `model`, between layers the positions of a text are (Xu et al.
2021, "GSPMD"; Korthikanti et al. 2022, section 4.2.2). The logical axes are those of
`t5x.partitioning.standard_logical_axis_rules`.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax.linen.spmd import with_logical_constraint
from flax.traverse_util import flatten_dict
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DATA, MODEL = "data", "model"
"""The axes of a mesh."""

RULES = (
    ("batch", DATA),
    ("vocab", MODEL),
    ("mlp", MODEL),
    ("heads", MODEL),
    ("joined_kv", MODEL),
    ("embed", DATA),
    ("length", MODEL),
)
"""Logical axis -> mesh axis. A mesh axis divides one axis of an array, that of the first rule."""

DECODING_RULES = tuple(rule for rule in RULES if rule[0] not in ("embed", "length"))
"""For decoding, which has no moments to store and would bring parameters together at each step."""

Axes = Sequence[str | None]
"""The logical axes of an array, one for each of its dimensions."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """How arrays lie on a mesh whose axes are `data` and, if there are many chips, `model`."""

    mesh: Mesh
    rules: tuple[tuple[str, str], ...] = RULES

    def spec(self, axes: Axes, shape: Sequence[int]) -> PartitionSpec:
        """The mesh axes of each dimension; what cannot be divided evenly is repeated."""
        placed: dict[int, str] = {}
        for logical, physical in self.rules:
            if physical not in self.mesh.shape or physical in placed.values():
                continue
            for i, (axis, size) in enumerate(zip(axes, shape, strict=True)):
                if axis == logical and i not in placed and not size % self.mesh.shape[physical]:
                    placed[i] = physical
                    break
        return PartitionSpec(*(placed.get(i) for i in range(len(shape))))

    def sharding(self, axes: Axes, shape: Sequence[int]) -> NamedSharding:
        """The same with the mesh."""
        return NamedSharding(self.mesh, self.spec(axes, shape))

    def constrain(self, x: jax.Array, axes: Axes) -> jax.Array:
        """`x`, placed by its logical axes."""
        return jax.lax.with_sharding_constraint(x, self.sharding(axes, x.shape))

    def parameters(self, abstract: AbstractParameters) -> Any:
        """The shardings of parameters, as a tree like them."""
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: self.sharding(abstract.axes[_names(path)], leaf.shape),
            abstract.shapes,
        )

    def moments(self, abstract: AbstractParameters, state: Any) -> Any:
        """The shardings of an optimizer's state, each moment where its parameter is.

        A factored moment lacks one dimension of its parameter (Shazeer and Stern 2018) and is
        divided as the others are. Everything else is repeated.
        """
        shapes = {
            _names(path): leaf.shape
            for path, leaf in jax.tree_util.tree_leaves_with_path(abstract.shapes)
        }

        def place(path, leaf):
            names = _names(path)
            # The state repeats the tree of parameters below fields of its own.
            owner = next((names[i:] for i in range(len(names)) if names[i:] in shapes), None)
            axes = None if owner is None else _axes_left(
                abstract.axes[owner], shapes[owner], leaf.shape
            )  # fmt: skip
            return self.sharding(axes or (None,) * leaf.ndim, leaf.shape)

        return jax.tree_util.tree_map_with_path(place, state)

    def batch(self, features: Any) -> Any:
        """The shardings of micro-batches `[K, B, ...]`: rows over `data`."""

        def place(leaf):
            return self.sharding((None, "batch", *[None] * (leaf.ndim - 2)), leaf.shape)

        return jax.tree.map(place, features)

    @contextlib.contextmanager
    def traced(self) -> Iterator[None]:
        """While a function is traced in this context, its arrays are placed by this layout."""
        token = _layout.set(self)
        try:
            yield
        finally:
            _layout.reset(token)


@dataclasses.dataclass(frozen=True)
class AbstractParameters:
    """Shapes of parameters, and their logical axes by path."""

    shapes: Any
    axes: dict[tuple[str, ...], tuple[str | None, ...]]

    @classmethod
    def of(cls, network: Any) -> AbstractParameters:
        """Those of a `T5`, without computing them."""
        tokens = jnp.zeros((1, 1), jnp.int32)
        init = functools.partial(network.init, enable_dropout=False)
        variables = jax.eval_shape(init, jax.random.key(0), tokens, tokens, tokens)
        flat: Any = flatten_dict(variables["params_axes"])
        axes = {
            (*path[:-1], path[-1].removesuffix("_axes")): tuple(metadata.names)
            for path, metadata in flat.items()
        }
        return cls(variables["params"], axes)

    @property
    def count(self) -> int:
        """Numbers in all of them."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.shapes))


_layout: contextvars.ContextVar[Layout | None] = contextvars.ContextVar("layout", default=None)


def constrain(x: jax.Array, axes: Axes) -> jax.Array:
    """An activation, placed by the layout that is traced with, or else by the rules of T5X."""
    layout = _layout.get()
    if layout is None:
        return with_logical_constraint(x, tuple(axes))
    return layout.constrain(x, axes)


def gathered(kernel: jax.Array, axes: Axes) -> jax.Array:
    """A parameter brought together over `data` for its use; its gradient is divided at once.

    Without a layout it is returned as it is.
    """
    layout = _layout.get()
    if layout is None:
        return kernel
    used = [None if axis == "embed" else axis for axis in axes]

    @jax.custom_vjp
    def gather(kernel):
        return layout.constrain(kernel, used)

    gather.defvjp(
        lambda kernel: (layout.constrain(kernel, used), None),
        lambda _, gradient: (layout.constrain(gradient, axes),),
    )
    return gather(kernel)


def for_each_row(x: jax.Array, rows: int, axes: Axes) -> jax.Array:
    """`x` `[1, ...]` repeated as `[B, ...]` where rows lie on different devices.

    The gradient of what all rows share is a sum over devices. If it is used in a loop, each device
    then adds up its own part, and the sum is taken once, behind the loop.
    """
    layout = _layout.get()
    if layout is None or layout.mesh.shape[DATA] == 1:
        return x
    return layout.constrain(jnp.broadcast_to(x, (rows, *x.shape[1:])), axes)


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(str(getattr(key, "key", getattr(key, "name", key))) for key in path)


def _axes_left(
    axes: tuple[str | None, ...], shape: tuple[int, ...], left: tuple[int, ...]
) -> tuple[str | None, ...] | None:
    """The axes of a moment with the shape `left` of a parameter with `shape`."""
    if left == shape:
        return axes
    for i in range(len(shape)):
        if left == (*shape[:i], *shape[i + 1 :]):
            return (*axes[:i], *axes[i + 1 :])
    return None

"""Parameter trees of scanned and unscanned layers, in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t5coref.nn.stack import PARAM_SCAN_AXIS

STACKS = ("encoder", "decoder")


def scan_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Stacks `layers_0`, `layers_1`, ... of each stack to `layers`, layers on axis 1; exact.

    Any tree with the parameters' structure will do (gradients, optimizer moments).
    """
    return {name: _scan(tree) if name in STACKS else tree for name, tree in params.items()}


def unscan_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `scan_params`."""
    return {name: _unscan(tree) if name in STACKS else tree for name, tree in params.items()}


def _scan(stack: Mapping[str, Any]) -> dict[str, Any]:
    depth = sum(name.startswith("layers_") for name in stack)
    if not depth:
        raise ValueError(f"expected unscanned layers_0, layers_1, ..., got {sorted(stack)}")
    layers = [stack[f"layers_{i}"] for i in range(depth)]
    rest = {name: tree for name, tree in stack.items() if not name.startswith("layers_")}

    def join(*leaves):
        host = all(isinstance(leaf, np.ndarray) for leaf in leaves)
        return (np if host else jnp).stack(leaves, axis=PARAM_SCAN_AXIS)

    return {**rest, "layers": jax.tree.map(join, *layers)}


def _unscan(stack: Mapping[str, Any]) -> dict[str, Any]:
    if "layers" not in stack:
        raise ValueError(f"expected scanned 'layers', got {sorted(stack)}")
    rest = {name: tree for name, tree in stack.items() if name != "layers"}
    depth = jax.tree.leaves(stack["layers"])[0].shape[PARAM_SCAN_AXIS]
    every = (slice(None),) * PARAM_SCAN_AXIS
    for i in range(depth):
        rest[f"layers_{i}"] = jax.tree.map(lambda leaf, i=i: leaf[(*every, i)], stack["layers"])
    return rest

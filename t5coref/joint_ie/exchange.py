"""What T5X has trained, as a model folder of ours."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from flax.traverse_util import flatten_dict

from t5coref.checkpoints.orbax import open_arrays, state_folder
from t5coref.checkpoints.shape import config_of
from t5coref.checkpoints.zarr import unstacked
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.headed import HEADS
from t5coref.joint_ie.composition import for_types
from t5coref.joint_ie.inventory import inventory
from t5coref.joint_ie.model import JointModel, initial_heads
from t5coref.nn.checkpoint import parameters
from t5coref.nn.joint_ie import JointIE
from t5coref.nn.weight_files import CheckpointError
from t5coref.tokenizer import Tokenizer


def from_t5x(
    checkpoint: str | os.PathLike[str],
    *,
    heads: JointIE,
    relations: Sequence[str],
    tokenizer: str | os.PathLike[str],
    setting: str,
    dtype: str = "float32",
) -> JointModel:
    """The model of a `checkpoint_N` that T5X wrote of `t5coref.t5x_joint_ie.JointIEModel`.

    Args:
      checkpoint: the folder of one step.
      heads: as they were trained; the number of relation types is that of `relations`.
      relations: those of the task, in its order.
      tokenizer: that of the task.
      setting: what the composition is called.
      dtype: computation type of the T5.

    Raises:
      ConfigError: there is no such checkpoint.
      MismatchError: its parameters are not those of an encoder with these heads.
    """
    place = pathlib.Path(checkpoint)
    state = state_folder(place) if place.is_dir() else None
    if state is None:
        raise ConfigError(f"{checkpoint} is no checkpoint of T5X; expected a folder checkpoint_N")
    arrays, _ = open_arrays(state)
    found = {"/".join(key[1:]): array for key, array in arrays.items() if array is not None}
    tensors, _ = unstacked(place, found)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    names = inventory(relations)
    heads = for_types(heads, len(names))
    try:
        of_t5 = {name: shape for name, shape in shapes.items() if not name.startswith(f"{HEADS}/")}
        config = config_of(place, of_t5, dtype=dtype)
    except CheckpointError as error:
        raise MismatchError(f"{checkpoint}: {error}") from error
    wanted: Any = flatten_dict({HEADS: initial_heads(heads, config.emb_dim, 0)}, sep="/")
    differing = sorted(name for name, leaf in wanted.items() if shapes.get(name) != leaf.shape)
    strange = sorted(shapes.keys() - of_t5.keys() - wanted.keys())
    if differing or strange:
        raise MismatchError(
            f"{checkpoint}: the heads do not fit; of another shape or missing: {differing[:4]}, "
            f"left over: {strange[:4]}; give the composition and the relation types of the run"
        )
    pieces = Tokenizer(tokenizer, ())
    return JointModel(config, parameters(tensors), pieces, heads, names, setting)

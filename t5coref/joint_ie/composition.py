"""The parts of the heads as JSON and back, so that a card can say what a model is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from flax import linen as nn

from t5coref.core.errors import MismatchError
from t5coref.nn import joint_ie
from t5coref.nn.joint_ie import JointIE

PART = "part"
_OF_FLAX = ("parent", "name")


def describe(module: nn.Module) -> dict[str, Any]:
    """The name of a part and its arguments, parts within it likewise."""
    arguments = {
        field.name: getattr(module, field.name)
        for field in dataclasses.fields(module)
        if field.init and field.name not in _OF_FLAX
    }
    return {PART: type(module).__name__} | {
        name: describe(value) if isinstance(value, nn.Module) else value
        for name, value in arguments.items()
    }


def build(description: Mapping[str, Any]) -> Any:
    """The part that `describe` described.

    Raises:
      MismatchError: there is no such part, or it has other arguments.
    """
    name = description.get(PART)
    part = getattr(joint_ie, str(name), None)
    if not (isinstance(part, type) and issubclass(part, nn.Module)):
        raise MismatchError(
            f"the card names a part {name!r}, which this version does not have; load the model "
            "with the version of t5coref that wrote it"
        )
    arguments = {
        key: build(value) if isinstance(value, Mapping) else value
        for key, value in description.items()
        if key != PART
    }
    try:
        return part(**arguments)
    except (TypeError, ValueError) as error:
        raise MismatchError(f"the card's part {name} cannot be made: {error}") from error


def for_types(heads: JointIE, count: int) -> JointIE:
    """The same heads for so many relation types."""
    if heads.relations is None:
        return heads
    return heads.clone(relations=heads.relations.clone(types=count))

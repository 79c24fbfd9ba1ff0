"""The parts of the heads as a card describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from t5coref import headed
from t5coref.nn import joint_ie
from t5coref.nn.joint_ie import JointIE


def build(description: Mapping[str, Any]) -> Any:
    """The part that `headed.describe` described.

    Raises:
      MismatchError: there is no such part, or it has other arguments.
    """
    return headed.build(description, joint_ie)


def for_types(heads: JointIE, count: int) -> JointIE:
    """The same heads for so many relation types."""
    if heads.relations is None:
        return heads
    return heads.clone(relations=heads.relations.clone(types=count))

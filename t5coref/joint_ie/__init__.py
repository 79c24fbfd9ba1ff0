"""Joint extraction of mentions, clusters and relations with heads on a T5 encoder.

Documents become arrays (`features.py`), a `JointModel` holds the weights and what belongs to them,
`JointObjective` is what `t5coref.train.fit` learns, and `JointPredictor` takes documents in and
gives them back with clusters and relations. The heads themselves are `t5coref.nn.joint_ie`;
`docs/joint_ie.md` says how the settings of Xu and Choi 2022 are composed of them.

Names are imported when they are first used (PEP 562): the features alone need no jax.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from t5coref.joint_ie.exchange import from_t5x
    from t5coref.joint_ie.inventory import relations_in_file, relations_of
    from t5coref.joint_ie.model import JointModel, joint_model
    from t5coref.joint_ie.objective import JointObjective, dev_scorer
    from t5coref.joint_ie.predict import JointPredictor, PipelinePredictor

_HOME = {
    "JointModel": "model",
    "JointObjective": "objective",
    "JointPredictor": "predict",
    "PipelinePredictor": "predict",
    "dev_scorer": "objective",
    "from_t5x": "exchange",
    "joint_model": "model",
    "relations_in_file": "inventory",
    "relations_of": "inventory",
}

__all__ = [
    "JointModel",
    "JointObjective",
    "JointPredictor",
    "PipelinePredictor",
    "dev_scorer",
    "from_t5x",
    "joint_model",
    "relations_in_file",
    "relations_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

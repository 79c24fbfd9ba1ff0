"""Mentions before anyone knows which belong together: found by a model, or given.

`tags.py` writes nested mentions as one tag a word and finds the best tags; `MentionTagging` is what
`t5coref.train.fit` learns, `MentionProposer` takes documents in and gives them back with mentions,
and `sources.py` has all the places that mentions may come from. Formats that are told them are
`t5coref.linearize.marked.MentionGiven`; `docs/proposer.md` says how to use it all.

Names are imported when they are first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from t5coref.mentions.metrics import MentionScorer
    from t5coref.mentions.propose import MentionProposer
    from t5coref.mentions.sources import ToldPredictor, with_gold
    from t5coref.mentions.task import MentionTagging

_HOME = {
    "MentionProposer": "propose",
    "MentionScorer": "metrics",
    "MentionTagging": "task",
    "ToldPredictor": "sources",
    "with_gold": "sources",
}

__all__ = [
    "MentionProposer",
    "MentionScorer",
    "MentionTagging",
    "ToldPredictor",
    "with_gold",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

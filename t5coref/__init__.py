"""Coreference and entity-centric relation extraction with T5, in JAX.

    from t5coref import Document, Model, Predictor

    predictor = Predictor(Model.load("runs/litbank/best"))
    for document in predictor.predict(documents):
        print(document.annotation.clusters)

Names are imported when they are first used (PEP 562), so that `import t5coref` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from t5coref._version import __version__

if TYPE_CHECKING:
    from t5coref.core.document import Annotation, Document, Relation, Span
    from t5coref.core.errors import T5CorefError
    from t5coref.core.metrics import Scorer
    from t5coref.model import Format, Model
    from t5coref.predict import Predictor
    from t5coref.tokenizer import Tokenizer

_HOME = {
    "Annotation": "t5coref.core.document",
    "Document": "t5coref.core.document",
    "Format": "t5coref.model",
    "Model": "t5coref.model",
    "Predictor": "t5coref.predict",
    "Relation": "t5coref.core.document",
    "Scorer": "t5coref.core.metrics",
    "Span": "t5coref.core.document",
    "T5CorefError": "t5coref.core.errors",
    "Tokenizer": "t5coref.tokenizer",
}

__all__ = [
    "Annotation",
    "Document",
    "Format",
    "Model",
    "Predictor",
    "Relation",
    "Scorer",
    "Span",
    "T5CorefError",
    "Tokenizer",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 't5coref' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

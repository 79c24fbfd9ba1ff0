"""Coreference and entity-centric relation extraction with T5, in JAX.

    import t5coref

    coref = t5coref.load()
    for prediction in coref.predict(["Anna lost her hat. Peter found it."]):
        print(prediction.clusters, prediction.resolve())

docs/python.md tells more. `Model`, `Predictor` and `Document` are what it is made of.
Names are imported when they are first used (PEP 562), so that `import t5coref` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from t5coref._version import __version__

if TYPE_CHECKING:
    from t5coref.api.entities import Cluster, EntityRelation, Mention
    from t5coref.api.pipeline import Pipeline, load
    from t5coref.api.prediction import Prediction
    from t5coref.api.pronouns import Pronouns
    from t5coref.api.resolve import Resolved
    from t5coref.api.table import mention_rows, predictions_frame, predictions_table
    from t5coref.core.document import Annotation, Document, Relation, Span
    from t5coref.core.errors import T5CorefError
    from t5coref.core.metrics import Scorer
    from t5coref.model import Format, Model
    from t5coref.predict import Predictor
    from t5coref.tokenizer import Tokenizer

_HOME = {
    "Annotation": "t5coref.core.document",
    "Cluster": "t5coref.api.entities",
    "Document": "t5coref.core.document",
    "EntityRelation": "t5coref.api.entities",
    "Format": "t5coref.model",
    "Mention": "t5coref.api.entities",
    "Model": "t5coref.model",
    "Pipeline": "t5coref.api.pipeline",
    "Prediction": "t5coref.api.prediction",
    "Predictor": "t5coref.predict",
    "Pronouns": "t5coref.api.pronouns",
    "Relation": "t5coref.core.document",
    "Resolved": "t5coref.api.resolve",
    "Scorer": "t5coref.core.metrics",
    "Span": "t5coref.core.document",
    "T5CorefError": "t5coref.core.errors",
    "Tokenizer": "t5coref.tokenizer",
    "load": "t5coref.api.pipeline",
    "mention_rows": "t5coref.api.table",
    "predictions_frame": "t5coref.api.table",
    "predictions_table": "t5coref.api.table",
}

__all__ = [
    "Annotation",
    "Cluster",
    "Document",
    "EntityRelation",
    "Format",
    "Mention",
    "Model",
    "Pipeline",
    "Prediction",
    "Predictor",
    "Pronouns",
    "Relation",
    "Resolved",
    "Scorer",
    "Span",
    "T5CorefError",
    "Tokenizer",
    "__version__",
    "load",
    "mention_rows",
    "predictions_frame",
    "predictions_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 't5coref' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Heads of downstream tasks on the states of an encoder; each is a `Head`.

A head is given by its arguments alone and owns no encoder:

    variables = head.init(key, encoded, head.sample(), deterministic=True)
    output = head.apply({"params": params}, encoded, features, deterministic=False,
                        rngs={"dropout": key})
    total, weight = head.losses(output, features)      # [B] each

Every head that a model folder may name is listed here.
"""

from t5coref.nn.downstream.classification import ClassificationHead
from t5coref.nn.downstream.docred import BilinearRelations
from t5coref.nn.downstream.head import ExampleLoss, Features, Head
from t5coref.nn.downstream.kgat import KernelGraphAttention
from t5coref.nn.downstream.spans import MultiSpanHead, SpanHead
from t5coref.nn.downstream.tagging import TaggingHead

__all__ = [
    "BilinearRelations",
    "ClassificationHead",
    "ExampleLoss",
    "Features",
    "Head",
    "KernelGraphAttention",
    "MultiSpanHead",
    "SpanHead",
    "TaggingHead",
]

"""Joint entity and relation extraction on the states of any encoder.

Xu and Choi, "Modeling task interactions in document-level joint entity and relation extraction"
(NAACL 2022); parts of Lee et al. 2017 and 2018 (coreference) and Zhou et al. 2021 (ATLOP). A
`JointIE` is a composition of parts, and their arguments are the decisions that the papers leave
open. The published settings, for R relation types:

    spans, mentions = SpanRepresentation(), MentionDetector()
    coreference, between_mentions = BilinearCoreference(), MentionRelations(R)

    JointIE(spans, mentions, coreference)                                # Pipeline, first model
    JointIE(spans, relations=EntityRelations(R))                         # Pipeline, second model
    JointIE(spans, mentions, coreference, EntityRelations(R))            # Joint
    JointIE(spans, mentions, coreference, between_mentions)              # Joint-M
    JointIE(spans, mentions, coreference, between_mentions, propagation=GraphPropagation())   # +GP
    JointIE(spans, mentions, coreference, between_mentions, compatibility=GraphCompatibility())

The heads own no encoder: they take its states `[B, T, d]`, float32 or bfloat16, and compute in
float32. Everything is jittable with static shapes.

    variables = heads.init(key, encoded, features, deterministic=True)
    losses = heads.apply(
        {"params": params}, encoded, features, deterministic=False, rngs={"dropout": key})
    losses["loss"]      # and `antecedent`, `mention`, `relation`, `contrastive`
    found = heads.apply(
        {"params": params}, encoded, features, gold_mentions=False, gold_clusters=False,
        method="predict")
    found.cluster, found.relations      # see `Prediction`

Features are int32 or bool arrays, padded with 0; B documents, T pieces, G gold mentions, P gold
relations:

    encoder_input_tokens    [B, T]    for their number, `</s>` included
    sentence                [B, T]    from 1 on; 0 for padding, `</s>` and pieces of no word
    word_start, word_end    [B, T]    bool: first and last pieces of words
    mention_start           [B, G]    pieces; none given twice
    mention_end             [B, G]    pieces, inclusive
    mention_cluster         [B, G]    any positive numbers; 0 = padding
    relation_head           [B, P]    cluster numbers
    relation_tail           [B, P]
    relation_type           [B, P]    1 .. R; 0 = padding

Training takes them all; prediction takes the first four, and the mentions if they are given.
Mentions that are wider than `MentionDetector.max_width` or reach over a sentence are never found
(they are no candidates even in training), but may be given. Relations of a cluster with itself or
of one without mentions are ignored.

Every parameter belongs to the task. The parameter named `beta` (of `GraphCompatibility`) must not
have its updates scaled by its own size.
"""

from t5coref.nn.joint_ie.compatibility import GraphCompatibility
from t5coref.nn.joint_ie.coreference import BilinearCoreference
from t5coref.nn.joint_ie.mentions import MentionDetector
from t5coref.nn.joint_ie.model import JointIE, Prediction
from t5coref.nn.joint_ie.propagation import GraphPropagation
from t5coref.nn.joint_ie.relations import EntityRelations, MentionRelations
from t5coref.nn.joint_ie.spans import SpanRepresentation

__all__ = [
    "BilinearCoreference",
    "EntityRelations",
    "GraphCompatibility",
    "GraphPropagation",
    "JointIE",
    "MentionDetector",
    "MentionRelations",
    "Prediction",
    "SpanRepresentation",
]

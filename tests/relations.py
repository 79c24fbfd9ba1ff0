"""Documents with relations, and the formats that write them, for their tests."""

from __future__ import annotations

import functools

import walks
from formats import document
from hypothesis import strategies as st
from strategies import UNLIKE, documents

from t5coref.core.document import Annotation, Document, Relation
from t5coref.linearize import RELATIONS
from t5coref.tokenizer import Tokenizer

NAMES, TYPES = ("a", "b", "c"), ("X", "Y")
CLUSTERS = [n for n in RELATIONS if n in walks.BRACKETS]
WIDE = {"window": 400, "max_depth": 16, "max_clusters": 20, "relations": NAMES}

make = functools.cache(walks.make)


class OnePiece(Tokenizer):
    """Each of the words UNLIKE is a piece of its own, and so is each number below ten."""

    def encode(self, text):
        first = self._sp.vocab_size()  # the sentinels
        known = [*UNLIKE, *map(str, range(10))]
        return [first + known.index(text)] if text in known else super().encode(text)


def typed(tokenizer, name, **options):
    return make(tokenizer, name, **WIDE | {"entity_types": TYPES} | options)


@st.composite
def related(draw, **options) -> Document:
    """Documents with entity types and relations, some of them twice or from a cluster to itself."""
    doc = draw(documents(**options))
    count = len(doc.annotation.clusters)
    number = st.integers(0, max(0, count - 1))
    found = draw(st.lists(st.builds(Relation, number, number, st.sampled_from(NAMES)), max_size=8))
    types = draw(st.lists(st.sampled_from([*TYPES, None]), min_size=count, max_size=count))
    annotation = Annotation(
        doc.annotation.clusters, tuple(found) if count else (), types=tuple(types)
    )
    return doc.with_annotation(annotation)


def facts(annotation, kept=None):
    """Relations by the mentions of their clusters; `kept`: those mentions alone."""
    own = [frozenset(c) for c in annotation.clusters]
    if kept is not None:
        own = [frozenset((s, e) for s, e, k in kept if k == c) for c in range(len(own))]
    return {
        (own[r.head], own[r.tail], r.type)
        for r in annotation.relations
        if r.head != r.tail and own[r.head] and own[r.tail]
    }


# Cluster 0 is Anna, 1 is her dog, 2 is Ben.
STORY = document("Anna gave her dog to Ben").with_annotation(
    Annotation(
        (((0, 1), (2, 3)), ((2, 4),), ((5, 6),)),
        (Relation(2, 1, "a"), Relation(0, 2, "c"), Relation(0, 2, "a"), Relation(0, 1, "b")),
        types=("X", "Y", None),
    )
)  # fmt: skip

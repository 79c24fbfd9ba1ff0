"""Formats that write relations: what is written, and what comes back."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from formats import clusters, document, mentions, spans
from hypothesis import given, settings
from relations import CLUSTERS, STORY, TYPES, WIDE, OnePiece, facts, make, related, typed
from strategies import UNLIKE

from t5coref.core.document import Annotation, Relation
from t5coref.linearize import RELATIONS, examples, get, inventory, replay, round_trip, symbols_of
from t5coref.tokenizer import Tokenizer

PLAIN = "Anna gave her dog to Ben </s>"
SHOWN = {
    "relation-copy": (
        PLAIN,
        "<m> C | 0 <type:X> </m> C <m> <m> C | 0 <type:X> </m> C | 1 <type:Y> </m> C "
        "<m> C | 2 <type> </m> "
        "<rel> 0 1 <rel:b> <rel> 0 2 <rel:a> <rel> 0 2 <rel:c> <rel> 2 1 <rel:a> </s>",
    ),
    "relation-integer-free": (
        PLAIN,
        "<m> C </new> <type:X> C <m> <m> C </m0> <type:X> C </new> <type:Y> C "
        "<m> C </new> <type> <rel> </m0> </m1> <rel:b> <rel> </m0> </m2> <rel:a> "
        "<rel> </m0> </m2> <rel:c> <rel> </m2> </m1> <rel:a> </s>",
    ),
    "relation-ids": (
        "<m0> <type:X> Anna </m> gave <m1> <type:Y> <m0> <type:X> her </m> dog </m> to "
        "<m2> <type> Ben </m> </s>",
        "<rel> <m0> <m1> <rel:b> <rel> <m0> <m2> <rel:a> <rel> <m0> <m2> <rel:c> "
        "<rel> <m2> <m1> <rel:a> </s>",
    ),
    "relation-text": (
        PLAIN,
        "Anna <;> her <type:X> her dog <type:Y> <rel:b> Anna <;> her <type:X> Ben <type> <rel:a> "
        "Anna <;> her <type:X> Ben <type> <rel:c> Ben <type> her dog <type:Y> <rel:a> </s>",
    ),
}
UNTYPED = {" <type:X>": "", " <type:Y>": "", " <type>": ""}


@pytest.mark.parametrize("name", RELATIONS)
@pytest.mark.parametrize("with_types", [True, False])
def test_a_story(tokenizer, name, with_types):
    lin = typed(tokenizer, name, kind=OnePiece, entity_types=TYPES if with_types else ())
    (example,) = examples(lin, STORY)

    def written(text):
        if not with_types:
            for symbol, instead in UNTYPED.items():
                # The text of an entity has to end.
                text = text.replace(symbol, " <type>" if name == "relation-text" else instead)
        known = {s: lin.tokenizer.symbol(s) for s in lin.symbols}
        known |= {"C": known.get("<copy>"), "</s>": lin.tokenizer.eos_id}
        known["|"] = lin.tokenizer.encode("|")[-1]
        return [known.get(w) or lin.tokenizer.encode(w)[0] for w in text.split()]

    source, actions = map(written, SHOWN[name])
    assert example.turn.source.tolist() == source
    assert example.actions.tolist() == actions


@pytest.mark.parametrize("name", CLUSTERS)
@settings(max_examples=60, deadline=None)
@given(doc=related())
def test_clusters_types_and_relations_come_back(tokenizer, name, doc):
    back = round_trip(typed(tokenizer, name), doc)
    held = mentions(doc, in_sentences=False)
    assert spans(back) == clusters(held)
    assert facts(back) == facts(doc.annotation, held)
    kinds = {frozenset(c): t for c, t in zip(back.clusters, back.types, strict=True)}
    for cluster, kind in enumerate(doc.annotation.types):
        own = frozenset((s, e) for s, e, c in held if c == cluster)
        twins = [c for c in clusters(held) if frozenset(c) == own]
        if len(twins) == 1:
            assert kinds[own] == kind
    untyped = round_trip(make(tokenizer, name, **WIDE), doc)
    assert untyped == Annotation(back.clusters, back.relations)


@settings(max_examples=60, deadline=None)
@given(doc=related(words=UNLIKE, unique=True))
def test_clusters_come_back_by_their_texts(tokenizer, doc):
    """Where no text stands twice, those in relations do, but what crosses within a cluster."""
    back = round_trip(typed(tokenizer, "relation-text", kind=OnePiece), doc)
    gold, kept = doc.annotation, []
    for c, cluster in enumerate(gold.clusters):
        alone = doc.with_annotation(Annotation((cluster,)))
        kept += [(s, e, c) for s, e, _ in mentions(alone, in_sentences=False)]
    # Clusters of equal texts are one.
    unlike = [r for r in gold.relations if gold.clusters[r.head] != gold.clusters[r.tail]]
    wanted = facts(dataclasses.replace(gold, relations=unlike), kept)
    assert facts(back) == wanted
    assert set(map(frozenset, back.clusters)) == {c for *pair, _ in wanted for c in pair}


def test_what_texts_cannot_say(tokenizer):
    lin = typed(tokenizer, "relation-text", kind=OnePiece)

    def back(words, *found):
        doc = document(words, found).with_annotation(Annotation(found, (Relation(0, 1, "a"),)))
        return [list(c) for c in round_trip(lin, doc).clusters]

    # A text is a mention wherever it stands.
    assert back("Anna saw Ben Anna", [(0, 1)], [(2, 3)]) == [[(0, 1), (3, 4)], [(2, 3)]]
    # But not within a longer one, unless it stands nowhere else.
    found = back("old Anna saw Anna", [(0, 2)], [(3, 4)])
    assert found == [[(0, 2)], [(3, 4)]]
    assert back("old Anna saw", [(0, 2)], [(1, 2)]) == [[(0, 2)], [(1, 2)]]
    # Clusters of the same texts are one, and a relation between them is lost.
    assert back("Anna saw Anna", [(0, 1)], [(2, 3)]) == []


def test_the_type_of_most_mentions_counts(tokenizer):
    for name in CLUSTERS:
        lin = typed(tokenizer, name)
        doc = document("Anna saw her and she", [[(0, 1), (2, 3), (4, 5)]])
        annotated = doc.with_annotation(Annotation(doc.annotation.clusters, types=("X",)))
        (example,) = examples(lin, annotated)
        x, y = map(lin.tokenizer.symbol, ("<type:X>", "<type:Y>"))
        at = np.flatnonzero(example.actions == x)
        for changed, expected in (((0,), "X"), ((1, 2), "Y"), ((0, 1, 2), "Y")):
            actions = example.actions.copy()
            actions[at[list(changed)]] = y
            assert replay(lin, doc, [actions]).types == (expected,)


@pytest.mark.parametrize("name", RELATIONS)
def test_windows_find_relations_between_the_clusters_of_the_document(tokenizer, name):
    """The clusters have mentions all along; the relations are those of each window, once."""
    even, odd = ([(i, i + 1) for i in range(first, 20, 2)] for first in (0, 1))
    sentences = [(i, i + 4) for i in range(0, 20, 4)]
    doc = document(" ".join(UNLIKE[:20]), [], sentences)
    relations = (Relation(0, 1, "a"), Relation(1, 0, "c"))
    doc = doc.with_annotation(Annotation((odd, even), relations, types=("X", "Y")))
    lin = typed(tokenizer, name, kind=OnePiece, window=30 if name == "relation-ids" else 13)
    turns = [e.turn for e in examples(lin, doc)]
    assert len(turns) > 2
    assert max(len(t.source) for t in turns) <= lin.window
    assert {w for t in turns for w in t.word.tolist()} == set(range(-1, 20))
    back = round_trip(lin, doc)
    assert facts(back) == facts(doc.annotation)
    assert len(back.relations) == 2
    kinds = dict(zip(back.clusters, back.types, strict=True))
    assert kinds == {tuple(even): "Y", tuple(odd): "X"}


CEILINGS = {"relation-copy": 1.0, "relation-integer-free": 1.0, "relation-ids": 1.0}


@pytest.mark.parametrize("limit", [12, pytest.param(None, marks=pytest.mark.slow)])
def test_redocred_comes_back(shared, limit):
    from t5coref import corpora
    from t5coref.core.relation_metrics import RelationScorer

    folder = shared / "data"
    docs = [
        d for split in ("train", "dev")
        for d in itertools.islice(corpora.read(folder / f"redocred/{split}.json", "docred"), limit)
    ]  # fmt: skip
    options = inventory(docs)
    for name in RELATIONS:
        pieces = Tokenizer(folder / "t5/spiece.model", symbols_of(name, options))
        lin, scorer = get(name, pieces, **options), RelationScorer()
        for doc in docs:
            scorer.add(doc, round_trip(lin, doc))
        scores = scorer.compute()
        if name in CEILINGS:
            assert scores["re"].f1 == scores["mentions"].f1 == scores["coref"].f1 == 1.0
        else:
            assert 0.9 < scores["re"].f1 < 1.0

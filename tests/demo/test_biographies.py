"""The hand-written lives and companies: what a demonstration of relations needs."""

from __future__ import annotations

import itertools

from t5coref.core.document import crosses
from t5coref.demo import biographies

TYPES = {"PER", "ORG", "LOC", "TIME", "MISC", None}
PRONOUNS = {"she", "he", "her", "his", "him", "they", "them", "their", "its"}


def test_there_are_documents_with_entities_and_relations():
    documents = list(biographies())
    assert len(documents) >= 6
    assert len({d.doc_id for d in documents}) == len(documents)
    for document in documents:
        assert 60 <= len(document.words) <= 120
        assert len(document.annotation.clusters) >= 10
        assert len(document.annotation.relations) >= 10
        assert set(document.annotation.types) <= TYPES


def test_relations_are_between_typed_entities_and_stand_once():
    for document in biographies():
        relations = document.annotation.relations
        assert len(set(relations)) == len(relations), document.doc_id
        for r in relations:
            assert document.annotation.types[r.head] is not None, (document.doc_id, r)
            assert document.annotation.types[r.tail] is not None, (document.doc_id, r)
            assert r.head != r.tail


def test_relation_types_come_back():
    types = [r.type for d in biographies() for r in d.annotation.relations]
    assert sum(types.count(t) > 1 for t in set(types)) >= 8


def test_mentions_stay_in_a_sentence_do_not_cross_and_belong_to_one_entity():
    for document in biographies():
        spans = [span for cluster in document.annotation.clusters for span in cluster]
        assert len(spans) == len(set(spans)), document.doc_id
        assert not any(crosses(a, b) for a, b in itertools.combinations(spans, 2))
        for start, end in spans:
            assert any(s <= start and end <= e for s, e in document.sentences), document.doc_id


def test_clusters_stand_in_text_order():
    for document in biographies():
        firsts = [min((s, -e) for s, e in c) for c in document.annotation.clusters]
        assert firsts == sorted(firsts), document.doc_id


def test_pronouns_are_mentions():
    for document in biographies():
        spans = {span for cluster in document.annotation.clusters for span in cluster}
        for i, word in enumerate(document.words):
            if word.lower() in PRONOUNS:
                assert (i, i + 1) in spans, (document.doc_id, i, word)

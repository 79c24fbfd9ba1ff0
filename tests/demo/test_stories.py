"""The hand-written stories are what the demonstration needs."""

from __future__ import annotations

import itertools

from t5coref.core.document import crosses
from t5coref.demo import stories

FIRST_PERSON = {"i", "me", "my"}


def spans(document):
    return [span for cluster in document.annotation.clusters for span in cluster]


def test_there_are_stories_and_dialogues_of_a_good_length():
    documents = list(stories())
    assert len(documents) >= 24
    assert len({d.doc_id for d in documents}) == len(documents)
    assert len({d.words for d in documents}) == len(documents)
    assert sum(d.speakers is not None for d in documents) >= 6
    assert all(40 <= len(d.words) <= 120 for d in documents)
    assert all(len(d.sentences) >= 4 for d in documents)


def test_every_story_has_chains_and_singletons_and_most_nest():
    nested = 0
    for document in stories():
        sizes = {len(cluster) == 1 for cluster in document.annotation.clusters}
        assert sizes == {True, False}, document.doc_id
        nested += any(
            a[0] <= b[0] and b[1] <= a[1] for a, b in itertools.permutations(spans(document), 2)
        )
    assert nested == len(list(stories()))


def test_mentions_are_unique_within_a_sentence_and_do_not_cross():
    for document in stories():
        found = spans(document)
        assert len(found) == len(set(found)), document.doc_id
        assert not any(crosses(a, b) for a, b in itertools.combinations(found, 2)), document.doc_id
        for start, end in found:
            assert any(s <= start and end <= e for s, e in document.sentences), document.doc_id


def test_punctuation_stands_apart():
    for document in stories():
        for word in document.words:
            assert word in {"'s"} or word.replace("-", "").isalpha() or len(word) == 1, word
        for _, end in document.sentences:
            assert document.words[end - 1] in {".", "?", "!", '"'}, document.doc_id


def test_speakers_change_between_sentences_only_and_speak_of_themselves_as_one():
    for document in stories():
        if document.speakers is None:
            continue
        assert len({s for s in document.speakers if s is not None}) >= 2, document.doc_id
        for start, end in document.sentences:
            assert len(set(document.speakers[start:end])) == 1, document.doc_id
        cluster_of = {
            span: c for c, cluster in enumerate(document.annotation.clusters) for span in cluster
        }
        speaks_as: dict[str, set[int]] = {}
        for i, word in enumerate(document.words):
            speaker = document.speakers[i]
            if speaker is not None and word.lower() in FIRST_PERSON:
                speaks_as.setdefault(speaker, set()).add(cluster_of[i, i + 1])
        assert all(len(clusters) == 1 for clusters in speaks_as.values()), document.doc_id


def test_pronouns_are_mentions():
    pronouns = {"i", "me", "my", "you", "your", "he", "him", "his", "she", "they", "them", "their"}
    for document in stories():
        found = set(spans(document))
        for i, word in enumerate(document.words):
            if word.lower() in pronouns:
                assert (i, i + 1) in found, (document.doc_id, i, word)

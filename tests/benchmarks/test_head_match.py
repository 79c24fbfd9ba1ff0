"""The baseline of the model card."""

from __future__ import annotations

import pytest
from head_match import head, linked, with_possessives
from hypothesis import given
from hypothesis import strategies as st

from t5coref.core.document import Document

TEXT = "Anna fed the old dog . She said it loved her bowl of milk . The dog saw I and you ."


def story():
    words = TEXT.split()
    return Document(doc_id="story", words=tuple(words), sentences=((0, len(words)),))


def clusters(document):
    return {tuple(document.span_text(span) for span in c) for c in document.annotation.clusters}


def test_heads_and_pronouns_are_linked():
    document = story()
    chunks = [(0, 1), (2, 5), (6, 7), (8, 9), (10, 14), (13, 14), (15, 17), (18, 19), (20, 21)]
    found = linked(document, with_possessives(document, chunks))
    assert clusters(found) == {
        ("Anna",),
        ("the old dog", "She", "it", "her", "The dog"),  # the nearest, however wrong
        ("her bowl of milk",),
        ("milk",),
        ("I",),
        ("you",),
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("the old dog", "dog"),
        ("her bowl of milk", "bowl"),
        ("the man who left", "man"),
        ("Anna 's", "anna"),
        ("of", "of"),
        ("'s", "'s"),
    ],
)
def test_heads(words, expected):
    assert head(words.split()) == expected


@given(st.sets(st.tuples(st.integers(0, 18), st.integers(1, 3)), max_size=12))
def test_every_mention_is_in_one_cluster(starts):
    spans = sorted({(start, start + length) for start, length in starts})
    found = linked(story(), spans).annotation.clusters
    assert sorted(span for cluster in found for span in cluster) == spans

"""Two annotations of one text: a document, key clusters and predicted ones."""

from __future__ import annotations

from hypothesis import strategies as st
from strategies import documents

WORDS = ("the", "old", "dog", "of", "Anna", "and", "Ben", "saw", "it", ".", "'s", "who")


def _pair(two):
    key, other = two
    n = len(key.words)
    found = tuple(
        tuple((s, e) for s, e in cluster if e <= n) for cluster in other.annotation.partition()
    )
    return key, key.annotation.partition(), tuple(c for c in found if c)


_DOCUMENTS = documents(max_words=16, max_mentions=14, words=WORDS)
PAIRS = st.tuples(_DOCUMENTS, _DOCUMENTS).map(_pair)

"""Random documents: nested, crossing, shared and repeated spans, speakers, empty texts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import strategies as st

from t5coref.core.document import Annotation, Document

WORDS = ["the", "dog", "saw", "it", "Anna", "'s", ".", "house", "-", "unknownword", "日本", "-LRB-"]

UNLIKE = [
    "the",
    "dog",
    "saw",
    "it",
    "and",
    "she",
    "him",
    "near",
    "old",
    "house",
    "Anna",
    "gave",
    "Ben",
    "'s",
    "cat",
    "to",
    "her",
    ".",
    "a",
    "on",
    "at",
]
"""Words of which no two have the same pieces."""


@st.composite
def documents(
    draw,
    max_words: int = 24,
    max_mentions: int = 12,
    words: Sequence[str] = WORDS,
    unique: bool = False,
) -> Document:
    """Documents of at most `max_words` words, each of which stands once if `unique`."""
    words = draw(st.lists(st.sampled_from(words), max_size=max_words, unique=unique))
    n = len(words)
    cuts = sorted(draw(st.sets(st.integers(1, n - 1), max_size=4))) if n > 1 else []
    edges = [0, *cuts, n] if n else []
    speakers = draw(
        st.none() | st.lists(st.sampled_from(["Ann", "Bo", None]), min_size=n, max_size=n)
    )
    clusters: dict[int, list[tuple[int, int]]] = {}
    for _ in range(draw(st.integers(0, max_mentions if n else 0))):
        start = draw(st.integers(0, n - 1))
        end = draw(st.integers(start + 1, min(n, start + 6)))
        clusters.setdefault(draw(st.integers(0, 4)), []).append((start, end))
    return Document(
        doc_id="random",
        words=tuple(words),
        sentences=tuple(itertools.pairwise(edges)),
        speakers=speakers,
        annotation=Annotation(tuple(tuple(c) for c in clusters.values())),
    )

"""Windows over pieces, giant words, sentence marks, and merging what windows found."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from formats import document
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import documents

from t5coref.core.document import Confidence, Relation
from t5coref.core.errors import ConfigError
from t5coref.core.segment import INSERTED, check_window, merge, windows


@settings(max_examples=150, deadline=None)
@given(documents(max_words=40, max_mentions=0), st.integers(2, 30), st.booleans(), st.data())
def test_windows_cover_without_gap(tokenizer, doc, length, marked, data):
    stride = data.draw(st.integers(1, length - 1))
    pieces = tokenizer.pieces(doc).clipped(min(length - 1, stride))
    if marked:
        pieces = pieces.marked(1000, 1001)
    spans = windows(pieces, length, stride)
    at = 0
    for i, (start, end) in enumerate(spans):
        assert start <= at < end
        assert end - start <= length - 1
        assert not i or start > spans[i - 1][0]
        # A window ends in mid-sentence only if no sentence ends within it.
        assert pieces.sentence_end[end - 1] or not pieces.sentence_end[start:end].any()
        at = end
    assert at == len(pieces)
    published = windows(pieces, length, stride, suffixes=True)
    starts = [start for start, _ in published]
    assert all(0 < b - a <= stride for a, b in itertools.pairwise(starts))
    parts = [w for w in published if w not in spans]
    assert all(any(s <= a and b <= e for s, e in spans) for a, b in parts)
    assert published == sorted(spans + parts)


@settings(max_examples=60, deadline=None)
@given(documents(max_words=12, max_mentions=0), st.integers(1, 8))
def test_clipping_keeps_every_word_and_every_end(tokenizer, doc, longest):
    pieces = tokenizer.pieces(doc)
    clipped = pieces.clipped(longest)
    assert set(clipped.word.tolist()) == set(pieces.word.tolist())
    assert clipped.sentence_end.sum() == pieces.sentence_end.sum() == len(doc.sentences)
    assert clipped.word_end.sum() == pieces.word_end.sum()
    assert max(np.diff([-1, *np.flatnonzero(clipped.word_end)]), default=0) <= longest
    assert clipped.clipped(longest).ids.tolist() == clipped.ids.tolist()


@settings(max_examples=60, deadline=None)
@given(documents(max_words=12, max_mentions=0))
def test_sentence_marks_stand_around_every_sentence(tokenizer, doc):
    pieces = tokenizer.pieces(doc)
    marked = pieces.marked(1000, 1001)
    is_mark = marked.ids >= 1000
    assert marked.ids[~is_mark].tolist() == pieces.ids.tolist()
    assert marked.word[~is_mark].tolist() == pieces.word.tolist()
    assert set(marked.word[is_mark].tolist()) <= {INSERTED}
    np.testing.assert_array_equal(marked.sentence_end, marked.ids == 1001)
    assert marked.ids[is_mark].tolist() == [1000, 1001] * len(doc.sentences)
    number = np.cumsum(marked.ids == 1000) - 1
    for word, sentence in zip(marked.word.tolist(), number.tolist(), strict=True):
        if word != INSERTED:
            start, end = doc.sentences[sentence]
            assert start <= word < end


def test_a_word_that_no_window_can_hold(tokenizer):
    pieces = tokenizer.pieces(document("unknownword"))
    with pytest.raises(ConfigError, match="longer than the 3 pieces"):
        windows(pieces, 4, 3)
    assert windows(pieces.clipped(3), 4, 3) == [(0, 3)]
    with pytest.raises(ConfigError, match="stride 4"):
        check_window(4, 4)


def test_merge_links_over_shared_spans_and_skips_crossing_ones():
    parts = [
        [[(0, 1), (4, 6)], [(2, 3)]],
        [[(4, 6), (8, 9)], [(5, 7), (8, 9)], [(2, 3), (11, 12)]],
    ]
    # (8, 9) is in two clusters of the second window: it links neither.
    assert merge(parts).clusters == (
        ((0, 1), (4, 6), (8, 9)), ((2, 3), (11, 12)), ((5, 7), (8, 9)),
    )  # fmt: skip
    assert merge([[[(0, 2)]], [[(0, 2), (1, 3)]]]).clusters == (((0, 2),),)
    assert merge([[[(0, 2)], [(3, 4), (5, 6)]]], 2).clusters == (((3, 4), (5, 6)),)
    assert merge([]).clusters == ()


def test_merge_keeps_confidences_beside_their_spans():
    sure = {span: Confidence(span[0] / 10, 0.5) for span in [(0, 2), (1, 3), (3, 4), (5, 6)]}
    merged = merge([[[(3, 4), (0, 2), (1, 3)], [(5, 6)]]], 2, sure)
    assert merged.clusters == (((0, 2), (3, 4)),)
    assert merged.confidences == ((sure[0, 2], sure[3, 4]),)
    assert merge([], 1, {}).confidences == ()
    assert merge([]).confidences is None


def test_relations_of_windows_lead_between_the_clusters_of_the_document():
    # The first cluster of each window has (4, 5); (8, 9) stands in the second window alone.
    parts = [[[(4, 5), (0, 1)], [(2, 3)]], [[(4, 5)], [(8, 9)], [], [(6, 7), (2, 3)]]]
    relations = [
        [Relation(0, 1, "a"), Relation(1, 0, "b")],
        [Relation(0, 3, "a"), Relation(1, 0, "a"), Relation(3, 3, "c")],
    ]
    merged = merge(parts, relations=relations)
    assert merged.clusters == (((0, 1), (4, 5)), ((2, 3), (6, 7)), ((8, 9),))
    # Each once, in order, none from a cluster to itself.
    assert merged.relations == (Relation(0, 1, "a"), Relation(1, 0, "b"), Relation(2, 0, "a"))
    # What leads to a cluster that is dropped goes with it.
    pairs = merge(parts, 2, relations=relations)
    assert pairs.relations == (Relation(0, 1, "a"), Relation(1, 0, "b"))


def test_a_cluster_has_the_type_that_most_mentions_have():
    parts = [[[(0, 1), (4, 5)], [(2, 3)]], [[(4, 5)], [(8, 9)]]]
    types = [[Counter(X=1, Y=2), Counter()], [Counter(X=2), Counter(Y=1, X=1)]]
    assert merge(parts, types=types).types == ("X", None, "Y")
    assert merge(parts).types is None
    assert merge([], types=[]).types == ()

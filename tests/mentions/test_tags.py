"""Tags of nested mentions, against an enumeration of all sets of nested mentions."""

from __future__ import annotations

import functools
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5coref.core.document import Document, crosses
from t5coref.core.errors import ConfigError
from t5coref.mentions import tags as module
from t5coref.mentions.tags import (
    NOTHING,
    Tag,
    after,
    arcs,
    best_in_sentences,
    best_tags,
    spans_of,
    tagged,
    tags,
)


def depth(spans, words):
    return max((sum(s <= w < e for s, e in spans) for w in range(words)), default=0)


@functools.cache
def every_set(words, max_depth):
    """All sets of nested spans, by trying all subsets."""
    spans = list(itertools.combinations(range(words + 1), 2))
    subsets = itertools.chain.from_iterable(
        itertools.combinations(spans, k) for k in range(len(spans) + 1)
    )
    return [
        chosen
        for chosen in subsets
        if depth(chosen, words) <= max_depth
        and not any(crosses(a, b) for a, b in itertools.combinations(chosen, 2))
    ]


def counted(spans, words, max_depth):
    """The tags of spans, by counting."""
    opens, closes = Counter(s for s, _ in spans), Counter(e - 1 for _, e in spans)
    inventory = tags(max_depth)
    return [inventory.index(Tag(opens[w], closes[w])) for w in range(words)]


def possible(words, max_depth):
    """How many sequences of tags lead from the empty stack back to it."""
    stacks = Counter({(): 1})
    for _ in range(words):
        behind = Counter()
        for stack, ways in stacks.items():
            for tag in tags(max_depth):
                to = after(stack, tag, max_depth)
                if to is not None:
                    behind[to] += ways
        stacks = behind
    return stacks[()]


@pytest.mark.parametrize(("words", "max_depth"), [(1, 1), (2, 2), (3, 2), (4, 1), (4, 3)])
def test_tags_and_nested_mentions_correspond(words, max_depth):
    sets = every_set(words, max_depth)
    for spans in sets:
        found, kept = tagged(spans, words, max_depth)
        assert found.tolist() == counted(spans, words, max_depth)
        assert set(kept) == set(spans) == set(spans_of(found, max_depth))
        assert len(spans_of(found, max_depth)) == len(spans)
    assert possible(words, max_depth) == len(sets)


@pytest.mark.parametrize("max_depth", [1, 2, 5])
def test_there_are_four_tags_a_level(max_depth):
    assert len(tags(max_depth)) == 4 * max_depth
    assert tags(max_depth)[NOTHING] == (0, 0)
    assert len(arcs(max_depth).stacks) == 2**max_depth


@pytest.mark.parametrize(("words", "max_depth"), [(1, 2), (3, 1), (3, 2), (4, 2), (4, 3)])
@pytest.mark.parametrize("bias", [0.0, 0.7, -0.4])
def test_the_best_of_all_sets_is_found(words, max_depth, bias):
    rng = np.random.default_rng(words + 10 * max_depth)
    for _ in range(5):
        scores = rng.standard_normal((words, 4 * max_depth)) * 3
        value = {
            spans: sum(
                scores[w, k] for w, k in enumerate(counted(spans, words, max_depth))
            ) + bias * len(spans)
            for spans in every_set(words, max_depth)
        }  # fmt: skip
        (found,) = best_tags([scores], max_depth, bias)
        chosen = spans_of(found, max_depth)
        np.testing.assert_allclose(value[tuple(sorted(chosen))], max(value.values()), atol=1e-9)


def test_the_best_of_all_sets_within_sentences_is_found():
    rng = np.random.default_rng(3)
    for sentences, ends in (((0, 2), (2, 4)), {2}), (((0, 1), (1, 4)), {1}), (((0, 4),), set()):
        document = Document(doc_id="d", words=tuple("abcd"), sentences=sentences)
        for _ in range(5):
            scores = rng.standard_normal((4, 8)) * 3
            value = {
                spans: sum(scores[w, k] for w, k in enumerate(counted(spans, 4, 2)))
                for spans in every_set(4, 2)
                if not any(start < end < stop for start, stop in spans for end in ends)
            }
            empty = Document(doc_id="e", words=())
            both = [np.zeros((0, 8)), scores]
            nothing, found = best_in_sentences([empty, document], both, 2)
            assert nothing.tolist() == []
            chosen = tuple(sorted(spans_of(found, 2)))
            np.testing.assert_allclose(value[chosen], max(value.values()), atol=1e-9)


SCORES = st.integers(0, 40).flatmap(
    lambda words: st.integers(0, 2**32 - 1).map(
        lambda seed: np.random.default_rng(seed).standard_normal((words, 20)) * 4
    )
)


@given(scores=SCORES)
def test_what_is_found_is_nested_and_has_no_repeats(scores):
    (found,) = best_tags([scores], 5, 1.0)
    spans = spans_of(found, 5)
    assert len(set(spans)) == len(spans)
    assert depth(spans, len(scores)) <= 5
    assert not any(crosses(a, b) for a, b in itertools.combinations(spans, 2))
    assert tagged(spans, len(scores), 5).tags.tolist() == found.tolist()


@given(scores=SCORES)
def test_a_higher_bias_finds_no_fewer(scores):
    counts = [len(spans_of(best_tags([scores], 5, b)[0], 5)) for b in (-9, -1, 0, 0.5, 2, 50)]
    assert counts == sorted(counts)


@pytest.mark.parametrize("at_once", [1, 40, 1 << 17])
def test_documents_do_not_change_each_other(at_once, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    scores = [rng.standard_normal((words, 20)) * 3 for words in (5, 0, 13, 1, 13, 8)]
    alone = [best_tags([one], 5)[0].tolist() for one in scores]
    assert [found.tolist() for found in best_tags(scores, 5)] == alone
    assert best_tags([], 5) == []


def test_what_cannot_be_written_is_left_out():
    crossing = tagged([(0, 3), (2, 5), (1, 3), (1, 3)], 5, 5)
    assert sorted(crossing.kept) == [(0, 3), (1, 3)]
    deep = tagged([(0, 9), (0, 8), (0, 7), (0, 1)], 9, 3)
    assert sorted(deep.kept) == [(0, 7), (0, 8), (0, 9)]
    assert spans_of(deep.tags, 3) == [(0, 9), (0, 8), (0, 7)]


def test_impossible_scores_are_heeded():
    """A word that no model has read opens and closes nothing."""
    scores = np.zeros((3, 8))
    scores[1, 1:] = -np.inf
    (found,) = best_tags([scores], 2, 5.0)
    assert found[1] == NOTHING
    assert (1, 2) not in spans_of(found, 2)
    assert spans_of(found, 2)


@pytest.mark.parametrize("max_depth", [0, 9])
def test_depth_out_of_range(max_depth):
    with pytest.raises(ConfigError, match="expected 1 to 8"):
        tags(max_depth)

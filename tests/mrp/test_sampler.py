"""Masking: budgets, what is never masked, where referents are, and that nothing is lost."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5coref.mrp import sampler
from t5coref.mrp.pieces import Ids, Words
from t5coref.mrp.rows import NOT_MASKED
from t5coref.mrp.sampler import budgets, choose_mentions, inplace, sentinel_span, sequences
from t5coref.tokenizer import SENTINELS

PIECES = 400
IDS = Ids(eos=1, first_sentinel=PIECES + SENTINELS - 1, pieces=range(3, PIECES))


def words_of(sizes, nouns, maskable=None, name="text"):
    """Words of so many pieces; the n-th piece of the text has an id that says n."""
    starts = [0, *itertools.accumulate(sizes)]
    pieces = [3 + i % (PIECES - 3) for i in range(starts[-1])]
    return Words(name, pieces, starts, list(nouns), list(maskable or [True] * len(sizes)))


@st.composite
def texts(draw, min_size=1, max_size=120):
    """Words of 1 to 4 pieces, of which many are nouns of a few groups."""
    size = draw(st.integers(min_size, max_size))
    rng = random.Random(draw(st.integers(0, 2**32)))
    groups = draw(st.integers(1, 12))
    nouns = [f"n{rng.randrange(groups)}" if rng.random() < 0.4 else None for _ in range(size)]
    sizes = [rng.choice((1, 1, 2, 3, 4)) for _ in range(size)]
    maskable = [rng.random() < 0.95 for _ in range(size)]
    nouns = [noun if free else None for noun, free in zip(nouns, maskable, strict=True)]
    return words_of(sizes, nouns, maskable)


seeds = st.integers(0, 2**32).map(random.Random)


def word_at(words, start, end):
    """The word with exactly these pieces."""
    k = words.starts.index(start)
    assert words.starts[k + 1] == end + 1
    return k


def restored(row):
    """The pieces of a row of spans, where each place of its inputs begins in them, the spans."""
    spans, number = {}, None
    assert row.targets[-1] == IDS.eos
    for piece in row.targets[:-1].tolist():
        if piece >= PIECES:
            number = piece
            spans[number] = []
        else:
            spans[number].append(piece)
    pieces, origin = [], []
    assert row.inputs[-1] == IDS.eos
    for piece in row.inputs[:-1].tolist():
        origin.append(len(pieces))
        pieces += spans[piece] if piece >= PIECES else [piece]
    return pieces, origin, spans


@given(texts(), seeds)
def test_spans_restore_the_text(words, rng):
    row = sentinel_span(words, rng, IDS).row
    pieces, _, spans = restored(row)
    assert pieces == list(words.pieces)
    # Sentinels count up from 0 in both, and the last one stands for nothing.
    assert list(spans) == [IDS.sentinel(i) for i in range(len(spans))]
    assert [p for p in row.inputs.tolist() if p >= PIECES] == list(spans)[:-1]
    assert [bool(s) for s in spans.values()] == [True] * (len(spans) - 1) + [False]


@given(texts(), seeds)
def test_spans_keep_apart_and_to_the_budget(words, rng):
    sample = sentinel_span(words, rng, IDS)
    row = sample.row
    masked, mentions = budgets(len(words.pieces) + 1)
    _, origin, spans = restored(row)
    covered = sum(map(len, spans.values()))
    assert sample.masked == covered <= masked
    assert sample.mentions <= min(mentions, covered)
    places = np.flatnonzero(row.inputs >= PIECES)
    assert (np.diff(places) > 1).all()
    for place, span in zip(places.tolist(), spans.values(), strict=False):
        first = words.starts.index(origin[place])  # whole words
        last = words.starts.index(origin[place] + len(span))
        assert all(words.maskable[first:last])


@given(texts(), seeds)
def test_queries_of_spans_have_referents_that_can_be_seen(words, rng):
    sample = sentinel_span(words, rng, IDS)
    row = sample.row
    _, origin, spans = restored(row)
    groups = []
    for q, place in enumerate(row.query_start.tolist()):
        assert place == row.query_end[q]
        span = spans[int(row.inputs[place])]
        word = word_at(words, origin[place], origin[place] + len(span) - 1)
        assert row.query_single[q] == (len(span) == 1)
        key = words.nouns[word]
        assert key is not None
        groups.append(key)
        found = [
            word_at(words, origin[a], origin[b])
            for a, b in zip(
                row.ref_start[q][row.ref_mask[q]], row.ref_end[q][row.ref_mask[q]], strict=True
            )
        ]
        assert (row.inputs[row.ref_start[q][row.ref_mask[q]]] < PIECES).all()
        # All other mentions of the group, but for those beyond the most.
        others = [i for i, noun in enumerate(words.nouns) if noun == key and i != word]
        assert found
        assert sorted(found) == found
        assert set(found) <= set(others)
        assert len(found) == min(len(others), sampler.MOST_REFERENTS)
    assert len(set(groups)) == len(groups)
    assert row.query_start.tolist() == sorted(row.query_start.tolist())
    assert sample.mentions == sum(len(spans[int(row.inputs[p])]) for p in row.query_start)


@given(texts(), seeds, st.booleans())
def test_masking_in_place(words, rng, keep):
    sample = inplace(words, rng, IDS, keep_masked_referents=keep)
    row = sample.row
    assert len(row.inputs) == len(row.targets) == len(words.pieces) + 1
    assert (row.inputs[-1], row.targets[-1]) == (IDS.eos, NOT_MASKED)
    hidden = row.targets[:-1] != NOT_MASKED
    original = np.array(words.pieces)
    assert (row.targets[:-1][hidden] == original[hidden]).all()
    assert (row.inputs[:-1][~hidden] == original[~hidden]).all()
    assert np.isin(row.inputs, [*IDS.pieces, IDS.mask, IDS.eos]).all()
    masked, mentions = budgets(len(row.inputs))
    assert sample.masked == hidden.sum() <= masked
    assert sample.mentions <= mentions
    by_word = [hidden[a:b] for a, b in itertools.pairwise(words.starts)]
    whole = [bool(h.all()) for h in by_word]
    assert whole == [bool(h.any()) for h in by_word]  # whole words
    assert all(free or not h for free, h in zip(words.maskable, whole, strict=True))
    keys = []
    for q in range(len(row.query_start)):
        word = word_at(words, row.query_start[q], row.query_end[q])
        assert whole[word]
        assert row.query_single[q] == (row.query_start[q] == row.query_end[q])
        keys.append(words.nouns[word])
        there = row.ref_mask[q]
        found = [
            word_at(words, a, b)
            for a, b in zip(row.ref_start[q][there], row.ref_end[q][there], strict=True)
        ]
        assert found
        assert all(words.nouns[i] == keys[-1] and i != word for i in found)
        assert keep or not any(whole[i] for i in found)
    assert None not in keys
    assert len(set(keys)) == len(keys)


def test_masked_referents_can_stay():
    """Two mentions, all of the text masked: the one is the other's referent only by request."""
    words = words_of([1] * 100, ["n"] * 2 + [None] * 98)
    seen = Counter()
    for seed in range(100):
        for keep in (False, True):
            row = inplace(words, random.Random(seed), IDS, keep_masked_referents=keep).row
            both = bool((row.targets[:2] != NOT_MASKED).all())
            assert len(row.query_start) == (keep or not both)
            seen[both] += 1
    assert seen[True]


@given(st.integers(1, 4096))
def test_budgets(length):
    masked, mentions = budgets(length)
    assert masked == max(1, round(0.15 * length))
    assert mentions == min(15, max(1, round(0.2 * masked)))


def test_the_published_budgets():
    assert budgets(512) == (77, 15)
    assert budgets(64) == (10, 2)


@given(texts(), seeds, st.integers(0, 20), st.booleans())
def test_chosen_mentions(words, rng, most, apart):
    chosen = choose_mentions(words, most, rng, apart=apart)
    keys = [words.nouns[i] for i in chosen]
    assert len(set(keys)) == len(keys)
    for word, others in chosen.items():
        group = [i for i, noun in enumerate(words.nouns) if noun == words.nouns[word]]
        assert sorted([word, *others]) == group
        assert others
    sizes = [words.starts[i + 1] - words.starts[i] for i in chosen]
    assert sum(sizes) <= most
    if apart:
        assert not {i + 1 for i in chosen} & set(chosen)
    else:  # a group is left only if it does not fit any more
        left = [i for i, noun in enumerate(words.nouns) if noun and noun not in keys]
        left = [i for i in left if words.nouns.count(words.nouns[i]) > 1]
        for key in {words.nouns[i] for i in left}:
            sizes_left = [
                words.starts[i + 1] - words.starts[i] for i in left if words.nouns[i] == key
            ]
            assert max(sizes_left) > most - sum(sizes)


def test_every_mention_of_a_group_is_as_likely():
    words = words_of([1] * 9, ["n", None, None] * 3)
    found = Counter(
        next(iter(choose_mentions(words, 1, random.Random(seed), apart=True)))
        for seed in range(3000)
    )
    assert set(found) == {0, 3, 6}
    assert all(abs(n - 1000) < 3 * np.sqrt(3000 * 2 / 9) for n in found.values())


@given(texts(max_size=800), seeds, st.integers(65, 200))
def test_sequences_fill_the_length_with_whole_words(words, rng, length):
    found = list(sequences(words, rng, length))
    covered = [piece for part in found for piece in part.pieces]
    for part in found:
        assert sampler.SHORTEST <= len(part.pieces) <= length - 1
        assert part.starts[0] == 0
        assert part.starts[-1] == len(part.pieces)
        assert len(part.starts) == len(part) + 1 == len(part.maskable) + 1
    assert len(words.pieces) - len(covered) < sampler.SHORTEST * (len(found) + 1)
    full = [part for part in found if len(part.pieces) > length - 1 - 4]
    assert len(found) - len(full) <= 1 + max(6, len(found) // 2)


def test_nothing_is_lost_between_sequences():
    words = words_of([1, 2, 3] * 400, [None] * 1200)
    found = list(sequences(words, random.Random(4), 100))
    covered = [piece for part in found for piece in part.pieces]
    assert covered == list(words.pieces)[: len(covered)]
    assert len(words.pieces) - len(covered) < sampler.SHORTEST
    short = sum(len(part.pieces) < 97 for part in found[:-1])
    assert 0 < short < len(found) // 3


def test_words_without_end_are_left_out():
    words = words_of([70, 300, 70, 20], ["a", "b", "c", "d"])
    found = [part.nouns for part in sequences(words, random.Random(0), 100)]
    assert found == [["a"], ["c", "d"]]


@pytest.fixture(scope="module")
def many():
    """Sequences of full length with groups of nouns, as in a text."""
    rng = random.Random(7)
    sizes = [rng.choice((1, 1, 1, 2, 3)) for _ in range(320)]
    nouns = [f"n{min(rng.randrange(60), rng.randrange(60))}" if rng.random() < 0.2 else None
             for _ in sizes]  # fmt: skip
    words = next(sequences(words_of(sizes * 2, nouns * 2), random.Random(1), 512))
    return [(words, random.Random(seed)) for seed in range(150)]


def test_shares_of_what_is_masked(many):
    for mask in (sentinel_span, inplace):
        samples = [mask(words, rng, IDS) for words, rng in many]
        masked = sum(s.masked for s in samples)
        assert 0.17 < sum(s.mentions for s in samples) / masked <= 0.2
        assert 0.148 < masked / sum(s.pieces for s in samples) < 0.152


def test_other_spans_have_three_pieces_on_average(many):
    lengths = []
    for words, rng in many:
        row = sentinel_span(words, rng, IDS).row
        mentions = {int(row.inputs[place]) for place in row.query_start}
        _, _, spans = restored(row)
        lengths += [len(span) for n, span in spans.items() if span and n not in mentions]
    assert 2.5 < np.mean(lengths) < 3.3


def test_eighty_ten_ten(many):
    """A random piece may be the old one, once in so many; three sigma of each share."""
    found = Counter()
    for words, rng in many:
        row = inplace(words, rng, IDS).row
        hidden = row.targets != NOT_MASKED
        found["mask"] += int((row.inputs[hidden] == IDS.mask).sum())
        found["same"] += int((row.inputs[hidden] == row.targets[hidden]).sum())
        found["all"] += int(hidden.sum())
    found["random"] = found["all"] - found["mask"] - found["same"]
    for kind, share in (("mask", 0.8), ("random", 0.1), ("same", 0.1)):
        sigma = np.sqrt(found["all"] * share * (1 - share))
        assert abs(found[kind] - share * found["all"]) < 3 * sigma, (kind, found)


def test_pieces_of_a_word_are_masked_each_for_itself(many):
    mixed = 0
    for words, rng in many[:20]:
        row = inplace(words, rng, IDS).row
        for q in np.flatnonzero(~row.query_single):
            inside = row.inputs[row.query_start[q] : row.query_end[q] + 1] == IDS.mask
            mixed += bool(inside.any() and not inside.all())
    assert mixed


def test_sentinels_suffice_for_long_sequences():
    """15 % of 4,000 pieces are 600, but there are 100 sentinels, of which one ends the target."""
    words = words_of([1] * 4000, [f"n{i}" if i % 3 else None for i in range(2000)] * 2)
    row = sentinel_span(words, random.Random(0), IDS).row
    _, _, spans = restored(row)
    assert len(spans) == SENTINELS
    assert row.targets.min() >= 0


def test_many_referents_are_cut_to_the_nearest():
    words = words_of([1] * 200, ["n", None] * 100)
    sample = sentinel_span(words, random.Random(0), IDS)
    row = sample.row
    assert row.ref_start.shape == (1, sampler.MOST_REFERENTS)
    assert sample.cut_referents == 100 - 1 - sampler.MOST_REFERENTS
    _, origin, _ = restored(row)
    query = origin[row.query_start[0]]
    kept = [abs(origin[place] - query) for place in row.ref_start[0]]
    lost = [abs(i - query) for i in range(0, 200, 2) if i != query and abs(i - query) not in kept]
    assert max(kept) <= min(lost, default=200)


def test_a_text_without_groups_has_no_query():
    row = sentinel_span(words_of([1] * 80, [None] * 80), random.Random(0), IDS).row
    assert row.query_start.shape == (0,)
    assert row.ref_start.shape == row.ref_mask.shape == (0, 0)
    assert len(row.targets) > 12


def test_the_same_generator_gives_the_same_row():
    words = words_of([1, 2] * 100, ["a", "b", None, "c"] * 50)
    for mask in (sentinel_span, inplace):
        first, again, other = (mask(words, random.Random(s), IDS).row for s in (3, 3, 4))
        assert first.inputs.tolist() == again.inputs.tolist()
        assert first.inputs.tolist() != other.inputs.tolist()

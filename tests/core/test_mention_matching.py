"""Matching of mentions against all one-to-one maps tried out."""

from __future__ import annotations

import itertools
import pickle

import pytest
from anaphora_documents import anaphoras, document
from hypothesis import given, settings
from hypothesis import strategies as st

from t5coref.core import mention_matching
from t5coref.core.anaphora import Place
from t5coref.core.anaphora_metrics import AnaphoraScorer
from t5coref.core.anaphora_sides import COREFUD
from t5coref.core.mention_matching import EXACT, HEAD, MATCHES, PARTIAL, Markable, align

SCORE = {
    # Written again from the description of the scorer, in sets and fractions.
    "exact": lambda k, r: 0,
    "partial": lambda k, r: (
        len(r.places & k.places) / len(k.places)
        if k.core and k.core.issubset(r.places) and r.places.issubset(k.places)
        else 0
    ),
    "head": lambda k, r: len(r.places & k.places) / len(k.places) if k.core == r.core else 0,
}


@st.composite
def markables(draw):
    words = draw(st.sets(st.integers(1, 6), min_size=1, max_size=4))
    return Markable(
        frozenset(map(Place, words)), frozenset([Place(draw(st.sampled_from(sorted(words))))])
    )


SIDES = st.lists(markables(), max_size=5, unique_by=lambda m: (m.places, m.core))


def one(*words, core=None):
    return Markable(
        frozenset(map(Place, words)), frozenset() if core is None else frozenset([Place(core)])
    )


def best(keys, responses, score):
    """The greatest sum over all one-to-one maps."""
    if len(keys) > len(responses):
        return best(responses, keys, lambda a, b: score(b, a))
    return max(
        sum(score(k, r) for k, r in zip(keys, chosen, strict=True))
        for chosen in itertools.permutations(responses, len(keys))
    )


@pytest.mark.parametrize("name", MATCHES)
@settings(max_examples=50)
@given(keys=SIDES, responses=SIDES)
def test_the_best_of_all_maps(name, keys, responses):
    match = MATCHES[name]
    of = [{match.same(m): m for m in side} for side in (keys, responses)]
    found = align(keys, responses, match)
    assert len(set(found.values())) == len(found)
    same = of[0].keys() & of[1].keys()
    assert all(found[name] == name for name in same), "equal mentions come first"
    rest = [[m for n, m in side.items() if n not in same] for side in of]
    chosen = [(of[0][k], of[1][r]) for r, k in found.items() if r not in same]
    score = SCORE[name]
    assert all(score(k, r) > 0 for k, r in chosen)
    assert sum(score(k, r) for k, r in chosen) == pytest.approx(best(*rest, score))


@settings(max_examples=50)
@given(keys=SIDES, responses=SIDES)
def test_blocks_are_as_good_as_the_whole(keys, responses):
    def total(pairs):
        return sum(SCORE["head"](of_key[k], of_response[r]) for r, k in pairs.items())

    of_key, of_response = ({HEAD.same(m): m for m in side} for side in (keys, responses))
    whole = align(keys, responses, HEAD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mention_matching, "DENSE_CELLS", 0)
        assert total(align(keys, responses, HEAD)) == pytest.approx(total(whole))


@settings(max_examples=50)
@given(keys=SIDES, responses=SIDES)
def test_exact_matching_has_no_direction(keys, responses):
    there = align(keys, responses, EXACT)
    assert align(responses, keys, EXACT) == {k: r for r, k in there.items()}


def test_partial_needs_the_core_and_nothing_else():
    key = one(1, 2, 3, core=2)
    assert align([key], [one(1, 2)], PARTIAL)
    assert not align([key], [one(1, 3)], PARTIAL)  # without the core
    assert not align([key], [one(2, 3, 4)], PARTIAL)  # a word too many
    assert not align([one(1, 2, 3)], [one(1, 2)], PARTIAL)  # the core is not known


def test_a_mention_of_several_parts_lacks_the_words_between():
    key = one(1, 3, 4, core=3)
    assert not align([key], [one(1, 2, 3, 4)], PARTIAL)
    assert align([key], [one(3, 4)], PARTIAL)


def test_the_same_head_is_told_apart_by_overlap():
    short, long = one(2, 3, core=2), one(1, 2, 3, 4, 5, core=2)
    near_short, near_long = one(2, core=2), one(1, 2, 3, 4, core=2)
    found = align([short, long], [near_long, near_short], HEAD)
    assert found == {HEAD.same(near_short): HEAD.same(short), HEAD.same(near_long): HEAD.same(long)}


def zero(words, number, sentence, *dependencies):
    place = frozenset([Place(words, sentence, number)])
    return Markable(place, place, True, sentence, frozenset(dependencies))


def test_zeros_are_matched_by_what_they_depend_on():
    """A swapped pair: by place they match the wrong way round."""
    keys = [zero(5, 1, 0, ("5", "nsubj")), zero(5, 2, 0, ("5", "obj"))]
    responses = [zero(5, 1, 0, ("5", "obj")), zero(5, 2, 0, ("5", "nsubj"))]
    by_place = align(keys, responses, HEAD)
    assert by_place == {HEAD.same(r): HEAD.same(k) for k, r in zip(keys, responses, strict=True)}
    found = align(keys, responses, HEAD, zeros_by_dependencies=True)
    assert found == {
        HEAD.same(responses[1]): HEAD.same(keys[0]), HEAD.same(responses[0]): HEAD.same(keys[1])
    }  # fmt: skip


def test_zeros_of_other_sentences_or_parents_do_not_match():
    key = zero(5, 1, 0, ("5", "nsubj"))
    others = [zero(9, 1, 1, ("5", "nsubj")), zero(6, 1, 0, ("4", "nsubj")), zero(7, 1, 0)]
    for other in others:
        assert not align([key], [other], HEAD, zeros_by_dependencies=True)
    parent_only = zero(6, 1, 0, ("5", "obj"))
    assert align([key], [parent_only], HEAD, zeros_by_dependencies=True)


@settings(max_examples=50)
@given(found=anaphoras())
def test_scorers_can_be_pickled(found):
    scorer = AnaphoraScorer(COREFUD)
    scorer.add(document(found), document(found))
    assert pickle.loads(pickle.dumps(scorer)).compute() == scorer.compute()

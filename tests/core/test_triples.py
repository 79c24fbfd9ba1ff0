"""The order of relations against the sorted list of all triples, and its twin for arrays."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import pytest

from t5coref.core import triples
from t5coref.core.rules import HEAD, TAIL
from t5coref.core.triples import FIRST, Triple
from t5coref.decode import triples as twin


def every(entities, types):
    """All relations, in order."""
    numbers = range(entities)
    found = itertools.product(numbers, numbers, range(types))
    return sorted(Triple(*t) for t in found if t[0] != t[1])


SIZES = [(0, 1), (1, 3), (2, 1), (2, 2), (3, 1), (4, 3)]


@pytest.mark.parametrize(("entities", "types"), SIZES)
def test_each_triple_is_followed_by_the_next(entities, types):
    everything = every(entities, types)
    assert triples.exists(FIRST, entities) == bool(everything)
    if everything:
        assert everything[0] == FIRST
    for triple, after in itertools.pairwise(everything):
        assert triples.following(triple, entities, types) == after
        assert triples.exists(after, entities)
    if everything:
        assert not triples.exists(triples.following(everything[-1], entities, types), entities)


@pytest.mark.parametrize(("entities", "types"), SIZES)
def test_what_is_chosen_raises_the_least_triple(entities, types):
    """Behind a head, and behind a tail, the least triple is that of the list."""
    everything = every(entities, types)
    for least in everything:
        for head in range(least.head, entities):
            behind = triples.raised(least, HEAD, head)
            left = [t for t in everything if t >= least and t.head == head]
            # A tail that is the head may stand in the least triple; it is none of the list.
            assert left == [t for t in everything if t >= behind and t.head == head]
            assert left
            for tail in {t.tail for t in left}:
                chosen = triples.raised(behind, TAIL, tail)
                same = [t for t in left if t.tail == tail]
                assert same[0] == chosen


@pytest.mark.parametrize(("entities", "types"), SIZES)
def test_the_twin_agrees(entities, types):
    everything = [FIRST, *every(entities, types)]
    columns = twin.Triple(*(jnp.asarray(c, jnp.int32) for c in zip(*everything, strict=True)))
    count = jnp.asarray(entities, jnp.int32)

    def rows(found):
        return [Triple(*map(int, row)) for row in zip(*found, strict=True)]

    with jax.numpy_rank_promotion("allow"):
        found = twin.following(columns, count, types)
        there = twin.exists(columns, count)
    if everything[1:]:
        assert rows(found) == [triples.following(t, entities, types) for t in everything]
    assert there.tolist() == [triples.exists(t, entities) for t in everything]
    for role, number in itertools.product((HEAD, TAIL), range(-1, entities)):
        raised = jax.vmap(lambda t, r, n: twin.raised(t, r, n), in_axes=(0, None, None))(
            columns, jnp.asarray(role, jnp.int32), jnp.asarray(number, jnp.int32)
        )
        expected = [t if number < 0 else triples.raised(t, role, number) for t in everything]
        assert rows(raised) == expected
    assert Triple(*map(int, twin.first())) == FIRST

"""Counts of anaphora beside clusters: overlap of mentions, zeros, non-referring, bridging."""

from __future__ import annotations

from collections.abc import Hashable

from t5coref.core.anaphora import Place
from t5coref.core.anaphora_sides import Side
from t5coref.core.mention_matching import Markable, Match, assignment
from t5coref.core.metrics import Counts, Ratio

Sides = tuple[Side, Side]
"""Key and response."""


def mention_overlap(sides: Sides) -> Counts:
    """Nodes that mentions share under the best one-to-one map of them (Zabokrtsky et al. 2022)."""
    key, response = (side.scored() for side in sides)
    where: dict[Hashable, list[int]] = {}
    for j, markable in enumerate(response):
        for place in markable.places:
            where.setdefault(place, []).append(j)
    cells: dict[tuple[int, int], float] = {}
    for i, markable in enumerate(key):
        for place in markable.places:
            for j in where.get(place, ()):
                cells[i, j] = cells.get((i, j), 0) + 1
    common = sum(cells[cell] for cell in assignment(cells, len(key), len(response)))
    total = [sum(len(markable.places) for markable in side) for side in (key, response)]
    return Counts((Ratio(common, total[0], common, total[1]),))


def zeros(sides: Sides, named: tuple[list[Hashable], list[Hashable]], match: Match) -> Counts:
    """Zeros with a right antecedent, by the zeros that have one (Zabokrtsky et al. 2022).

    A zero is right if its partner is not the first mention of a response entity which also has an
    earlier mention of the key entity. As in the official scorer its partner is the same mention of
    the response, where there is one, before it is the mention that it was matched with.
    """
    key, response = (
        [sorted(cluster, key=lambda i: side.markables[i].order()) for cluster in side.clusters]
        for side in sides
    )
    entity_of = {j: r for r, cluster in enumerate(response) for j in cluster}
    first = {cluster[0] for cluster in response}
    partner = {named[1][j]: j for j in entity_of}
    same = {match.same(sides[1].markables[j]): j for j in entity_of}
    right = expected = 0
    covered: set[int] = set()
    for cluster in key:
        before: set[int] = set()
        for place, i in enumerate(cluster):
            j = same.get(match.same(sides[0].markables[i]), partner.get(named[0][i]))
            if place and sides[0].markables[i].zero:
                expected += 1
                if j is not None and j not in first:
                    covered.add(j)
                    right += entity_of[j] in before
            if j is not None:
                before.add(entity_of[j])
    # Of the response count the anaphors that a key zero was matched with, and its other zeros.
    others = {j for j in entity_of if j not in first and sides[1].markables[j].zero}
    return Counts((Ratio(right, expected, right, len(covered | others)),))


def non_referring(sides: Sides) -> Counts:
    """Expressions that do not refer, the first of each name, by their exact nodes."""
    key, response = map(_non_referring, sides)
    return _sets(key, response)


def _non_referring(side: Side) -> set[frozenset[Place]]:
    first: dict[int, Markable] = {}
    for mention, markable in zip(side.found.mentions, side.markables, strict=True):
        if not side.found.entities[mention.entity].referring:
            first.setdefault(mention.entity, markable)
    return {markable.places for markable in first.values()}


def bridging(sides: Sides) -> tuple[Counts, Counts, Counts]:
    """Bridging anaphors, then with their anchors, then with their anchors' entities."""
    pairs = [
        {
            side.markables[link.mention].places: side.markables[link.anchor].places
            for link in side.found.bridging
            if link.mention is not None and link.anchor is not None
        }
        for side in sides
    ]
    key, response = pairs
    entity_of = {
        sides[0].markables[i].places: k for k, c in enumerate(sides[0].clusters) for i in c
    }
    same_entity = sum(
        anchor == key[anaphor]
        or (anchor in entity_of and entity_of[anchor] == entity_of.get(key[anaphor]))
        for anaphor, anchor in response.items()
        if anaphor in key
    )
    return (
        _sets(set(key), set(response)),
        _sets(set(key.items()), set(response.items())),
        Counts((Ratio(same_entity, len(key), same_entity, len(response)),)),
    )


def _sets(key: set, response: set) -> Counts:
    common = len(key & response)
    return Counts((Ratio(common, len(key), common, len(response)),))

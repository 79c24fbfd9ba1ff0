"""Corrections: they lead to the key, in any order, and their numbers add up."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_pairs import PAIRS

from t5coref.core.document import Document
from t5coref.report import Correction, English, Kind, MentionType, applied, corrections


def as_sets(clusters):
    return {frozenset(cluster) for cluster in clusters}


@given(PAIRS)
def test_all_corrections_together_give_the_key(pair):
    document, key, response = pair
    found = corrections(key, response, English(document))
    assert applied(found, response) == as_sets(key)


@given(PAIRS, st.randoms(use_true_random=False))
def test_no_order_matters(pair, order: random.Random):
    document, key, response = pair
    found = corrections(key, response, English(document))
    mixed = [order.sample(cluster, len(cluster)) for cluster in response]
    order.shuffle(mixed)
    gold = [order.sample(cluster, len(cluster)) for cluster in key]
    order.shuffle(gold)
    assert corrections(gold, mixed, English(document)) == found
    assert applied(order.sample(found, len(found)), mixed) == as_sets(key)


@given(PAIRS)
def test_the_numbers_add_up(pair):
    document, key, response = pair
    found = corrections(key, response, English(document))
    count = Counter(c.kind for c in found)
    about = Counter()
    for c in found:
        about[c.kind] += len(c.spans)
    gold = {span for cluster in key for span in cluster}
    there = {span for cluster in response for span in cluster}
    wrong = count[Kind.WRONG_SPAN]
    assert len(there - gold) == wrong + about[Kind.EXTRA_MENTION] + about[Kind.EXTRA_ENTITY]
    assert len(gold - there) == wrong + about[Kind.MISSED_MENTION] + about[Kind.MISSED_ENTITY]
    assert len(key) - len(response) == (
        count[Kind.MERGED]
        - count[Kind.EXTRA_ENTITY]
        + count[Kind.MISSED_ENTITY]
        - count[Kind.SPLIT]
    )
    assert (not found) == (as_sets(key) == as_sets(response))


@given(PAIRS)
def test_prediction_and_key_changed_over_swap_their_errors(pair):
    document, key, response = pair
    forth = Counter(c.kind for c in corrections(key, response, English(document)))
    back = Counter(c.kind for c in corrections(response, key, English(document)))
    swapped = {
        Kind.WRONG_SPAN: Kind.WRONG_SPAN,
        Kind.MERGED: Kind.SPLIT,
        Kind.EXTRA_MENTION: Kind.MISSED_MENTION,
        Kind.EXTRA_ENTITY: Kind.MISSED_ENTITY,
    }
    for kind, other in swapped.items():
        assert forth[kind] == back[other]
        assert forth[other] == back[kind]


TEXT = "Anna Lee saw the old dog of Ben . She fed it ."
ANNA, SHE, DOG, DOG_ALONE, BEN, IT = (0, 2), (9, 10), (3, 8), (3, 6), (7, 8), (11, 12)


def found(key, response):
    document = Document(doc_id="d", words=tuple(TEXT.split()))
    return corrections(key, response, English(document))


@pytest.mark.parametrize(
    ("key", "response", "expected"),
    [
        ([[ANNA, SHE]], [[ANNA, SHE]], []),
        ([[DOG, IT]], [[DOG_ALONE, IT]], [(Kind.WRONG_SPAN, (DOG_ALONE,), DOG, "nominal")]),
        ([[ANNA, SHE]], [[ANNA]], [(Kind.MISSED_MENTION, (SHE,), ANNA, "pronoun")]),
        ([[ANNA]], [[ANNA, SHE]], [(Kind.EXTRA_MENTION, (SHE,), None, "pronoun")]),
        ([[ANNA, SHE]], [], [(Kind.MISSED_ENTITY, (ANNA, SHE), None, "name")]),
        ([], [[SHE, IT]], [(Kind.EXTRA_ENTITY, (SHE, IT), None, "pronoun")]),
        (
            [[ANNA, SHE], [DOG, IT]],
            [[ANNA, SHE, DOG, IT]],
            [(Kind.MERGED, (DOG, IT), None, "nominal")],
        ),
        (
            [[ANNA, SHE, IT]],
            [[ANNA, SHE], [IT]],
            [(Kind.SPLIT, (IT,), ANNA, "pronoun")],
        ),
        # One mention in the wrong cluster is cut off there and joined here.
        (
            [[ANNA, SHE], [DOG, IT]],
            [[ANNA, SHE, IT], [DOG]],
            [(Kind.MERGED, (IT,), None, "pronoun"), (Kind.SPLIT, (IT,), DOG, "pronoun")],
        ),
        # "Ben" lies in "the old dog of Ben" but is not its head: no boundary is wrong.
        (
            [[DOG]],
            [[BEN]],
            [
                (Kind.EXTRA_ENTITY, (BEN,), None, "name"),
                (Kind.MISSED_ENTITY, (DOG,), None, "nominal"),
            ],
        ),
    ],
)  # fmt: skip
def test_each_kind(key, response, expected):
    # "Ben" begins no sentence, "Lee" neither.
    assert found(key, response) == [
        Correction(kind, spans, joined, MentionType(type_))
        for kind, spans, joined, type_ in expected
    ]


def test_of_two_spans_the_one_more_alike_is_the_wrong_one():
    # "dog" and "the old dog" both hold the head of "old dog".
    key, response = [[(4, 6)]], [[(5, 6)], [(3, 6)]]
    assert [(c.kind, c.spans) for c in found(key, response)] == [
        (Kind.WRONG_SPAN, ((3, 6),)),
        (Kind.EXTRA_ENTITY, ((5, 6),)),
    ]

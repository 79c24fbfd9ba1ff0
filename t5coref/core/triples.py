"""The order of relations: which triple of numbers may be written next.

The relations of an output ascend as triples (head, tail, type), so none is written twice and a set
of relations has one form. What has to be remembered is the least triple that may follow. It is kept
such that it may really be written, so whatever ascends from it leaves a way to go on.
`decode/triples.py` is the twin for arrays.
"""

from __future__ import annotations

from typing import NamedTuple

from t5coref.core.rules import HEAD, TAIL


class Triple(NamedTuple):
    """A relation as numbers: of the clusters that it leads from and to, and of its type."""

    head: int
    tail: int
    type: int


FIRST = Triple(0, 1, 0)
"""The least of all triples; the clusters of a relation are two."""


def exists(least: Triple, entities: int) -> bool:
    """Whether a relation is left from `least` on, with clusters `0 .. entities - 1`."""
    return least.head < entities and least.tail < entities


def raised(least: Triple, role: int, number: int) -> Triple:
    """The least triple once `number` is the head, or the tail behind the head of `least`."""
    if role == HEAD and number != least.head:
        return Triple(number, 0, 0)
    if role == TAIL and number != least.tail:
        return Triple(least.head, number, 0)
    return least


def following(triple: Triple, entities: int, types: int) -> Triple:
    """The least triple behind `triple`; its head is `entities` where there is none."""
    head, tail, type_ = triple.head, triple.tail, triple.type + 1
    if type_ == types:
        tail, type_ = tail + 1, 0
    if tail == head:
        tail += 1
    if tail >= entities:
        head, tail, type_ = head + 1, 0, 0
    return Triple(head, tail, type_)

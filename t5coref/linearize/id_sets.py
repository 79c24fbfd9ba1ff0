"""Id sets: a mention that is several clusters together, an anaphor with split antecedents.

For "Anna met Bob . They left", where They are Anna and Bob, the output is
`</new> </new> <of> <c0> <of> <c1> </new> </s>`: "They" begins a cluster, which consists of two that
were begun before. What a cluster is part of may also be named first: `<in> <c0> </new>` begins a
cluster that is an element of `<c0>`. So each link is written where the later one of its two
clusters begins, and every set can be written, whatever comes first in the text. Links of one
mention ascend by their clusters. A later mention of the set has the symbol of its cluster.

A mention whose answer is forced, since the window before gave it, has no links again: a link is
written with the first mention behind those of either cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from t5coref.core.rules import ELEMENT, MENTION, NOTHING, NUMBER, Cell, Guard

LINKED, ELEMENTS = NUMBER, NUMBER + 1
"""Modes: behind an element, and where one has to be named."""

COST = 2
"""Steps that a link takes."""


def cells(text: Sequence[Cell]) -> Iterator[Cell]:
    """The entries of the table in the modes of sets, given those of TEXT.

    Behind an element a mention gets the symbol of a cluster and not null. There is one at least,
    that of the element, so that this is no dead end; a set that has itself as an element says
    nothing by that.
    """
    for cell in text:
        if cell.to == ELEMENTS or cell.given != NOTHING:
            yield cell._replace(mode=LINKED)
        if cell.given >= 0:
            yield Cell(ELEMENTS, cell.action, LINKED, Guard.FITS, given=cell.given)


def spelt(clusters: int) -> dict[str, Any]:
    """What `Rules` have to know of the modes: every number is one symbol."""
    role = np.full(ELEMENTS + 1, MENTION, np.int32)
    role[ELEMENTS] = ELEMENT
    at_least = np.full((ELEMENTS + 1, clusters + 1), clusters, np.int32)
    at_least[ELEMENTS] = np.arange(clusters + 1)
    return {"role": role, "at_least": at_least}

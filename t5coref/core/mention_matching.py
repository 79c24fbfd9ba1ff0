"""Which mention of the response is which mention of the key: exactly, in part, or by the head.

Follows the scorer of the CRAC shared tasks (CorefUD scorer 1.2) and Universal Anaphora's (2.0): a
one-to-one match in three steps. Zeros are matched by their dependencies, if that is asked for; then
mentions that are the same; then the rest, so that the sum of similarities is as great as possible.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from t5coref.core.anaphora import Place

DENSE_CELLS = 1 << 20
"""Up to this many pairs of mentions one dense assignment is solved, as the official scorers do."""


@dataclass(frozen=True, slots=True)
class Markable:
    """What counts of a mention when it is matched.

    Attributes:
      places: its words and zeros.
      core: those that a response has to have: the head, or the minimal span; empty if unknown.
      zero: whether its head is a zero.
      sentence: the sentence of a zero.
      dependencies: of a zero: the parent's ID in the sentence, and the relation to it.
    """

    places: frozenset[Place]
    core: frozenset[Place] = frozenset()
    zero: bool = False
    sentence: int = -1
    dependencies: frozenset[tuple[str, str]] = frozenset()

    def order(self) -> tuple[Place, Place, int]:
        """Sorts mentions by where they start, then where they end, then how long they are."""
        return min(self.places), max(self.places), len(self.places)


Similarity = Callable[[Markable, Markable], float]
"""Of a key mention and a response mention; 0 where they must not be matched."""


@dataclass(frozen=True, slots=True)
class Match:
    """A way of matching.

    Attributes:
      same: mentions with equal values are matched before any others.
      similarity: of the rest; None leaves them unmatched.
      by_head: whether mentions need a head.
    """

    same: Callable[[Markable], Hashable]
    similarity: Similarity | None = None
    by_head: bool = False


def partial_similarity(key: Markable, response: Markable) -> float:
    """The share of the key's nodes that a response has which has the core and nothing else."""
    if key.core and key.core <= response.places <= key.places:
        return len(response.places) / len(key.places)
    return 0.0


def head_similarity(key: Markable, response: Markable) -> float:
    """The share of the key's nodes that a response with the same head has."""
    if key.core == response.core:
        return len(key.places & response.places) / len(key.places)
    return 0.0


def zero_similarity(key: Markable, response: Markable) -> float:
    """Ten times the F1 of parents and relations, plus the F1 of parents alone."""
    if key.sentence != response.sentence:
        return 0.0
    parents = [frozenset(parent for parent, _ in m.dependencies) for m in (key, response)]
    return 10 * _f1(key.dependencies, response.dependencies) + _f1(*parents)


def nodes_of(markable: Markable) -> Hashable:
    """The nodes of a mention: what two of them have in common that match exactly."""
    return markable.places


def nodes_and_head_of(markable: Markable) -> Hashable:
    """The nodes of a mention and its head."""
    return markable.places, markable.core


EXACT = Match(nodes_of)
PARTIAL = Match(nodes_of, partial_similarity)
HEAD = Match(nodes_and_head_of, head_similarity, by_head=True)

MATCHES: Mapping[str, Match] = MappingProxyType({"exact": EXACT, "partial": PARTIAL, "head": HEAD})
"""Every way of matching by name."""


def align(
    key: Iterable[Markable],
    response: Iterable[Markable],
    match: Match = EXACT,
    *,
    zeros_by_dependencies: bool = False,
) -> dict[Hashable, Hashable]:
    """The key mention of each matched response mention, both by their `match.same`."""
    keys = {match.same(markable): markable for markable in key}
    responses = {match.same(markable): markable for markable in response}
    found: dict[Hashable, Hashable] = {}

    def take(pairs: Iterable[tuple[Hashable, Hashable]]) -> None:
        for key_name, response_name in pairs:
            found[response_name] = key_name
            del keys[key_name], responses[response_name]

    if zeros_by_dependencies:
        key_zeros, response_zeros = (
            {name: m for name, m in side.items() if m.zero} for side in (keys, responses)
        )
        take(_best(key_zeros, response_zeros, zero_similarity, lambda m: (m.sentence,)))
    take([(name, name) for name in keys if name in responses])
    if match.similarity is not None:
        shares = (lambda m: m.core) if match.by_head else (lambda m: m.places)
        take(_best(keys, responses, match.similarity, shares))
    return found


def _best(
    keys: Mapping[Hashable, Markable],
    responses: Mapping[Hashable, Markable],
    similarity: Similarity,
    shares: Callable[[Markable], Iterable[Hashable]],
) -> list[tuple[Hashable, Hashable]]:
    """Pairs of the one-to-one match with the greatest sum of similarities.

    Only pairs of which `shares` has something in common are looked at. Of several best matches the
    solver's is taken, which sees mentions in text order as in the official scorers.
    """
    key_names = sorted(keys, key=lambda name: keys[name].order())
    response_names = sorted(responses, key=lambda name: responses[name].order())
    where: dict[Hashable, list[int]] = defaultdict(list)
    for j, name in enumerate(response_names):
        for shared in shares(responses[name]):
            where[shared].append(j)
    cells: dict[tuple[int, int], float] = {}
    for i, name in enumerate(key_names):
        near = {j for shared in shares(keys[name]) for j in where.get(shared, ())}
        for j in near:
            value = similarity(keys[name], responses[response_names[j]])
            if value > 0:
                cells[i, j] = value
    chosen = assignment(cells, len(key_names), len(response_names))
    return [(key_names[i], response_names[j]) for i, j in chosen]


def assignment(
    cells: Mapping[tuple[int, int], float], rows: int, columns: int
) -> list[tuple[int, int]]:
    """The cells of a one-to-one map with the greatest sum; those that are not given count 0."""
    if not cells:
        return []
    i, j = np.array(list(cells)).T
    values = np.fromiter(cells.values(), np.float64)
    if rows * columns <= DENSE_CELLS:
        return _assign(i, j, values, (rows, columns))
    graph = csr_array((values, (i, rows + j)), shape=(rows + columns, rows + columns))
    _, block_of = connected_components(graph, directed=False)
    out: list[tuple[int, int]] = []
    for block in np.unique(block_of[i]):
        inside = block_of[i] == block
        row_names, row = np.unique(i[inside], return_inverse=True)
        column_names, column = np.unique(j[inside], return_inverse=True)
        shape = len(row_names), len(column_names)
        out += [
            (int(row_names[a]), int(column_names[b]))
            for a, b in _assign(row, column, values[inside], shape)
        ]
    return out


def _assign(
    row: np.ndarray, column: np.ndarray, values: np.ndarray, shape: tuple[int, int]
) -> list[tuple[int, int]]:
    dense = np.zeros(shape)
    dense[row, column] = values
    pairs: Sequence[tuple[int, int]] = list(zip(*linear_sum_assignment(-dense), strict=True))
    return [(int(a), int(b)) for a, b in pairs if dense[a, b] > 0]


def _f1(key: frozenset, response: frozenset) -> float:
    return 2 * len(key & response) / (len(key) + len(response)) if key or response else 0.0

"""Links between mentions, and the clusters that they make.

Mentions are numbers in reading order; a link `(i, j)` has i < j.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from t5coref.core.document import Annotation, Span

Link = tuple[int, int]


def joined(count: int, links: Iterable[Link]) -> list[list[int]]:
    """The clusters of `count` mentions that links connect, each ascending, by first mention."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in links:
        low, high = sorted((root(i), root(j)))
        parent[high] = low
    clusters: dict[int, list[int]] = {}
    for i in range(count):
        clusters.setdefault(root(i), []).append(i)
    return list(clusters.values())


def linked(
    spans: Sequence[Span],
    links: Iterable[Link],
    *,
    min_mentions: int = 1,
    no_mentions: Collection[int] = (),
) -> Annotation:
    """The clusters of spans.

    Args:
      spans: of the mentions.
      links: between them.
      min_mentions: smaller clusters are dropped.
      no_mentions: those that are no mention of anything if nothing links them.
    """
    found = [
        tuple(spans[i] for i in cluster)
        for cluster in joined(len(spans), links)
        if len(cluster) >= min_mentions and (len(cluster) > 1 or cluster[0] not in no_mentions)
    ]
    return Annotation(tuple(found))


class Votes(NamedTuple):
    """What an answer counts where nothing is known but the answers.

    A pair is linked if its votes are more than the threshold.

    Attributes:
      forward: of the later mention that it refers back to the earlier one.
      backward: of the earlier mention that the later one refers back to it.
      singleton: taken off if both are said to stand alone; half of it for one of them.
      threshold: None = half of the larger one of the first two.
    """

    forward: float = 0.6
    backward: float = 0.4
    singleton: float = 0.3
    threshold: float | None = None


VOTES = Votes()


def voted(
    forward: Mapping[int, int],
    backward: Mapping[int, int],
    alone: Collection[int],
    votes: Votes = VOTES,
) -> list[Link]:
    """The links that most answers speak for.

    Args:
      forward: mention -> the earlier one that it was said to refer to.
      backward: mention -> the later one that was said to refer to it.
      alone: mentions that were said to be the only ones of their entities.
      votes: what each answer counts.
    """
    threshold = votes.threshold
    if threshold is None:
        threshold = 0.5 * max(votes.forward, votes.backward)
    pairs = {(i, j) for j, i in forward.items()} | set(backward.items())
    out = []
    for i, j in sorted(pairs):
        count = votes.forward * (forward.get(j) == i) + votes.backward * (backward.get(i) == j)
        count -= votes.singleton * ((i in alone) + (j in alone)) / 2
        if count > threshold:
            out.append((i, j))
    return out

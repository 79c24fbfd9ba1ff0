"""Coreference metrics: one overlap table a document, counts that add up, one division at the end.

Every metric reads the same table: how many mentions key cluster `k` and response cluster `r`
share. From it comes a `Counts` per document; counts are added over documents and divided once,
as the official CoNLL scorer does (Pradhan et al. 2014, "Scoring coreference partitions of
predicted mentions: a reference implementation").

Notation: `K` key clusters, `R` response clusters, `C` cells (pairs of clusters that share a
mention).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from t5coref.core.errors import ConfigError

Clusters = Sequence[Sequence[Hashable]]
"""Clusters of mentions: spans, or whatever else is equal on both sides where mentions match."""


class PRF(NamedTuple):
    """Precision, recall and F1 as fractions; where nothing can be divided they are 0."""

    precision: float
    recall: float
    f1: float


Scores = dict[str, PRF]


class Ratio(NamedTuple):
    """Numerators and denominators of one recall and one precision."""

    recall_sum: float
    key_total: float
    precision_sum: float
    response_total: float

    def prf(self) -> PRF:
        """The fractions; a zero denominator gives 0."""
        recall = self.recall_sum / self.key_total if self.key_total else 0.0
        precision = self.precision_sum / self.response_total if self.response_total else 0.0
        both = precision + recall
        return PRF(precision, recall, 2 * precision * recall / both if both else 0.0)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a metric keeps of a document: one ratio, or two for BLANC's two kinds of links."""

    ratios: tuple[Ratio, ...]

    def __add__(self, other: Counts) -> Counts:
        if len(self.ratios) != len(other.ratios):
            raise ConfigError(
                f"counts of {len(self.ratios)} and {len(other.ratios)} ratios cannot be added; "
                f"add counts of the same metric"
            )
        pairs = zip(self.ratios, other.ratios, strict=True)
        return Counts(tuple(Ratio(*(a + b for a, b in zip(x, y, strict=True))) for x, y in pairs))

    def compute(self) -> PRF:
        """The mean over the ratios that the key has anything to say about; 0 without any.

        For BLANC this is the rule of the official scorer: a key without coreference links (or
        without non-coreference links) is scored on the other kind alone.
        """
        return _mean(ratio.prf() for ratio in self.ratios if ratio.key_total)

    def compute_of_either(self) -> PRF:
        """The mean over the ratios that either side has anything to say about; 0 without any.

        For BLANC this is the rule of the scorers of Universal Anaphora and CorefUD.
        """
        return _mean(r.prf() for r in self.ratios if r.key_total or r.response_total)


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Who shares how many mentions with whom in one document; int64 throughout.

    Attributes:
      key_sizes: `[K]` mentions of each key cluster.
      response_sizes: `[R]` mentions of each response cluster.
      key_of: `[C]` key cluster of each cell.
      response_of: `[C]` response cluster of each cell.
      shared: `[C]` mentions in both, at least 1; 0 where the clusters share an antecedent alone.
      split: `[3, C]` how much the clusters' split antecedents agree, in recall, precision and F1;
        0 nearly everywhere (`core/split_antecedents.py`).
    """

    key_sizes: np.ndarray
    response_sizes: np.ndarray
    key_of: np.ndarray
    response_of: np.ndarray
    shared: np.ndarray
    split: np.ndarray


def overlap(key: Clusters, response: Clusters, *, remove_singletons: bool = False) -> Overlap:
    """The overlap table of a document.

    A span given twice on one side belongs to its first cluster alone. With `remove_singletons`,
    a cluster needs two spans of its own to count, on either side.
    """
    smallest = 2 if remove_singletons else 1
    key_cluster, key_sizes = _membership(key, smallest)
    response_cluster, response_sizes = _membership(response, smallest)
    codes = np.fromiter(
        (
            key_cluster[span] * len(response_sizes) + r
            for span, r in response_cluster.items()
            if span in key_cluster
        ),
        np.int64,
    )
    cells, shared = np.unique(codes, return_counts=True)
    key_of, response_of = np.divmod(cells, max(len(response_sizes), 1))
    return Overlap(
        key_sizes=np.asarray(key_sizes, np.int64),
        response_sizes=np.asarray(response_sizes, np.int64),
        key_of=key_of,
        response_of=response_of,
        shared=shared.astype(np.int64),
        split=np.zeros((3, len(cells))),
    )


def _membership(clusters: Clusters, smallest: int) -> tuple[dict[Hashable, int], list[int]]:
    """Cluster number of every span, and the clusters' sizes; smaller clusters get no number."""
    member: dict[Hashable, int] = {}
    sizes: list[int] = []
    for cluster in clusters:
        new = set(cluster).difference(member)
        if len(new) >= smallest:
            member.update(dict.fromkeys(new, len(sizes)))
            sizes.append(len(new))
    return member, sizes


def muc(table: Overlap) -> Counts:
    """Links that must be kept to join what is common (Vilain et al. 1995)."""
    common = int(np.maximum(table.shared - 1, 0).sum())
    recall, precision = (table.split[:2] * (table.shared > 0)).sum(axis=1)
    return _counts(
        common + recall,
        (table.key_sizes - 1).sum(),
        common + precision,
        (table.response_sizes - 1).sum(),
    )


def b3(table: Overlap) -> Counts:
    """B-cubed: the share of each mention's cluster that is right (Bagga and Baldwin 1998)."""
    recall, precision = (table.shared + table.split[:2]) ** 2
    return _counts(
        (recall / table.key_sizes[table.key_of]).sum(),
        table.key_sizes.sum(),
        (precision / table.response_sizes[table.response_of]).sum(),
        table.response_sizes.sum(),
    )


def ceafm(table: Overlap) -> Counts:
    """CEAF, shared mentions under the best one-to-one map of clusters (Luo 2005, phi 3)."""
    common = _best_alignment(table, table.shared + table.split[2])
    return _counts(common, table.key_sizes.sum(), common, table.response_sizes.sum())


def ceafe(table: Overlap) -> Counts:
    """CEAF, Dice similarity under the best one-to-one map of clusters (Luo 2005, phi 4)."""
    sizes = table.key_sizes[table.key_of] + table.response_sizes[table.response_of]
    common = _best_alignment(table, 2 * (table.shared + table.split[2]) / sizes)
    return _counts(common, len(table.key_sizes), common, len(table.response_sizes))


def blanc(table: Overlap) -> Counts:
    """BLANC over predicted mentions: coreference and non-coreference links (Luo et al. 2014)."""
    return Counts(blanc_together(table).ratios + blanc_apart(table).ratios)


def blanc_together(table: Overlap) -> Counts:
    """The first half of BLANC: links within clusters."""
    common = _links(table.shared) + (table.split[2] * table.shared).sum()
    return _counts(common, _links(table.key_sizes), common, _links(table.response_sizes))


def blanc_apart(table: Overlap) -> Counts:
    """The second half of BLANC: links across clusters."""
    weights = table.shared + table.split[2]

    def pairs(of: np.ndarray) -> float:
        return (np.bincount(of, weights) ** 2).sum()

    # Ordered pairs of common mentions, less those in one cluster of either side; pairs in one of
    # both were taken off twice. A mention with itself adds and loses as much.
    ordered = weights.sum() ** 2 - pairs(table.key_of) - pairs(table.response_of)
    common = (ordered + (weights**2).sum()) / 2
    return _counts(
        common,
        _links(table.key_sizes.sum()) - _links(table.key_sizes),
        common,
        _links(table.response_sizes.sum()) - _links(table.response_sizes),
    )


def lea(table: Overlap) -> Counts:
    """LEA: entities weighed by size, each by its share of resolved links (Moosavi and Strube 2016).

    A singleton has one link, to itself, which only a singleton of the other side resolves.
    """
    key = table.key_sizes[table.key_of]
    response = table.response_sizes[table.response_of]

    def resolution(size: np.ndarray, split: np.ndarray) -> float:
        resolved = table.shared * (table.shared - 1) / 2 + split * table.shared
        resolved[(key == 1) & (response == 1)] = 1
        return float((size * resolved / np.maximum(size * (size - 1) / 2, 1)).sum())

    return _counts(
        resolution(key, table.split[0]),
        table.key_sizes.sum(),
        resolution(response, table.split[1]),
        table.response_sizes.sum(),
    )


def mentions(table: Overlap) -> Counts:
    """Mention detection: spans that are a mention on both sides, by exact bounds."""
    common = table.shared.sum()
    return _counts(common, table.key_sizes.sum(), common, table.response_sizes.sum())


METRICS: Mapping[str, Callable[[Overlap], Counts]] = MappingProxyType(
    {
        "muc": muc,
        "b3": b3,
        "ceafm": ceafm,
        "ceafe": ceafe,
        "blanc": blanc,
        "lea": lea,
        "mentions": mentions,
    }
)
"""Every metric by name; `conll` is made of three of them and stands in `NAMES` only."""

CONLL_PARTS = ("muc", "b3", "ceafe")
NAMES = ("muc", "b3", "ceafm", "ceafe", "blanc", "lea", "conll", "mentions")
"""All names, in the order of every report."""

DENSE_CELLS = 1 << 16
"""Up to this many pairs of clusters, one dense assignment is faster than looking for blocks."""

DEFAULT = ("muc", "b3", "ceafe", "conll", "mentions")


class Scorer:
    """Adds documents, or other scorers' documents, and divides at the end; can be pickled.

    Args:
      metrics: names out of `NAMES`. `conll` brings its three parts along, and comes along where
        they are all asked for.
      remove_singletons: leave out clusters of one mention, on both sides.

    Raises:
      ConfigError: a metric is unknown.
    """

    def __init__(
        self, metrics: Iterable[str] = DEFAULT, *, remove_singletons: bool = False
    ) -> None:
        wanted = {metrics} if isinstance(metrics, str) else set(metrics)
        unknown = sorted(wanted.difference(NAMES))
        if unknown or not wanted:
            raise ConfigError(
                f"unknown metrics: {', '.join(unknown) or 'none given'}; "
                f"expected some of {', '.join(NAMES)}"
            )
        if "conll" in wanted:
            wanted.update(CONLL_PARTS)
        self.remove_singletons = remove_singletons
        self.documents = 0
        empty = overlap((), ())
        self.counts = {name: metric(empty) for name, metric in METRICS.items() if name in wanted}

    def add(self, key: Clusters, response: Clusters) -> None:
        """Adds the counts of one document."""
        table = overlap(key, response, remove_singletons=self.remove_singletons)
        for name in self.counts:
            self.counts[name] += METRICS[name](table)
        self.documents += 1

    def merge(self, other: Scorer) -> None:
        """Adds all that another scorer has counted; the other one stays as it is.

        Raises:
          ConfigError: the two differ in metrics or in the treatment of singletons.
        """
        if (
            self.counts.keys() != other.counts.keys()
            or self.remove_singletons != other.remove_singletons
        ):
            raise ConfigError(
                f"scorers differ: {', '.join(self.counts)} "
                f"(remove_singletons={self.remove_singletons}) against {', '.join(other.counts)} "
                f"(remove_singletons={other.remove_singletons}); set them up alike"
            )
        for name, counts in other.counts.items():
            self.counts[name] += counts
        self.documents += other.documents

    def compute(self) -> Scores:
        """The scores of all documents added so far, in the order of `NAMES`.

        `conll` holds the means of precision, recall and F1 of MUC, B-cubed and CEAF-e; its F1 is
        the CoNLL score (Pradhan et al. 2012), hence not the harmonic mean of the other two.
        """
        return in_order({name: counts.compute() for name, counts in self.counts.items()}, NAMES)


def in_order(scores: Mapping[str, PRF], names: Iterable[str]) -> Scores:
    """These scores in the order of the names, with `conll` where its parts are."""
    if all(part in scores for part in CONLL_PARTS):
        scores = {**scores, "conll": _mean(scores[part] for part in CONLL_PARTS)}
    return {name: scores[name] for name in names if name in scores}


def _mean(scores: Iterable[PRF]) -> PRF:
    rows = list(scores)
    if not rows:
        return PRF(0.0, 0.0, 0.0)
    return PRF(*(sum(column) / len(rows) for column in zip(*rows, strict=True)))


def score_corpus(
    pairs: Iterable[tuple[Clusters, Clusters]],
    metrics: Iterable[str] = DEFAULT,
    remove_singletons: bool = False,
) -> Scores:
    """The scores of a corpus given as (key clusters, response clusters), a pair a document.

    Raises:
      ConfigError: a metric is unknown.
    """
    scorer = Scorer(metrics, remove_singletons=remove_singletons)
    for key, response in pairs:
        scorer.add(key, response)
    return scorer.compute()


def _counts(recall_sum: float, key: float, precision_sum: float, response: float) -> Counts:
    """Counts of a metric with one ratio, as plain numbers."""
    return Counts((Ratio(float(recall_sum), int(key), float(precision_sum), int(response)),))


def _links(sizes: np.ndarray | np.integer) -> int:
    """Pairs of mentions within clusters of these sizes."""
    sizes = np.asarray(sizes, np.int64)
    return int((sizes * (sizes - 1) // 2).sum())


def _best_alignment(table: Overlap, similarity: np.ndarray) -> float:
    """The greatest sum of similarities `[C]` over one-to-one maps of key to response clusters.

    Clusters that share nothing cannot add to the sum. In a long document each connected block of
    the overlap graph is therefore solved by itself: its memory is that of the largest block, and
    a block with one cluster on either side is a maximum.
    """
    if not len(similarity):
        return 0.0
    n_key, n_response = len(table.key_sizes), len(table.response_sizes)
    if n_key * n_response <= DENSE_CELLS:
        return _assign(table.key_of, table.response_of, similarity)
    n = n_key + n_response
    graph = csr_array((similarity, (table.key_of, n_key + table.response_of)), shape=(n, n))
    _, block_of = connected_components(graph, directed=False)
    block_of_cell = block_of[table.key_of]
    order = np.argsort(block_of_cell, kind="stable")
    starts = np.flatnonzero(np.diff(block_of_cell[order], prepend=-1))
    blocks = block_of_cell[order[starts]]
    narrow = (np.bincount(block_of[:n_key], minlength=n)[blocks] == 1) | (
        np.bincount(block_of[n_key:], minlength=n)[blocks] == 1
    )
    total = float(np.maximum.reduceat(similarity[order], starts)[narrow].sum())
    ends = np.append(starts[1:], len(order))
    for start, end in zip(starts[~narrow], ends[~narrow], strict=True):
        cells = order[start:end]
        _, row = np.unique(table.key_of[cells], return_inverse=True)
        _, column = np.unique(table.response_of[cells], return_inverse=True)
        total += _assign(row, column, similarity[cells])
    return total


def _assign(row: np.ndarray, column: np.ndarray, similarity: np.ndarray) -> float:
    """The greatest sum of an assignment in the matrix with these cells."""
    dense = np.zeros((int(row.max()) + 1, int(column.max()) + 1))
    dense[row, column] = similarity
    return float(dense[linear_sum_assignment(dense, maximize=True)].sum())

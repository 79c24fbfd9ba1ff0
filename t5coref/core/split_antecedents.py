"""Anaphors whose antecedent is several entities together, in the metrics of clusters.

Paun, Yu, Moosavi and Poesio 2022, "Scoring coreference chains with split-antecedent anaphors": the
set of entities is one more member of the anaphor's cluster. Sets of both sides are mapped one to
one; what two of them have in common is what the metric itself says of their entities, and counts in
place of the 1 of a mention that is right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from scipy.optimize import linear_sum_assignment

from t5coref.core import metrics
from t5coref.core.metrics import Counts, Overlap, Ratio

Together = frozenset[frozenset[Hashable]]
"""Entities that are one antecedent together, each the set of its mentions."""

TIE = 1e-9
"""What equal split antecedents have ahead of others that fit as well."""

Metric = Callable[[Overlap], Counts]


def muc_with_singletons(table: Overlap) -> Counts:
    """MUC, but a cluster of one mention has one link, which a cluster of it alone keeps."""
    both = (table.key_sizes[table.key_of] == 1) & (table.response_sizes[table.response_of] == 1)
    alone = int(both.sum())
    (ratio,) = metrics.muc(table).ratios
    return Counts(
        (
            Ratio(
                ratio.recall_sum + alone,
                ratio.key_total + int((table.key_sizes == 1).sum()),
                ratio.precision_sum + alone,
                ratio.response_total + int((table.response_sizes == 1).sum()),
            ),
        )
    )


PARTS: Mapping[str, tuple[tuple[Metric, Metric], ...]] = MappingProxyType(
    {
        "muc": ((metrics.muc, muc_with_singletons),),
        "b3": ((metrics.b3, metrics.b3),),
        "ceafm": ((metrics.ceafm, metrics.ceafm),),
        "ceafe": ((metrics.ceafe, metrics.ceafe),),
        "blanc": (
            (metrics.blanc_together, metrics.blanc_together),
            (metrics.blanc_apart, metrics.blanc_apart),
        ),
        "lea": ((metrics.lea, metrics.lea),),
    }
)
"""For each metric that knows split antecedents: its ratios, and how each of them compares two."""


def score(
    name: str,
    table: Overlap,
    key: Sequence[Together | None],
    response: Sequence[Together | None],
) -> tuple[Counts, Counts]:
    """Counts of a metric, and of how well its map of split antecedents fits alone.

    Args:
      name: a metric in `PARTS`.
      table: overlap of clusters, whose sizes count a split antecedent as a mention.
      key: `[K]` the split antecedent of each key cluster.
      response: `[R]` the split antecedent of each response cluster.
    """
    whole: list[Ratio] = []
    alone: list[Ratio] = []
    for metric, compare in PARTS[name]:
        filled, fit = _filled(table, key, response, compare)
        whole += metric(filled).ratios
        alone.append(fit)
    return Counts(tuple(whole)), Counts(tuple(alone))


def _filled(
    table: Overlap,
    key: Sequence[Together | None],
    response: Sequence[Together | None],
    compare: Metric,
) -> tuple[Overlap, Ratio]:
    """The table with the agreement of mapped split antecedents, and the sum of their counts."""
    rows = [k for k, together in enumerate(key) if together is not None]
    columns = [r for r, together in enumerate(response) if together is not None]
    ratios = [[_compare(compare, key[k], response[r]) for r in columns] for k in rows]
    scores = np.array([[ratio.prf() for ratio in line] for line in ratios])
    # Equal ones first, where several fit as well.
    same = np.array([[TIE * (key[k] == response[r]) for r in columns] for k in rows])
    chosen: list[tuple[int, int]] = []
    if scores.size:
        pairs = zip(*linear_sum_assignment(-(scores[:, :, 2] + same)), strict=True)
        chosen = [(int(a), int(b)) for a, b in pairs]
    fit = Ratio(
        sum(ratios[a][b].recall_sum for a, b in chosen),
        sum(_compare(compare, key[k], None).key_total for k in rows),
        sum(ratios[a][b].precision_sum for a, b in chosen),
        sum(_compare(compare, None, response[r]).response_total for r in columns),
    )
    cells = {
        cell: (int(shared), np.zeros(3))
        for cell, shared in zip(
            zip(table.key_of.tolist(), table.response_of.tolist(), strict=True),
            table.shared,
            strict=True,
        )
    }
    for a, b in chosen:
        precision, recall, f1 = scores[a, b]
        if key[rows[a]] == response[columns[b]]:
            precision = recall = f1 = 1.0  # also where the metric sees nothing in their entities
        if f1 > 0:
            shared, _ = cells.get((rows[a], columns[b]), (0, None))
            cells[rows[a], columns[b]] = shared, np.array([recall, precision, f1])
    if not cells:
        return table, fit
    key_of, response_of = np.array(list(cells), np.int64).T
    filled = dataclasses.replace(
        table,
        key_of=key_of,
        response_of=response_of,
        shared=np.array([shared for shared, _ in cells.values()], np.int64),
        split=np.array([split for _, split in cells.values()]).T,
    )
    return filled, fit


def _compare(compare: Metric, key: Together | None, response: Together | None) -> Ratio:
    sides = ([tuple(entity) for entity in side or ()] for side in (key, response))
    (ratio,) = compare(metrics.overlap(*sides)).ratios
    return ratio

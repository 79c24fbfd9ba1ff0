"""Scores of anaphora as Universal Anaphora and the CRAC shared tasks count it.

Mentions are matched first (`core/mention_matching.py`), and what the metrics of `core/metrics.py`
see are clusters of matched mentions. Beside them: zeros, split antecedents, expressions that do not
refer, and bridging.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from t5coref.core import anaphora_counts, metrics, split_antecedents
from t5coref.core.anaphora_sides import Scheme, name_mentions, partition, sides
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.core.metrics import CONLL_PARTS, METRICS, Counts, Ratio, Scores
from t5coref.core.split_antecedents import PARTS

OVERLAP, ZEROS = "mor", "zeros"
NAMES = (*metrics.NAMES, OVERLAP, ZEROS)
"""All metrics of clusters, in the order of every report."""

NON_REFERRING = "non-referring"
BRIDGING = ("bridging", "bridging-mention", "bridging-entity")
"""Anaphors found; with the right mention as anchor; with any mention of the right entity."""


class AnaphoraScorer:
    """Adds documents, or other scorers' documents, and divides at the end; can be pickled.

    Args:
      scheme: what counts as a mention, and how mentions match.
      metrics: names out of `NAMES`; `conll` and its parts bring each other along.

    Raises:
      ConfigError: a metric is unknown.
    """

    def __init__(self, scheme: Scheme, names: Iterable[str] = metrics.DEFAULT) -> None:
        wanted = set(names)
        unknown = sorted(wanted.difference(NAMES))
        if unknown or not wanted:
            raise ConfigError(
                f"unknown metrics: {', '.join(unknown) or 'none given'}; "
                f"expected some of {', '.join(NAMES)}"
            )
        if "conll" in wanted:
            wanted.update(CONLL_PARTS)
        self.scheme = scheme
        self.documents = 0
        empty = Counts((Ratio(0, 0, 0, 0),))
        table = metrics.overlap((), ())
        self._counts = {name: metric(table) for name, metric in METRICS.items() if name in wanted}
        self._counts |= {name: empty for name in (OVERLAP, ZEROS) if name in wanted}
        self._split = {name: empty for name in self._counts if len(PARTS.get(name, ())) == 1}
        self._rest: dict[str, Counts] = dict.fromkeys((NON_REFERRING, *BRIDGING), empty)

    def add(self, key: Document, response: Document | None) -> None:
        """Adds the counts of one document; None is a response without clusters.

        Raises:
          DocumentError: `extra` has the anaphora of either side in another form.
        """
        both = sides(key, response, self.scheme)
        named = name_mentions(*both, self.scheme)
        (keys, key_together), (responses, response_together) = map(partition, both, named)
        table = metrics.overlap(keys, responses)
        split = any(map(bool, key_together + response_together))
        # A split antecedent is a member of its cluster that is no mention of the other side.
        larger = metrics.overlap(
            *(
                [cluster + [object()] * bool(t) for cluster, t in zip(*side, strict=True)]
                for side in ((keys, key_together), (responses, response_together))
            )
        )
        for name in self._counts:
            if name == OVERLAP:
                self._counts[name] += anaphora_counts.mention_overlap(both)
            elif name == ZEROS:
                self._counts[name] += anaphora_counts.zeros(both, named, self.scheme.match)
            elif split and name in PARTS:
                whole, alone = split_antecedents.score(
                    name, larger, key_together, response_together
                )
                self._counts[name] += whole
                if name in self._split:
                    self._split[name] += alone
            else:
                self._counts[name] += METRICS[name](table)
        self._rest[NON_REFERRING] += anaphora_counts.non_referring(both)
        for name, counts in zip(BRIDGING, anaphora_counts.bridging(both), strict=True):
            self._rest[name] += counts
        self.documents += 1

    def merge(self, other: AnaphoraScorer) -> None:
        """Adds all that another scorer has counted; the other one stays as it is.

        Raises:
          ConfigError: the two differ in their schemes or metrics.
        """
        if self.scheme != other.scheme or self._counts.keys() != other._counts.keys():
            raise ConfigError(
                f"scorers differ: {', '.join(self._counts)} of {self.scheme} against "
                f"{', '.join(other._counts)} of {other.scheme}; set them up alike"
            )
        for own, its in (
            (self._counts, other._counts),
            (self._split, other._split),
            (self._rest, other._rest),
        ):
            for name, counts in its.items():
                own[name] += counts
        self.documents += other.documents

    def compute(self) -> Scores:
        """The scores of identity, in the order of `NAMES`."""
        return _scores(self._counts)

    def compute_split(self) -> Scores:
        """How well split antecedents fit, if there are any, as each metric but BLANC has it."""
        return _scores(self._split) if any(map(_any, self._split.values())) else {}

    def compute_rest(self) -> Scores:
        """Non-referring expressions and bridging, where either side has any."""
        return {name: counts.compute() for name, counts in self._rest.items() if _any(counts)}


def _scores(counts: Mapping[str, Counts]) -> Scores:
    scores = {name: count.compute_of_either() for name, count in counts.items()}
    return metrics.in_order(scores, NAMES)


def _any(counts: Counts) -> bool:
    return any(ratio.key_total or ratio.response_total for ratio in counts.ratios)

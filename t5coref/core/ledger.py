"""How faithful free outputs are to their documents, and what that does to scores.

docs/ledger.md defines each figure. Counts add up over documents and are divided once.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

from t5coref.core.errors import ConfigError
from t5coref.core.metrics import Clusters, Scorer, Scores
from t5coref.core.transcript import COUNTS, VERDICTS, Account

FAILED = Account(**dict.fromkeys(VERDICTS, False))
"""Of a document without a prediction."""

READ, ALIGNED, PASSED = "conll", "conll_sa", "conll_passed"
"""Scores over all documents, failing ones empty; after source alignment; of passing documents."""


class Figures(NamedTuple):
    """The figures of a corpus.

    Attributes:
      documents: how many there are.
      exact: the share of documents whose text is that of the source.
      exact_normalized: likewise, once runs of blanks are one blank.
      passed: the share of documents that pass.
      passed_mentions: the share of mentions that got a number that might be given; None = there
        are no mentions.
      scores: of READ, ALIGNED and PASSED.
      counts: the sums of `COUNTS`.
    """

    documents: int
    exact: float
    exact_normalized: float
    passed: float
    passed_mentions: float | None
    scores: dict[str, Scores]
    counts: dict[str, int]


class LedgerScorer:
    """Adds documents, or other scorers' documents, and divides at the end.

    Args:
      remove_singletons: leave out clusters of one mention, on both sides.
    """

    def __init__(self, *, remove_singletons: bool = False):
        self.documents = 0
        self.verdicts = dict.fromkeys(VERDICTS, 0)
        self.counts = dict.fromkeys(COUNTS, 0)
        self.scorers = {
            name: Scorer(("conll",), remove_singletons=remove_singletons)
            for name in (READ, ALIGNED, PASSED)
        }

    def add(
        self, key: Clusters, read: Clusters, aligned: Clusters, account: Account = FAILED
    ) -> None:
        """Adds one document.

        Args:
          key: its gold clusters.
          read: those that were read from its outputs; they count if it passes.
          aligned: those after source alignment.
          account: what is wrong with its outputs.
        """
        self.documents += 1
        for name in VERDICTS:
            self.verdicts[name] += getattr(account, name)
        for name in COUNTS:
            self.counts[name] += getattr(account, name)
        self.scorers[READ].add(key, read if account.passed else ())
        self.scorers[ALIGNED].add(key, aligned)
        if account.passed:
            self.scorers[PASSED].add(key, read)

    def merge(self, other: LedgerScorer) -> None:
        """Adds all that another one has counted; the other one stays as it is.

        Raises:
          ConfigError: the two differ in the treatment of singletons.
        """
        for name, scorer in other.scorers.items():
            self.scorers[name].merge(scorer)
        self.documents += other.documents
        for name in VERDICTS:
            self.verdicts[name] += other.verdicts[name]
        for name in COUNTS:
            self.counts[name] += other.counts[name]

    def compute(self) -> Figures:
        """The figures of all documents added so far.

        Raises:
          ConfigError: there are none.
        """
        if not self.documents:
            raise ConfigError("no document has been added; add one at least before computing")
        share = {name: self.verdicts[name] / self.documents for name in VERDICTS}
        asked = self.counts["mentions"]
        return Figures(
            documents=self.documents,
            passed_mentions=self.counts["answered"] / asked if asked else None,
            scores={name: scorer.compute() for name, scorer in self.scorers.items()},
            counts=dict(self.counts),
            **share,
        )


def record(doc_id: str, account: Account, error: str | None = None) -> dict[str, Any]:
    """The ledger of one document as JSON."""
    return {"doc_id": doc_id} | asdict(account) | ({} if error is None else {"error": error})

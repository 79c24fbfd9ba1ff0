"""Runs beside their key: corrections, links and scores of every document, and their sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from t5coref.core.document import Document, Span
from t5coref.core.metrics import Scorer, Scores
from t5coref.report.bootstrap import Interval, conll_f1
from t5coref.report.corrections import ORDER, Correction, Kind, applied, corrections
from t5coref.report.english import English, MentionType
from t5coref.report.links import Link, Outcome, bin_names, distance_bin, links

METRICS = ("muc", "b3", "ceafe", "lea", "conll", "mentions")

Partition = tuple[tuple[Span, ...], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One document of a run beside its key.

    Attributes:
      document: the key's.
      key: its clusters, without shared spans.
      response: what the run has instead.
      corrections: what turns the response into the key.
      recall: what became of the key's anaphors.
      precision: what the key says of the response's.
      missing: whether the run lacks the document.
    """

    document: Document
    key: Partition
    response: Partition
    corrections: tuple[Correction, ...]
    recall: tuple[Link, ...]
    precision: tuple[Link, ...]
    missing: bool

    @classmethod
    def of(cls, key: Document, response: Document | None, *, smallest: int = 1) -> Case:
        """Compares the two annotations of a text.

        Args:
          key: the document with its true clusters.
          response: with predicted ones; None counts as one without clusters.
          smallest: mentions that a cluster needs on either side: 2 leaves singletons out.
        """
        gold, found = (
            tuple(c for c in side.annotation.partition() if len(c) >= smallest)
            if side is not None and side.annotation is not None
            else ()
            for side in (key, response)
        )
        english = English(key)
        wrong = corrections(gold, found, english)
        there = {c.spans[0] for c in wrong if c.kind is Kind.WRONG_SPAN}
        meant = {c.key for c in wrong if c.kind is Kind.WRONG_SPAN and c.key is not None}
        return cls(
            key,
            gold,
            found,
            tuple(wrong),
            tuple(links(gold, found, meant, english)),
            tuple(links(found, gold, there, english)),
            response is None,
        )


@dataclass(frozen=True)
class Run:
    """What one system predicted for the documents of a key.

    Attributes:
      name: of the run.
      cases: its documents, in the key's order.
    """

    name: str
    cases: Sequence[Case]

    def scores(self, *, remove_singletons: bool) -> Scores:
        """All metrics over all documents."""
        total = Scorer(METRICS, remove_singletons=remove_singletons)
        for scorer in self.scorers(remove_singletons=remove_singletons):
            total.merge(scorer)
        return total.compute()

    def scorers(self, *, remove_singletons: bool) -> Iterator[Scorer]:
        """The metrics' counts of each document."""
        for case in self.cases:
            scorer = Scorer(METRICS, remove_singletons=remove_singletons)
            scorer.add(case.key, case.response)
            yield scorer

    @cached_property
    def errors(self) -> Counter[tuple[Kind, MentionType]]:
        """How many corrections of each kind there are, by type."""
        return Counter((c.kind, c.type) for case in self.cases for c in case.corrections)

    @cached_property
    def mentions(self) -> Counter[Kind]:
        """How many mentions the corrections of each kind are about."""
        count: Counter[Kind] = Counter()
        for case in self.cases:
            for c in case.corrections:
                count[c.kind] += len(c.spans)
        return count

    @cached_property
    def mended(self) -> list[float]:
        """The CoNLL score as it is, and with each kind of error mended too, in order; ends at 1.

        The singletons that the cases have count. Where there is no key link and no key cluster of
        two, MUC and with it the score stay lower, as docs/metrics.md has it.
        """
        out = []
        for stage in range(len(ORDER) + 1):
            scorer = Scorer(("conll",))
            for case in self.cases:
                now = [c for c in case.corrections if ORDER[c.kind] < stage]
                scorer.add(case.key, [list(c) for c in applied(now, case.response)])
            out.append(scorer.compute()["conll"].f1)
        return out

    @cached_property
    def interval(self) -> Interval:
        """The CoNLL scores of documents drawn anew, singletons counted."""
        return conll_f1(list(self.scorers(remove_singletons=False)))

    def anaphors(self, *, of_key: bool) -> Counter[tuple[MentionType, int, Outcome]]:
        """What became of anaphors, by type and bin of distance: of the key's, or of the run's."""
        return Counter(
            (link.type, distance_bin(link.distance), link.outcome)
            for case in self.cases
            for link in (case.recall if of_key else case.precision)
        )


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """All that the page shows but examples, as JSON; scores are fractions."""
    return {"distances": bin_names(), "runs": [_run_summary(run, runs[0]) for run in runs]}


def _run_summary(run: Run, first: Run) -> dict[str, Any]:
    low, high = run.interval.bounds()
    out: dict[str, Any] = {
        "name": run.name,
        "documents": len(run.cases),
        "missing_documents": [c.document.doc_id for c in run.cases if c.missing],
        "scores": _scores(run),
        "conll_interval": [low, high],
        "errors": {
            kind: {
                "count": sum(run.errors[kind, t] for t in MentionType),
                "mentions": run.mentions[kind],
                "by_type": {t.value: run.errors[kind, t] for t in MentionType},
            }
            for kind in Kind
        },
        "conll_with_errors_mended": dict(zip(["none", *Kind], run.mended, strict=True)),
        "anaphors": {
            side: [
                {"type": t, "distance": b, "outcome": outcome, "count": n}
                for (t, b, outcome), n in sorted(run.anaphors(of_key=of_key).items())
            ]
            for side, of_key in (("key", True), ("response", False))
        },
        "per_document": {
            case.document.doc_id: {
                "words": len(case.document.words),
                "errors": dict(Counter(c.kind.value for c in case.corrections)),
                "scores": _fractions(scorer.compute()),
            }
            for case, scorer in zip(run.cases, run.scorers(remove_singletons=False), strict=True)
        },
    }
    if run is not first:
        low, high = run.interval.bounds(first.interval)
        out["conll_minus_first"] = [low, high]
    return out


def _scores(run: Run) -> dict[str, Any]:
    return {
        "with_singletons": _fractions(run.scores(remove_singletons=False)),
        "without_singletons": _fractions(run.scores(remove_singletons=True)),
    }


def _fractions(scores: Scores) -> dict[str, dict[str, float]]:
    return {name: score._asdict() for name, score in scores.items()}

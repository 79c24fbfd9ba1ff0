"""Scores of entities and relations together, from documents with gold and predicted annotations.

A relation is right when its type is and both of its entities are, mention for mention ("hard");
counts are added over documents and divided once. Sources: Xu and Choi 2022, "Modeling Task
Interactions in Document-Level Joint Entity and Relation Extraction", section 4; the evaluation
script of DocRED (Yao et al. 2019) for `ign`; that of DWIE (Zaporojets et al. 2021) for
`re_official`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from t5coref.core.document import Annotation, Document, Span
from t5coref.core.entities import Catalogue, Fact, facts, left_out, relations_known
from t5coref.core.errors import ConfigError, DocumentError
from t5coref.core.metrics import PRF, Scorer, Scores

Triple = tuple[frozenset[Span], frozenset[Span], str]
"""Mentions of the head, mentions of the tail, type: two relations are the same if these are."""

NAMES = ("mentions", "coref", "re", "ign", "re_official")
"""All scores, in the order of every report."""


def triples(annotation: Annotation) -> set[Triple]:
    """The relations of an annotation, each once, however its clusters are ordered or repeated."""
    clusters = [frozenset(cluster) for cluster in annotation.clusters]
    return {(clusters[r.head], clusters[r.tail], r.type) for r in annotation.relations}


def train_facts(documents: Iterable[Document]) -> frozenset[Fact]:
    """What the training documents state, for `ign`: names of heads and tails with a type."""
    return frozenset(itertools.chain.from_iterable(map(facts, documents)))


class RelationScorer:
    """Adds documents, or other scorers' documents, and divides at the end; can be pickled.

    Args:
      train_facts: what the training documents state, from the function of that name; adds `ign`.
    """

    def __init__(self, train_facts: frozenset[Fact] | None = None) -> None:
        self.train_facts = train_facts
        self.clusters = Scorer()
        self.documents = 0  # whose relations are known
        self.correct = self.submitted = self.gold = 0
        self.known = 0  # correct ones that training documents state
        self.left_out = 0  # gold ones that no annotation of clusters can hold

    def add(self, gold: Document, predicted: Annotation) -> None:
        """Adds the counts of one document.

        Raises:
          DocumentError: the gold document has no annotation.
        """
        if gold.annotation is None:
            raise DocumentError(
                f"document {gold.doc_id!r} has no annotation; expected gold clusters and relations"
            )
        self.clusters.add(gold.annotation.clusters, predicted.clusters)
        if not relations_known(gold):
            return
        wanted, found = triples(gold.annotation), triples(predicted)
        correct = wanted & found
        self.documents += 1
        self.correct += len(correct)
        self.submitted += len(found)
        self.gold += len(wanted)
        self.left_out += len(set(left_out(gold)))
        if self.train_facts:
            self.known += self._stated(gold, correct, self.train_facts)

    def merge(self, other: RelationScorer) -> None:
        """Adds all that another scorer has counted; the other one stays as it is.

        Raises:
          ConfigError: the two know different training facts.
        """
        # Comparing large sets for each document would take long: mostly they are the same object.
        same = self.train_facts is other.train_facts or self.train_facts == other.train_facts
        if not same:
            raise ConfigError("scorers differ in their training facts; give all of them the same")
        self.clusters.merge(other.clusters)
        for name in ("documents", "correct", "submitted", "gold", "known", "left_out"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def compute(self) -> Scores:
        """The scores of all documents added so far, in the order of `NAMES`.

        * `mentions`: spans that are a mention on both sides.
        * `coref`: means of precision, recall and F1 of MUC, B-cubed and CEAF-e, singletons kept.
        * `re`: relations with the right type and the right entities. Not there if no document says
          which relations it has.
        * `ign`: `re` with precision over what no training document states; recall is that of `re`.
        * `re_official`: `re` where gold relations that the reader left out count as missed; there
          if there are some.
        """
        clusters = self.clusters.compute()
        scores = {"mentions": clusters["mentions"], "coref": clusters["conll"]}
        if self.clusters.documents and not self.documents:
            return scores
        recall = _divide(self.correct, self.gold)
        scores["re"] = _prf(_divide(self.correct, self.submitted), recall)
        if self.train_facts is not None:
            new = _divide(self.correct - self.known, self.submitted - self.known)
            scores["ign"] = _prf(new, recall)
        if self.left_out:
            everything = _divide(self.correct, self.gold + self.left_out)
            scores["re_official"] = _prf(scores["re"].precision, everything)
        return scores

    @staticmethod
    def _stated(gold: Document, correct: Iterable[Triple], known: frozenset[Fact]) -> int:
        catalogue = Catalogue(gold)
        return sum(
            any(
                (h, t, type_) in known for h in catalogue.names(head) for t in catalogue.names(tail)
            )
            for head, tail, type_ in correct
        )


def _divide(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _prf(precision: float, recall: float) -> PRF:
    both = precision + recall
    return PRF(precision, recall, 2 * precision * recall / both if both else 0.0)

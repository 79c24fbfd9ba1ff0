"""Relations between the given entities of documents, with CorefBERT's head on the encoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from t5coref.core.document import Annotation, Document, Relation
from t5coref.core.entities import left_out, relations_known
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.core.relation_metrics import RelationScorer, train_facts
from t5coref.downstream.docred_rows import RelationRow, Room, rooms, row_of, side_by_side
from t5coref.downstream.head_model import HeadModel, outputs
from t5coref.downstream.head_objective import Outputs, Score
from t5coref.nn.downstream import BilinearRelations
from t5coref.tokenizer import Tokenizer
from t5coref.train.inputs import digest

NEGATIVES = 3
"""Pairs without a relation that training takes for each pair with one."""


class Scored(NamedTuple):
    """What a model says about the pairs of a document.

    Attributes:
      pairs: `int[P, 2]` head and tail, clusters of the annotation.
      scores: `float32[P, R]` of each relation, "no relation" left out.
    """

    pairs: np.ndarray
    scores: np.ndarray


class DocREDRelations:
    """A `HeadTask`: which relations hold between the given entities of a document.

    Training takes all pairs with a relation and `negatives` times as many without, drawn anew for
    each batch. On the dev documents, the relations with a score above a threshold are predicted,
    the same for all: the one with the highest F1. It is logged as `threshold`, for test documents.

    Args:
      train_set: documents with entities and relations.
      dev_set: the same.
      relations: names of all relation types.
      max_length: pieces of a document, `</s>` included; mentions behind them are not there, and
        what they relate is never found.
      negatives: see above.
      hidden_dim: see `BilinearRelations`.
      distance_dim: see `BilinearRelations`.

    Raises:
      ConfigError: `max_length` or `negatives` make no sense.
    """

    name, score = "docred", "re"

    def __init__(
        self,
        *,
        train_set: Sequence[Document],
        dev_set: Sequence[Document] = (),
        relations: Sequence[str],
        max_length: int = 512,
        negatives: int = NEGATIVES,
        hidden_dim: int = 128,
        distance_dim: int = 20,
    ):
        if max_length < 2 or negatives < 0:
            raise ConfigError(
                f"max_length {max_length} and negatives {negatives}; expected at least 2 and 0"
            )
        self.relations = tuple(relations)
        self.head = BilinearRelations(len(self.relations) + 1, hidden_dim, distance_dim)
        self.max_length, self.negatives = max_length, negatives
        self._train, self._dev = train_set, dev_set
        self._rooms: dict[int, Room] = {}
        self._dev_rooms: dict[int, Room] = {}

    @property
    def data(self) -> Mapping[str, Any]:
        """What prediction needs."""
        return {"relations": list(self.relations), "max_length": self.max_length}

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a resumed run must share."""
        seen = {"train": digest(self._train), "dev": digest(self._dev)}
        return {**self.data, "negatives": self.negatives, **seen}

    def rows(self, tokenizer: Tokenizer) -> list[RelationRow]:
        """Training documents of which at least one pair with a relation was read."""
        every = [row_of(d, tokenizer, self.relations, self.max_length) for d in self._train]
        rows = [row for row in every if row.related]
        self._rooms = rooms(rows, [self._drawn_pairs(row) for row in rows])
        return rows

    def batch(
        self, rows: Sequence[RelationRow], random: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        """Documents with drawn pairs, or with all, and then without labels."""
        if random is None:
            return side_by_side(rows, [row.pairs() for row in rows], self._dev_rooms)
        pairs = [self._drawn(row, random) for row in rows]
        features = side_by_side(rows, pairs, self._rooms)
        labels = np.zeros((*features["pair_mask"].shape, len(self.relations) + 1), np.int32)
        for i, (row, chosen) in enumerate(zip(rows, pairs, strict=True)):
            for j, pair in enumerate(chosen):
                labels[i, j, list(row.related.get(pair, (0,)))] = 1
        return {**features, "pair_labels": labels}

    def scorer(self, tokenizer: Tokenizer) -> Score | None:
        """The scores of `RelationScorer` at the best threshold, and the threshold."""
        if not self._dev:
            return None
        rows = [row_of(d, tokenizer, self.relations, self.max_length) for d in self._dev]
        self._dev_rooms = rooms(rows, [len(row.pairs()) for row in rows])
        facts = train_facts(self._train)

        def score(computed: Outputs) -> dict[str, float]:
            found = [_scored(row, output) for row, output in zip(rows, computed(rows), strict=True)]
            threshold = best_threshold(self._dev, found, self.relations)
            scorer = RelationScorer(facts)
            for document, ranked in zip(self._dev, found, strict=True):
                scorer.add(document, _annotation(document, ranked, threshold, self.relations))
            scores = scorer.compute()
            kept = {
                name: scores[name].f1 for name in ("re", "ign", "re_official") if name in scores
            }
            re = scores["re"]
            return {**kept, "re_precision": re.precision, "re_recall": re.recall,
                    "threshold": threshold}  # fmt: skip

        return score

    def notes(self, rows: Sequence[RelationRow]) -> tuple[str, ...]:
        """What training does not see."""
        notes = []
        if lost := sum(row.lost for row in rows):
            notes.append(f"{lost} mentions lie behind the pieces that are read")
        if left := len(self._train) - len(rows):
            notes.append(f"{left} training documents have no relation in what is read")
        return tuple(notes)

    def _drawn_pairs(self, row: RelationRow) -> int:
        every, related = len(row.pairs()), len(row.related)
        return related + min(every - related, self.negatives * related)

    def _drawn(self, row: RelationRow, random: np.random.Generator) -> list[tuple[int, int]]:
        without = [pair for pair in row.pairs() if pair not in row.related]
        count = self._drawn_pairs(row) - len(row.related)
        chosen = random.choice(len(without), count, replace=False) if count else []
        return [*row.related, *(without[i] for i in chosen)]


def relations_of_documents(
    model: HeadModel, documents: Sequence[Document], *, threshold: float, batch_size: int = 8
) -> list[Document]:
    """Documents with the relations between their entities that score above a threshold.

    Args:
      model: one for DocRED.
      documents: with clusters.
      threshold: of the run's `metrics.jsonl`, or of `threshold_of`.
      batch_size: documents that are computed at once.

    Raises:
      MismatchError: the model was trained for something else.
      DocumentError: a document has no clusters.
    """
    relations = tuple(_data(model)["relations"])
    found = _all_scored(model, documents, batch_size)
    return [
        document.with_annotation(_annotation(document, scored, threshold, relations))
        for document, scored in zip(documents, found, strict=True)
    ]


def threshold_of(model: HeadModel, documents: Sequence[Document], *, batch_size: int = 8) -> float:
    """The threshold with the highest F1 on documents with gold relations; see above."""
    relations = tuple(_data(model)["relations"])
    return best_threshold(documents, _all_scored(model, documents, batch_size), relations)


def best_threshold(
    documents: Sequence[Document], found: Sequence[Scored], relations: Sequence[str]
) -> float:
    """A score such that predicting all relations above it has the highest F1.

    It lies half way between the scores of the last relation that is predicted and the first that is
    not, so that rounding decides nothing. Gold relations that were not read count as missed.

    Args:
      documents: with gold relations; those that do not say which they have are left out.
      found: the scores of each.
      relations: `[R]` their names, in the order of the scores.
    """
    scores, right, total = [], [], 0
    for document, scored in zip(documents, found, strict=True):
        if document.annotation is None or not relations_known(document):
            continue
        gold = {(r.head, r.tail, r.type) for r in document.annotation.relations}
        total += len(gold) + len(set(left_out(document)))
        place = {(int(head), int(tail)): i for i, (head, tail) in enumerate(scored.pairs)}
        holds = np.zeros(scored.scores.shape, bool)
        for head, tail, name in gold:
            if (head, tail) in place and name in relations:
                holds[place[head, tail], relations.index(name)] = True
        scores.append(scored.scores.ravel())
        right.append(holds.ravel())
    everything = np.concatenate(scores) if scores else np.zeros(0, np.float32)
    if not everything.size:
        return 0.0
    order = np.argsort(-everything, kind="stable")
    ranked = everything[order].astype(np.float64)
    correct = np.cumsum(np.concatenate(right)[order])
    f1 = 2 * correct / (np.arange(1, len(ranked) + 1) + total)
    behind = np.append(ranked[1:], ranked[-1] - 1.0)
    best = int(np.argmax(np.where(ranked > behind, f1, -1.0)))  # equal scores go together
    return float((ranked[best] + behind[best]) / 2)


def _scored(row: RelationRow, output: np.ndarray) -> Scored:
    pairs = row.pairs()
    clusters = np.asarray([(row.entities[h], row.entities[t]) for h, t in pairs]).reshape(-1, 2)
    return Scored(clusters, output[: len(pairs), 1:])


def _annotation(
    document: Document, scored: Scored, threshold: float, relations: Sequence[str]
) -> Annotation:
    above = np.argwhere(scored.scores > threshold).tolist()
    pairs = scored.pairs.tolist()
    kept = tuple(Relation(pairs[i][0], pairs[i][1], relations[kind]) for i, kind in above)
    assert document.annotation is not None
    return dataclasses.replace(document.annotation, relations=kept)


def _all_scored(model: HeadModel, documents: Sequence[Document], batch_size: int) -> list[Scored]:
    data = _data(model)
    rows = [row_of(d, model.tokenizer, (), data["max_length"]) for d in documents]

    room_of = rooms(rows, [len(row.pairs()) for row in rows])

    def batch(rows: Sequence[RelationRow], random: Any) -> dict[str, np.ndarray]:
        del random
        return side_by_side(rows, [row.pairs() for row in rows], room_of)

    found = outputs(model, rows, batch, batch_size=batch_size)
    return [_scored(row, output) for row, output in zip(rows, found, strict=True)]


def _data(model: HeadModel) -> Mapping[str, Any]:
    if model.task != DocREDRelations.name:
        raise MismatchError(f"the model is one for {model.task}; expected one for docred")
    return model.data

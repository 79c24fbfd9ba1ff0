"""Documents in, the same documents with clusters and relations out.

B rows, T pieces, N candidates, G given mentions.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from t5coref.core.document import Annotation, Document, Relation, Span
from t5coref.core.errors import ConfigError, DocumentError, T5CorefError
from t5coref.headed import HEADS, encode
from t5coref.joint_ie.features import Row, batch, length_bucket, read, with_entities
from t5coref.joint_ie.model import JointModel
from t5coref.nn.joint_ie import JointIE, Prediction
from t5coref.nn.partition import DATA
from t5coref.nn.t5 import T5Config
from t5coref.predict import Extractor, failed
from t5coref.rounds import RoundPredictor, rounds

MENTIONS_STEP = 16
"""Given mentions are padded to a multiple of this."""


@functools.partial(jax.jit, static_argnames=("config", "heads", "given"))
def predict_batch(
    config: T5Config,
    heads: JointIE,
    params: Mapping[str, Any],
    features: Mapping[str, jax.Array],
    *,
    given: bool,
) -> Prediction:
    """Encodes a batch and decides on its clusters and relations.

    Args:
      config: of the T5.
      heads: the parts.
      params: of both.
      features: see `t5coref.nn.joint_ie`.
      given: entities are those of the features.
    """
    encoded = encode(config, params, features, enable_dropout=False)
    found = heads.apply(
        {"params": params[HEADS]},
        encoded,
        features,
        gold_mentions=given,
        gold_clusters=given,
        method="predict",
    )
    assert isinstance(found, Prediction)
    return found


class JointPredictor(RoundPredictor[JointModel]):
    """Predicts clusters and relations for streams of documents, many at a time.

    Each document is read whole. The documents of a round are sorted by padded length and computed
    in batches.

    Args:
      model: weights, tokenizer, heads and relation types.
      batch_size: rows computed at once at most.
      round_size: documents taken at once.
      longest: a document of more pieces is an error: the time of attention grows with the square
        of the length, and so does the memory of relations up to `MentionDetector.max_candidates`.
      given_entities: the clusters of the documents stay, and only their relations are predicted.
        Required, and the default, where the heads find no clusters.
      devices: where to run; None = all local devices, as many as divide `batch_size`.

    Raises:
      ConfigError: an argument is out of range or does not suit the heads.
    """

    def __init__(
        self,
        model: JointModel,
        *,
        batch_size: int = 8,
        round_size: int = 64,
        longest: int = 4096,
        given_entities: bool | None = None,
        devices: Sequence[Any] | None = None,
    ):
        if batch_size < 1 or round_size < 1 or longest < 2:
            raise ConfigError(
                f"batch_size {batch_size}, round_size {round_size}, longest {longest}; expected "
                "at least 1, 1 and 2"
            )
        finds_clusters = model.heads.coreference is not None
        given = not finds_clusters if given_entities is None else given_entities
        if not given and not finds_clusters:
            raise ConfigError(
                f"the model ({model.setting}) finds relations between given entities only; give "
                "documents with clusters, or the model that finds them (--model, with this one as "
                "--relation-model)"
            )
        if given and model.heads.relations is None:
            raise ConfigError(
                f"the model ({model.setting}) finds no relations; expected one that does for given "
                "entities"
            )
        devices = list(jax.local_devices() if devices is None else devices)
        copies = math.gcd(batch_size, len(devices))
        mesh = Mesh(np.asarray(devices[:copies]), (DATA,))
        super().__init__(model, batch_size=batch_size, round_size=round_size, mesh=mesh)
        self._longest, self._given = longest, given
        self.memory: Any = None  # nothing is learned from one document to the next

    @property
    def identity(self) -> dict[str, Any]:
        """What predictions depend on, as JSON."""
        return {
            "model": self.model.card() | {"fingerprint": self.model.fingerprint()},
            "given_entities": self._given,
            "longest": self._longest,
            "batch_size": self.batch_size,
            "round_size": self.round_size,
        }

    def _round(self, documents: Sequence[Document], params: Any) -> Iterator[Document]:
        results: list[Document | None] = [None] * len(documents)
        numbers: list[int] = []
        rows: list[Row] = []
        for i, document in enumerate(documents):
            try:
                row = self._row(document)
            except T5CorefError as error:
                results[i] = failed(document, error)
                continue
            if document.words:
                numbers.append(i)
                rows.append(row)
            else:
                results[i] = document.with_annotation(Annotation())
        found = self._computed(
            [length_bucket(len(row)) for row in rows],
            lambda members, length: self._compute([rows[k] for k in members], length, params),
        )
        for i, row, one in zip(numbers, rows, found, strict=True):
            results[i] = self._annotated(documents[i], row, one)
        for result in results:
            assert result is not None
            yield result

    def _row(self, document: Document) -> Row:
        row = read(document, self.model.tokenizer, segment_length=self.model.segment_length)
        if len(row) > self._longest:
            raise DocumentError(
                f"document {document.doc_id!r} has {len(row)} pieces; expected at most "
                f"{self._longest}; cut it into parts, or allow longer ones (--window)"
            )
        return with_entities(row, document) if self._given else row

    def _compute(self, rows: Sequence[Row], length: int, params: Any) -> list[Prediction]:
        """What the heads find in each of some rows."""
        size = self._padded_rows(len(rows))
        most = max(len(row.mentions) for row in rows)
        features = batch(
            [*rows, *[_NOTHING] * (size - len(rows))],
            length=length,
            mentions=-(-max(most, 1) // MENTIONS_STEP) * MENTIONS_STEP,
            relations=1,
            segmented=self.model.segment_length is not None,
        )
        found = predict_batch(
            self.model.config,
            self.model.heads,
            params,
            self._by_row(features),
            given=self._given,
        )
        arrays: Any = [np.asarray(x) for x in found]
        return [Prediction(*(x[row] for x in arrays)) for row in range(len(rows))]

    def _annotated(self, document: Document, row: Row, found: Prediction) -> Document:
        """The document with the clusters and relations of its row."""
        clusters: dict[int, list[Span]] = {}
        seen: dict[Span, int] = {}
        for place in np.flatnonzero(found.valid & (found.cluster >= 0)):
            span = int(row.word[found.start[place]]), int(row.word[found.end[place]]) + 1
            # Without word boundaries, candidates that differ may be the same words.
            if seen.setdefault(span, int(found.cluster[place])) == found.cluster[place]:
                clusters.setdefault(int(found.cluster[place]), []).append(span)
        if self._given:
            gold = document.annotation or Annotation()
            owner = {span: i for i, c in reversed(list(enumerate(gold.clusters))) for span in c}
            place_of = {number: owner[spans[0]] for number, spans in clusters.items()}
            kept = gold.clusters
            types = gold.types
        else:
            place_of = {number: i for i, number in enumerate(clusters)}
            kept, types = tuple(map(tuple, clusters.values())), None
        relations = tuple(
            Relation(place_of[head], place_of[tail], self.model.relations[kind - 1])
            for head, tail, kind in found.relations.tolist()
            if head in place_of and tail in place_of
        )
        return document.with_annotation(Annotation(kept, relations, types=types))


class PipelinePredictor:
    """Finds clusters with one model, and relations between them with another one.

    Args:
      clusters: finds the clusters: of any kind, heads or a linearization.
      relations: takes them as given.
    """

    def __init__(self, clusters: Extractor, relations: JointPredictor):
        self._clusters, self._relations = clusters, relations
        self.round_size = clusters.round_size

    @property
    def memory(self) -> Any:
        """That of the first model."""
        return self._clusters.memory

    @memory.setter
    def memory(self, learned: Any) -> None:
        self._clusters.memory = learned

    @property
    def identity(self) -> dict[str, Any]:
        """What predictions depend on, as JSON."""
        return {
            "clusters": self._clusters.identity,
            "relations": self._relations.identity,
            "round_size": self.round_size,
        }

    def predict(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yields each document with its predicted annotation, in order; see `JointPredictor`."""
        for taken in rounds(documents, self.round_size):
            found = list(self._clusters.predict(taken))
            yield from self._relations.predict(found)


_EMPTY = np.zeros(0, np.int32)
_NOTHING = Row("padding", _EMPTY, _EMPTY, _EMPTY, _EMPTY)

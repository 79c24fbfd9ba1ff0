"""What a model found in a text, for those who use it: entities, their mentions, relations."""

from __future__ import annotations

import bisect
import html
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from t5coref.api.entities import SHOWN, Cluster, EntityRelation, Mention, best_name
from t5coref.api.pronouns import ENGLISH, Pronouns
from t5coref.api.resolve import Resolved, resolve
from t5coref.core.document import Annotation, Confidence, Document, Span
from t5coref.core.errors import ConfigError, DocumentError
from t5coref.view import page, plain
from t5coref.view.names import shortened

ERROR = "error"
"""Key of `Document.extra` that says why a document has no prediction, as in `t5coref.predict`."""

DIGITS = 6
"""Decimal places of probabilities in JSON."""

_LINE, _LINE_HEIGHT, _LOWEST, _HIGHEST = 70, 24, 260, 640
"""Of the frame in notebooks: characters a line, pixels."""


@dataclass(frozen=True)
class Prediction:
    """A document with what was found in it; what is read from it is made when it is first used.

    Any annotated `Document` can be looked at like this, gold ones included.

    Attributes:
      document: words, sentences, raw text and annotation.
      pronouns: of its language; None where they are not known.
    """

    document: Document
    pronouns: Pronouns | None = ENGLISH

    @property
    def error(self) -> str | None:
        """Why there is no prediction; None if there is one."""
        return self.document.extra.get(ERROR)

    @cached_property
    def text(self) -> str:
        """What character offsets count in: the raw text, or the words with blanks between them."""
        if self.document.word_offsets is None:
            return " ".join(self.document.words)
        return self.document.text or ""

    @cached_property
    def word_offsets(self) -> tuple[Span, ...]:
        """The words in `text`."""
        if self.document.word_offsets is not None:
            return self.document.word_offsets
        lengths = [len(word) for word in self.document.words]
        starts = itertools.accumulate((n + 1 for n in lengths), initial=0)
        return tuple((start, start + n) for start, n in zip(starts, lengths, strict=False))

    @cached_property
    def clusters(self) -> tuple[Cluster, ...]:
        """The entities, each a sequence of its mentions."""
        annotation = self._annotation
        found = []
        for c, spans in enumerate(annotation.clusters):
            sure = (None,) * len(spans)
            if annotation.confidences is not None:
                sure = annotation.confidences[c]
            mentions = tuple(self._mention(*pair) for pair in zip(spans, sure, strict=True))
            type_ = None if annotation.types is None else annotation.types[c]
            found.append(Cluster(mentions, best_name(self.document, mentions), type_))
        return tuple(found)

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """Those of all clusters, in reading order; outer ones before those within them."""
        every = (mention for cluster in self.clusters for mention in cluster)
        return tuple(sorted(every, key=lambda m: (m.start, -m.end)))

    @cached_property
    def relations(self) -> tuple[EntityRelation, ...]:
        """Those between the entities, where the model finds any."""
        return tuple(
            EntityRelation(self.clusters[r.head], self.clusters[r.tail], r.type)
            for r in self._annotation.relations
        )

    def resolve(self, *, every_mention: bool = False, pronouns: Pronouns | None = None) -> Resolved:
        """The text with names in place of pronouns; docs/python.md has the rules.

        Args:
          every_mention: replace all mentions but the representative ones, not pronouns alone.
          pronouns: of the language, where the prediction's own are not meant.

        Raises:
          DocumentError: there is no prediction.
          ConfigError: the pronouns of the language are not known.
        """
        if self.error is not None:
            raise DocumentError(f"there is no prediction to resolve: {self.error}")
        if pronouns is None and self.pronouns is None:
            raise ConfigError(
                "the pronouns of this language are not known; expected pronouns=Pronouns(...) with "
                "its words (docs/python.md)"
            )
        chosen = self if pronouns is None else Prediction(self.document, pronouns)
        return resolve(chosen, every_mention=every_mention)

    def to_dict(self) -> dict[str, Any]:
        """As JSON: text, clusters with their mentions, relations by the positions of clusters.

        `t5coref.corpora.jsonl` writes `document` in the format of our files.
        """
        place = {id(cluster): c for c, cluster in enumerate(self.clusters)}
        return {
            "doc_id": self.document.doc_id,
            "text": self.text,
            "clusters": [_cluster_as_dict(cluster) for cluster in self.clusters],
            "relations": [
                {"head": place[id(r.head)], "tail": place[id(r.tail)], "type": r.type}
                for r in self.relations
            ],
            "error": self.error,
        }

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def __repr__(self) -> str:
        about = f"error={self.error!r}"
        if self.error is None:
            about = f"{len(self.clusters)} clusters, {len(self.relations)} relations"
        return f"Prediction({shortened(self.text, SHOWN)!r}, {about})"

    def _repr_html_(self) -> str:
        """For notebooks: the page of `t5coref view`, in a frame that can reach nothing around it.

        What a document says cannot become markup: the page escapes it, its policy forbids scripts
        other than its own and all requests, and the frame is an origin of its own.
        """
        content = html.escape(page([plain(self.document)], title=self.document.doc_id))
        lines = len(self.text) // _LINE + self.text.count("\n")
        height = min(_LOWEST + _LINE_HEIGHT * lines, _HIGHEST)
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{content}" width="100%" height="{height}" '
            'style="border:0" title="coreference"></iframe>'
        )

    @property
    def _annotation(self) -> Annotation:
        return self.document.annotation or Annotation()

    @cached_property
    def _sentence_starts(self) -> list[int]:
        return [start for start, _ in self.document.sentences]

    def _mention(self, span: Span, confidence: Confidence | None) -> Mention:
        start_char, end_char = self.word_offsets[span[0]][0], self.word_offsets[span[1] - 1][1]
        text = self.text[start_char:end_char]
        return Mention(
            *span,
            start_char,
            end_char,
            text,
            bisect.bisect_right(self._sentence_starts, span[0]) - 1,
            None if self.pronouns is None else text in self.pronouns,
            confidence,
        )


def _cluster_as_dict(cluster: Cluster) -> dict[str, Any]:
    return {
        "name": cluster.representative.text,
        "type": cluster.type,
        "probability": _rounded(cluster.probability),
        "mentions": [_mention_as_dict(mention) for mention in cluster],
    }


def _mention_as_dict(mention: Mention) -> Mapping[str, Any]:
    sure = mention.confidence
    return {
        "text": mention.text,
        "start_char": mention.start_char,
        "end_char": mention.end_char,
        "start_word": mention.start,
        "end_word": mention.end,
        "sentence": mention.sentence,
        "pronoun": mention.pronoun,
        "confidence": sure and {key: _rounded(value) for key, value in sure._asdict().items()},
    }


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(float(probability), DIGITS)

"""spaCy documents as ours, and entities as their span groups."""

from __future__ import annotations

import bisect
import itertools
from typing import Any

from spacy.pipeline import Sentencizer
from spacy.tokens import Doc, SpanGroup

from t5coref.api.prediction import Prediction
from t5coref.api.pronouns import pronouns_of
from t5coref.core.document import Annotation, Confidence, Document, Relation

PREFIX = "coref_clusters"
"""Of the keys in `doc.spans`: `coref_clusters_1`, `coref_clusters_2`, ..."""

_SENTENCIZER = Sentencizer()


def prediction_of(doc: Doc) -> Prediction:
    """The entities of a document as `t5coref.Prediction`, with its words, text and relations."""
    document, tokens = document_of(doc)
    word = {token: i for i, token in enumerate(tokens)}
    clusters, confidences, relations, types = [], [], [], []
    for number, group in enumerate(groups(doc)):
        clusters.append(tuple((word[s.start], word[s.end - 1] + 1) for s in group))
        confidences.append(group.attrs["confidences"])
        types.append(group.attrs["type"])
        relations += [Relation(number, tail, type_) for tail, type_ in group.attrs["relations"]]
    sure = None
    if confidences and None not in confidences:
        sure = tuple(tuple(Confidence(*pair) for pair in found) for found in confidences)
    annotation = Annotation(
        tuple(clusters), tuple(relations), sure, tuple(types) if any(types) else None
    )
    return Prediction(document.with_annotation(annotation), pronouns_of(doc.lang_))


def document_of(doc: Doc) -> tuple[Document, list[int]]:
    """A spaCy document as one of ours, and the token of each of its words.

    Blank tokens are no words. Sentences are spaCy's where it has any, else those of the rules of
    its sentencizer.
    """
    tokens = [token.i for token in doc if token.text and not token.is_space]
    edges = {0, len(tokens), *(bisect.bisect_left(tokens, start) for start in _starts(doc))}
    words = [doc[i] for i in tokens]
    document = Document(
        doc_id="doc",
        words=tuple(token.text for token in words),
        sentences=tuple(itertools.pairwise(sorted(edges))),
        pos=tuple(token.tag_ for token in words) if doc.has_annotation("TAG") else None,
        text=doc.text,
        word_offsets=tuple((token.idx, token.idx + len(token.text)) for token in words),
    )
    return document, tokens


def annotated(doc: Doc, prediction: Prediction) -> Doc:
    """The document with these entities in place of those of an earlier run."""
    tokens = [token.i for token in doc if token.text and not token.is_space]
    for group in groups(doc):
        del doc.spans[group.name]
    place = {id(cluster): c for c, cluster in enumerate(prediction.clusters)}
    relations: list[list[Any]] = [[] for _ in prediction.clusters]
    for r in prediction.relations:
        relations[place[id(r.head)]].append([place[id(r.tail)], r.type])
    for number, cluster in enumerate(prediction.clusters):
        sure = [m.confidence for m in cluster]
        attributes = {
            "confidences": None if None in sure else [[float(p) for p in x] for x in sure if x],
            "type": cluster.type,
            "relations": relations[number],
        }
        spans = [doc[tokens[m.start] : tokens[m.end - 1] + 1] for m in cluster]
        key = f"{PREFIX}_{number + 1}"
        doc.spans[key] = SpanGroup(doc, name=key, attrs=attributes, spans=spans)
    return doc


def groups(doc: Doc) -> list[SpanGroup]:
    """Those of entities, in their order."""
    keys = (f"{PREFIX}_{number}" for number in itertools.count(1))
    return [doc.spans[key] for key in itertools.takewhile(lambda key: key in doc.spans, keys)]


def _starts(doc: Doc) -> set[int]:
    """The tokens that sentences begin at."""
    if doc.has_annotation("SENT_START"):
        return {token.i for token in doc if token.is_sent_start}
    starts = {i for i, begins in enumerate(_SENTENCIZER.predict([doc])[0]) if begins}
    # An empty line ends a sentence, as it does when raw text is read.
    return starts | {t.i + 1 for t in doc if t.is_space and t.text.count("\n") > 1}

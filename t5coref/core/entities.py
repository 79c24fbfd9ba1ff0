"""What a corpus says of its entities beyond their spans, kept in `Document.extra`.

Corpora of relations number their entities, name every mention and have relations that no
`Annotation` holds. Evaluation needs all three, so readers keep them, and our jsonl does too:

    extra["entities"]           [{"mentions": [[start, end], ...], "names": ["...", ...]}, ...]
    extra["left_out"]           [{"head": 3, "tail": 0, "type": "..."}, ...]
    extra["relations_unknown"]  true

An entity's number is its place in the first list, which has every entity of the file, also those
without mentions. Heads and tails of the second are such numbers, not positions of clusters. The
third stands where a file is silent about relations, as DocRED's test set is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from t5coref.core.document import Document, Relation, Span
from t5coref.core.errors import DocumentError

ENTITIES = "entities"
LEFT_OUT = "left_out"
RELATIONS_UNKNOWN = "relations_unknown"


Fact = tuple[str, str, str]
"""Name of the head, name of the tail, type of the relation."""


class Entity(NamedTuple):
    """An entity as its corpus has it; mentions that it repeats or shares stay.

    Attributes:
      spans: `[m]` of its mentions.
      names: `[m]` what the corpus calls each of them.
    """

    spans: tuple[Span, ...]
    names: tuple[str, ...]


def entities(document: Document) -> tuple[Entity, ...]:
    """The entities of a document's source; where it has none, its clusters under their own text.

    Raises:
      DocumentError: `extra` has entities in another form.
    """
    stored = document.extra.get(ENTITIES)
    if stored is None:
        clusters = () if document.annotation is None else document.annotation.clusters
        return tuple(Entity(c, tuple(map(document.span_text, c))) for c in clusters)
    try:
        return tuple(map(_entity, stored))
    except (KeyError, TypeError, ValueError):
        raise DocumentError(
            f"document {document.doc_id!r}: extra has {ENTITIES!r} in another form; expected "
            '[{"mentions": [[start, end], ...], "names": [...]}, ...], one name for each mention'
        ) from None


def left_out(document: Document) -> tuple[Relation, ...]:
    """Relations of the source that the annotation cannot hold, between numbers of entities.

    Raises:
      DocumentError: `extra` has them in another form, or they name an entity that is not there.
    """
    stored, n = document.extra.get(LEFT_OUT, ()), len(entities(document))
    try:
        found = tuple(Relation(r["head"], r["tail"], r["type"]) for r in stored)
        if all(0 <= r.head < n and 0 <= r.tail < n for r in found):
            return found
    except (KeyError, TypeError):
        pass
    raise DocumentError(
        f"document {document.doc_id!r}: extra has {LEFT_OUT!r} = {str(stored)[:60]}; expected "
        f'[{{"head": i, "tail": j, "type": "..."}}, ...] with entities 0..{n - 1}'
    )


def relations_known(document: Document) -> bool:
    """Whether the source says which relations there are, if only that there are none."""
    return document.annotation is not None and not document.extra.get(RELATIONS_UNKNOWN, False)


class Catalogue:
    """Finds the entity that a cluster is, by its set of spans.

    Spans that several entities have belong to the first of them, as in every annotation that our
    readers make; the whole set is found as well.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self.entities = entities(document)
        self._number: dict[frozenset[Span], int] = {}
        taken: set[Span] = set()
        for number, entity in enumerate(self.entities):
            own = frozenset(entity.spans) - taken
            taken |= own
            self._number.setdefault(own, number)
        for number, entity in enumerate(self.entities):
            self._number.setdefault(frozenset(entity.spans), number)

    def number(self, cluster: Iterable[Span]) -> int | None:
        """The number of the entity with exactly these spans, None if there is none."""
        return self._number.get(frozenset(cluster))

    def names(self, cluster: Iterable[Span]) -> frozenset[str]:
        """What the entity with exactly these spans is called; without one, their own text."""
        spans = frozenset(cluster)
        number = self._number.get(spans)
        if number is None:
            return frozenset(map(self._document.span_text, spans))
        return frozenset(self.entities[number].names)


def facts(document: Document) -> Iterator[Fact]:
    """What a document states: each relation, also a left-out one, for all names of its entities."""
    catalogue = Catalogue(document)
    for r in left_out(document):
        head, tail = catalogue.entities[r.head].names, catalogue.entities[r.tail].names
        yield from itertools.product(head, tail, (r.type,))
    if document.annotation is not None:
        clusters = document.annotation.clusters
        for r in document.annotation.relations:
            head, tail = (catalogue.names(clusters[c]) for c in (r.head, r.tail))
            yield from itertools.product(head, tail, (r.type,))


def _entity(value: Any) -> Entity:
    spans = tuple((int(start), int(end)) for start, end in value["mentions"])
    names = tuple(value["names"])
    if len(spans) != len(names) or not all(isinstance(name, str) for name in names):
        raise ValueError
    return Entity(spans, names)

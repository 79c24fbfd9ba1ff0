"""What corpora of anaphora say beyond clusters of spans, kept in `Document.extra`.

Universal Anaphora and CorefUD have mentions of several parts, mentions on words that were never
said (zeros), heads and minimal spans, mentions that do not refer, antecedents that are several
entities together, and bridging. `Annotation` holds none of it. Readers therefore put an `Anaphora`
into `extra["anaphora"]`, and the syntactic tree into `extra["tree"]`; docs/formats.md shows both.

All positions of an `Anaphora` but minimal spans count *nodes*: words and zeros in text order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from t5coref.core.document import ANAPHORA, Document, Span
from t5coref.core.errors import DocumentError

TREE = "tree"
DEPS, MISC = 7, 8
"""Where the cells of a zero have its dependencies and what else is known of it."""


class HasParts(Protocol):
    """A mention, whoever calls it so."""

    @property
    def parts(self) -> Sequence[Span]:
        """Half-open spans of nodes, in order."""
        ...


class Place(NamedTuple):
    """Where a node is, whatever zeros another annotation of the text has; sorts in text order.

    Attributes:
      words: words of the document up to here, a word itself included.
      sentence: the sentence of a zero, -1 for words.
      number: counts the zeros behind one word as their corpus does, from 1; 0 for words.
    """

    words: int
    sentence: int = -1
    number: int = 0


class Zero(NamedTuple):
    """An empty node.

    Attributes:
      sentence: position of its sentence.
      after: how many words of that sentence stand before it.
      number: the 2 of the ID 5.2.
      cells: its row from FORM to MISC, without what MISC says of coreference.
    """

    sentence: int
    after: int
    number: int
    cells: tuple[str, ...] = ("_",) * 9


class Entity(NamedTuple):
    """What mentions refer to, or a name for those that refer to nothing."""

    name: str
    type: str | None = None
    referring: bool = True


@dataclass(frozen=True, slots=True)
class Mention:
    """A mention.

    Attributes:
      entity: position in `Anaphora.entities`.
      parts: half-open spans of nodes, in order.
      head: the node that governs it, None where nothing is said.
      minimum: half-open span of the document's words that a response has to have, or None.
      name: the corpus' own name of it, or None.
      attributes: what else the corpus says, by its names for that.
    """

    entity: int
    parts: tuple[Span, ...]
    head: int | None = None
    minimum: Span | None = None
    name: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """An entity that hangs on another one: bridging, or one of several antecedents.

    Attributes:
      anaphor: position of the entity that depends.
      antecedent: position of the entity that it depends on.
      mention: position of the mention that says so, or None.
      anchor: position of the antecedent's mention that is meant, or None.
      relation: what the corpus calls it, or None.
    """

    anaphor: int
    antecedent: int
    mention: int | None = None
    anchor: int | None = None
    relation: str | None = None


@dataclass(frozen=True, slots=True)
class Anaphora:
    """Entities, their mentions, and how they hang together.

    Attributes:
      entities: also those that have no mentions and are only linked to.
      mentions: in text order, an outer one before those within.
      zeros: in text order.
      split: an anaphor's antecedents, one link for each.
      bridging: other dependencies.
      fields: names of the fields of a bracket in the file, none where there is no header.
      columns: cells of further columns, `{name: {node: cell}}`.
    """

    entities: tuple[Entity, ...] = ()
    mentions: tuple[Mention, ...] = ()
    zeros: tuple[Zero, ...] = ()
    split: tuple[Link, ...] = ()
    bridging: tuple[Link, ...] = ()
    fields: tuple[str, ...] = ()
    columns: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON, without what is empty."""
        value = {
            "entities": [_entity_json(entity) for entity in self.entities],
            "mentions": [_mention_json(mention) for mention in self.mentions],
            "zeros": [{**z._asdict(), "cells": list(z.cells)} for z in self.zeros],
            "split": [_link_json(link) for link in self.split],
            "bridging": [_link_json(link) for link in self.bridging],
            "fields": list(self.fields),
            "columns": {
                name: {str(node): cell for node, cell in cells.items()}
                for name, cells in self.columns.items()
                if cells
            },
        }
        return {key: item for key, item in value.items() if item}


class Nodes:
    """Words and zeros of a document in text order.

    Attributes:
      places: `[n]` where each node is.
    """

    def __init__(self, sentences: Sequence[Span], zeros: Sequence[Zero]) -> None:
        places: list[Place] = []
        self._words_before = [0]
        waiting = itertools.groupby(zeros, key=lambda zero: (zero.sentence, zero.after))
        groups = {at: list(group) for at, group in waiting}
        for sentence, (start, end) in enumerate(sentences):
            for word in range(start, end + 1):
                if word > start:
                    places.append(Place(word))
                    self._words_before.append(word)
                for zero in groups.get((sentence, word - start), ()):
                    places.append(Place(word, sentence, zero.number))
                    self._words_before.append(word)
        self.places = tuple(places)

    def __len__(self) -> int:
        return len(self.places)

    def words(self, span: Span) -> Span:
        """The words among these nodes, as a half-open span; empty if all of them are zeros."""
        return self._words_before[span[0]], self._words_before[span[1]]

    def is_word(self, node: int) -> bool:
        """Whether the node is a word."""
        return self._words_before[node] < self._words_before[node + 1]

    def runs(self, mention: Mention) -> list[Span]:
        """The words of a mention as half-open spans; parts that touch are one."""
        out: list[Span] = []
        for part in mention.parts:
            start, end = self.words(part)
            if start == end:
                continue
            if out and out[-1][1] >= start:
                out[-1] = (out[-1][0], max(end, out[-1][1]))
            else:
                out.append((start, end))
        return out

    def span(self, mention: Mention) -> Span | None:
        """The one span that an `Annotation` has of a mention: the run with its head, or the first.

        None for a mention without words.
        """
        runs = self.runs(mention)
        if mention.head is not None and self.is_word(mention.head):
            word = self._words_before[mention.head]
            return next((run for run in runs if run[0] <= word < run[1]), runs[0])
        return runs[0] if runs else None


def anaphora(document: Document) -> Anaphora:
    """What is known of the anaphora of a document; without anything in `extra`, its clusters.

    Raises:
      DocumentError: `extra` has it in another form, or of other clusters than the annotation has.
    """
    stored = document.extra.get(ANAPHORA)
    if stored is None:
        return _of_clusters(document)
    try:
        found = _from_json(stored)
        nodes = Nodes(document.sentences, found.zeros)
        _check(found, len(nodes))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise DocumentError(
            f"document {document.doc_id!r}: extra has {ANAPHORA!r} in another form "
            f"({type(error).__name__}: {error}); docs/formats.md shows the form expected"
        ) from None
    clusters = () if document.annotation is None else document.annotation.clusters
    if set(map(frozenset, clusters)) != set(map(frozenset, spans(found, nodes))):
        raise DocumentError(
            f"document {document.doc_id!r}: extra has {ANAPHORA!r} of other clusters than those of "
            "the document; remove this key where clusters are changed"
        )
    return found


def split_antecedents(document: Document) -> tuple[tuple[int, int], ...]:
    """`Annotation.split` of what is known of the anaphora of an annotated document.

    Entities that are no clusters are left out: those without words, and those that do not refer.

    Raises:
      DocumentError: see `anaphora`.
    """
    assert document.annotation is not None
    found = anaphora(document)
    nodes = Nodes(document.sentences, found.zeros)
    place = {frozenset(c): i for i, c in reversed(list(enumerate(document.annotation.clusters)))}
    cluster = [place.get(frozenset(own)) for own in _spans_of_entities(found, nodes)]
    ends = ((cluster[link.anaphor], cluster[link.antecedent]) for link in found.split)
    return tuple(sorted({(a, b) for a, b in ends if a is not None and b is not None and a != b}))


def spans(found: Anaphora, nodes: Nodes) -> Iterator[tuple[Span, ...]]:
    """The clusters of an annotation: word spans of each entity that refers and has any."""
    yield from (tuple(own) for own in _spans_of_entities(found, nodes) if own)


def _spans_of_entities(found: Anaphora, nodes: Nodes) -> list[list[Span]]:
    own: list[list[Span]] = [[] for _ in found.entities]
    for mention in found.mentions:
        span = nodes.span(mention)
        if span is not None and found.entities[mention.entity].referring:
            own[mention.entity].append(span)
    return own


def tree(document: Document) -> tuple[int, ...] | None:
    """How deep in its tree each word is, 0 for roots, or None where there is no tree.

    Raises:
      DocumentError: `extra` has the tree in another form.
    """
    stored = document.extra.get(TREE)
    if stored is None:
        return None
    try:
        heads = [int(head) for head in stored["heads"]]
        depths: list[int] = []
        for start, end in document.sentences:
            for word in range(start, end):
                depth = 0
                while heads[word]:
                    word = start + heads[word] - 1
                    depth += 1
                    if not start <= word < end or depth > end - start:
                        raise ValueError("heads outside the sentence, or in a circle")
                depths.append(depth)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DocumentError(
            f"document {document.doc_id!r}: extra has {TREE!r} in another form ({error}); expected "
            '{"heads": [...], "relations": [...]}, one entry a word, 0 for the root'
        ) from None
    return tuple(depths)


def highest(span: Span, depths: Sequence[int]) -> int:
    """The word of a span that is nearest to the root; the first of several."""
    return min(range(*span), key=lambda word: (depths[word], word))


def text_order(mention: HasParts) -> tuple[int, int]:
    """Sorts mentions: by their first node, an outer one before an inner one."""
    return mention.parts[0][0], -mention.parts[-1][1]


def _of_clusters(document: Document) -> Anaphora:
    if document.annotation is None:
        return Anaphora()
    clusters = document.annotation.clusters
    types = document.annotation.types or (None,) * len(clusters)
    mentions = [Mention(c, (s,)) for c, cluster in enumerate(clusters) for s in cluster]
    return Anaphora(
        entities=tuple(Entity(f"e{c}", kind) for c, kind in enumerate(types)),
        mentions=tuple(sorted(mentions, key=text_order)),
        split=tuple(Link(*ends) for ends in document.annotation.split),
    )


def _check(found: Anaphora, nodes: int) -> None:
    """Raises ValueError where a number points at nothing."""
    for mention in found.mentions:
        if not 0 <= mention.entity < len(found.entities):
            raise ValueError(f"a mention of entity {mention.entity}")
        ends = list(itertools.chain.from_iterable(mention.parts))
        if not ends or ends != sorted(ends) or ends[0] < 0 or ends[-1] > nodes:
            raise ValueError(f"a mention with parts {mention.parts} of {nodes} nodes")
        if any(start == end for start, end in mention.parts):
            raise ValueError("a mention with an empty part")
        if mention.head is not None and not any(s <= mention.head < e for s, e in mention.parts):
            raise ValueError(f"a head {mention.head} outside of its mention {mention.parts}")
    for link in (*found.split, *found.bridging):
        for entity in (link.anaphor, link.antecedent):
            if not 0 <= entity < len(found.entities):
                raise ValueError(f"a link of entity {entity}")
        for mention in (link.mention, link.anchor):
            if mention is not None and not 0 <= mention < len(found.mentions):
                raise ValueError(f"a link of mention {mention}")


def _entity_json(entity: Entity) -> dict[str, Any]:
    value: dict[str, Any] = {"name": entity.name}
    if entity.type is not None:
        value["type"] = entity.type
    if not entity.referring:
        value["referring"] = False
    return value


def _mention_json(mention: Mention) -> dict[str, Any]:
    value: dict[str, Any] = {
        "entity": mention.entity,
        "parts": [list(part) for part in mention.parts],
        "head": mention.head,
        "minimum": None if mention.minimum is None else list(mention.minimum),
        "name": mention.name,
        "attributes": dict(mention.attributes) or None,
    }
    return {key: item for key, item in value.items() if item is not None}


def _link_json(link: Link) -> dict[str, Any]:
    value = {
        "anaphor": link.anaphor,
        "antecedent": link.antecedent,
        "mention": link.mention,
        "anchor": link.anchor,
        "relation": link.relation,
    }
    return {key: item for key, item in value.items() if item is not None}


def _from_json(value: Mapping[str, Any]) -> Anaphora:
    return Anaphora(
        entities=tuple(Entity(**item) for item in value.get("entities", ())),
        mentions=tuple(_mention(item) for item in value.get("mentions", ())),
        zeros=tuple(
            Zero(**{**item, "cells": tuple(item["cells"])}) for item in value.get("zeros", ())
        ),
        split=tuple(Link(**item) for item in value.get("split", ())),
        bridging=tuple(Link(**item) for item in value.get("bridging", ())),
        fields=tuple(value.get("fields", ())),
        columns={
            name: {int(node): cell for node, cell in cells.items()}
            for name, cells in value.get("columns", {}).items()
        },
    )


def _mention(value: Mapping[str, Any]) -> Mention:
    parts = tuple((int(start), int(end)) for start, end in value["parts"])
    minimum = value.get("minimum")
    span = None if minimum is None else (int(minimum[0]), int(minimum[1]))
    return Mention(**{**value, "parts": parts, "minimum": span})

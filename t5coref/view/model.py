"""What a page shows of a document: entities, marks in the text and facts, plain or compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from t5coref.core.document import Annotation, Document, Relation, Span
from t5coref.core.errors import MismatchError
from t5coref.view.names import representative


class Status(StrEnum):
    """How something that was predicted, or should have been, compares with the key.

    For a mark, LOST and MISPLACED say that both sides have the span, in entities that do not
    correspond: the key's side of it is lost, the prediction's misplaced. For a fact, NEAR says
    that both sides have it between corresponding entities whose mentions differ: the hard metric
    counts it as missed and as extra.
    """

    RIGHT = "right"
    MISSED = "missed"
    EXTRA = "extra"
    LOST = "lost"
    MISPLACED = "misplaced"
    NEAR = "near"


@dataclass(frozen=True, slots=True)
class Entity:
    """A row of the list of entities.

    Attributes:
      name: its representative mention.
      type: the predicted type, or the only one there is.
      key_type: the key's type, where both sides have one and they differ.
      size: mentions on the side that has more.
      hue: degrees of its colour; None for a lone mention of no type and no relation, which
        nothing else refers to.
    """

    name: str
    type: str | None
    key_type: str | None
    size: int
    hue: int | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A mention in the text, half-open words; `entity` counts in `View.entities`."""

    start: int
    end: int
    entity: int
    status: Status | None


@dataclass(frozen=True, slots=True)
class Fact:
    """A relation between two of `View.entities`."""

    head: int
    tail: int
    type: str
    status: Status | None


@dataclass(frozen=True, slots=True)
class View:
    """A document as a page shows it; statuses are None unless it is compared with a key."""

    document: Document
    entities: tuple[Entity, ...]
    marks: tuple[Mark, ...]
    facts: tuple[Fact, ...]
    compared: bool

    @property
    def errors(self) -> int:
        """Spans and relations that are not right: a span in the wrong entity counts once."""
        wrong = sum(m.status not in (None, Status.RIGHT, Status.LOST) for m in self.marks)
        return wrong + sum(f.status not in (None, Status.RIGHT) for f in self.facts)


def plain(document: Document) -> View:
    """A document with its own annotation, entities in the order of the clusters."""
    annotation = document.annotation or Annotation()
    sides = [(None, c) for c in range(len(annotation.clusters))]
    return View(
        document,
        _entities(document, sides, Annotation(), annotation),
        tuple(Mark(start, end, c, None) for start, end, c in annotation.mentions()),
        tuple(Fact(r.head, r.tail, r.type, None) for r in dict.fromkeys(annotation.relations)),
        compared=False,
    )


def compared(document: Document, key: Document) -> View:
    """A predicted document beside its key: the key's entities, then those that are only predicted.

    Raises:
      MismatchError: the two have different numbers of words, or the key has no annotation.
    """
    if len(document.words) != len(key.words):
        raise MismatchError(
            f"document {document.doc_id!r} has {len(key.words)} words in the key and "
            f"{len(document.words)} in the prediction; compare two annotations of one text"
        )
    if key.annotation is None:
        raise MismatchError(
            f"document {key.doc_id!r} of the key has no annotation; leave it out, or show the "
            "predictions alone"
        )
    gold, found = key.annotation, document.annotation or Annotation()
    sides = aligned(gold.clusters, found.clusters)
    return View(
        document,
        _entities(document, sides, gold, found),
        tuple(_compared_marks(sides, gold.clusters, found.clusters)),
        tuple(_compared_facts(sides, gold, found)),
        compared=True,
    )


def aligned(
    gold: Sequence[Sequence[Span]], found: Sequence[Sequence[Span]]
) -> list[tuple[int | None, int | None]]:
    """Which clusters correspond, one to one: the most alike first, measured by phi4 (CEAF's Dice).

    Every cluster of either side is in the result once; None where nothing corresponds.
    """
    of_span: dict[Span, list[int]] = {}
    for g, cluster in enumerate(gold):
        for span in cluster:
            of_span.setdefault(span, []).append(g)
    shared: dict[tuple[int, int], int] = {}
    for p, cluster in enumerate(found):
        for span in cluster:
            for g in of_span.get(span, ()):
                shared[g, p] = shared.get((g, p), 0) + 1
    ranked = sorted((-2 * n / (len(gold[g]) + len(found[p])), g, p) for (g, p), n in shared.items())
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, g, p in ranked:
        if g not in partner and p not in taken:
            partner[g] = p
            taken.add(p)
    pairs: list[tuple[int | None, int | None]] = [(g, partner.get(g)) for g in range(len(gold))]
    return pairs + [(None, p) for p in range(len(found)) if p not in taken]


def _compared_marks(
    sides: Sequence[tuple[int | None, int | None]],
    gold: Sequence[Sequence[Span]],
    found: Sequence[Sequence[Span]],
) -> Iterator[Mark]:
    in_gold = {span for cluster in gold for span in cluster}
    in_found = {span for cluster in found for span in cluster}
    for e, (g, p) in enumerate(sides):
        here = set(() if g is None else gold[g])
        there = set(() if p is None else found[p])
        for span in sorted(here | there):
            if span in here and span in there:
                status = Status.RIGHT
            elif span in here:
                status = Status.LOST if span in in_found else Status.MISSED
            else:
                status = Status.MISPLACED if span in in_gold else Status.EXTRA
            yield Mark(*span, e, status)


def _compared_facts(
    sides: Sequence[tuple[int | None, int | None]], gold: Annotation, found: Annotation
) -> Iterator[Fact]:
    of_gold = {g: e for e, (g, _) in enumerate(sides) if g is not None}
    of_found = {p: e for e, (_, p) in enumerate(sides) if p is not None}
    exact = _hard(gold) & _hard(found)
    there: dict[tuple[int, int, str], list[bool]] = {}  # -> right by the hard metric, by side
    key: set[tuple[int, int, str]] = set()
    for annotation, entity, is_key in ((gold, of_gold, True), (found, of_found, False)):
        for r in annotation.relations:
            fact = entity[r.head], entity[r.tail], r.type
            if is_key:
                key.add(fact)
            there.setdefault(fact, []).append(_triple(annotation, r) in exact)
    predicted = {(of_found[r.head], of_found[r.tail], r.type) for r in found.relations}
    for fact, right in there.items():
        if any(right):
            status = Status.RIGHT
        elif fact in key and fact in predicted:
            status = Status.NEAR
        else:
            status = Status.MISSED if fact in key else Status.EXTRA
        yield Fact(*fact, status)


def _triple(annotation: Annotation, r: Relation) -> tuple[frozenset[Span], frozenset[Span], str]:
    return frozenset(annotation.clusters[r.head]), frozenset(annotation.clusters[r.tail]), r.type


def _hard(annotation: Annotation) -> set[tuple[frozenset[Span], frozenset[Span], str]]:
    """The relations as the hard metric compares them (docs/metrics.md)."""
    return {_triple(annotation, r) for r in annotation.relations}


def _entities(
    document: Document,
    sides: Sequence[tuple[int | None, int | None]],
    gold: Annotation,
    found: Annotation,
) -> tuple[Entity, ...]:
    related = [
        {end for r in annotation.relations for end in (r.head, r.tail)}
        for annotation in (gold, found)
    ]
    entities: list[Entity] = []
    coloured = 0
    for ends in sides:
        clusters, types = [], []
        for annotation, c in zip((gold, found), ends, strict=True):
            clusters.append(() if c is None else annotation.clusters[c])
            types.append(None if c is None or annotation.types is None else annotation.types[c])
        key_type, type_ = types
        size = max(map(len, clusters))
        hue = None
        if size > 1 or any(types) or any(c in r for c, r in zip(ends, related, strict=True)):
            # Steps of the golden angle keep neighbours in the list far apart on the colour wheel.
            hue = round(25 + coloured * 137.508) % 360
            coloured += 1
        differs = key_type if key_type and type_ and key_type != type_ else None
        name = representative(document, clusters[0] or clusters[1])
        entities.append(Entity(name, type_ or key_type, differs, size, hue))
    return tuple(entities)

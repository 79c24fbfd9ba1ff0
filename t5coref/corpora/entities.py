"""Numbered entities and the relations between them, as DocRED and DWIE have them, to annotations.

What their files have and an `Annotation` cannot hold is counted and kept in `Document.extra`, in
the form that `t5coref.core.entities` describes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from t5coref.core.document import Annotation, Relation, Span
from t5coref.core.entities import ENTITIES, LEFT_OUT, RELATIONS_UNKNOWN
from t5coref.corpora.report import Kind, Source


@dataclass(frozen=True, slots=True)
class Mention:
    """A mention with the name that its corpus gives it."""

    span: Span
    name: str


@dataclass(frozen=True, slots=True)
class Record:
    """One document's entities and relations as its file numbers them.

    Attributes:
      doc_id: for messages.
      line: where the document begins, for messages.
      entities: `[e]` the mentions of each entity.
      types: `[e]` the type of each entity.
      relations: (head, tail, type) with numbers of entities; None where the file is silent.
      inventory: the relation types that are expected; None = any.
      empty_entities: whether the corpus has entities without mentions; else one is a mistake.
    """

    doc_id: str
    line: int
    entities: Sequence[Sequence[Mention]]
    types: Sequence[str | None]
    relations: Sequence[tuple[int, int, str]] | None
    inventory: Collection[str] | None = None
    empty_entities: bool = False

    def annotate(self, source: Source) -> tuple[Annotation, dict[str, Any]]:
        """The annotation, and what belongs into `extra` beside it.

        A span in two entities stays in the first. Entities without mentions go, and so do relations
        with them, of an entity with itself, and repeated ones.

        Raises:
          FormatError: an entity has no mention though the corpus has none of that kind, a relation
            is of an entity that is not there or of an unexpected type, and reading is not lenient.
        """
        cluster_of, clusters = self._clusters(source)
        relations, left_out = self._relations(cluster_of, source)
        annotation = Annotation(
            clusters=tuple(tuple(clusters[e]) for e in clusters),
            relations=tuple(relations),
            types=tuple(self.types[e] for e in clusters),
        )
        if not clusters:
            self._note(source, "mentionless_documents", "has no mentions")
        extra: dict[str, Any] = {
            ENTITIES: [
                {"mentions": [list(m.span) for m in e], "names": [m.name for m in e]}
                for e in self.entities
            ]
        }
        if left_out:
            extra[LEFT_OUT] = [{"head": h, "tail": t, "type": r} for h, t, r in left_out]
        if self.relations is None:
            extra[RELATIONS_UNKNOWN] = True
        return annotation, extra

    def _clusters(self, source: Source) -> tuple[dict[int, int], dict[int, list[Span]]]:
        """The cluster of each entity that is one, and the spans of each that has its own."""
        cluster_of: dict[int, int] = {}
        clusters: dict[int, list[Span]] = {}
        owner: dict[Span, int] = {}
        whole: dict[frozenset[Span], int] = {}
        for number, entity in enumerate(self.entities):
            own = clusters[number] = []
            for span, times in Counter(mention.span for mention in entity).items():
                words = f"words [{span[0]}, {span[1]})"
                for _ in range(times - 1):
                    self._note(source, "duplicate_mentions", f"entity {number} has {words} twice")
                if (first := owner.setdefault(span, number)) == number:
                    own.append(span)
                else:
                    self._note(
                        source,
                        "shared_mentions",
                        f"entities {first} and {number} both have {words}; the first keeps them",
                    )
            spans = frozenset(mention.span for mention in entity)
            if own:
                cluster_of[number] = len(clusters) - 1
                whole[spans] = number
                continue
            del clusters[number]
            if spans in whole:  # one entity under two numbers
                cluster_of[number] = cluster_of[whole[spans]]
            tell = self._note if entity or self.empty_entities else self._mistake
            tell(source, "empty_clusters", f"entity {number} has no mention of its own")
        return cluster_of, clusters

    def _relations(
        self, cluster_of: dict[int, int], source: Source
    ) -> tuple[dict[Relation, None], list[tuple[int, int, str]]]:
        kept: dict[Relation, None] = {}
        left_out: list[tuple[int, int, str]] = []
        seen: set[tuple[int, int, str]] = set()
        for head, tail, type_ in self.relations or ():
            name = f"relation {type_!r} of entities {head} and {tail}"
            if missing := [e for e in (head, tail) if not 0 <= e < len(self.entities)]:
                self._mistake(
                    source,
                    "dropped_relations",
                    f"{name}: no entity {missing[0]}; expected 0..{len(self.entities) - 1}",
                )
                continue
            if (head, tail, type_) in seen:
                self._note(source, "duplicate_relations", f"{name} stands there twice")
                continue
            seen.add((head, tail, type_))
            relation = None
            if self.inventory is not None and type_ not in self.inventory:
                known = ", ".join(sorted(self.inventory)[:3])
                self._mistake(
                    source,
                    "unknown_relations",
                    f"{name}: no such type; expected one of {len(self.inventory)}: {known}, ...",
                )
            elif head not in cluster_of or tail not in cluster_of:
                self._note(source, "dropped_relations", f"{name}: one of them has no mention")
            elif cluster_of[head] == cluster_of[tail]:
                self._note(source, "self_relations", f"{name}: of an entity with itself")
            else:
                relation = Relation(cluster_of[head], cluster_of[tail], type_)
            if relation is None:
                left_out.append((head, tail, type_))
            elif relation in kept:
                self._note(source, "duplicate_relations", f"{name} stands there twice")
            else:
                kept[relation] = None
        return kept, left_out

    def _note(self, source: Source, kind: Kind, message: str) -> None:
        source.note(kind, self.line, f"document {self.doc_id!r}: {message}")

    def _mistake(self, source: Source, kind: Kind, message: str) -> None:
        source.mistake(kind, self.line, f"document {self.doc_id!r}: {message}")

"""Collects what a file says of a document's anaphora while it is read.

Positions count nodes: words, and the zeros between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from t5coref.core.anaphora import Anaphora, Entity, Link, Mention, Nodes, Zero, text_order
from t5coref.core.document import Annotation, Span
from t5coref.corpora.brackets import Clusters
from t5coref.corpora.report import Source


@dataclass(slots=True)
class Named:
    """A mention as its file has it: its entity goes by its name.

    Attributes:
      entity: the entity's name.
      parts: half-open spans of nodes.
      line: where it ends in the file.
      opened: how many mentions were opened before it.
      head: the node that governs it, or None.
      minimum: half-open span of words that a response has to have, or None.
      name: its own name, or None.
      type: the entity's type, or None.
      referring: whether the entity is one.
      attributes: what else the file says.
    """

    entity: str
    parts: list[Span]
    line: int = 0
    opened: int = 0
    head: int | None = None
    minimum: Span | None = None
    name: str | None = None
    type: str | None = None
    referring: bool = True
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NamedLink:
    """A link between entities by their names; mentions are named or begin at a node.

    Attributes:
      anaphor: name of the entity that depends.
      antecedent: name of the entity that it depends on.
      mention: the mention that says so, None where it is known by its first node.
      anchor: the antecedent's mention that is meant, or None.
      relation: what the file calls it, or None.
      node: first node of the mention that says so, if it is not named.
    """

    anaphor: str
    antecedent: str
    mention: Named | None = None
    anchor: Named | None = None
    relation: str | None = None
    node: int = -1


class AnaphoraBuilder:
    """The zeros, mentions and links of one document.

    Attributes:
      mentions: in the order in which they end.
      split: antecedents that are several entities, a link for each.
      bridging: other links.
      columns: cells of columns that are kept as they are, `{name: {node: cell}}`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._zeros: list[Zero] = []
        self.mentions: list[Named] = []
        self.split: list[NamedLink] = []
        self.bridging: list[NamedLink] = []
        self.columns: dict[str, dict[int, str]] = {}

    def zero(self, sentence: int, after: int, number: int, cells: Sequence[str]) -> None:
        """Adds an empty node behind all nodes so far."""
        self._zeros.append(Zero(sentence, after, number, tuple(cells)))

    def finish(
        self, sentences: Sequence[Span], fields: tuple[str, ...] = ()
    ) -> tuple[Annotation, Anaphora]:
        """What an annotation can hold of the mentions, and everything.

        Counts mentions of several parts, of which the annotation has one, and those without words,
        which it has not.
        """
        zeros = self._placed(sentences)
        nodes = Nodes(sentences, zeros)
        there = (m for m in self.mentions if m.parts[-1][1] <= len(nodes))
        named = sorted(there, key=lambda m: (*text_order(m), m.opened))
        of_name: dict[str, int] = {}
        for mention in named:
            of_name.setdefault(mention.entity, len(of_name))
        for link in (*self.split, *self.bridging):
            for name in (link.anaphor, link.antecedent):
                of_name.setdefault(name, len(of_name))
        mentions = tuple(
            Mention(
                of_name[m.entity],
                tuple(m.parts),
                m.head,
                m.minimum,
                m.name,
                m.attributes,
            )
            for m in named
        )
        types: dict[str, str] = {}
        silent = set()
        for mention in named:
            if mention.type:
                types.setdefault(mention.entity, mention.type)
            if not mention.referring:
                silent.add(mention.entity)
        position = {id(m): i for i, m in enumerate(named)}
        found = Anaphora(
            entities=tuple(Entity(n, types.get(n), n not in silent) for n in of_name),
            mentions=mentions,
            zeros=zeros,
            split=tuple(self._link(link, of_name, named, position) for link in self.split),
            bridging=tuple(self._link(link, of_name, named, position) for link in self.bridging),
            fields=fields if mentions else (),
            columns=self.columns,
        )
        return self._annotation(found, nodes, named), found

    def _placed(self, sentences: Sequence[Span]) -> tuple[Zero, ...]:
        """The zeros; those behind the last sentence with words go to its end."""
        out = []
        for zero in self._zeros:
            if zero.sentence < len(sentences):
                out.append(zero)
            elif sentences:
                start, end = sentences[-1]
                out.append(zero._replace(sentence=len(sentences) - 1, after=end - start))
        return tuple(out)

    def _annotation(self, found: Anaphora, nodes: Nodes, named: Sequence[Named]) -> Annotation:
        clusters = Clusters(self._source)
        for mention, source in zip(found.mentions, named, strict=True):
            if not found.entities[mention.entity].referring:
                continue
            span = nodes.span(mention)
            if span is None:
                self._source.note(
                    "dropped_mentions",
                    source.line,
                    f"entity {source.entity!r}: mention without any word",
                )
                continue
            if (n := len(nodes.runs(mention))) > 1:
                self._source.note(
                    "discontinuous_mentions",
                    source.line,
                    f"entity {source.entity!r}: a mention has {n} parts, of which clusters have "
                    "one",
                )
            clusters.add(source.entity, span, source.line)
        return clusters.annotation()

    def _link(
        self,
        link: NamedLink,
        of_name: dict[str, int],
        named: Sequence[Named],
        position: dict[int, int],
    ) -> Link:
        mention = position.get(id(link.mention))
        if link.mention is None:
            starts = (
                i
                for i, m in enumerate(named)
                if m.entity == link.anaphor and m.parts[0][0] == link.node
            )
            mention = next(starts, None)
        return Link(
            anaphor=of_name[link.anaphor],
            antecedent=of_name[link.antecedent],
            mention=mention,
            anchor=position.get(id(link.anchor)),
            relation=link.relation,
        )

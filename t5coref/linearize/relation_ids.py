"""relation-ids: clusters are marked in the source, and the relations between them are the output.

For "Anna left Rome" with the relation from Anna to Rome:
`<m0> Anna </m> left <m1> Rome </m> </s>` gives `<rel> <m0> <m1> <rel:left> </s>`. Where there are
entity types, one stands behind each opening mark. The clusters are those of the document's
annotation, gold or predicted; they come back as they are.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from t5coref.core.document import Annotation, Document, Relation, Span
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.core.rules import DONE, NUMBER, TEXT, Cell, Due, Effect, Guard, Rules
from t5coref.core.symbols import Inventory
from t5coref.core.transcript import Transcript
from t5coref.core.triples import Triple
from t5coref.linearize import mentions as m
from t5coref.linearize.base import Actions, Answer, Turn
from t5coref.linearize.marked import CLOSING, LIMIT, OPENINGS, MarkedWindows
from t5coref.linearize.relations import START, RelationFormat, RelationTypes, Section

END = 0
"""The action `</s>`; `<rel>`, the clusters and the relation types follow."""


class Marked(NamedTuple):
    """A window with its marks.

    Attributes:
      turn: whose source has them.
      clusters: the position in the annotation of each number.
    """

    turn: Turn
    clusters: list[int]


class RelationIds(RelationFormat, MarkedWindows):
    """Relations between clusters that are known; these are marked in the source.

    Args:
      tokenizer: with the format's symbols.
      **options: those of `RelationFormat`; without `entity_types` the marks say none.
    """

    name = "relation-ids"
    symbols = ("<speaker>", "</speaker>", CLOSING, START, *OPENINGS)

    def make_rules(self) -> Rules:
        """See `Windows.make_rules`."""
        if not 2 <= self.max_clusters <= LIMIT:
            raise ConfigError(
                f"max_clusters is {self.max_clusters}; expected 2 to {LIMIT}, for which there are "
                "symbols"
            )
        end = self.tokenizer.eos_id
        self.look_up_marks(self.max_clusters)
        types = RelationTypes(self.tokenizer, self.relations)
        self.section = Section(self.tokenizer, types, [(token,) for token in self.openings])
        ids = (end, self.section.start, *self.openings, *types.tokens)
        action = {token: i for i, token in enumerate(ids)}
        table = self.section.table(action, {TEXT: Guard(0)}, TEXT, first=NUMBER)
        nothing = np.full((NUMBER, self.max_clusters + 1), self.max_clusters, np.int32)
        return Rules.compile(
            Inventory(ids, tuple(self.tokenizer.piece(t) for t in ids)),
            [Effect.PASSES, *[Effect(0)] * (len(ids) - 1)],
            [Cell(TEXT, END, DONE), *table.cells],
            at_least=np.concatenate([nothing, table.at_least]),
            role=np.concatenate([np.zeros(NUMBER, np.int32), table.role]),
            copy=END,
            echoed=True,
            marks=(end,),
            due=Due(piece=0, mark=1),
            twinned=False,
            max_depth=0,
            max_clusters=self.max_clusters,
            relations=len(self.relations),
            first_relation=len(ids) - len(self.relations),
            source_numbers=tuple(self.openings),
        )

    def split(self, doc: Document) -> list[Turn]:
        """The windows of a document, its clusters marked."""
        return [marked.turn for marked in self.marked(doc)]

    def marked(self, doc: Document) -> list[Marked]:
        """The windows, and which clusters their numbers stand for.

        A window marks the mentions that it holds whole, with their marks. Of crossing mentions the
        later one has none, as in the formats that write clusters.

        Raises:
          MismatchError: nobody says which clusters the document has.
          DocumentError: an entity's type is none of the format's.
        """
        if doc.annotation is None:
            raise MismatchError(
                f"document {doc.doc_id!r} has no clusters; expected gold or predicted ones, which "
                f"{self.name} looks for relations between; predict them first"
            )
        self.kinds.check(doc.annotation, doc.doc_id)
        pieces = self.pieces(doc)
        (whole,) = m.window_turns(doc.doc_id, pieces, [(0, len(pieces))], self.tokenizer.eos_id)
        kept = m.nested(m.in_window(whole, doc.annotation), self.max_depth)
        out = []
        for (start, end), inside in self.cut(pieces, kept):
            (turn,) = m.window_turns(doc.doc_id, pieces, [(start, end)], self.tokenizer.eos_id)
            shifted = [replace(k, start=k.start - start, end=k.end - start) for k in inside]
            closings = m.numbered(shifted, self.max_clusters)
            clusters = {number: mention.cluster for mention, number in closings}
            turn = replace(self.with_marks(turn, closings), index=len(out))
            out.append(Marked(turn, [clusters[k] for k in range(len(clusters))]))
        return out

    def behind_mark(self, mention: m.Mention) -> list[int]:
        """The entity type, where the format has some."""
        return [self.kinds.token(mention.type)] if self.kinds.named else []

    def is_mark(self, token: int) -> bool:
        """See `MarkedWindows.is_mark`."""
        return super().is_mark(token) or token in self.kinds.named

    def turns(self, doc: Document) -> Generator[list[Turn], list[Answer], Annotation]:
        """One turn a window; the relations that the windows find are put together."""
        marked = self.marked(doc)
        assert doc.annotation is not None  # its clusters are marked
        answers = (yield [w.turn for w in marked]) if marked else []
        found = {
            (window.clusters[t.head], window.clusters[t.tail], self.relations[t.type])
            for window, answer in zip(marked, answers, strict=True)
            for t in self.section.read(answer.actions.tolist())
            if max(t.head, t.tail) < len(window.clusters)
        }
        return replace(doc.annotation, relations=tuple(Relation(*t) for t in sorted(found)))

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """See `Windowed.transcript`: there is no text, and the mentions have their numbers."""
        marked = {number for _, number in self.without_marks(turn)[1]}
        actions = answer.actions.tolist()
        relations, stray = self.section.audited(actions, self.tokenizer.eos_id)
        nothing = np.zeros(0, np.int32)
        return Transcript(
            source=nothing,
            word=nothing,
            output=nothing,
            pairs=(),
            given=(),
            stray=stray,
            outside=sum(number not in marked for pair in relations for number in pair),
            ended=self.tokenizer.eos_id in actions,
            marked=False,
        )

    def oracle(self, turn: Turn, gold: Annotation) -> Actions:
        """The gold relations between the clusters that are marked.

        A marked cluster counts as the gold one with which it shares most mentions.

        Raises:
          DocumentError: a relation's type is none of the format's.
        """
        without, marked = self.without_marks(turn)
        spans: dict[int, set[Span]] = {}
        for span, number in marked:
            spans.setdefault(number, set()).add(span)
        mentions: dict[int, set[Span]] = {}
        for mention in m.nested(m.in_window(without, gold), self.max_depth):
            mentions.setdefault(mention.cluster, set()).add((mention.start, mention.end))
        shared = [
            (-len(mine & theirs), len(mine ^ theirs), number, cluster)
            for number, mine in spans.items()
            for cluster, theirs in mentions.items()
            if mine & theirs
        ]
        number_of: dict[int, int] = {}
        for _, _, number, cluster in sorted(shared):
            if cluster not in number_of and number not in number_of.values():
                number_of[cluster] = number
        triples: list[Triple] = self.section.types.triples(gold, number_of, turn.doc_id)
        end = self.tokenizer.eos_id
        return np.asarray([*self.section.write(triples), end], np.int32)

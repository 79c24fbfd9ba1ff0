"""What the formats have in common that write clusters and then the relations between them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from t5coref.core.document import Annotation, Relation
from t5coref.core.rules import DONE, TEXT, Cell, Due, Effect, Guard, Rules
from t5coref.core.symbols import Inventory
from t5coref.core.transcript import Transcript
from t5coref.linearize.base import Actions, Answer, Turn
from t5coref.linearize.mentions import Mention
from t5coref.linearize.reading import Reading
from t5coref.linearize.relations import RelationFormat, RelationTypes, Section
from t5coref.linearize.windowed import Windowed, Written


class Part(NamedTuple):
    """The table of the document's part of an output.

    Attributes:
      ids: vocabulary ids of its actions.
      effects: what each of them does.
      cells: the legal entries, but those of entity types.
      at_least: `int32[modes, N + 1]`, see `Rules`.
    """

    ids: tuple[int, ...]
    effects: list[Effect]
    cells: list[Cell]
    at_least: np.ndarray


class Related(RelationFormat, Windowed):
    """Clusters, then relations; a format of clusters alone comes behind this class.

    Args:
      tokenizer: with the format's symbols.
      **options: those of `RelationFormat` and of `Windowed`.
    """

    def types_behind(self, ids: Sequence[int]) -> range:
        """The actions of entity types; they follow those of the document's part."""
        return range(len(ids), len(ids) + len(self.kinds.named))

    def compile(
        self, part: Part, spelling: Sequence[Sequence[int]], types: Effect, **fields: Any
    ) -> Rules:
        """The rules of both parts.

        Args:
          part: the document's.
          spelling: the pieces of each cluster number.
          types: what the action of an entity type does.
          **fields: further ones of `Rules`.
        """
        end = self.tokenizer.eos_id
        self.section = Section(
            self.tokenizer, RelationTypes(self.tokenizer, self.relations), spelling
        )
        kinds = list(self.kinds.named)
        ids = (*part.ids, *kinds, end, self.section.start, *self.section.types.tokens)
        action = {token: i for i, token in enumerate(ids)}
        between = len(part.at_least)
        last = Guard.LAST | Guard.OUTSIDE
        table = self.section.table(
            action, {TEXT: last, between: Guard(0)}, between, first=between + 1
        )
        nothing = np.full((1, self.max_clusters + 1), self.max_clusters, np.int32)
        self.section_pledge = table.pledge
        return Rules.compile(
            Inventory(ids, tuple("<piece>" if t < 0 else self.tokenizer.piece(t) for t in ids)),
            [
                *part.effects,
                *[types] * len(kinds),
                Effect.ADVANCE,
                *[Effect(0)] * (1 + len(self.relations)),
            ],
            [
                *part.cells,
                Cell(TEXT, action[end], DONE, last),
                Cell(between, action[end], DONE),
                *table.cells,
            ],
            at_least=np.concatenate([part.at_least, nothing, table.at_least]),
            role=np.concatenate([np.zeros(between + 1, np.int32), table.role]),
            marks=(end,),
            due=Due(piece=1, mark=1),
            max_depth=self.max_depth,
            max_clusters=self.max_clusters,
            relations=len(self.relations),
            first_relation=len(ids) - len(self.relations),
            **fields,
        )

    def typed(
        self,
        script: Iterable[Written],
        closings: list[tuple[Mention, int]],
        tags: Collection[int],
        *,
        before: bool,
    ) -> list[Written]:
        """The actions with the type of each mention before or behind its closing tag."""
        if not self.kinds.named:
            return list(script)
        mentions, out = iter(closings), []
        for written in script:
            if written.action not in tags:
                out.append(written)
                continue
            mention, _ = next(mentions)
            kind = written._replace(action=self.kinds.token(mention.type))
            out += [kind, written] if before else [written, kind]
        return out

    def oracle(self, turn: Turn, gold: Annotation) -> Actions:
        """The gold actions, with the relations between the clusters that have a number.

        Raises:
          DocumentError: a relation's or an entity's type is none of the format's.
        """
        self.kinds.check(gold, turn.doc_id)
        closings = self._held(turn, gold)
        number = {mention.cluster: k for mention, k in closings}
        triples = self.section.types.triples(gold, number, turn.doc_id)
        *document, end = (w.action for w in self.write(turn, closings))
        return np.asarray([*document, *self.section.write(triples), end], np.int32)

    def read(self, turn: Turn, answer: Answer) -> Reading:
        """What stands before the first `<rel>` is read as a document, the rest as relations."""
        document, section = self._parts(answer)
        reading = super().read(turn, document)
        place = {number: i for i, number in enumerate(reading.numbers)}
        relations = [
            Relation(place[t.head], place[t.tail], self.relations[t.type])
            for t in self.section.read(section.tolist())
            if t.head in place and t.tail in place
        ]
        return reading._replace(relations=relations)

    def _parts(self, answer: Answer) -> tuple[Answer, Actions]:
        """What stands before the first `<rel>`, and the rest."""
        starts = np.flatnonzero(answer.actions == self.section.start)
        cut = int(starts[0]) if len(starts) else len(answer.actions)
        sure = None if answer.log_probs is None else answer.log_probs[:cut]
        return Answer(answer.actions[:cut], sure), answer.actions[cut:]

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """That of the document's part, with the stray symbols and outside numbers of relations."""
        document, section = self._parts(answer)
        made = super().transcript(turn, document)
        if not len(section):
            return made
        numbers = {pair.number for pair in made.pairs}
        relations, stray = self.section.audited(section.tolist(), self.tokenizer.eos_id)
        unknown = sum(number not in numbers for pair in relations for number in pair)
        ended = self.tokenizer.eos_id in section
        return replace(made, stray=made.stray + stray, outside=unknown, ended=ended)

"""relation-text: relations as text: `Anna ; she <type:PER> Rome <type:LOC> <rel:left> </s>`.

Giorgi, Bader, Wang, "A sequence-to-sequence approach for document-level relation extraction"
(BioNLP 2022): an entity is the distinct texts of its mentions and its type, a relation its head,
its tail and its type; relations come in the order in which their clusters appear. The types are
added symbols here, and so is what joins mentions, so that no text can be taken for it; `<type>` is
the type of an entity that has none. Clusters are read back by their texts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from t5coref.core.align import UNALIGNED
from t5coref.core.document import Annotation, Confidence, Relation, Span
from t5coref.core.rules import DONE, NUMBER, PIECE, TEXT, Cell, Effect, Guard, Rules
from t5coref.core.transcript import Transcript
from t5coref.linearize.base import Actions, Answer, Turn
from t5coref.linearize.mentions import Mention, in_window
from t5coref.linearize.reading import Found, Reading, in_words, tokens
from t5coref.linearize.relations import RelationFormat, RelationTypes, type_symbols
from t5coref.linearize.stretches import COPY, quoting
from t5coref.linearize.windowed import Windowed, Written

JOIN = "<;>"

AND, END, FIRST = range(COPY + 1, 4)
"""Actions behind COPY; entity types from FIRST on, then relation types."""

# Modes: within the text of an entity, before its first or a further text, and behind the tail.
HEAD, HEAD_NEXT, TAIL_FIRST, TAIL, TAIL_NEXT, RELATED = range(NUMBER, NUMBER + 6)

Text = tuple[int, ...]


class Entity(NamedTuple):
    """An entity of an output: its texts, as pieces, and its type.

    Attributes:
      texts: each once.
      type: None = it has none.
      sure: of each text.
    """

    texts: tuple[Text, ...]
    type: str | None
    sure: tuple[Confidence, ...]


class RelationText(RelationFormat, Windowed):
    """Relations as the texts of their clusters' mentions; nothing else is written.

    Texts are stretches of the source, and outputs end.

    Args:
      tokenizer: with the format's symbols.
      **options: those of `RelationFormat` and of `Windowed`; clusters without an entity type have
        `<type>`, and with `carry` windows have nothing to begin with.
    """

    name = "relation-text"
    symbols = ("<speaker>", "</speaker>", JOIN, *type_symbols(()))

    def make_rules(self) -> Rules:
        """See `Windows.make_rules`."""
        self.join, end = self.tokenizer.symbol(JOIN), self.tokenizer.eos_id
        self.types = RelationTypes(self.tokenizer, self.relations)
        kinds, relations = list(self.kinds.named), self.types.tokens
        ids = (PIECE, self.join, end, *kinds, *relations)
        typed = range(FIRST, FIRST + len(kinds))
        related = range(typed.stop, len(ids))
        text = Guard.MORE
        # A relation obliges to a piece and a type for its head and its tail, and its own type.
        cells = [
            Cell(TEXT, COPY, HEAD, text, 5),
            *(Cell(mode, COPY, mode, text, 1) for mode in (HEAD, TAIL)),
            *(Cell(mode, AND, to, cost=2) for mode, to in ((HEAD, HEAD_NEXT), (TAIL, TAIL_NEXT))),
            Cell(HEAD_NEXT, COPY, HEAD, text),
            *(Cell(mode, COPY, TAIL, text) for mode in (TAIL_FIRST, TAIL_NEXT)),
            *(Cell(HEAD, action, TAIL_FIRST) for action in typed),
            *(Cell(TAIL, action, RELATED) for action in typed),
            *(Cell(RELATED, action, TEXT) for action in related),
        ]
        return quoting(
            self.tokenizer,
            ids,
            [
                Effect.ADVANCE,
                Effect.SPREADS,
                Effect.PASSES,
                *[Effect.SPREADS] * (len(kinds) + len(relations)),
            ],
            [Cell(TEXT, END, DONE), *(cells if relations else ())],
        )

    def write(self, turn: Turn, closings: list[tuple[Mention, int]]) -> list[Written]:
        """Nothing: no mention is written for itself."""
        del turn, closings
        return []

    def oracle(self, turn: Turn, gold: Annotation) -> Actions:
        """The gold relations between clusters that have mentions in the window.

        Raises:
          DocumentError: a relation's or an entity's type is none of the format's.
        """
        self.kinds.check(gold, turn.doc_id)
        clusters: dict[int, list[Mention]] = {}
        for mention in sorted(in_window(turn, gold), key=lambda m: (m.start, m.end)):
            clusters.setdefault(mention.cluster, []).append(mention)
        # Clusters are numbered in the order of their first mentions.
        number = {cluster: i for i, cluster in enumerate(clusters)}
        entities = [self._written(turn, mentions) for mentions in clusters.values()]
        out: list[int] = []
        for head, tail, kind in self.types.triples(gold, number, turn.doc_id):
            out += [*entities[head], *entities[tail], self.types.tokens[kind]]
        return np.asarray([*out, self.tokenizer.eos_id], np.int32)

    def _written(self, turn: Turn, mentions: Sequence[Mention]) -> list[int]:
        texts = dict.fromkeys(tuple(turn.source[m.start : m.end].tolist()) for m in mentions)
        joined = [token for text in texts for token in (self.join, *text)][1:]
        return [*joined, self.kinds.token(mentions[0].type)]

    def read(self, turn: Turn, answer: Answer) -> Reading:
        """Finds the texts of the entities in the source; entities of equal texts are one.

        A text is a mention wherever it stands as whole words, but not within a longer one; if it
        stands nowhere so, wherever its pieces do.
        """
        relations = list(self._relations(answer))
        entities: dict[frozenset[Text], int] = {}
        votes: list[Counter[str]] = []
        sure: dict[tuple[int, Text], Confidence] = {}
        for entity in (e for head, tail, _ in relations for e in (head, tail)):
            number = entities.setdefault(frozenset(entity.texts), len(entities))
            if number == len(votes):
                votes.append(Counter())
            votes[number].update([] if entity.type is None else [entity.type])
            for text, confidence in zip(entity.texts, entity.sure, strict=True):
                sure[number, text] = max(confidence, sure.get((number, text), confidence))
        places = _places(turn, {text for texts in entities for text in texts})
        types = [max(v, key=v.__getitem__) if v else None for v in votes]
        reading = in_words(
            turn,
            (
                Found(start, end, number, confidence, types[number])
                for (number, text), confidence in sure.items()
                for start, end in places[text]
            ),
        )
        place = {number: i for i, number in enumerate(reading.numbers)}
        found = [
            (*(place.get(entities[frozenset(e.texts)]) for e in (head, tail)), name)
            for head, tail, name in relations
        ]
        kept = [Relation(h, t, name) for h, t, name in found if h is not None and t is not None]
        return reading._replace(relations=kept)

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """See `Windowed.transcript`: the texts have no marks; each has to stand in the source.

        A symbol is stray where the grammar has none: `text <;> text <type> text <type> <rel:r>`.
        """
        kinds, relations, end = self.kinds.named, self.types.number, self.tokenizer.eos_id
        texts: list[list[int]] = [[]]
        stray = entities = 0
        ended = joined = False
        for token in answer.actions.tolist():
            ended = token == end
            if token not in kinds and token not in relations and token not in (self.join, end):
                texts[-1].append(token)
                joined = False
                continue
            text = bool(texts[-1])
            texts.append([])
            if token == self.join or token in kinds:
                stray += not text or (token in kinds and entities == 2)
                entities += token in kinds
                joined = token == self.join
                continue
            # A relation, or the end: nothing may be left over.
            stray += text or joined or entities != (2 if token in relations else 0)
            entities = 0
            if ended:
                break
        source = turn.source[:-1].tolist()
        places = [_standing(source, text) for text in texts if text]
        return Transcript(
            source=turn.source[:-1],
            word=turn.word[:-1],
            output=np.asarray([piece for text in texts for piece in text], np.int32),
            pairs=(),
            stray=stray,
            ended=ended,
            required=np.zeros(len(source), bool),
            places=np.asarray([place for text in places for place in text], np.int32),
            marked=False,
        )

    def _relations(self, answer: Answer) -> Iterator[tuple[Entity, Entity, str]]:
        """The relations of an output; of any sequence, what has two entities and a type.

        A relation from an entity to itself is none.
        """
        entities: list[Entity] = []
        texts: dict[Text, Confidence] = {}
        text: list[int] = []
        total = 0.0

        def ended(log_prob: float) -> None:
            nonlocal text, total
            if text:
                sure = Confidence(math.exp(total), math.exp(log_prob))
                texts[tuple(text)] = max(sure, texts.get(tuple(text), sure))
            text, total = [], 0.0

        for token, log_prob in tokens(answer):
            if token == self.tokenizer.eos_id:
                break
            if token == self.join:
                ended(log_prob)
            elif token in self.kinds.named:
                ended(log_prob)
                if texts:
                    entities.append(
                        Entity(tuple(texts), self.kinds.named[token], tuple(texts.values()))
                    )
                texts = {}
            elif token in self.types.number:
                if len(entities) == 2 and not text and not texts:
                    head, tail = entities
                    if set(head.texts) != set(tail.texts):
                        yield head, tail, self.relations[self.types.number[token]]
                entities, texts, text, total = [], {}, [], 0.0
            else:
                text.append(token)
                total += log_prob


def _places(turn: Turn, texts: set[Text]) -> dict[Text, list[Span]]:
    """Where texts stand in the source, in pieces: as whole words and in no longer one, if so."""
    source = turn.source.tolist()
    at: dict[int, list[int]] = {}
    for position, piece in enumerate(source):
        at.setdefault(piece, []).append(position)
    changes = np.diff(turn.word, prepend=-2, append=-2) != 0
    everywhere = {
        text: [(p, p + len(text)) for p in at.get(text[0], ()) if _stands(source, p, text)]
        for text in texts
    }
    whole = {
        text: [(s, e) for s, e in spans if changes[s] and changes[e]] or spans
        for text, spans in everywhere.items()
    }
    longest: list[Span] = []
    for start, end in sorted({s for spans in whole.values() for s in spans},
                             key=lambda s: (s[0], -s[1])):  # fmt: skip
        if not longest or end > longest[-1][1]:
            longest.append((start, end))
    outer = set(longest)
    return {text: [s for s in spans if s in outer] or spans for text, spans in whole.items()}


def _standing(source: list[int], text: Sequence[int]) -> list[int]:
    """The positions of the first place where a text stands in the source, -1 if it does nowhere."""
    wanted = tuple(text)
    for start in range(len(source) - len(wanted) + 1):
        if _stands(source, start, wanted):
            return list(range(start, start + len(wanted)))
    return [UNALIGNED] * len(wanted)


def _stands(source: list[int], position: int, text: Text) -> bool:
    """Whether a text stands at a position."""
    return tuple(source[position : position + len(text)]) == text

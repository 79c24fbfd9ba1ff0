"""Entities of a text: their mentions, and the relations between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from t5coref.core.document import Confidence, Document, Span
from t5coref.view.names import mention_text, representative, shortened

SHOWN = 60
"""Characters of texts and lists in a repr."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A stretch of text that refers to an entity; all offsets are half-open.

    Attributes:
      start: number of its first word.
      end: number of the word after its last one.
      start_char: offset of its first character in `Prediction.text`.
      end_char: offset behind its last one, so that `text[start_char:end_char]` is the mention.
      text: its characters, as they stand there.
      sentence: number of the sentence that it begins in.
      pronoun: whether it is one; None where the pronouns of the language are not known.
      confidence: how probable the model finds it; None where the model does not say.
    """

    start: int
    end: int
    start_char: int
    end_char: int
    text: str
    sentence: int
    pronoun: bool | None = None
    confidence: Confidence | None = None

    @property
    def span(self) -> Span:
        """Its words."""
        return self.start, self.end

    @property
    def char_span(self) -> Span:
        """Its characters."""
        return self.start_char, self.end_char

    @property
    def probability(self) -> float | None:
        """That it is a mention and belongs to its cluster: the product of `confidence`."""
        return None if self.confidence is None else self.confidence.mention * self.confidence.link

    def __repr__(self) -> str:
        return f"Mention({self.text!r}, {self.start_char}:{self.end_char})"


@dataclass(frozen=True, slots=True)
class Cluster(Sequence[Mention]):
    """All mentions of one entity, in reading order: a sequence of them.

    Attributes:
      mentions: the same as a tuple.
      representative: the one that names the entity best: a proper name if there is one, else the
        longest; no pronoun where there is any other mention.
      type: of the entity, where the model knows types.
    """

    mentions: tuple[Mention, ...]
    representative: Mention
    type: str | None = None

    @property
    def probability(self) -> float | None:
        """The mean of `Mention.probability`: the share of its mentions that the model believes."""
        found = [m.probability for m in self.mentions]
        return None if None in found else sum(p for p in found if p is not None) / len(found)

    def __len__(self) -> int:
        return len(self.mentions)

    def __getitem__(self, index: Any) -> Any:
        return self.mentions[index]

    def __iter__(self) -> Iterator[Mention]:
        return iter(self.mentions)

    def __repr__(self) -> str:
        return f"Cluster({shortened(', '.join(repr(m.text) for m in self.mentions), SHOWN)})"


@dataclass(frozen=True, slots=True)
class EntityRelation:
    """A typed relation between two entities."""

    head: Cluster
    tail: Cluster
    type: str

    def __repr__(self) -> str:
        head, tail = self.head.representative.text, self.tail.representative.text
        return f"EntityRelation({head!r}, {self.type!r}, {tail!r})"


def best_name(document: Document, mentions: Sequence[Mention]) -> Mention:
    """The mention that names an entity best: see `Cluster.representative`."""
    named = [m for m in mentions if not m.pronoun] or list(mentions)
    name = representative(document, [m.span for m in named])
    return next(m for m in named if mention_text(document, m.span) == name)

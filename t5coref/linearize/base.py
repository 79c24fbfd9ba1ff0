"""What a linearization is, and the drivers that answer its turns."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np

from t5coref.core.anaphora import split_antecedents
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import MismatchError
from t5coref.core.rules import Rules
from t5coref.core.segment import Pieces

Actions = np.ndarray
"""Vocabulary ids `int32[T]` of one output, `</s>` or its copy included."""


class Answer(NamedTuple):
    """What came back for a turn.

    Attributes:
      actions: `int32[T]`.
      log_probs: `float32[T]` of each action among those that were legal; None where no model chose.
    """

    actions: Actions
    log_probs: np.ndarray | None = None


class PieceEncoder(Protocol):
    """What a linearization needs of a tokenizer."""

    eos_id: int
    unk_id: int

    def pieces(self, document: Document) -> Pieces:
        """A document as pieces."""
        ...

    def encode(self, text: str) -> list[int]:
        """Pieces of a string."""
        ...

    def piece(self, token: int) -> str:
        """The text of an id."""
        ...

    def symbol(self, name: str) -> int:
        """The id of an added symbol."""
        ...


@dataclass(frozen=True, eq=False)
class Turn:
    """One model input that wants an answer.

    Attributes:
      doc_id: the document's name.
      index: number of the turn within its document.
      offset: pieces of the document before the turn's first.
      source: `int32[S]` vocabulary ids, `</s>` last.
      word: `int32[S]` word of each piece, -1 for `</s>` and insertions.
      forced: `int32[P]` actions that the answer has to begin with.
      earlier: the turns before this one, for formats whose targets depend on them.
    """

    doc_id: str
    index: int
    offset: int
    source: np.ndarray
    word: np.ndarray
    forced: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    earlier: tuple[Turn, ...] = ()


@dataclass(frozen=True, eq=False)
class Example:
    """A turn with its gold answer.

    Attributes:
      turn: the model input.
      actions: `int32[T]` what the decoder is scored on.
      feeds: `int32[T]` or `[T, 2]`, what the decoder reads back after each action.
    """

    turn: Turn
    actions: Actions
    feeds: np.ndarray


class Linearization(Protocol):
    """A format: a transition system between documents and sequences of actions."""

    name: str
    symbols: tuple[str, ...]
    rules: Rules

    def turns(self, doc: Document) -> Generator[list[Turn], list[Answer], Annotation]:
        """Yields model inputs to be answered now, receives the answers, returns the annotation."""
        ...

    def oracle(self, turn: Turn, gold: Annotation) -> Actions:
        """The gold actions of one turn."""
        ...

    def feeds(self, turn: Turn, actions: Actions) -> np.ndarray:
        """What the decoder reads back after each action: `int32[T]`, or `[T, 2]` of two pieces
        whose embeddings are averaged.
        """
        ...


def drive(
    linearization: Linearization, doc: Document, answer: Callable[[list[Turn]], list[Answer]]
) -> Annotation:
    """Holds the conversation of one document with `answer` and returns what it led to."""
    conversation = linearization.turns(doc)
    try:
        pending = next(conversation)
        while True:
            pending = conversation.send(answer(pending))
    except StopIteration as stop:
        return stop.value


def examples(linearization: Linearization, doc: Document) -> list[Example]:
    """The training examples of an annotated document, one a turn."""
    gold = _gold(linearization, doc)
    out: list[Example] = []

    def answer(turns: list[Turn]) -> list[Answer]:
        actions = [linearization.oracle(turn, gold) for turn in turns]
        out.extend(
            Example(turn, a, linearization.feeds(turn, a))
            for turn, a in zip(turns, actions, strict=True)
        )
        return [Answer(a) for a in actions]

    drive(linearization, doc, answer)
    return out


def replay(
    linearization: Linearization, doc: Document, actions: Sequence[Actions | Sequence[int]]
) -> Annotation:
    """The annotation that stored actions, one array a turn, stand for.

    Raises:
      MismatchError: there are more or fewer answers than turns.
    """
    return replayed(linearization, doc, actions)[0]


def replayed(
    linearization: Linearization, doc: Document, actions: Sequence[Actions | Sequence[int]]
) -> tuple[Annotation, list[tuple[Turn, Answer]]]:
    """As `replay`, and the turns with their answers.

    Raises:
      MismatchError: there are more or fewer answers than turns.
    """
    stored = [np.asarray(row, np.int32) for row in actions]
    said: list[tuple[Turn, Answer]] = []

    def answer(turns: list[Turn]) -> list[Answer]:
        first, count = len(said), len(said) + len(turns)
        if count > len(stored):
            raise MismatchError(
                f"document {doc.doc_id!r} asks for answer {count}, but {len(stored)} are stored; "
                "were they written with the same format, window and tokenizer?"
            )
        said.extend(zip(turns, map(Answer, stored[first:count]), strict=True))
        return [a for _, a in said[first:]]

    annotation = drive(linearization, doc, answer)
    if len(said) != len(stored):
        raise MismatchError(
            f"document {doc.doc_id!r} has {len(said)} turns, but {len(stored)} answers are stored; "
            "were they written with the same format, window and tokenizer?"
        )
    return annotation, said


def round_trip(linearization: Linearization, doc: Document) -> Annotation:
    """What is left of a gold annotation after the format: the best that a model can do."""
    gold = _gold(linearization, doc)
    oracle = linearization.oracle
    return drive(linearization, doc, lambda turns: [Answer(oracle(t, gold)) for t in turns])


def _gold(linearization: Linearization, doc: Document) -> Annotation:
    """The annotation, with its split antecedents for formats that write them."""
    if doc.annotation is None:
        raise MismatchError(
            f"document {doc.doc_id!r} has no annotation; expected one to linearize it"
        )
    if not getattr(linearization, "sets", False):
        return doc.annotation
    return replace(doc.annotation, split=split_antecedents(doc))

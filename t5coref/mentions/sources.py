"""Where the mentions come from that a format is told, and predictors that are told them.

A source takes documents and gives them back with mentions, and without their annotation: whoever
is told the gold mentions is still not told which of them belong together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from t5coref import corpora
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, DocumentError, T5CorefError
from t5coref.core.given_mentions import (
    GIVEN,
    GOLD,
    MENTIONS,
    PREDICTED,
    GivenMentions,
    given,
    with_mentions,
)
from t5coref.mentions.metrics import gold_spans
from t5coref.predict import Extractor, error_of, failed
from t5coref.rounds import rounds


class MentionSource(Protocol):
    """Says which mentions documents have.

    Attributes:
      name: what people call it.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """What the mentions depend on, as JSON."""
        ...

    def __call__(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Each document with its mentions; `extra["error"]` says why there are none for it."""
        ...


class OfEach(ABC):
    """Base of sources that look at each document on its own."""

    def __call__(self, documents: Iterable[Document]) -> Iterator[Document]:
        """See `MentionSource`."""
        for document in documents:
            try:
                told = bare(with_mentions(document, *self.mentions(document)))
            except T5CorefError as error:
                told = failed(document, error)
            yield told

    @abstractmethod
    def mentions(self, document: Document) -> GivenMentions:
        """The mentions of a document.

        Raises:
          T5CorefError: there are none for it.
        """


class GoldMentions(OfEach):
    """Those of the annotation."""

    name = GOLD

    @property
    def identity(self) -> dict[str, Any]:
        """See `MentionSource.identity`."""
        return {"source": GOLD}

    def mentions(self, document: Document) -> GivenMentions:
        """See `OfEach.mentions`."""
        return GivenMentions(tuple(gold_spans(document)), GOLD)


class OwnMentions:
    """Those that the documents carry in `extra["mentions"]`, never those of their annotation.

    Args:
      otherwise: the proposer of documents that carry none; None = all have to.
    """

    def __init__(self, otherwise: Extractor | None = None):
        self._otherwise: ProposedMentions | None = None
        self._round_size = 1
        if otherwise is not None:
            self._otherwise = ProposedMentions(otherwise, "the model's proposer")
            self._round_size = otherwise.round_size

    @property
    def name(self) -> str:
        """What people call it."""
        return "those of the documents" if self._otherwise is None else self._otherwise.name

    @property
    def identity(self) -> dict[str, Any]:
        """See `MentionSource.identity`."""
        if self._otherwise is None:
            return {"source": "documents"}
        return {**self._otherwise.identity, "source": f"documents, else {PREDICTED}"}

    def __call__(self, documents: Iterable[Document]) -> Iterator[Document]:
        """See `MentionSource`.

        Raises:
          ConfigError: a document carries none, and there is no proposer.
        """
        for taken in rounds(documents, self._round_size):
            proposed = self._proposed([d for d in taken if MENTIONS not in d.extra])
            for document in taken:
                yield bare(document) if MENTIONS in document.extra else next(proposed)

    def _proposed(self, documents: list[Document]) -> Iterator[Document]:
        if self._otherwise is None and documents:
            raise ConfigError(
                f"the model's format is told the mentions, and document {documents[0].doc_id!r} "
                "gives none; expected --mentions gold (those of its annotation), a proposer's "
                "folder, or a file with spans (in Python `t5coref.load(mentions=...)`); or "
                "documents of `t5coref propose`"
            )
        return iter(()) if self._otherwise is None else self._otherwise(documents)


class FileMentions(OfEach):
    """Those of documents of the same names in a file: their mentions, or else their clusters'.

    Args:
      path: of any format that is read.

    Raises:
      ConfigError: two documents have one name, or nothing says which format the file has.
      FormatError: the file breaks its format.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.name = os.fspath(path)
        self._digest = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        self._documents: dict[str, Document] = {}
        for document in corpora.read(self.name):
            if document.doc_id in self._documents:
                raise ConfigError(
                    f"{self.name} has two documents {document.doc_id!r}; expected one of each name"
                )
            self._documents[document.doc_id] = document

    @property
    def identity(self) -> dict[str, Any]:
        """See `MentionSource.identity`."""
        return {"source": GIVEN, "file": self.name, "sha256": self._digest}

    def mentions(self, document: Document) -> GivenMentions:
        """See `OfEach.mentions`; where the file does not say from where they are, the user
        has given them.
        """
        found = self._documents.get(document.doc_id)
        if found is None:
            known = ", ".join(map(repr, list(self._documents)[:3]))
            raise DocumentError(
                f"document {document.doc_id!r} is not in {self.name}, which has "
                f"{len(self._documents)} ({known}{', ...' if len(self._documents) > 3 else ''}); "
                "expected mentions for each document that is predicted"
            )
        if found.words != document.words:
            raise DocumentError(
                f"document {document.doc_id!r} has other words in {self.name} than in the input "
                f"({len(found.words)} and {len(document.words)}); expected the same, since "
                "mentions count words: make both from one file"
            )
        spans, source = given(found)
        return GivenMentions(spans, source if MENTIONS in found.extra else GIVEN)


class NoMentions:
    """None: the format finds them. Those that documents carry are taken away, since nobody reads
    them.
    """

    name = "none"

    @property
    def identity(self) -> dict[str, Any]:
        """See `MentionSource.identity`."""
        return {"source": self.name}

    def __call__(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Each document without given mentions; its annotation stays."""
        for document in documents:
            extra = {key: value for key, value in document.extra.items() if key != MENTIONS}
            yield dataclasses.replace(document, extra=extra)


class ProposedMentions:
    """Those that a proposer finds.

    Args:
      proposer: `MentionProposer`, or whatever gives documents back with mentions.
      name: what people call it.
    """

    def __init__(self, proposer: Extractor, name: str):
        self.name = name
        self._proposer = proposer

    @property
    def identity(self) -> dict[str, Any]:
        """See `MentionSource.identity`."""
        return {"source": PREDICTED, "proposer": self._proposer.identity}

    def __call__(self, documents: Iterable[Document]) -> Iterator[Document]:
        """See `MentionSource`."""
        # What the proposer cannot see it cannot be helped by.
        return map(bare, self._proposer.predict(map(bare, documents)))


class ToldPredictor:
    """Finds clusters with a predictor that is told the mentions.

    Args:
      mentions: says which.
      predictor: finds the clusters; it never sees a gold one.
    """

    def __init__(self, mentions: MentionSource, predictor: Extractor):
        self.mentions, self.predictor = mentions, predictor
        self.round_size = predictor.round_size

    @property
    def memory(self) -> Any:
        """That of the predictor."""
        return self.predictor.memory

    @memory.setter
    def memory(self, learned: Any) -> None:
        self.predictor.memory = learned

    @property
    def identity(self) -> dict[str, Any]:
        """What predictions depend on, as JSON."""
        return {**self.predictor.identity, MENTIONS: self.mentions.identity}

    def predict(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yields each document with its predicted annotation, in order; see `Predictor.predict`.

        `extra["mentions"]` says which mentions it was told.
        """
        for taken in rounds(documents, self.round_size):
            ready = list(self.mentions(taken))
            found = self.predictor.predict([d for d in ready if error_of(d) is None])
            for document in ready:
                yield next(found) if error_of(document) is None else document


def bare(document: Document) -> Document:
    """The document without its annotation."""
    return document.with_annotation(None)


def with_gold(document: Document) -> Document:
    """An annotated document with the mentions that it gives and its gold ones together.

    Formats that are told the mentions learn from it what to do with those that are none.

    Raises:
      DocumentError: it has no annotation.
    """
    return with_mentions(document, gold_spans(document).union(given(document).spans), PREDICTED)


class GoldToo:
    """A proposer whose proposals have the gold mentions among them; see `with_gold`.

    Args:
      proposer: `MentionProposer`, or whatever gives documents back with mentions.
    """

    memory: Any = None

    def __init__(self, proposer: Extractor):
        self._proposer = proposer
        self.round_size = proposer.round_size

    @property
    def identity(self) -> dict[str, Any]:
        """What proposals depend on, as JSON."""
        return {**self._proposer.identity, "with_gold": True}

    def predict(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yields each document with its mentions; one without an annotation has failed."""
        for document in self._proposer.predict(documents):
            try:
                merged = with_gold(document)
            except T5CorefError as error:
                merged = failed(document, error)
            yield merged

"""The documents of files; what cannot be read becomes a record that says why."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from t5coref import corpora
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, FormatError, MismatchError
from t5coref.corpora.files import PathLike, display_name
from t5coref.corpora.report import Kind, Report
from t5coref.jobs import storage
from t5coref.jobs.shards import Part
from t5coref.predict import ERROR, error_of


class _Skipped(Report):
    """A report that also keeps the documents that the reader had to skip."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[str] = []

    def add(self, kind: Kind, message: str) -> None:
        super().add(kind, message)
        if kind == "skipped_documents":
            self.waiting.append(message)

    def take(self) -> Iterator[Document]:
        for message in self.waiting:
            where, _, reason = message.partition(": ")
            yield _error_record(where, reason)
        self.waiting.clear()


def read_inputs(
    inputs: Sequence[PathLike], format: str | None, **options: Any
) -> Iterator[Document]:
    """The documents of all inputs in order; what cannot be read becomes an error record.

    Args:
      inputs: files, folders, or `-` for standard input.
      format: a name of `corpora.names()`; None detects it for each file.
      **options: passed to the readers (`language` for raw text).
    """
    for path in inputs:
        report = _Skipped()
        try:
            for document in corpora.read(path, format, report=report, lenient=True, **options):
                yield from report.take()
                yield document
            yield from report.take()
        except FormatError as error:
            yield from report.take()
            yield _error_record(display_name(path), str(error))


class Reader:
    """Documents of inputs anywhere; an input that is read piece by piece is fetched once.

    Args:
      format: a name of `corpora.names()`; None detects it for each input.
      language: of raw text.

    Attributes:
      digests: `{path: SHA-256}` of the inputs that were read.
    """

    def __init__(self, format: str | None, language: str):
        self._format, self._language = format, language
        self.digests: dict[str, str] = {}
        self._held = contextlib.ExitStack()
        self._path: str | None = None
        self._stream: Iterator[Document] = iter(())
        self._position = 0

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def read(self, part: Part) -> Iterator[Document]:
        """The documents of a part, in order; faster where it follows the one that was read before.

        Raises:
          MismatchError: the input has another size than the part says.
        """
        if part.path != self._path or part.start < self._position:
            self._open(part)
        for document in self._stream:
            self._position += 1
            if self._position > part.start:
                yield document
            if self._position == part.stop:
                break

    def count(self, path: str) -> int:
        """How many documents an input has; may be called by many threads."""
        with storage.fetched(path) as file:
            if self._format_of(file) == "text":
                return 1
            return sum(1 for _ in self._documents(file, path))

    def _open(self, part: Part) -> None:
        self._held.close()
        file = self._held.enter_context(storage.fetched(part.path))
        if (found := file.stat().st_size) != part.bytes:
            raise MismatchError(
                f"{part.path} has {found} bytes, but had {part.bytes} when the job was begun; "
                "inputs must stay as they are while a job runs"
            )
        self.digests[part.path] = storage.digest(file)
        self._path, self._position = part.path, 0
        self._stream = self._documents(file, part.path)

    def _documents(self, file: pathlib.Path, name: str) -> Iterator[Document]:
        """A file of which nothing says what format it has becomes an error record."""
        try:
            found = self._format_of(file)
        except ConfigError as error:
            documents = iter([_error_record(os.fspath(file), str(error))])
        else:
            options = {"language": self._language} if found == "text" else {}
            documents = read_inputs([file], found, **options)
        for document in documents:
            yield _renamed(document, os.fspath(file), name)

    def _format_of(self, file: pathlib.Path) -> str:
        return self._format or corpora.detect(file)


def _renamed(document: Document, path: str, name: str) -> Document:
    reason = error_of(document)
    if reason is None or path == name:
        return document
    return dataclasses.replace(
        document,
        doc_id=document.doc_id.replace(path, name),
        extra={**document.extra, ERROR: reason.replace(path, name)},
    )


def _error_record(doc_id: str, reason: str) -> Document:
    return Document(doc_id=doc_id, words=(), annotation=Annotation(), extra={ERROR: reason})

"""Prediction jobs: files in, one file out, resumable after a kill at any moment.

While a job runs, its records lie in `OUTPUT.partial`, our jsonl, written a round at a time, beside
`OUTPUT.job.json`, which says what they were made with, and `OUTPUT.memory.npz`, what greedy search
guesses from. A job that is started again with the same settings cuts the records back to the last
complete round, remembers what it knew then and goes on there, so its result is that of an
uninterrupted run, to the last digit. At the end the records become OUTPUT in the wanted format.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np

from t5coref import corpora
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, FormatError, MismatchError
from t5coref.corpora import jsonl
from t5coref.corpora.files import STDIN, PathLike, display_name
from t5coref.corpora.report import Kind, Report
from t5coref.predict import ERROR, Predictor, error_of


class Listener(Protocol):
    """Hears how a job gets on."""

    def resumed(self, records: int) -> None:
        """So many records were already there."""
        ...

    def advanced(self, records: Sequence[Document]) -> None:
        """These documents were predicted and written."""
        ...


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


def run(
    predictor: Predictor,
    documents: Iterable[Document],
    output: PathLike,
    *,
    output_format: str = "jsonl",
    settings: dict[str, Any] | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> int:
    """Predicts all documents into one file and returns how many could not be predicted.

    Args:
      predictor: the model at work.
      documents: from `read_inputs`, the same in the same order at every start of the job.
      output: the file to write; `-` writes jsonl to standard output and cannot be resumed.
      output_format: a writable format. In formats that cannot hold an error, the records of failed
        documents go to `OUTPUT.errors.jsonl` and the document is written without clusters.
      settings: what else the result depends on (the inputs' names), compared when resuming.
      overwrite: replace a finished output, and forget an unfinished one.
      listener: told about progress.

    Raises:
      ConfigError: the output is there already, or the format cannot be written.
      MismatchError: an unfinished job of another model, other settings or other documents.
    """
    corpus = corpora.get(output_format)
    if not corpus.writable:
        raise ConfigError(f"format {output_format!r} can be read only; write jsonl instead")
    if os.fspath(output) == STDIN:
        return _stream(predictor, documents, corpus, listener)
    target = pathlib.Path(output)
    partial = target.with_name(target.name + ".partial")
    card_file = target.with_name(target.name + ".job.json")
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} exists; choose another output or pass --overwrite")
    memory_file = target.with_name(target.name + ".memory.npz")
    if overwrite:
        partial.unlink(missing_ok=True)
        memory_file.unlink(missing_ok=True)
    card = {
        "model": predictor.model.card() | {"fingerprint": predictor.model.fingerprint()},
        "search": _search(predictor),
        "target_ratio": predictor.target_ratio,
        "batch_size": predictor.batch_size,
        "round_size": predictor.round_size,
        "output_format": output_format,
        **(settings or {}),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    _check_card(partial, card_file, card)
    done = _resume(predictor, partial, memory_file)
    stream = iter(documents)
    _check_same(done, stream, partial)
    if listener:
        listener.resumed(len(done))
    with partial.open("a", encoding="utf-8", newline="\n") as file:
        before = len(done) // predictor.round_size
        for rounds, records in enumerate(_rounds(predictor, stream), start=before + 1):
            file.write("".join(map(jsonl.dumps, records)))
            file.flush()
            os.fsync(file.fileno())
            if listener:
                listener.advanced(records)
            if len(records) == predictor.round_size:
                _memorize(predictor, memory_file, rounds)
    failures = _finish(partial, target, corpus)
    memory_file.unlink(missing_ok=True)
    return failures


def _search(predictor: Predictor) -> dict[str, Any]:
    """What records depend on of how outputs are looked for."""
    search = predictor.search
    described = {"name": type(search).__name__.lower(), **dataclasses.asdict(search)}
    described.pop("drafts", None)  # the same clusters are found with any
    return described


def _rounds(predictor: Predictor, stream: Iterator[Document]) -> Iterator[list[Document]]:
    """Records, a round at a time; those that reading failed on pass through."""
    while batch := list(islice(stream, predictor.round_size)):
        predicted = predictor.predict([d for d in batch if error_of(d) is None])
        yield [_record(next(predicted)) if error_of(d) is None else d for d in batch]


def _record(document: Document) -> Document:
    """Adds the character offsets of the clusters, where there is raw text."""
    if document.word_offsets is None or document.annotation is None:
        return document
    characters = [[document.char_span(s) for s in c] for c in document.annotation.clusters]
    return dataclasses.replace(document, extra={**document.extra, "char_clusters": characters})


def _check_card(partial: pathlib.Path, card_file: pathlib.Path, card: dict[str, Any]) -> None:
    """Refuses records that were made in another way; else writes the card."""
    if partial.exists() and card_file.exists():
        stored = json.loads(card_file.read_text("utf-8"))
        wanted = json.loads(json.dumps(card))
        if differing := [k for k in {**stored, **wanted} if stored.get(k) != wanted.get(k)]:
            key = differing[0]
            raise MismatchError(
                f"{partial} was begun with {key} = {stored.get(key)!r}, now it is "
                f"{wanted.get(key)!r}; start it with the same settings or pass --overwrite"
            )
    else:
        partial.unlink(missing_ok=True)
    temporary = card_file.with_name(card_file.name + ".new")
    temporary.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(card_file)


def _memorize(predictor: Predictor, memory_file: pathlib.Path, rounds: int) -> None:
    """Writes down how many rounds are complete, and what the search knew after them."""
    temporary = memory_file.with_name(memory_file.name + ".new")
    with temporary.open("wb") as file:
        np.savez(file, rounds=rounds, memory=predictor.memory)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(memory_file)


def _resume(
    predictor: Predictor, partial: pathlib.Path, memory_file: pathlib.Path
) -> list[Document]:
    """The records of complete rounds, to which the file is cut back; restores what was known."""
    predictor.memory = None
    if not partial.exists():
        return []
    raw = partial.read_bytes()
    lines = raw[: raw.rfind(b"\n") + 1].splitlines(keepends=True)
    kept = []
    if memory_file.exists():
        with np.load(memory_file) as stored:
            records = int(stored["rounds"]) * predictor.round_size
            if records <= len(lines):  # else the records were tampered with: begin anew
                kept = lines[:records]
                predictor.memory = stored["memory"]
    with partial.open("r+b") as file:
        file.truncate(sum(map(len, kept)))
    return [jsonl.from_json(json.loads(line)) for line in kept]


def _check_same(
    done: Sequence[Document], stream: Iterator[Document], partial: pathlib.Path
) -> None:
    for i, record in enumerate(done):
        document = next(stream, None)
        if document is None or (document.doc_id, document.words) != (record.doc_id, record.words):
            found = "the end of the input" if document is None else f"document {document.doc_id!r}"
            raise MismatchError(
                f"record {i} of {partial} is of document {record.doc_id!r}, the input now has "
                f"{found} there; resume with the same input or pass --overwrite"
            )


def _finish(partial: pathlib.Path, target: pathlib.Path, corpus: corpora.Corpus) -> int:
    """Turns the records into the output, which appears whole or not at all."""
    failures = sum(error_of(d) is not None for d in jsonl.read(partial))
    errors = target.with_name(target.name + ".errors.jsonl")
    errors.unlink(missing_ok=True)
    if corpus.module is jsonl:
        partial.replace(target)
        return failures
    if failures:
        jsonl.write((d for d in jsonl.read(partial) if error_of(d) is not None), errors)
    temporary = target.with_name(target.name + ".new")
    corpus.module.write(
        (d for d in jsonl.read(partial) if d.words or error_of(d) is None), temporary
    )
    temporary.replace(target)
    partial.unlink()
    return failures


def _stream(
    predictor: Predictor,
    documents: Iterable[Document],
    corpus: corpora.Corpus,
    listener: Listener | None,
) -> int:
    failures = 0

    def records() -> Iterator[Document]:
        nonlocal failures
        for round_ in _rounds(predictor, iter(documents)):
            yield from round_
            failures += sum(error_of(d) is not None for d in round_)
            if listener:
                listener.advanced(round_)

    corpus.module.write(records(), STDIN)
    return failures


def _error_record(doc_id: str, reason: str) -> Document:
    return Document(doc_id=doc_id, words=(), annotation=Annotation(), extra={ERROR: reason})

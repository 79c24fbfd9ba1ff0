"""Documents in, one file out, resumable after a kill at any moment.

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
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np

from t5coref import corpora
from t5coref.core.document import CHAR_CLUSTERS, Document
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.corpora import jsonl
from t5coref.corpora.files import STDIN, PathLike
from t5coref.predict import Extractor, error_of

Card = Mapping[str, Any]
"""What records depend on, as JSON."""


class Listener(Protocol):
    """Hears how a job gets on."""

    def resumed(self, records: int) -> None:
        """So many records were already there."""
        ...

    def advanced(self, records: Sequence[Document]) -> None:
        """These documents were predicted and written."""
        ...


@dataclasses.dataclass
class Tally:
    """What there is of records."""

    documents: int = 0
    words: int = 0
    clusters: int = 0
    failures: int = 0

    def add(self, document: Document) -> None:
        """Counts a record."""
        self.documents += 1
        self.words += len(document.words)
        self.clusters += len(document.annotation.clusters) if document.annotation else 0
        self.failures += error_of(document) is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Unfinished:
    """The files of an output that is being made."""

    records: pathlib.Path
    card: pathlib.Path
    memory: pathlib.Path

    @classmethod
    def of(cls, target: pathlib.Path) -> Unfinished:
        """Those that lie beside an output."""
        return cls(
            *(target.with_name(target.name + e) for e in (".partial", ".job.json", ".memory.npz"))
        )

    def forget(self) -> None:
        """Removes them."""
        for file in (self.records, self.memory, self.card):
            file.unlink(missing_ok=True)


def run(
    predictor: Extractor,
    documents: Iterable[Document],
    output: PathLike,
    *,
    output_format: str = "jsonl",
    settings: Card | None = None,
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
    corpus = writable(output_format)
    if os.fspath(output) == STDIN:
        return _stream(predictor, documents, corpus, listener)
    target = pathlib.Path(output)
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} exists; choose another output or pass --overwrite")
    unfinished = Unfinished.of(target)
    if overwrite:
        unfinished.forget()
    card = {**predictor.identity, "output_format": output_format, **(settings or {})}
    collect(predictor, documents, unfinished, card, listener)
    temporary = target.with_name(target.name + ".new")
    errors = target.with_name(target.name + ".errors.jsonl")
    errors.unlink(missing_ok=True)
    if corpus.module is jsonl:
        tally = count(unfinished.records)
        unfinished.records.replace(target)
    else:
        tally = export(unfinished.records, temporary, errors, corpus)
        temporary.replace(target)
        unfinished.records.unlink()
    unfinished.memory.unlink(missing_ok=True)
    return tally.failures


def writable(format: str) -> corpora.Corpus:
    """The corpus of that name.

    Raises:
      ConfigError: there is none, or it can be read only.
    """
    corpus = corpora.get(format)
    if not corpus.writable:
        raise ConfigError(f"format {format!r} can be read only; write jsonl instead")
    return corpus


def collect(
    predictor: Extractor,
    documents: Iterable[Document],
    unfinished: Unfinished,
    card: Card,
    listener: Listener | None,
) -> None:
    """Predicts all documents into `unfinished.records`, going on where it was left.

    Raises:
      MismatchError: it was begun with another card or other documents.
    """
    unfinished.records.parent.mkdir(parents=True, exist_ok=True)
    _check_card(unfinished, card)
    done = _resume(predictor, unfinished)
    stream = iter(documents)
    _check_same(done, stream, unfinished.records)
    if listener:
        listener.resumed(len(done))
    with unfinished.records.open("a", encoding="utf-8", newline="\n") as file:
        before = len(done) // predictor.round_size
        for rounds, records in enumerate(_rounds(predictor, stream), start=before + 1):
            file.write("".join(map(jsonl.dumps, records)))
            file.flush()
            os.fsync(file.fileno())
            if listener:
                listener.advanced(records)
            if len(records) == predictor.round_size:
                _memorize(predictor, unfinished.memory, rounds)


def count(records: pathlib.Path) -> Tally:
    """What there is of the records in a file."""
    tally = Tally()
    for document in jsonl.read(records):
        tally.add(document)
    return tally


def export(
    records: pathlib.Path, target: pathlib.Path, errors: pathlib.Path, corpus: corpora.Corpus
) -> Tally:
    """Writes records in a format, and failed ones to `errors` where it cannot hold why."""
    tally = count(records)
    if corpus.module is jsonl:
        shutil.copyfile(records, target)
        return tally
    if tally.failures:
        jsonl.write((d for d in jsonl.read(records) if error_of(d) is not None), errors)
    corpus.module.write((d for d in jsonl.read(records) if d.words or error_of(d) is None), target)
    return tally


def difference(stored: Any, wanted: Any, name: str = "") -> str | None:
    """Where two JSON values differ first, in words; None if they are equal."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for key in {**stored, **wanted}:
            at = f"{name}.{key}" if name else key
            if found := difference(stored.get(key), wanted.get(key), at):
                return found
        return None
    return None if stored == wanted else f"{name} = {stored!r}, now it is {wanted!r}"


def _rounds(predictor: Extractor, stream: Iterator[Document]) -> Iterator[list[Document]]:
    """Records, a round at a time; those that reading failed on pass through."""
    while batch := list(islice(stream, predictor.round_size)):
        predicted = predictor.predict([d for d in batch if error_of(d) is None])
        yield [_record(next(predicted)) if error_of(d) is None else d for d in batch]


def _record(document: Document) -> Document:
    """Adds the character offsets of the clusters, where there is raw text."""
    if document.word_offsets is None or document.annotation is None:
        return document
    characters = [[document.char_span(s) for s in c] for c in document.annotation.clusters]
    return dataclasses.replace(document, extra={**document.extra, CHAR_CLUSTERS: characters})


def _check_card(unfinished: Unfinished, card: Card) -> None:
    """Refuses records that were made in another way; else writes the card."""
    begun = unfinished.records.exists() and unfinished.records.stat().st_size > 0
    if begun and unfinished.card.exists():
        stored = json.loads(unfinished.card.read_text("utf-8"))
        if found := difference(stored, json.loads(json.dumps(card))):
            raise MismatchError(
                f"{unfinished.records} was begun with {found}; start it with the same settings or "
                "pass --overwrite"
            )
    else:
        unfinished.records.unlink(missing_ok=True)
    temporary = unfinished.card.with_name(unfinished.card.name + ".new")
    temporary.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(unfinished.card)


def _memorize(predictor: Extractor, memory_file: pathlib.Path, rounds: int) -> None:
    """Writes down how many rounds are complete, and what the search knew after them."""
    temporary = memory_file.with_name(memory_file.name + ".new")
    with temporary.open("wb") as file:
        learned: dict[str, Any] = {} if predictor.memory is None else {"memory": predictor.memory}
        np.savez(file, rounds=rounds, **learned)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(memory_file)


def _resume(predictor: Extractor, unfinished: Unfinished) -> list[Document]:
    """The records of complete rounds, to which the file is cut back; restores what was known."""
    predictor.memory = None
    if not unfinished.records.exists():
        return []
    raw = unfinished.records.read_bytes()
    lines = raw[: raw.rfind(b"\n") + 1].splitlines(keepends=True)
    kept = []
    if unfinished.memory.exists():
        with np.load(unfinished.memory) as stored:
            records = int(stored["rounds"]) * predictor.round_size
            if records <= len(lines):  # else the records were tampered with: begin anew
                kept = lines[:records]
                predictor.memory = stored.get("memory")
    with unfinished.records.open("r+b") as file:
        file.truncate(sum(map(len, kept)))
    return [jsonl.from_json(json.loads(line)) for line in kept]


def _check_same(
    done: Sequence[Document], stream: Iterator[Document], records: pathlib.Path
) -> None:
    for i, record in enumerate(done):
        document = next(stream, None)
        if document is None or (document.doc_id, document.words) != (record.doc_id, record.words):
            found = "the end of the input" if document is None else f"document {document.doc_id!r}"
            raise MismatchError(
                f"record {i} of {records} is of document {record.doc_id!r}, the input now has "
                f"{found} there; resume with the same input or pass --overwrite"
            )


def _stream(
    predictor: Extractor,
    documents: Iterable[Document],
    corpus: corpora.Corpus,
    listener: Listener | None,
) -> int:
    tally = Tally()

    def records() -> Iterator[Document]:
        for round_ in _rounds(predictor, iter(documents)):
            for record in round_:
                tally.add(record)
                yield record
            if listener:
                listener.advanced(round_)

    corpus.module.write(records(), STDIN)
    return tally.failures

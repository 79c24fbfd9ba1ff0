"""Linearizes corpora once, in parallel, into sharded TFRecord files with a manifest.

A folder holds `manifest.json`, the tokenizer's model and the shards of each split. While it is
being made, `unfinished.json` says what it is made with and which shards are whole; the same job
started again keeps those. Shards have the same bytes whatever the number of workers. TensorFlow is
imported by the writer alone; workers read and linearize.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.corpora import jsonl
from t5coref.data import places
from t5coref.data.manifest import MANIFEST, Manifest, Shard, Split
from t5coref.data.recipe import make
from t5coref.data.rows import Row
from t5coref.data.workers import Job, Pool
from t5coref.tokenizer import MODEL_FILE

UNFINISHED = "unfinished.json"
NO_ANNOTATION, NO_TEXT = "without annotation", "without text"
"""Why documents are left out."""

CHUNK = 32  # documents that a worker takes at once


class Listener(Protocol):
    """Hears how a job gets on."""

    def read(self, split: str) -> None:
        """One document more of a split is read."""
        ...

    def split(self, name: str, documents: int, done: int) -> None:
        """A split begins; so many of its documents are in shards that are there already."""
        ...

    def advanced(self, documents: int) -> None:
        """So many documents more are linearized."""
        ...


@dataclass
class _Shard:
    """A finished shard and what is summed over shards."""

    shard: Shard
    documents: int
    longest_source: int
    longest_target: int


def prepare(
    folder: str,
    job: Job,
    splits: Mapping[str, Iterable[Document]],
    *,
    shards: int = 16,
    workers: int = 1,
    listener: Listener | None = None,
) -> Manifest:
    """Writes the splits into a folder; splits that it has already are left as they are.

    Args:
      folder: made if it is not there; `gs://` works where TensorFlow reads it.
      job: what the records depend on.
      splits: documents by the name of their split.
      shards: files a split; fewer where there are fewer documents.
      workers: processes that linearize.
      listener: told about progress.

    Raises:
      ConfigError: numbers below 1, or a split without documents to train on.
      MismatchError: the folder was made with other settings or documents.
    """
    from t5coref.data import records  # TensorFlow

    if shards < 1 or workers < 1:
        raise ConfigError(f"shards {shards}, workers {workers}; expected at least 1 each")
    pool = Pool(job, workers)
    manifest_file = places.join(folder, MANIFEST)
    finished: dict[str, Split] = {}
    if places.exists(manifest_file):
        known = Manifest.load(folder)
        _check_settings(folder, known.settings(), job.manifest({}).settings())
        finished = dict(known.splits)
    progress = _Progress(folder, job.manifest({}).settings())
    with pool:
        for name, documents in splits.items():
            given = _Given.of(name, documents, listener)
            if name in finished:
                _check_documents(folder, name, finished[name].digest, given.digest)
                continue
            records.make_folder(folder)
            places.write_bytes(places.join(folder, MODEL_FILE), job.model)
            made = _write_split(folder, name, given, shards, pool, progress, listener)
            documents_with_rows = sum(m.documents for m in made)
            skipped = {
                NO_ANNOTATION: given.without_annotation,
                NO_TEXT: len(given.lines) - documents_with_rows,
            }
            finished[name] = Split(
                documents=documents_with_rows,
                examples=sum(m.shard.examples for m in made),
                skipped={reason: n for reason, n in skipped.items() if n},
                longest_source=max(m.longest_source for m in made),
                longest_target=max(m.longest_target for m in made),
                digest=given.digest,
                shards=tuple(m.shard for m in made),
            )
    manifest = job.manifest(finished)
    places.write_bytes(manifest_file, manifest.to_json().encode())
    progress.remove()
    return manifest


def verify(folder: str) -> Iterator[tuple[str, str | None]]:
    """Checks prepared data: each file, and what is wrong with it, or None.

    Sizes, digests and numbers of records are compared with the manifest, and the first document of
    each shard is linearized again.

    Raises:
      FormatError: there is no manifest.
      MismatchError: the tokenizer is another.
    """
    from t5coref.data import records  # TensorFlow

    manifest = Manifest.load(folder)
    tokenizer = manifest.load_tokenizer(folder)
    format_ = make(manifest.format, tokenizer, manifest.options)
    yield MODEL_FILE, None
    for split in manifest.splits.values():
        for shard in split.shards:
            path = places.join(folder, shard.file)
            yield shard.file, records.problem(path, shard, manifest.feed_rank, format_)


@dataclass(frozen=True)
class _Given:
    """The documents of a split as lines of our jsonl."""

    lines: list[bytes]
    without_annotation: int
    digest: str

    @classmethod
    def of(cls, name: str, documents: Iterable[Document], listener: Listener | None) -> _Given:
        lines, without, digest = [], 0, hashlib.sha256()
        for document in documents:
            if listener is not None:
                listener.read(name)
            if document.annotation is None:
                without += 1
                continue
            lines.append(jsonl.dumps(document).encode())
            digest.update(lines[-1])
        if not lines:
            raise ConfigError(
                f"split {name!r} has no annotated document ({without} without annotation); "
                "expected at least one"
            )
        return cls(lines, without, digest.hexdigest()[:16])


class _Progress:
    """Which shards are finished, on disk."""

    def __init__(self, folder: str, settings: Mapping[str, Any]):
        self._path = places.join(folder, UNFINISHED)
        self._folder = folder
        self._state: dict[str, Any] = {"settings": settings, "splits": {}}
        if places.exists(self._path):
            stored = json.loads(places.read_bytes(self._path))
            _check_settings(folder, stored["settings"], settings)
            self._state = stored

    def shards(self, split: str, digest: str, files: Sequence[str]) -> dict[str, _Shard]:
        """The finished shards of a split.

        Raises:
          MismatchError: it was begun with other documents or another number of shards.
        """
        known = self._state["splits"].setdefault(split, {"digest": digest, "files": list(files)})
        _check_documents(self._folder, split, known["digest"], digest)
        if known["files"] != list(files):
            raise MismatchError(
                f"{self._folder}: split {split!r} was begun with {len(known['files'])} shards, now "
                f"they are {len(files)}; go on with as many, or choose another folder"
            )
        done = known.setdefault("done", {})
        return {
            file: _Shard(Shard(**entry.pop("shard")), **entry)
            for file, entry in json.loads(json.dumps(done)).items()
        }

    def add(self, split: str, file: str, made: _Shard) -> None:
        """Notes a finished shard."""
        self._state["splits"][split]["done"][file] = asdict(made)
        places.write_bytes(self._path, (json.dumps(self._state, indent=1) + "\n").encode())

    def remove(self) -> None:
        """All is in the manifest now."""
        places.remove(self._path)


def _check_settings(folder: str, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    wanted = json.loads(json.dumps(wanted))
    for key in {**stored, **wanted}:
        if stored.get(key) != wanted.get(key):
            raise MismatchError(
                f"{folder} was made with {key} = {stored.get(key)!r}, now it is "
                f"{wanted.get(key)!r}; a folder holds data of one kind: use the same settings or "
                "choose another folder"
            )


def _check_documents(folder: str, split: str, stored: str, given: str) -> None:
    if stored != given:
        raise MismatchError(
            f"{folder}: split {split!r} was made of other documents (digest {stored}, now "
            f"{given}); give the same documents or choose another folder"
        )


def _write_split(
    folder: str,
    split: str,
    given: _Given,
    shards: int,
    pool: Pool,
    progress: _Progress,
    listener: Listener | None,
) -> list[_Shard]:
    """Writes the shards of a split that are not there yet; shard k has every n-th document."""
    from t5coref.data import records  # TensorFlow

    count = min(shards, len(given.lines))
    files = [f"{split}.tfrecord-{k:05d}-of-{count:05d}" for k in range(count)]
    done = {
        file: made
        for file, made in progress.shards(split, given.digest, files).items()
        if records.has_size(places.join(folder, file), made.shard.bytes)
    }
    if listener is not None:
        kept = sum(len(given.lines[k::count]) for k in range(count) if files[k] in done)
        listener.split(split, len(given.lines), kept)
    missing = [k for k in range(count) if files[k] not in done]
    chunks = [(k, chunk) for k in missing for chunk in _chunks(given.lines[k::count], CHUNK)]
    for k, group in itertools.groupby(pool.rows(chunks), key=lambda found: found[0]):
        tally = _Tally(listener)
        shard = records.write_shard(folder, files[k], tally.through(group))
        made = _Shard(shard, tally.documents, tally.longest_source, tally.longest_target)
        progress.add(split, files[k], made)
        done[files[k]] = made
    return [done[file] for file in files]


class _Tally:
    """Counts rows that pass by."""

    def __init__(self, listener: Listener | None):
        self.documents = self.longest_source = self.longest_target = 0
        self._listener = listener

    def through(self, chunks: Iterable[tuple[int, int, list[Row]]]) -> Iterator[Row]:
        for _, given, rows in chunks:
            for row in rows:
                self.documents += int(row["turn"]) == 0
                self.longest_source = max(self.longest_source, len(row["inputs"]))
                self.longest_target = max(self.longest_target, len(row["targets"]))
                yield row
            if self._listener is not None:
                self._listener.advanced(given)


def _chunks(lines: Sequence[bytes], size: int) -> Iterator[list[bytes]]:
    for start in range(0, len(lines), size):
        yield list(lines[start : start + size])

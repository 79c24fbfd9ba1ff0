"""Turns texts into shards of masked sequences, in parallel, with a manifest.

A shard is made of a few megabytes of text, whole texts at a time, by one process; what is drawn for
a text depends on the seed and on its number alone. So the shards have the same bytes whatever the
number of processes. While a folder is being made, a note for each finished shard says which texts
it has; the same job started again keeps those shards, and refuses other settings or texts.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from t5coref._version import __version__
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.jobs import storage
from t5coref.mrp.corpus import Corpus
from t5coref.mrp.nouns import TaggedText, Text
from t5coref.mrp.rows import MANIFEST
from t5coref.mrp.tagged import to_json
from t5coref.mrp.workers import Job, Order, Workers

SHARD_SIZE = 4_000_000
"""Characters of text in a shard."""

_SETTINGS = f"{storage.OURS}/settings.json"


class Listener(Protocol):
    """Hears how a job gets on."""

    def finished(self, position: int, size: int, totals: Mapping[str, int], *, kept: bool) -> None:
        """A shard is there, made now or kept from before; `position` of `size` bytes are read."""
        ...


@dataclass(frozen=True)
class Manifest:
    """What a folder holds.

    Attributes:
      settings: what the rows depend on besides the texts.
      totals: texts, words, rows, pieces, and what is masked of them, over all shards.
      versions: of what made the rows.
      shards: for each file its name, the digest of its texts and its own numbers.
    """

    settings: Mapping[str, Any]
    totals: Mapping[str, int]
    versions: Mapping[str, str]
    shards: Sequence[Mapping[str, Any]]


def prepare(
    folder: str,
    corpus: Corpus,
    job: Job,
    *,
    shard_size: int = SHARD_SIZE,
    limit: int | None = None,
    workers: int = 1,
    keep_tags: str | None = None,
    listener: Listener | None = None,
) -> Manifest:
    """Writes the rows of a corpus into a folder; finished shards that are there are kept.

    Args:
      folder: a path, or a URL for fsspec.
      corpus: the texts.
      job: how they are tagged and masked.
      shard_size: characters of text that a shard has at least, but for the last.
      limit: how many texts, or parts of long ones, are taken; None = all.
      workers: processes.
      keep_tags: a folder or URL for the tagged texts, so that tagging need not be done again.
      listener: told about progress.

    Raises:
      ConfigError: no text, or settings that cannot work.
      FormatError: a file of the corpus does not follow its format.
      MismatchError: the folder was made with other settings or texts.
    """
    if min(shard_size, workers, 1 if limit is None else limit) < 1:
        raise ConfigError(
            f"shard size {shard_size}, workers {workers}, limit {limit}; expected at least 1 each"
        )
    if corpus.tagged != (job.tagger is None):
        raise ConfigError(
            "the texts are tagged; leave the tagger out"
            if corpus.tagged
            else "the texts have no part-of-speech tags; name a spaCy pipeline as the tagger"
        )
    shards: dict[str, Mapping[str, Any]] = {}
    totals: Counter[str] = Counter()
    with Workers(job, workers) as pool:
        settings = {**job.settings(pool.tagger_version), "shard_size": shard_size, "limit": limit}
        output = _Output(folder, settings, keep_tags)

        def add(batch: _Batch, shard: Mapping[str, Any], *, kept: bool) -> None:
            shards[batch.file] = shard
            totals.update(shard["counts"])
            if listener is not None:
                listener.finished(batch.position, corpus.size, totals, kept=kept)

        ordered: dict[str, _Batch] = {}

        def orders() -> Iterator[Order]:
            for batch in _batches(corpus, shard_size, limit):
                if (shard := output.kept(batch)) is not None:
                    add(batch, shard, kept=True)
                else:
                    ordered[batch.file] = batch
                    yield output.order(batch)

        for order, counts in pool.make(orders()):
            batch = ordered.pop(order.file)
            add(batch, output.publish(batch, order, counts), kept=False)
    if not totals["rows"]:
        raise ConfigError(
            f"no sequence in {totals['texts']} texts of {len(corpus.files)} files; expected some "
            "text in paragraphs"
        )
    return output.finish(shards, dict(sorted(totals.items())))


@dataclass(frozen=True)
class _Batch:
    """The texts of a shard.

    Attributes:
      number: of the shard.
      first: number of its first text.
      items: its texts.
      digest: of them.
      position: how far the inputs are read.
    """

    number: int
    first: int
    items: Sequence[Text | TaggedText]
    digest: str
    position: int

    @property
    def file(self) -> str:
        return f"rows-{self.number:05d}.mrp"

    @property
    def tags(self) -> str:
        return f"tagged-{self.number:05d}.jsonl.gz"


def _batches(corpus: Corpus, size: int, limit: int | None) -> Iterator[_Batch]:
    """The texts in the order of the corpus, so many characters at a time."""
    items: list[Text | TaggedText] = []
    number = first = characters = 0
    digest = hashlib.sha256()
    for i, item in enumerate(corpus):
        if i == limit:
            break
        items.append(item)
        content = _content(item)
        digest.update(content.encode())
        characters += len(content)
        if characters >= size:
            yield _Batch(number, first, items, digest.hexdigest()[:16], corpus.position)
            items, characters, digest = [], 0, hashlib.sha256()
            number, first = number + 1, i + 1
    if items:
        yield _Batch(number, first, items, digest.hexdigest()[:16], corpus.position)


def _content(item: Text | TaggedText) -> str:
    return (
        to_json(item) if isinstance(item, TaggedText) else "\n".join((item.name, *item.paragraphs))
    )


class _Output:
    """The folder that is being made."""

    def __init__(self, path: str, settings: Mapping[str, Any], keep_tags: str | None):
        self._path, self._settings = path, settings
        self._folder = storage.open_folder(path)
        self._tags = None if keep_tags is None else storage.open_folder(keep_tags)
        self._done = self._begun()
        self._there = self._folder.names()
        self._tags_there = set() if self._tags is None else self._tags.names()
        self._work = self._folder.scratch(json.dumps(settings, sort_keys=True))

    def kept(self, batch: _Batch) -> Mapping[str, Any] | None:
        """The shard of these texts if it was made before.

        Raises:
          MismatchError: it was made of others.
        """
        shard = self._done.get(batch.file)
        if shard is None:
            return None
        if shard["digest"] != batch.digest:
            raise self._other_texts(batch.file)
        there = batch.file in self._there and (self._tags is None or batch.tags in self._tags_there)
        return shard if there else None

    def order(self, batch: _Batch) -> Order:
        """What a worker is to do."""
        tags = None if self._tags is None else batch.tags
        return Order(batch.file, batch.first, batch.items, str(self._work), tags)

    def publish(self, batch: _Batch, order: Order, counts: Mapping[str, int]) -> Mapping[str, Any]:
        """Moves what a worker made to its place, and notes that it is there."""
        if self._tags is not None:
            self._tags.publish(self._work / batch.tags, batch.tags)
        self._folder.publish(self._work / order.file, order.file)
        shard = {"file": batch.file, "rows": counts.get("rows", 0), "digest": batch.digest,
                 "counts": dict(counts)}  # fmt: skip
        self._folder.write(f"{storage.OURS}/{batch.file}.json", json.dumps(shard).encode())
        return shard

    def finish(self, shards: Mapping[str, Any], totals: Mapping[str, int]) -> Manifest:
        """Writes the manifest.

        Raises:
          MismatchError: there are shards of texts that are no more given.
        """
        if lost := self._done.keys() - shards.keys():
            raise self._other_texts(min(lost))
        versions = {
            "t5coref": __version__,
            "sentencepiece": importlib.metadata.version("sentencepiece"),
        }
        manifest = Manifest(self._settings, totals, versions, [shards[f] for f in sorted(shards)])
        self._folder.write(MANIFEST, (json.dumps(asdict(manifest), indent=1) + "\n").encode())
        self._folder.remove(storage.OURS)
        return manifest

    def _begun(self) -> dict[str, Mapping[str, Any]]:
        """The shards that a job before this one finished.

        Raises:
          MismatchError: it had other settings.
        """
        if (content := self._folder.read(MANIFEST)) is not None:
            manifest = json.loads(content)
            self._check(manifest["settings"])
            return {shard["file"]: shard for shard in manifest["shards"]}
        if (content := self._folder.read(_SETTINGS)) is not None:
            self._check(json.loads(content))
        else:
            self._folder.write(_SETTINGS, json.dumps(self._settings).encode())
        found = self._folder.names(storage.OURS)
        notes = [name for name in found if name.endswith(".mrp.json")]
        shards = [json.loads(content) for content in self._folder.read_all(sorted(notes))]
        return {shard["file"]: shard for shard in shards}

    def _check(self, stored: Mapping[str, Any]) -> None:
        for key in {**stored, **self._settings}:
            if stored.get(key) != self._settings.get(key):
                raise MismatchError(
                    f"{self._path} was made with {key} = {stored.get(key)!r}, now it is "
                    f"{self._settings.get(key)!r}; a folder holds rows of one kind: use the same "
                    "settings or choose another folder"
                )

    def _other_texts(self, file: str) -> MismatchError:
        return MismatchError(
            f"{self._path}: {file} was made of other texts than are given now; give the same "
            "inputs or choose another folder"
        )

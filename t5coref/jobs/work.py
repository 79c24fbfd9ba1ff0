"""Many inputs into a folder of outputs, by one process or many, each of which may be killed.

    OUT/NAME.jsonl             a finished shard; appears whole or not at all
    OUT/_SUCCESS               JSON of all shards; there once all of them are finished
    OUT/_job/job.json          what the job is: model, settings, inputs, shards
    OUT/_job/done/NAME.json    what is in a finished shard; written after it
    OUT/_job/work/             unfinished shards, where OUT is a folder of this machine; else they
                               lie in the user's cache folder

Process 0 writes `job.json`, the others wait for it. Each then does its part of the shards, by its
number alone. A shard is finished when its file in `done` is there: one that is lost before is done
again, with the same result, since every shard begins with an empty memory.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Protocol

from t5coref import corpora
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.jobs import shards, storage
from t5coref.jobs.hosts import Host
from t5coref.jobs.inputs import Reader
from t5coref.jobs.ledger import VERSION, Ledger, errors_of
from t5coref.jobs.records import Listener, Tally, Unfinished, collect, export, writable
from t5coref.jobs.shards import Shard
from t5coref.jobs.storage import Folder
from t5coref.predict import Extractor

try:
    import fcntl
except ImportError:  # not a POSIX system: two processes with one number go unnoticed
    fcntl = None

LOCK_WAIT_SECONDS = 10.0


class ShardListener(Listener, Protocol):
    """Hears how a process gets on with its part of a job."""

    def planned(self, shards: int, finished: int) -> None:
        """So many shards are this process's, so many of them were finished before."""
        ...

    def finished(self, shard: Shard) -> None:
        """A shard is finished."""
        ...

    def waiting(self, reason: str) -> None:
        """What the process waits for, again and again while it lasts."""
        ...


class _Silent(ShardListener):
    """Does nothing with what it hears."""

    def resumed(self, records: int) -> None:
        """Nothing."""

    def advanced(self, records: Sequence[Document]) -> None:
        """Nothing."""

    def planned(self, shards: int, finished: int) -> None:
        """Nothing."""

    def finished(self, shard: Shard) -> None:
        """Nothing."""

    def waiting(self, reason: str) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Summary:
    """How a job ended for one process.

    Attributes:
      complete: whether all shards of the job are finished, so that `_SUCCESS` is there.
      shards: how many shards the tally is of: all, or if not complete those of this process.
      tally: what is in them.
    """

    complete: bool
    shards: int
    tally: Tally


def run_shards(
    predictor: Extractor,
    inputs: Sequence[str],
    output_dir: str,
    *,
    host: Host | None = None,
    input_format: str | None = None,
    language: str = "en",
    output_format: str = "jsonl",
    shard_size: int | None = None,
    overwrite: bool = False,
    listener: ShardListener | None = None,
) -> Summary:
    """Predicts inputs into a folder of outputs; returns when this process has no more to do.

    Processes that JAX knows of return together, when all shards are finished.

    Args:
      predictor: the model at work, on devices of this process.
      inputs: files, folders, patterns, or their URLs.
      output_dir: a folder or URL that all processes reach.
      host: which process of how many this is; None = the only one.
      input_format: a name of `corpora.names()`; None detects it for each file.
      language: of raw text.
      output_format: a writable format.
      shard_size: documents of an output; None = an output for each input.
      overwrite: forget the job that is in the folder; for a single process only.
      listener: told about progress.

    Raises:
      ConfigError: no input is found, or the folder has files of the same names.
      MismatchError: the folder has a job with another model, other settings or other inputs.
      T5CorefError: process 0 has not begun the job.
    """
    host, listener = host or Host(), listener or _Silent()
    corpus = writable(output_format)
    if shard_size is not None and shard_size < 1:
        raise ConfigError(f"shards of {shard_size} documents; expected at least 1")
    if overwrite and host.count > 1:
        raise ConfigError(
            "one of several processes cannot overwrite what the others may be writing; remove "
            f"{output_dir} first, or give another output folder"
        )
    files = find_inputs(inputs, input_format, output_dir)
    folder = storage.open_folder(output_dir)
    ledger = Ledger(folder)
    settings = {
        "job_version": VERSION,
        **predictor.identity,
        "input_format": input_format,
        "language": language,
        "output_format": output_format,
        "shard_size": shard_size,
        "inputs": files,
    }
    if overwrite:
        ledger.clear()
    with Reader(input_format, language) as reader:
        if host.index == 0 and not ledger.begun():
            ledger.begin(settings, _plan(files, corpus, reader, shard_size), overwrite)
        all_shards = ledger.shards(settings, listener.waiting)
        mine, finished = shards.share(all_shards, host), ledger.finished(all_shards)
        if host.index == 0 and len(finished) < len(all_shards):
            ledger.reopen()  # someone has removed outputs of a finished job
        scratch = folder.scratch(ledger.digest())
        work = _Work(predictor, folder, ledger, scratch, corpus, reader, listener)
        listener.planned(len(mine), sum(shard.name in finished for shard in mine))
        for shard in mine:
            if shard.name not in finished:
                work.do(shard)
    if host.joined:
        ledger.until_finished(all_shards, listener.waiting)
    elif ledger.left(all_shards):
        return Summary(False, len(mine), ledger.tally(mine))
    if host.joined and host.index:
        ledger.until_concluded(listener.waiting)
    elif ledger.total() is None:
        ledger.conclude(all_shards)
    shutil.rmtree(scratch, ignore_errors=True)  # others may be removing it as well
    return Summary(True, len(all_shards), ledger.total() or Tally())


def find_inputs(inputs: Sequence[str], format: str | None, output_dir: str) -> dict[str, int]:
    """`{path or URL: bytes}` of all inputs, each once, sorted; what lies in the output is none.

    Raises:
      ConfigError: one stands for no file, there are none but outputs, or a store is not reached.
    """
    endings = corpora.suffixes() if format is None else corpora.get(format).extensions
    found: dict[str, int] = {}
    for path in inputs:
        found |= storage.files(path, endings)
    below = storage.open_folder(output_dir).name("")
    kept = {path: found[path] for path in sorted(found) if not path.startswith(below)}
    if not kept:
        raise ConfigError(f"all inputs are in the output folder {below}; give another one")
    return kept


def _plan(
    files: Mapping[str, int], corpus: corpora.Corpus, reader: Reader, shard_size: int | None
) -> list[Shard]:
    ending = corpus.extensions[0]
    if shard_size is None:
        return shards.one_each(files, ending)
    with ThreadPoolExecutor(storage.REQUESTS) as pool:  # fetching takes most of the time
        documents = list(pool.map(reader.count, files))
    return shards.numbered(files, documents, ending, shard_size)


@dataclass(frozen=True)
class _Work:
    """What a process needs to do shards."""

    predictor: Extractor
    folder: Folder
    ledger: Ledger
    scratch: pathlib.Path
    corpus: corpora.Corpus
    reader: Reader
    listener: ShardListener

    def do(self, shard: Shard) -> None:
        """Predicts, publishes and records a shard."""
        target = self.scratch / shard.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(target.name + ".lock"), shard):
            self._do(shard, target)
        self.listener.finished(shard)

    def _do(self, shard: Shard, target: pathlib.Path) -> None:
        unfinished = Unfinished.of(target)
        documents = (d for part in shard.parts for d in self.reader.read(part))
        collect(self.predictor, documents, unfinished, shard.to_json(), self.listener)
        errors = target.with_name(errors_of(target.name))
        tally = export(unfinished.records, target, errors, self.corpus)
        digests = self.reader.digests
        record = {
            "inputs": [{**asdict(part), "sha256": digests[part.path]} for part in shard.parts],
            "bytes": target.stat().st_size,
            "sha256": storage.digest(target),
            **asdict(tally),
        }
        if errors.exists():
            self.folder.publish(errors, errors_of(shard.name))
        self.folder.publish(target, shard.name)
        self.ledger.finish(shard, record)
        unfinished.forget()


@contextlib.contextmanager
def _locked(file: pathlib.Path, shard: Shard) -> Iterator[None]:
    """Holds a shard; the system lets go of it when the process ends."""
    with file.open("w") as handle:
        give_up = time.monotonic() + LOCK_WAIT_SECONDS
        while fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise ConfigError(
                        f"another process is at work on {shard.name}; wait for it, and start each "
                        "process with its own number and the same number of processes"
                    ) from None
                time.sleep(0.1)
            except OSError:  # a file system without locks
                break
        yield

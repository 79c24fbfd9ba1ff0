"""Processes that linearize documents for `t5coref.data.prepare`; they never import TensorFlow."""

from __future__ import annotations

import collections
import importlib.metadata
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from t5coref import linearize
from t5coref._version import __version__
from t5coref.core.errors import ConfigError
from t5coref.data.manifest import Manifest, Split
from t5coref.data.recipe import feed_rank, make
from t5coref.data.rows import Row, document_of, rows_of
from t5coref.linearize import Linearization
from t5coref.tokenizer import Tokenizer

AHEAD = 4  # chunks a worker that may wait to be written


@dataclass(frozen=True)
class Job:
    """What the records depend on besides the documents.

    Attributes:
      corpus: the reader that the documents came from, or None.
      linearization: a name of `t5coref.linearize.FORMATS`.
      options: of the linearization.
      model: the SentencePiece model.
      word_rule: `strict` or `reference`.
    """

    corpus: str | None
    linearization: str
    options: Mapping[str, Any]
    model: bytes
    word_rule: str = "strict"

    def tokenizer(self) -> Tokenizer:
        """The tokenizer with the symbols of the format."""
        symbols = linearize.symbols_of(self.linearization, self.options)
        return Tokenizer(self.model, symbols).with_word_rule(self.word_rule)

    def format(self) -> Linearization:
        """The linearization.

        Raises:
          ConfigError: it does not take the options, or cannot be stored.
        """
        if self.options.get("carry"):
            raise ConfigError(
                "the option carry makes a window wait for the answer to the one before; prepared "
                "examples stand alone: leave it out"
            )
        return make(self.linearization, self.tokenizer(), self.options)

    def manifest(self, splits: Mapping[str, Split]) -> Manifest:
        """The manifest of some splits."""
        tokenizer = self.tokenizer()
        return Manifest(
            corpus=self.corpus,
            format=self.linearization,
            options=dict(self.options),
            symbols=tokenizer.symbols,
            tokenizer=tokenizer.fingerprint,
            word_rule=self.word_rule,
            feed_rank=feed_rank(self.linearization),
            versions={
                "t5coref": __version__,
                "sentencepiece": importlib.metadata.version("sentencepiece"),
            },
            splits=splits,
        )


class Pool:
    """Processes that linearize chunks of documents; one worker is this process itself."""

    def __init__(self, job: Job, workers: int):
        self._job, self._workers = job, workers
        self._executor: ProcessPoolExecutor | None = None
        self._format = job.format()  # refuses what cannot work before anything is written

    def __enter__(self) -> Pool:
        if self._workers > 1:
            # Not forked: TensorFlow has threads by then.
            self._executor = ProcessPoolExecutor(
                self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(self._job,),
            )
        return self

    def __exit__(self, *exc: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def rows(
        self, chunks: Sequence[tuple[int, list[bytes]]]
    ) -> Iterator[tuple[int, int, list[Row]]]:
        """The shard, the number of documents and the rows of each chunk, in order.

        Raises:
          ConfigError: a worker was killed.
        """
        if self._executor is None:
            for k, lines in chunks:
                yield k, len(lines), _rows(self._format, lines)
            return
        try:
            yield from self._ahead(self._executor, chunks)
        except BrokenProcessPool:
            raise ConfigError(
                "a worker process was ended from outside, by a lack of memory perhaps; start again "
                "with fewer workers: finished shards are kept"
            ) from None

    def _ahead(
        self, executor: ProcessPoolExecutor, chunks: Sequence[tuple[int, list[bytes]]]
    ) -> Iterator[tuple[int, int, list[Row]]]:
        """As `rows`; a few chunks of each worker wait for the first one to be written."""
        waiting: collections.deque[tuple[int, int, Future[list[Row]]]] = collections.deque()
        for k, lines in chunks:
            waiting.append((k, len(lines), executor.submit(_work, lines)))
            if len(waiting) > AHEAD * self._workers:
                first, given, future = waiting.popleft()
                yield first, given, future.result()
        for first, given, future in waiting:
            yield first, given, future.result()


_format: Linearization | None = None  # of a worker process


def _start_worker(job: Job) -> None:
    """Sets a worker up: it leaves interrupts to its parent, and ends when that is gone."""
    global _format
    _format = job.format()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _work(lines: Sequence[bytes]) -> list[Row]:
    assert _format is not None
    return _rows(_format, lines)


def _rows(format_: Linearization, lines: Sequence[bytes]) -> list[Row]:
    return [row for line in lines for row in rows_of(format_, document_of(line))]

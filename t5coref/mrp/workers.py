"""Processes that tag texts and mask their sequences for `t5coref.mrp.prepare`."""

from __future__ import annotations

import functools
import gzip
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

from t5coref.core.errors import ConfigError
from t5coref.mrp.nouns import TaggedText, Tagger, Text
from t5coref.mrp.pieces import Ids, Speller
from t5coref.mrp.rows import MRPRow, write_shard
from t5coref.mrp.sampler import SAMPLERS, SHORT_FROM, Sample, Sampler, inplace, sequences
from t5coref.mrp.tagged import to_json
from t5coref.tokenizer import Tokenizer

AHEAD = 2  # shards that wait for a process


@dataclass(frozen=True)
class Job:
    """What rows depend on besides the texts.

    Attributes:
      model: the SentencePiece model.
      tagger: a spaCy pipeline; None where texts are tagged.
      mode: a name of `SAMPLERS`.
      seed: another one masks other words.
      length: tokens of a sequence, `</s>` included, before masking.
      keep_masked_referents: for rows masked in place, see `sampler.inplace`.
    """

    model: bytes
    tagger: str | None
    mode: str = "sentinel_span"
    seed: int = 0
    length: int = 512
    keep_masked_referents: bool = False

    def __post_init__(self):
        if self.mode not in SAMPLERS:
            raise ConfigError(f"no mode {self.mode!r}; expected {' or '.join(SAMPLERS)}")
        if self.length <= SHORT_FROM:
            raise ConfigError(f"length {self.length}; expected more than {SHORT_FROM} tokens")
        if self.keep_masked_referents and self.mode != "inplace":
            raise ConfigError(
                "masked referents can be kept in mode inplace only: spans never cover a referent"
            )

    def sampler(self) -> Sampler:
        """What masks a sequence."""
        if self.keep_masked_referents:
            return functools.partial(inplace, keep_masked_referents=True)
        return SAMPLERS[self.mode]

    def settings(self, tagger_version: str | None) -> dict[str, Any]:
        """What a folder says that it was made with."""
        return {
            "mode": self.mode,
            "seed": self.seed,
            "length": self.length,
            "keep_masked_referents": self.keep_masked_referents,
            "tokenizer": Tokenizer(self.model, ()).fingerprint,
            "tagger": tagger_version,
        }


@dataclass(frozen=True)
class Order:
    """A shard to be made.

    Attributes:
      file: its name.
      first: the number of its first text among all.
      items: its texts, tagged or not.
      work: the folder of this machine for the file.
      tags: the name of a file there for the tagged texts; None = they are not kept.
    """

    file: str
    first: int
    items: Sequence[Text | TaggedText]
    work: str
    tags: str | None


class Maker:
    """Makes shards, one after another.

    Raises:
      ConfigError: there is no such spaCy pipeline.
    """

    def __init__(self, job: Job):
        tokenizer = Tokenizer(job.model, ())
        self._job, self._sampler = job, job.sampler()
        self._speller, self._ids = Speller(tokenizer), Ids.of(tokenizer)
        self._tagger = None if job.tagger is None else Tagger(job.tagger)

    @property
    def tagger_version(self) -> str | None:
        """Which pipeline tags; None where texts are tagged."""
        return None if self._tagger is None else self._tagger.version

    def make(self, order: Order) -> dict[str, int]:
        """Writes the files of a shard; what is in them, counted."""
        counts: Counter[str] = Counter()
        work = pathlib.Path(order.work)
        work.mkdir(parents=True, exist_ok=True)
        texts = self._tagged(order.items)
        if order.tags is not None:
            texts = _kept(texts, work / order.tags)
        samples = (s for i, text in enumerate(texts) for s in self.samples(text, order.first + i))
        write_shard(work / order.file, self._counted(samples, counts))
        counts["texts"] = len(order.items)
        return dict(counts)

    def samples(self, text: TaggedText, number: int) -> Iterator[Sample]:
        """The masked sequences of a text, which is the so-manieth of all."""
        rng = random.Random(f"{self._job.seed}:{number}")
        words = self._speller.words(text)
        for k, sequence in enumerate(sequences(words, rng, self._job.length)):
            sequence = replace(sequence, name=f"{text.name}:{k}")
            yield self._sampler(sequence, rng, self._ids)

    def _tagged(self, items: Sequence[Text | TaggedText]) -> Iterable[TaggedText]:
        if self._tagger is None:
            return [item for item in items if isinstance(item, TaggedText)]
        return self._tagger.tag(item for item in items if isinstance(item, Text))

    def _counted(self, samples: Iterable[Sample], counts: Counter[str]) -> Iterator[MRPRow]:
        for sample in samples:
            counts["rows"] += 1
            counts["words"] += sample.words
            counts["pieces"] += sample.pieces
            counts["masked_pieces"] += sample.masked
            counts["mention_pieces"] += sample.mentions
            counts["queries"] += len(sample.row.query_start)
            counts["referents"] += int(sample.row.ref_mask.sum())
            counts["cut_referents"] += sample.cut_referents
            yield sample.row


class Workers:
    """Makers in processes of their own; one worker is this process itself.

    Raises:
      ConfigError: there is no such spaCy pipeline.
    """

    def __init__(self, job: Job, workers: int):
        self._job, self._workers = job, workers
        self._executor: ProcessPoolExecutor | None = None
        self._maker = Maker(job)  # refuses what cannot work before anything is written

    @property
    def tagger_version(self) -> str | None:
        """Which pipeline tags; None where texts are tagged."""
        return self._maker.tagger_version

    def __enter__(self) -> Workers:
        if self._workers > 1:
            # Not forked: spaCy and stores may have threads by then.
            self._executor = ProcessPoolExecutor(
                self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(self._job,),
            )
        return self

    def __exit__(self, *exc: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def make(self, orders: Iterable[Order]) -> Iterator[tuple[Order, dict[str, int]]]:
        """Makes the shards, and says when each is there; few orders are taken ahead.

        Raises:
          ConfigError: a worker was killed.
        """
        if self._executor is None:
            for order in orders:
                yield order, self._maker.make(order)
            return
        running: dict[Future[dict[str, int]], Order] = {}
        try:
            for order in orders:
                running[self._executor.submit(_make, order)] = order
                if len(running) >= self._workers + AHEAD:
                    yield from _ready(running)
            while running:
                yield from _ready(running)
        except BrokenProcessPool:
            raise ConfigError(
                "a worker process was ended from outside, by a lack of memory perhaps; start again "
                "with fewer workers: finished shards are kept"
            ) from None


def _ready(running: dict[Future[dict[str, int]], Order]) -> Iterator[tuple[Order, dict[str, int]]]:
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        yield running.pop(future), future.result()


def _kept(texts: Iterable[TaggedText], path: pathlib.Path) -> Iterator[TaggedText]:
    """Texts as they pass, which are in a file when the last one has."""
    fresh = path.with_name(f"{path.name}.new")
    # Neither the name nor the time of the file is to be in its bytes.
    with fresh.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        for text in texts:
            file.write(to_json(text).encode())
            yield text
    fresh.replace(path)


_maker: Maker | None = None  # of a worker process


def _start(job: Job) -> None:
    """Sets a worker up: it leaves interrupts to its parent, and ends when that is gone."""
    global _maker
    _maker = Maker(job)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _make(order: Order) -> dict[str, int]:
    assert _maker is not None
    return _maker.make(order)

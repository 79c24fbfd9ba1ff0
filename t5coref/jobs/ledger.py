"""What is written down about a job in its output folder; `work.py` shows the layout."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from t5coref.core.errors import ConfigError, MismatchError, T5CorefError
from t5coref.jobs.records import Tally, difference
from t5coref.jobs.shards import Shard
from t5coref.jobs.storage import OURS, Folder

VERSION = 1
"""Of the layout."""

JOB, DONE, SUCCESS = f"{OURS}/job.json", f"{OURS}/done", "_SUCCESS"

JOB_WAIT_SECONDS = 1800.0
LONGEST_PAUSE = 15.0

Waiting = Callable[[str], None]
"""Hears what a process waits for, again and again while it lasts."""


class Ledger:
    """A job's description, its finished shards, and its end."""

    def __init__(self, folder: Folder):
        self._folder = folder

    def clear(self) -> None:
        """Removes a job and its outputs; `job.json` last, so that a kill leaves it a job."""
        job = self._folder.read(JOB)
        self._folder.remove(SUCCESS)
        self._folder.remove(DONE)
        for shard in json.loads(job)["shards"] if job else ():
            self._folder.remove(shard["name"])
            self._folder.remove(errors_of(shard["name"]))
        self._folder.remove(OURS)

    def begun(self) -> bool:
        """Whether there is a job."""
        return self._folder.read(JOB) is not None

    def begin(self, settings: Mapping[str, Any], shards: Sequence[Shard], overwrite: bool) -> None:
        """Writes down what the job is.

        Raises:
          ConfigError: the folder has other files of the same names.
        """
        names = {shard.name for shard in shards}
        if reserved := [name for name in names if name.startswith(f"{OURS}/")]:
            raise ConfigError(
                f"output {reserved[0]} would be among the job's own files; rename the inputs' "
                f"folder {OURS}"
            )
        if (strangers := self._folder.names() & names) and not overwrite:
            raise ConfigError(
                f"{self._folder.name(min(strangers))} exists, but there is no {JOB} of a job that "
                "made it; choose another output folder or pass --overwrite"
            )
        job = {**settings, "shards": [shard.to_json() for shard in shards]}
        self._folder.write(JOB, _json(job))

    def shards(self, settings: Mapping[str, Any], waiting: Waiting) -> list[Shard]:
        """The shards of the job, once process 0 has begun it.

        Raises:
          MismatchError: it is a job with other settings.
          T5CorefError: process 0 does not begin it.
        """
        give_up = time.monotonic() + JOB_WAIT_SECONDS
        pauses = _pauses()
        while (raw := self._folder.read(JOB)) is None:
            if time.monotonic() > give_up:
                raise T5CorefError(
                    f"process 0 has written no {self._folder.name(JOB)} for {JOB_WAIT_SECONDS:.0f} "
                    "s; is it running, and is the output a folder that all processes share, such "
                    "as gs://...?"
                )
            waiting(f"for process 0 to write {self._folder.name(JOB)}")
            next(pauses)
        job = json.loads(raw)
        shards = [Shard.from_json(value) for value in job.pop("shards")]
        self._check(job, json.loads(json.dumps(settings)))
        return shards

    def digest(self) -> str:
        """Tells jobs in one place apart."""
        return hashlib.sha256(self._folder.read(JOB) or b"").hexdigest()

    def finished(self, shards: Sequence[Shard]) -> set[str]:
        """Names of the shards that are finished, and whose output nobody has removed since."""
        there = self._folder.names()
        return {s.name for s in shards if s.name in there and _record(s.name) in there}

    def finish(self, shard: Shard, record: Mapping[str, Any]) -> None:
        """Writes down that a shard is finished, and what is in it."""
        self._folder.write(_record(shard.name), _json(record))

    def reopen(self) -> None:
        """Takes back that all is finished."""
        self._folder.remove(SUCCESS)

    def conclude(self, shards: Sequence[Shard]) -> None:
        """Writes down that all shards are finished, and what is in them."""
        records = self._records(shards)
        job = json.loads(self._folder.read(JOB) or b"")
        success = {
            "job_version": VERSION,
            "t5coref": job["model"]["t5coref"],
            **asdict(_sum(records)),
            "shards": {s.name: r for s, r in zip(shards, records, strict=True)},
        }
        self._folder.write(SUCCESS, _json(success))

    def total(self) -> Tally | None:
        """What is in all shards; None if not all are finished."""
        success = self._folder.read(SUCCESS)
        return None if success is None else _sum([json.loads(success)])

    def tally(self, shards: Sequence[Shard]) -> Tally:
        """What is in some finished shards."""
        return _sum(self._records(shards))

    def left(self, shards: Sequence[Shard]) -> int:
        """How many of the shards are not finished."""
        return len({_record(shard.name) for shard in shards} - self._folder.names(DONE))

    def until_finished(self, shards: Sequence[Shard], waiting: Waiting) -> None:
        """Returns when all shards are."""
        pauses = _pauses()
        while left := self.left(shards):
            waiting(f"for {left} {'shard' if left == 1 else 'shards'} of other processes")
            next(pauses)

    def until_concluded(self, waiting: Waiting) -> None:
        """Returns when process 0 has written down that all is finished."""
        pauses = _pauses()
        while self._folder.read(SUCCESS) is None:
            waiting(f"for process 0 to write {self._folder.name(SUCCESS)}")
            next(pauses)

    def _records(self, shards: Sequence[Shard]) -> list[dict[str, Any]]:
        return list(map(json.loads, self._folder.read_all([_record(s.name) for s in shards])))

    def _check(self, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
        theirs, ours = stored.pop("inputs", {}), wanted.pop("inputs")
        fix = "start it as before, give another output folder, or pass --overwrite"
        if found := difference(stored, wanted):
            raise MismatchError(f"{self._folder.name(JOB)} is of a job with {found}; {fix}")
        for path in sorted(theirs.keys() | ours.keys()):
            if theirs.get(path) != ours.get(path):
                was, now = (f"{s[path]} bytes" if path in s else "none" for s in (theirs, ours))
                raise MismatchError(
                    f"input {path}: {was} when the job in {self._folder.name('')} was begun, {now} "
                    f"now; {fix}"
                )


def errors_of(name: str) -> str:
    """Where the failed documents of an output are, if its format cannot hold why they failed."""
    return name + ".errors.jsonl"


def _record(name: str) -> str:
    return f"{DONE}/{name}.json"


def _sum(records: Sequence[Mapping[str, Any]]) -> Tally:
    return Tally(**{key: sum(record[key] for record in records) for key in asdict(Tally())})


def _pauses() -> Iterator[None]:
    """Sleeps, longer from time to time: looking costs, in stores."""
    seconds = 0.5
    while True:
        time.sleep(seconds)
        yield
        seconds = min(1.5 * seconds, LONGEST_PAUSE)


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()

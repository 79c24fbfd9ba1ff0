"""Jobs over small files, without a network, for processes that are killed."""

from __future__ import annotations

import pathlib
import time

import numpy as np

from t5coref import jobs
from t5coref.checkpoints import T5X_LEGACY, open_checkpoint, transfer
from t5coref.core.document import Annotation, Document
from t5coref.corpora import jsonl
from t5coref.mrp.corpus import Corpus
from t5coref.mrp.prepare import prepare as prepare_rows
from t5coref.mrp.workers import Job

DOCUMENTS = [
    Document(doc_id=f"d{i}", words=tuple(f"w{k}" for k in range(i % 9)), sentences=None)
    for i in range(37)
]


class Pretender:
    """Predicts one cluster that tells how many documents it has seen in this job."""

    round_size = 4

    def __init__(self, pause=0.001):
        self.memory, self._pause = None, pause

    @property
    def identity(self):
        return {"model": {"t5coref": "pretender"}}

    def predict(self, documents):
        time.sleep(self._pause)
        for document in documents:
            seen = 0 if self.memory is None else int(self.memory[0])
            self.memory = np.array([seen + 1])
            words = len(document.words)
            clusters = (((seen % words, words),),) if words else ()
            yield document.with_annotation(Annotation(clusters))


def predict(folder: pathlib.Path):
    """One file."""
    output = folder / "out.jsonl"
    if not output.exists():  # killed behind the last step: all is done
        jobs.run(Pretender(), iter(DOCUMENTS), output)


def shards(folder: pathlib.Path):
    """A folder of files."""
    source = folder / "in"
    if not source.exists():
        fresh = folder / "in.new"
        fresh.mkdir(exist_ok=True)
        for number, part in enumerate(DOCUMENTS[i : i + 10] for i in range(0, 40, 10)):
            jsonl.write(part, fresh / f"{number}.jsonl")
        fresh.rename(source)
    jobs.run_shards(Pretender(), [f"{source}/*.jsonl"], str(folder / "out"), shard_size=6)


def convert(folder: pathlib.Path):
    """A checkpoint in another layout; `folder/hf` is there."""
    if not (folder / "out").exists():
        transfer(open_checkpoint(folder / "hf"), folder / "out", T5X_LEGACY)


def prepare(folder: pathlib.Path):
    """Rows of masked mentions; `folder/texts` and `folder/model` are there."""
    job = Job((folder / "model").read_bytes(), None, length=300)
    prepare_rows(str(folder / "out"), Corpus([str(folder / "texts")], "tagged"), job,
                 shard_size=3000)  # fmt: skip


JOBS = {"predict": predict, "shards": shards, "convert": convert, "prepare": prepare}

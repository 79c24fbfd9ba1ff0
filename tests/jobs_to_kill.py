"""Jobs over small files, without a network, for processes that are killed."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time

import numpy as np

from t5coref import jobs
from t5coref.checkpoints import T5X_LEGACY, open_checkpoint, transfer
from t5coref.core.document import Annotation, Document
from t5coref.corpora import jsonl
from t5coref.mrp.corpus import Corpus
from t5coref.mrp.prepare import prepare as prepare_rows
from t5coref.mrp.workers import Job

HERE = pathlib.Path(__file__).parent

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


def records(folder: pathlib.Path):
    """Linearized documents as TFRecord files; `folder/model` is there. Needs TensorFlow."""
    from t5coref.data.prepare import prepare
    from t5coref.data.workers import Job

    job = Job("jsonl", "full-copy", {"window": 24}, (folder / "model").read_bytes())
    annotated = list(Pretender(pause=0).predict(DOCUMENTS))
    splits = {"train": annotated[:30], "validation": annotated[30:]}
    prepare(str(folder / "out"), job, splits, shards=5)


JOBS = {"predict": predict, "shards": shards, "convert": convert, "prepare": prepare}
WITH_TENSORFLOW = {"records": records}


def killed(name: str, folder: pathlib.Path, seed: int) -> int:
    """Does a job in processes that are killed at random; how many were, before it was done."""
    command = [sys.executable, HERE / "faults" / "victims.py", name, folder, str(seed)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (HERE, HERE.parent)))}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout.split()[-1])


def content(folder: pathlib.Path) -> dict[str, bytes | None]:
    """Every file below a folder but a job's own; of what says where the job lies, only the name."""
    return {
        path.relative_to(folder).as_posix(): None if path.name == "_SUCCESS" else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "_job" not in path.parts
    }

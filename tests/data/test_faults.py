"""Prepared records that were cut, lost or garbled, and preparing them under kill -9."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("seqio")

import seqio
import tensorflow as tf
from jobs_to_kill import WITH_TENSORFLOW, content, killed

from t5coref.cli import main
from t5coref.core.errors import FormatError
from t5coref.data.manifest import Manifest
from t5coref.data.prepare import prepare, verify
from t5coref.data.workers import Job
from t5coref.tokenizer import MODEL_FILE

HEAD, TAIL = 12, 4
"""Bytes before and after the content of a record: its length and digests (TFRecord)."""


@pytest.fixture
def prepared(tmp_path, documents, vocabulary_folder, monkeypatch):
    """The folder of the task `stories`, named in the environment: two shards a split."""
    model = (vocabulary_folder / MODEL_FILE).read_bytes()
    job = Job("jsonl", "full-copy", {"window": 24}, model)
    folder = tmp_path / "prepared" / "stories"
    splits = {"train": documents[:8], "validation": documents[8:]}
    prepare(str(folder), job, splits, shards=2)
    monkeypatch.setenv("T5COREF_PREPARED", str(tmp_path / "prepared"))
    return folder


def boundaries(path):
    """Where the records of a file end."""
    data, ends = path.read_bytes(), [0]
    while ends[-1] < len(data):
        length = int.from_bytes(data[ends[-1] : ends[-1] + 8], "little")
        ends.append(ends[-1] + HEAD + length + TAIL)
    assert ends[-1] == len(data)
    return ends


def shard_of(folder, split, number=1):
    shard = Manifest.load(str(folder)).splits[split].shards[number]
    return folder / shard.file, shard


def read(task, split="train", **options):
    return list(task.get_dataset(None, split, **options).as_numpy_iterator())


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("cut", ["between records", "in a record", "to nothing"])
def test_a_shard_that_was_cut_is_named(task, prepared, capsys, split, cut):
    path, shard = shard_of(prepared, split)
    *_, before, end = boundaries(path)
    left = {"between records": before, "in a record": end - 1, "to nothing": 0}[cut]
    path.write_bytes(path.read_bytes()[:left])
    message = f"{path}: expected {shard.bytes} bytes, as manifest.json says, got {left} bytes"
    with pytest.raises(FormatError, match=re.escape(message)):
        read(task(), split)
    assert main(["prepare", "--check", str(prepared)]) == 1
    assert f"{path.name} has {left} bytes" in capsys.readouterr().err
    # Other splits are whole, and other hosts have whole files.
    other = {"train": "validation", "validation": "train"}[split]
    assert read(task(), other)
    assert read(task(), split, shard_info=seqio.ShardInfo(0, 2))


def test_a_lost_shard_is_named(task, prepared):
    path, _ = shard_of(prepared, "train")
    path.unlink()
    with pytest.raises(FormatError, match=re.escape(f"{path}: expected") + ".*no such file"):
        read(task())


def test_garbled_bytes_end_the_reading(task, prepared):
    """Every place of a record is covered by a digest of TensorFlow's; --check names the file."""
    path, _ = shard_of(prepared, "train")
    whole = path.read_bytes()
    before, end = boundaries(path)[:2]
    for place in (before, before + 9, before + HEAD, (before + HEAD + end) // 2, end - 1):
        garbled = bytearray(whole)
        garbled[place] ^= 4
        path.write_bytes(garbled)
        with pytest.raises(tf.errors.DataLossError):
            read(task())
        found = [file for file, problem in verify(str(prepared)) if problem]
        assert found == [path.name]


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 11))]
)
def test_prepare_killed_at_random(tmp_path, vocabulary_folder, seed):
    whole, victim = folders = tmp_path / "whole", tmp_path / "killed"
    for folder in folders:
        folder.mkdir()
        (folder / "model").write_bytes((vocabulary_folder / MODEL_FILE).read_bytes())
    WITH_TENSORFLOW["records"](whole)
    assert killed("records", victim, seed)
    assert content(victim) == content(whole)

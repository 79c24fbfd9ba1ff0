"""Prepared data: the same bytes always, resumed after a kill, never mixed, checked."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from t5coref import linearize
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, FormatError, MismatchError
from t5coref.data import records
from t5coref.data.manifest import MANIFEST, Manifest
from t5coref.data.prepare import UNFINISHED, prepare, verify
from t5coref.data.rows import rows_of
from t5coref.data.workers import Job
from t5coref.tokenizer import MODEL_FILE


@pytest.fixture
def job(vocabulary_folder):
    model = (vocabulary_folder / MODEL_FILE).read_bytes()
    return Job("jsonl", "full-copy", {"window": 24}, model)


@pytest.fixture
def splits(documents):
    return {"train": documents[:8], "validation": documents[8:]}


def content(folder):
    return {f.name: f.read_bytes() for f in sorted(pathlib.Path(folder).iterdir())}


class KilledError(Exception):
    """Stands for a kill."""


class Counts:
    """A listener that may interrupt."""

    def __init__(self, stop_after=None):
        self.splits, self.documents, self._stop_after = [], 0, stop_after

    def read(self, split):
        del split

    def split(self, name, documents, done):
        self.splits.append((name, documents, done))

    def advanced(self, documents):
        self.documents += documents
        if self._stop_after is not None and self.documents > self._stop_after:
            raise KilledError


@pytest.mark.parametrize("name", sorted(set(linearize.FORMATS) - set(linearize.PLAIN_TEXT)))
def test_records_hold_the_rows(tmp_path, job, documents, name):
    job = dataclasses.replace(job, linearization=name)
    manifest = prepare(str(tmp_path), job, {"train": documents}, shards=3)
    found = {}
    for shard in manifest.splits["train"].shards:
        stored = list(records.read_rows(str(tmp_path / shard.file), manifest.feed_rank))
        assert len(stored) == shard.examples
        found |= {(row["doc_id"], int(row["turn"])): row for row in stored}
    format_ = job.format()
    expected = [row for document in documents for row in rows_of(format_, document)]
    assert len(found) == len(expected) == manifest.splits["train"].examples
    for row in expected:
        for key, value in row.items():
            np.testing.assert_array_equal(found[row["doc_id"], int(row["turn"])][key], value)
    split = manifest.splits["train"]
    assert split.longest_source == max(len(row["inputs"]) for row in expected)
    assert split.longest_target == max(len(row["targets"]) for row in expected)
    assert split.documents == len(documents)


def test_the_bytes_do_not_depend_on_the_workers(tmp_path, job, splits):
    prepare(str(tmp_path / "one"), job, splits, shards=3)
    prepare(str(tmp_path / "two"), job, splits, shards=3, workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_killed_job_keeps_its_finished_shards(tmp_path, job, splits):
    prepare(str(tmp_path / "whole"), job, splits, shards=4)
    folder = tmp_path / "killed"
    with pytest.raises(KilledError):
        prepare(str(folder), job, splits, shards=4, listener=Counts(stop_after=4))
    assert not (folder / MANIFEST).exists()
    with pytest.raises(FormatError, match="finished"):
        Manifest.load(str(folder))
    kept = {f: f.stat().st_mtime_ns for f in folder.glob("train.tfrecord-?????-of-?????")}
    assert len(kept) == 2
    counts = Counts()
    prepare(str(folder), job, splits, shards=4, listener=counts)
    assert counts.splits == [("train", 8, 4), ("validation", 4, 0)]
    assert counts.documents == 8
    assert {f: f.stat().st_mtime_ns for f in kept} == kept
    assert content(folder) == content(tmp_path / "whole")


def test_a_lost_shard_is_made_again(tmp_path, job, splits):
    prepare(str(tmp_path / "whole"), job, splits, shards=4)
    folder = tmp_path / "killed"
    with pytest.raises(KilledError):
        prepare(str(folder), job, splits, shards=4, listener=Counts(stop_after=6))
    first, second, *_ = sorted(folder.glob("train.tfrecord-?????-of-?????"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    prepare(str(folder), job, splits, shards=4)
    assert content(folder) == content(tmp_path / "whole")


def test_finished_data_is_left_as_it_is(tmp_path, job, splits):
    prepare(str(tmp_path), job, splits, shards=2)
    times = {f: f.stat().st_mtime_ns for f in tmp_path.glob("*.tfrecord-*")}
    counts = Counts()
    prepare(str(tmp_path), job, splits, shards=2, listener=counts)
    assert counts.splits == []
    assert {f: f.stat().st_mtime_ns for f in times} == times


def test_a_split_can_be_added(tmp_path, job, splits, documents):
    prepare(str(tmp_path / "one"), job, splits, shards=2)
    prepare(str(tmp_path / "two"), job, {"train": documents[:8]}, shards=2)
    manifest = prepare(str(tmp_path / "two"), job, {"validation": documents[8:]}, shards=2)
    assert list(manifest.splits) == ["train", "validation"]
    assert content(tmp_path / "one") == content(tmp_path / "two")


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {"window": 20}}, "options"),
        ({"linearization": "tagging"}, "format"),
        ({"word_rule": "reference"}, "tokenizer"),
        ({"corpus": "preco"}, "corpus"),
    ],
)
def test_settings_are_never_mixed(tmp_path, job, splits, finished, change, message):
    stop = Counts(None if finished else 2)
    try:
        prepare(str(tmp_path), job, splits, shards=4, listener=stop)
    except KilledError:
        assert not finished
    before = content(tmp_path)
    with pytest.raises(MismatchError, match=f"with {message} = .*another folder"):
        prepare(str(tmp_path), dataclasses.replace(job, **change), splits, shards=4)
    assert content(tmp_path) == before


@pytest.mark.parametrize("finished", [True, False])
def test_documents_are_never_mixed(tmp_path, job, splits, documents, finished):
    stop = Counts(None if finished else 2)
    try:
        prepare(str(tmp_path), job, splits, shards=4, listener=stop)
    except KilledError:
        assert not finished
    with pytest.raises(MismatchError, match="other documents"):
        prepare(str(tmp_path), job, {"train": documents[1:9]}, shards=4)


def test_an_unfinished_job_keeps_its_number_of_shards(tmp_path, job, splits):
    with pytest.raises(KilledError):
        prepare(str(tmp_path), job, splits, shards=4, listener=Counts(stop_after=2))
    with pytest.raises(MismatchError, match="4 shards, now they are 2"):
        prepare(str(tmp_path), job, splits, shards=2)


def test_what_is_left_out_is_counted(tmp_path, job, documents):
    empty = Document(doc_id="empty", words=(), annotation=Annotation())
    plain = Document(doc_id="plain", words=("a", "word"))
    manifest = prepare(str(tmp_path), job, {"train": [*documents, empty, plain]})
    split = manifest.splits["train"]
    assert split.skipped == {"without annotation": 1, "without text": 1}
    assert split.documents == len(documents)
    assert sum(s.examples for s in split.shards) == split.examples
    with pytest.raises(ConfigError, match="no annotated document"):
        prepare(str(tmp_path / "none"), job, {"train": [plain]})


@pytest.mark.parametrize("numbers", [{"shards": 0}, {"workers": 0}])
def test_numbers_below_one_are_refused(tmp_path, job, splits, numbers):
    with pytest.raises(ConfigError, match="at least 1"):
        prepare(str(tmp_path), job, splits, **numbers)


def test_carry_cannot_be_stored(tmp_path, job, splits):
    with pytest.raises(ConfigError, match="carry"):
        prepare(str(tmp_path), dataclasses.replace(job, options={"carry": True}), splits)
    assert list(tmp_path.iterdir()) == []


def test_a_check_finds_what_is_wrong(tmp_path, job, splits):
    prepare(str(tmp_path), job, splits, shards=4)
    files = [f"train.tfrecord-0000{k}-of-00004" for k in range(4)]
    assert [p for _, p in verify(str(tmp_path))] == [None] * 9
    (tmp_path / files[0]).unlink()
    damaged = bytearray((tmp_path / files[1]).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / files[1]).write_bytes(damaged)
    found = {file: problem for file, problem in verify(str(tmp_path)) if problem}
    assert list(found) == files[:2]
    assert found[files[0]] == "is missing"
    assert "digest" in found[files[1]]


def test_a_check_linearizes_again(tmp_path, job, splits):
    prepare(str(tmp_path), job, splits, shards=1)
    manifest = Manifest.load(str(tmp_path))
    path = tmp_path / manifest.splits["train"].shards[0].file
    rows = list(records.read_rows(str(path), 1))
    rows[0]["targets"] = rows[0]["targets"][::-1]
    shard = records.write_shard(str(tmp_path), path.name, rows)
    split = dataclasses.replace(manifest.splits["train"], shards=(shard,))
    changed = dataclasses.replace(manifest, splits={**manifest.splits, "train": split})
    (tmp_path / MANIFEST).write_text(changed.to_json())
    problems = [problem for _, problem in verify(str(tmp_path)) if problem]
    assert len(problems) == 1
    assert "comes out otherwise" in problems[0]


def test_another_tokenizer_is_found_out(tmp_path, job, splits, tokenizer):
    prepare(str(tmp_path), job, splits)
    tokenizer.save(tmp_path)
    with pytest.raises(MismatchError, match="fingerprint"):
        list(verify(str(tmp_path)))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", FormatError, "not a manifest"),
        (json.dumps({"layout": 99}), MismatchError, "layout 99"),
        (json.dumps({"layout": 1}), FormatError, "not a manifest"),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path, text, error, message):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(error, match=message):
        Manifest.load(str(tmp_path))


def test_nothing_temporary_is_left(tmp_path, job, splits):
    prepare(str(tmp_path), job, splits, shards=2)
    names = set(os.listdir(tmp_path))
    assert UNFINISHED not in names
    assert not [name for name in names if name.endswith(".new")]
    assert names == {MANIFEST, MODEL_FILE} | {
        f"{split}.tfrecord-0000{k}-of-00002" for split in splits for k in range(2)
    }


def test_paths_that_name_their_file_system_go_through_tensorflow(tmp_path, job, splits):
    prepare(str(tmp_path / "local"), job, splits, shards=2)
    folder = f"file://{tmp_path}/named"
    prepare(folder, job, splits, shards=2)
    prepare(folder, job, splits, shards=2)
    assert content(tmp_path / "named") == content(tmp_path / "local")
    assert [problem for _, problem in verify(folder)] == [None] * 5


def test_a_worker_that_is_killed_is_explained(tmp_path, job, splits, monkeypatch):
    from t5coref.data import workers

    # A worker ends at once when it unpickles its job.
    monkeypatch.setattr(workers.Job, "__reduce__", lambda self: (os._exit, (9,)))
    with pytest.raises(ConfigError, match="fewer workers"):
        prepare(str(tmp_path), job, splits, workers=2)

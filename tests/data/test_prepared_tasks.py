"""Tasks that read prepared data give what they give from their files."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("seqio")

import seqio

from t5coref import linearize
from t5coref.core.errors import MismatchError
from t5coref.data.prepare import prepare
from t5coref.data.task import task_linearization, task_vocabulary
from t5coref.data.workers import Job
from t5coref.tokenizer import MODEL_FILE


def rows(task, split, **options):
    found = task.get_dataset(None, split, shuffle=False, **options).as_numpy_iterator()
    return {(row["doc_id"], int(row["turn"])): row for row in found}


@pytest.fixture
def prepared(tmp_path, documents, vocabulary_folder, monkeypatch):
    """Prepares the folder of the task `stories` and names its parent in the environment."""

    def make(linearization="full-copy", shards=3, **options):
        model = (vocabulary_folder / MODEL_FILE).read_bytes()
        job = Job("jsonl", linearization, {"window": 24} | options, model)
        folder = tmp_path / "prepared" / "stories"
        prepare(
            str(folder), job, {"train": documents[:8], "validation": documents[8:]}, shards=shards
        )
        monkeypatch.setenv("T5COREF_PREPARED", str(tmp_path / "prepared"))
        return folder

    return make


@pytest.mark.parametrize("name", sorted(set(linearize.FORMATS) - set(linearize.PLAIN_TEXT)))
def test_rows_are_the_same(task, prepared, name):
    made = task(linearization=name)
    direct = {split: rows(made, split) for split in ("train", "validation")}
    prepared(name)
    assert made.source.list_shards("train")[0].endswith("train.tfrecord-00000-of-00003")
    for split, expected in direct.items():
        found = rows(made, split)
        assert found.keys() == expected.keys()
        for key, row in found.items():
            for field, value in row.items():
                np.testing.assert_array_equal(value, expected[key][field])
                assert np.asarray(value).dtype == np.asarray(expected[key][field]).dtype
        assert made.num_input_examples(split) == len(expected)


def test_neither_corpus_nor_tokenizer_are_needed(task, prepared, monkeypatch):
    prepared()
    monkeypatch.setenv("T5COREF_DATA", "/nowhere")
    monkeypatch.delenv("T5COREF_TOKENIZER")
    made = task(files={"train": "no-such-file"})
    assert made.splits == ("train", "validation")
    assert rows(made, "validation")
    assert task_vocabulary(made).vocab_size == task_linearization(made).tokenizer.size


def test_they_may_lie_in_another_file_system(task, prepared, monkeypatch):
    folder = prepared()
    made = task()
    local = rows(made, "train")
    monkeypatch.setenv("T5COREF_PREPARED", f"file://{folder.parent}")
    monkeypatch.delenv("T5COREF_TOKENIZER")
    assert made.source.list_shards("train")[0].startswith("file://")
    assert rows(made, "train").keys() == local.keys()


def test_options_are_those_of_the_data(task, prepared):
    prepared(window=12)
    made = task()
    assert task_linearization(made).window == 12
    assert max(len(row["inputs"]) for row in rows(made, "train").values()) <= 12


def test_hosts_read_files_of_their_own(task, prepared):
    prepared(shards=4)
    made = task()
    parts = [rows(made, "train", shard_info=seqio.ShardInfo(i, 2)) for i in range(2)]
    assert not parts[0].keys() & parts[1].keys()
    assert parts[0].keys() | parts[1].keys() == rows(made, "train").keys()


def test_another_format_is_refused(task, prepared):
    prepared("tagging")
    with pytest.raises(MismatchError, match=r"holds tagging.*expects full-copy"):
        rows(task(), "train")


def test_another_tokenizer_is_refused(task, prepared, tokenizer, tmp_path, monkeypatch):
    prepared()
    tokenizer.save(tmp_path)
    monkeypatch.setenv("T5COREF_TOKENIZER", str(tmp_path))
    with pytest.raises(MismatchError, match="fingerprint"):
        rows(task(), "train")


def test_a_split_that_is_not_prepared_is_named(task, prepared):
    prepared()
    with pytest.raises(MismatchError, match="no split 'test'; it has train, validation"):
        rows(task(), "test")

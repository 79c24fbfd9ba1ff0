"""Prepared rows: the same bytes always, resumed after a kill, never mixed."""

from __future__ import annotations

import dataclasses
import pathlib
import random
import signal
import subprocess
import sys

import fsspec
import pytest

from t5coref.core.errors import ConfigError, MismatchError
from t5coref.mrp.corpus import Corpus
from t5coref.mrp.nouns import TaggedText
from t5coref.mrp.pieces import Ids
from t5coref.mrp.prepare import prepare
from t5coref.mrp.rows import read_manifest, read_rows
from t5coref.mrp.tagged import to_json
from t5coref.mrp.workers import Job, Maker
from t5coref.tokenizer import Tokenizer

SHARD = 3000
"""Characters: two texts a shard."""


def tagged(number):
    """A text of 120 words, hand-made: its nouns come again."""
    rng = random.Random(number)
    words, tags, glued = [], [], []
    for _ in range(20):
        for word, tag in (("the", "DT"), (rng.choice(("dog", "house", "cat")), "NN"),
                          ("saw", "VBD"), (rng.choice(("Anna", "Ben")), "NNP"), ("near", "IN"),
                          (".", ".")):  # fmt: skip
            if word == ".":
                glued.append(len(words))
            words.append(word)
            tags.append(tag)
    return TaggedText(f"t{number}", words, tags, glued)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with seven tagged texts in two files."""
    folder = tmp_path_factory.mktemp("tagged")
    (folder / "a.jsonl").write_text("".join(to_json(tagged(i)) for i in range(5)))
    (folder / "b.jsonl").write_text("".join(to_json(tagged(i)) for i in range(5, 7)))
    return str(folder)


@pytest.fixture(scope="module")
def job(tokenizer):
    return Job(tokenizer.model, None, length=300)


def run(folder, inputs, job, **options):
    return prepare(str(folder), Corpus([inputs], "tagged"), job, shard_size=SHARD, **options)


def content(folder):
    return {f.name: f.read_bytes() for f in sorted(pathlib.Path(folder).iterdir())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, inputs, job):
    """A finished folder."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder, inputs, job)
    return folder


def test_rows_are_those_of_the_maker_in_order(whole, job):
    rows = read_rows(whole)
    maker = Maker(job)
    expected = [s for i in range(7) for s in maker.samples(tagged(i), i)]
    assert [row.name for row in rows] == [sample.row.name for sample in expected]
    assert rows[0].name == "t0:0"
    for row, sample in zip(rows, expected, strict=True):
        assert row.inputs.tolist() == sample.row.inputs.tolist()
        assert row.ref_start.tolist() == sample.row.ref_start.tolist()


def test_the_manifest_counts(whole, job):
    manifest, rows = read_manifest(str(whole)), read_rows(whole)
    totals = manifest["totals"]
    assert len(manifest["shards"]) > 2
    assert totals["texts"] == 7
    assert totals["rows"] == len(rows) == sum(shard["rows"] for shard in manifest["shards"])
    assert totals["queries"] == sum(len(row.query_start) for row in rows) > 0
    assert totals["referents"] == sum(int(row.ref_mask.sum()) for row in rows)
    spans = sum(len(row.inputs) + len(row.targets) for row in rows)
    # What is masked is in the targets, with one sentinel more than in the inputs.
    ids = Ids.of(Tokenizer(job.model, ()))
    n = sum(int((row.inputs >= ids.mask).sum()) for row in rows)
    assert totals["pieces"] == spans - 2 * n - 3 * len(rows)
    assert manifest["settings"]["mode"] == "sentinel_span"
    assert {"t5coref", "sentencepiece"} == set(manifest["versions"])


KILLED = """
import os, pathlib, signal, sys
from t5coref.mrp.corpus import Corpus
from t5coref.mrp.prepare import prepare
from t5coref.mrp.workers import Job

class Killer:
    shards = 0
    def finished(self, position, size, totals, *, kept):
        self.shards += 1
        if self.shards == 2:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    folder, inputs, model = sys.argv[1:]
    job = Job(pathlib.Path(model).read_bytes(), None, length=300)
    prepare(folder, Corpus([inputs], "tagged"), job, shard_size=%d, workers=2, listener=Killer())
"""


def test_a_killed_job_of_two_workers_goes_on(tmp_path, inputs, job, whole):
    (tmp_path / "model").write_bytes(job.model)
    script, folder = tmp_path / "killed.py", tmp_path / "out"
    script.write_text(KILLED % SHARD)
    command = [sys.executable, script, folder, inputs, tmp_path / "model"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(Exception, match="goes on when the same command is started again"):
        read_rows(folder)
    made = {f: f.stat().st_mtime_ns for f in folder.glob("*.mrp")}
    assert 2 <= len(made) < len(list(whole.glob("*.mrp")))
    heard = []
    run(folder, inputs, job, listener=_Ears(heard))
    assert heard.count(True) == 2
    assert content(folder) == content(whole)


class _Ears:
    """Notes which shards were kept."""

    def __init__(self, heard):
        self._heard = heard

    def finished(self, position, size, totals, *, kept):
        assert 0 <= position <= size
        assert totals["rows"]
        self._heard.append(kept)


class KilledError(Exception):
    """Stands for a kill."""


class _Stop:
    def finished(self, position, size, totals, *, kept):
        raise KilledError


def test_a_finished_folder_is_left_as_it_is(tmp_path, inputs, job, whole):
    run(tmp_path, inputs, job)
    times = {f: f.stat().st_mtime_ns for f in tmp_path.glob("*.mrp")}
    heard = []
    run(tmp_path, inputs, job, listener=_Ears(heard))
    assert all(heard)
    assert {f: f.stat().st_mtime_ns for f in times} == times
    min(times).unlink()  # a lost shard is made again
    run(tmp_path, inputs, job)
    assert content(tmp_path) == content(whole)


@pytest.mark.parametrize("finished", [True, False])
def test_settings_and_texts_are_never_mixed(tmp_path, inputs, job, finished):
    if finished:
        run(tmp_path, inputs, job)
    else:
        with pytest.raises(KilledError):
            run(tmp_path, inputs, job, listener=_Stop())
    for change, message in (
        ({"seed": 1}, "seed = 0, now it is 1"),
        ({"mode": "inplace"}, "mode = 'sentinel_span'"),
        ({"length": 90}, "length"),
    ):
        with pytest.raises(MismatchError, match=message):
            run(tmp_path, inputs, dataclasses.replace(job, **change))
    with pytest.raises(MismatchError, match=r"rows-00000\.mrp was made of other texts"):
        run(tmp_path, f"{inputs}/b.jsonl", job)
    if finished:
        with pytest.raises(MismatchError, match="was made of other texts"):
            run(tmp_path, f"{inputs}/a.jsonl", job)


def test_another_seed_masks_other_words(tmp_path, inputs, job, whole):
    run(tmp_path, inputs, dataclasses.replace(job, seed=1))
    rows, others = read_rows(tmp_path), read_rows(whole)
    assert any(a.inputs.tolist() != b.inputs.tolist() for a, b in zip(rows, others, strict=False))


def test_masking_in_place_is_a_choice_of_function(tmp_path, inputs, job):
    run(tmp_path, inputs, dataclasses.replace(job, mode="inplace"))
    assert all(len(row.inputs) == len(row.targets) for row in read_rows(tmp_path))
    with pytest.raises(ConfigError, match="mode inplace only"):
        dataclasses.replace(job, keep_masked_referents=True)
    with pytest.raises(ConfigError, match="expected sentinel_span or inplace"):
        dataclasses.replace(job, mode="bert")
    with pytest.raises(ConfigError, match="length 64"):
        dataclasses.replace(job, length=64)


def test_stores(inputs, job, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run("memory://mrp_out/x", inputs, job)
    store = fsspec.filesystem("memory")
    assert {f.rsplit("/", 1)[1] for f in store.find("/mrp_out/x")} == content(whole).keys()
    rows = read_rows("memory://mrp_out/x")
    assert [row.name for row in rows] == [row.name for row in read_rows(whole)]


def test_the_limit(tmp_path, inputs, job):
    manifest = run(tmp_path, inputs, job, limit=3)
    assert manifest.totals["texts"] == 3
    with pytest.raises(ConfigError, match="limit 0"):
        run(tmp_path, inputs, job, limit=0)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline that tags at random."""
    import spacy

    folder = tmp_path_factory.mktemp("pipeline") / "random"
    nlp = spacy.blank("en")
    tagger = nlp.add_pipe("tagger")
    for tag in ("NN", "NNP", "VBD", "DT"):
        tagger.add_label(tag)
    nlp.initialize()
    nlp.to_disk(folder)
    return str(folder)


def test_kept_tags_give_the_same_rows(tmp_path, job, pipeline):
    """Tagged once, masked from the tags: the same rows as without the detour."""
    text = "\n\n".join(" ".join(tagged(i).words) for i in range(4))
    (tmp_path / "text").mkdir()
    for name in ("x", "y"):
        (tmp_path / f"text/{name}.txt").write_text(f"{name} {text}")
    raw = Corpus([str(tmp_path / "text")], "text")
    tagging = dataclasses.replace(job, tagger=pipeline)
    first = prepare(
        str(tmp_path / "one"), raw, tagging, shard_size=1000, keep_tags=str(tmp_path / "tags")
    )
    assert first.settings["tagger"] == "en_pipeline 0.0.0"
    assert [f.name for f in sorted((tmp_path / "tags").glob("*"))] == [
        "tagged-00000.jsonl.gz", "tagged-00001.jsonl.gz",
    ]  # fmt: skip
    second = run(tmp_path / "two", str(tmp_path / "tags"), job)
    assert second.totals == first.totals
    assert second.totals["queries"]
    for a, b in zip(read_rows(tmp_path / "one"), read_rows(tmp_path / "two"), strict=True):
        assert a.name == b.name
        assert a.inputs.tolist() == b.inputs.tolist()
    # Tags that are wanted later are made then.
    tags = content(tmp_path / "tags")
    prepare(str(tmp_path / "one"), raw, tagging, shard_size=1000, keep_tags=str(tmp_path / "again"))
    assert content(tmp_path / "again") == tags


def test_the_tagger_must_fit_the_texts(tmp_path, inputs, job):
    with pytest.raises(ConfigError, match="the texts are tagged; leave the tagger out"):
        run(tmp_path, inputs, dataclasses.replace(job, tagger="en_core_web_sm"))
    (tmp_path / "a.txt").write_text("A dog.")
    with pytest.raises(ConfigError, match="name a spaCy pipeline as the tagger"):
        prepare(str(tmp_path / "out"), Corpus([str(tmp_path)], "text"), job)


def test_too_little_text(tmp_path, job):
    (tmp_path / "a.jsonl").write_text(to_json(TaggedText("a", ["dog"], ["NN"], [])))
    with pytest.raises(ConfigError, match="no sequence in 1 texts of 1 files"):
        run(tmp_path / "out", str(tmp_path / "a.jsonl"), job)

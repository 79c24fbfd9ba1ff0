"""Prediction jobs: what is written, resuming, kills, bad input."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import pytest

from t5coref import cli, corpora, jobs
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.corpora import jsonl
from t5coref.predict import Predictor, error_of

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def predictor(model):
    return Predictor(model, batch_size=4, round_size=4, devices=jax.devices()[:1])


@pytest.fixture(scope="module")
def story_file(stories, tmp_path_factory):
    path = tmp_path_factory.mktemp("inputs") / "stories.jsonl"
    jsonl.write(stories, path)
    return path


def run(predictor, path, output, **options):
    return jobs.run(predictor, jobs.read_inputs([path], None), output, **options)


class StopError(Exception):
    pass


class StopAfter:
    """A listener that stops the job after some documents."""

    def __init__(self, documents):
        self.left = documents
        self.already = 0

    def resumed(self, records):
        self.already = records

    def advanced(self, records):
        self.left -= len(records)
        if self.left <= 0:
            raise StopError


def test_records_hold_the_documents(predictor, stories, story_file, tmp_path):
    output = tmp_path / "out.jsonl"
    assert run(predictor, story_file, output) == 0
    predictor.memory = None  # what is guessed changes the last digits of confidences
    expected = map(jsonl.dumps, predictor.predict(stories))
    assert output.read_text("utf-8") == "".join(expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.job.json"]
    card = json.loads((tmp_path / "out.jsonl.job.json").read_text())
    assert card["model"]["tokenizer"]["fingerprint"] == predictor.model.tokenizer.fingerprint
    with pytest.raises(ConfigError, match="exists"):
        run(predictor, story_file, output)
    assert run(predictor, story_file, output, overwrite=True) == 0


def test_resumes_after_the_last_complete_round(predictor, story_file, tmp_path):
    run(predictor, story_file, tmp_path / "whole.jsonl")
    output = tmp_path / "parts.jsonl"
    partial = tmp_path / "parts.jsonl.partial"
    with pytest.raises(StopError):
        run(predictor, story_file, output, listener=StopAfter(12))
    # A kill may leave half a round, and half a line.
    rows = partial.read_bytes().splitlines(keepends=True)
    assert len(rows) == 12
    partial.write_bytes(b"".join(rows[:10]) + rows[10][:20])
    listener = StopAfter(1000)
    run(predictor, story_file, output, listener=listener)
    assert listener.already == 8
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not partial.exists()


def test_refuses_to_resume_another_job(predictor, model, story_file, stories, tmp_path):
    output = tmp_path / "out.jsonl"
    with pytest.raises(StopError):
        run(predictor, story_file, output, listener=StopAfter(8))
    with pytest.raises(MismatchError, match="output_format"):
        run(predictor, story_file, output, output_format="conllu")
    other = Predictor(model, batch_size=2, round_size=4, devices=jax.devices()[:1])
    with pytest.raises(MismatchError, match="batch_size"):
        run(other, story_file, output)
    with pytest.raises(MismatchError, match="resume with the same input"):
        jobs.run(predictor, stories[1:], output)
    assert jobs.run(predictor, stories[:5], output, overwrite=True) == 0
    assert len(list(jsonl.read(output))) == 5


@pytest.mark.parametrize("name", ["conll2012", "conllu"])
def test_exchange_formats(predictor, stories, story_file, tmp_path, name):
    output = tmp_path / f"out.{name}"
    assert run(predictor, story_file, output, output_format=name) == 0
    written = {d.doc_id: d for d in corpora.read(output, name)}
    for expected in predictor.predict(stories):
        found = written[expected.doc_id]
        assert found.words == expected.words
        clusters = (sorted(d.annotation.clusters) for d in (found, expected))
        assert next(clusters) == next(clusters)
    with pytest.raises(ConfigError, match="read only"):
        run(predictor, story_file, tmp_path / "x", output_format="text")


def test_bad_documents_become_error_records(predictor, stories, tmp_path):
    path = tmp_path / "in.jsonl"
    good = [jsonl.dumps(d) for d in stories[1:4]]
    bad = ['{"doc_id": "broken"\n', '{"doc_id": "empty-word", "tokens": ["a", ""]}\n']
    path.write_text(good[0] + bad[0] + good[1] + bad[1] + good[2], encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    output = tmp_path / "out.jsonl"
    inputs = jobs.read_inputs([path, tmp_path / "latin.txt"], None)
    assert jobs.run(predictor, inputs, output) == 3
    records = list(jsonl.read(output))
    assert [error_of(d) is None for d in records] == [True, False, True, False, True, False]
    assert "in.jsonl:2" in records[1].doc_id
    assert "empty-word" in error_of(records[3])
    assert "UTF-8" in error_of(records[5])
    as_conll = tmp_path / "out.conll"
    inputs = jobs.read_inputs([path], None)
    assert jobs.run(predictor, inputs, as_conll, output_format="conll2012") == 2
    assert len(list(corpora.read(as_conll, "conll2012"))) == 3
    assert len(list(jsonl.read(tmp_path / "out.conll.errors.jsonl"))) == 2


def test_raw_text_comes_back_with_character_offsets(model_folder, tmp_path, capsys):
    text = "She saw him.\r\n\r\n  The dog, it  saw the house — Zoë's!\n"
    (tmp_path / "story.txt").write_bytes(text.encode())
    output = tmp_path / "o.jsonl"
    status = cli.main(
        ["predict", "--model", str(model_folder), "--input", str(tmp_path / "story.txt"),
         "--output", str(output), "--quiet"]
    )  # fmt: skip
    assert status == 0, capsys.readouterr().err
    record = json.loads(output.read_text("utf-8"))
    assert record["doc_id"] == "story"
    assert record["text"] == text
    for (start, end), word in zip(record["token_offsets"], record["tokens"], strict=True):
        assert text[start:end] == word
    assert record["clusters"]
    for words, characters in zip(record["clusters"], record["char_clusters"], strict=True):
        for (a, b), (start, end) in zip(words, characters, strict=True):
            assert start == record["token_offsets"][a][0]
            assert end == record["token_offsets"][b - 1][1]


def test_standard_output(model_folder, story_file, stories, capsys):
    status = cli.main(
        ["predict", "--model", str(model_folder), "--input", str(story_file), "--output", "-",
         "--quiet"]
    )  # fmt: skip
    captured = capsys.readouterr()
    assert status == 0, captured.err
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert [r["doc_id"] for r in rows] == [d.doc_id for d in stories]


def test_evaluate_scores_like_score(model_folder, stories, tmp_path, capsys, predictor):
    gold = [d.with_annotation(p.annotation) for d, p in
            zip(stories, predictor.predict(stories), strict=True)]  # fmt: skip
    jsonl.write(gold, tmp_path / "gold.jsonl")
    args = ["evaluate", "--model", str(model_folder), "--corpus", "jsonl", "--json",
            str(tmp_path / "gold.jsonl")]  # fmt: skip
    assert cli.main(args) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["conll"]["f1"] == pytest.approx(1.0)
    assert set(scores) >= {"muc", "b3", "ceafe", "conll", "mentions"}


def test_command_line_errors_are_short(model_folder, tmp_path, capsys):
    cases = [
        (["predict", "--model", str(tmp_path), "--input", __file__, "--output", "x"], "no t5coref"),
        (["predict", "--model", str(model_folder), "--input", "nowhere", "--output", "x"],
         "no input 'nowhere'"),
        (["predict", "--model", str(model_folder), "--input", "-", "-", "--output", "x"], "twice"),
    ]  # fmt: skip
    for args, message in cases:
        assert cli.main(args) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error


def test_kill_and_restart_give_the_uninterrupted_result(model_folder, stories, tmp_path):
    many = tmp_path / "many.jsonl"
    jsonl.write([d for _ in range(6) for d in stories], many)
    env = {**os.environ, "XLA_FLAGS": "", "PYTHONPATH": str(ROOT)}

    def command(output):
        start = [sys.executable, "-m", "t5coref", "predict", "--model", str(model_folder)]
        files = ["--input", str(many), "--output", str(output)]
        return [*start, "--batch-size", "4", "--quiet", *files]

    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    partial = tmp_path / "parts.jsonl.partial"
    victim = subprocess.Popen(command(parts), env=env)
    while not partial.exists() or partial.stat().st_size < 20_000:
        assert victim.poll() is None, "ended before it could be killed"
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert not parts.exists()
    left = partial.read_bytes().count(b"\n")
    assert 0 < left < 6 * len(stories)
    for output in (parts, whole):
        done = subprocess.run(command(output), env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert parts.read_bytes() == whole.read_bytes()

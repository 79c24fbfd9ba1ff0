"""`t5coref train` from the outside: its files, its words, and what kill and kill -9 do to it."""

from __future__ import annotations

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import gin
import numpy as np
import pytest
from safetensors.numpy import load_file

from t5coref import cli, corpora
from t5coref.cli.gin_files import load
from t5coref.train import logbook
from t5coref.train.logbook import without_clock

STEPS = 12

CONFIG = f"""
include 'gin/models/tiny.gin'
include 'gin/runs/train.gin'
include 'gin/runs/files.gin'

STEPS = {STEPS}
LEARNING_RATE = 1e-2
BATCH_SIZE = 4
CORPUS = 'jsonl'
VOCABULARY = @vocabulary()
vocabulary.documents = @training/corpus_files()
vocabulary.size = 120

Format.options = {{'window': 64, 'max_clusters': 8, 'max_depth': 4}}
T5Config.emb_dim = 16
T5Config.num_heads = 2
T5Config.head_dim = 8
T5Config.mlp_dim = 32
T5Config.num_encoder_layers = 1
T5Config.num_decoder_layers = 1

train.eval_every = 4
train.save_every = 1
train.target_ratio = 2.0
train.max_source_length = 32
train.max_target_length = 96
train.fixed_lengths = True
"""


@pytest.fixture(scope="module")
def arguments(stories, tmp_path_factory):
    """Output folder -> arguments of the program."""
    folder = tmp_path_factory.mktemp("files")
    corpora.get("jsonl").module.write(stories, folder / "stories.jsonl")
    (folder / "tiny.gin").write_text(CONFIG)
    (folder / "dev.ids").write_text("".join(f"{d.doc_id}\n" for d in stories[:2]))

    def made(output):
        return [
            "train",
            "--gin_file", str(folder / "tiny.gin"),
            f"--gin.TRAIN_FILES={folder}/*.jsonl",
            f"--gin.DEV_FILES={folder}/stories.jsonl",
            f"--gin.DEV_IDS={folder}/dev.ids",
            f"--gin.OUTPUT={output}",
        ]  # fmt: skip

    return made


@pytest.fixture(scope="module")
def finished(arguments, tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    output = tmp_path_factory.mktemp("finished") / "run"
    assert cli.main(arguments(output)) == 0
    return output


def start(arguments, output):
    """The program in a process of its own."""
    root = pathlib.Path(__file__).parents[2]
    with (output.parent / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "t5coref", *arguments(output)],
            stdout=log,
            stderr=log,
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
        )


def lines(output):
    try:
        return (output / logbook.METRICS_FILE).read_text().count("\n")
    except FileNotFoundError:
        return 0


def kill_after(process, output, rows):
    """Ends the process, with no chance to clean up, once the log has so many rows."""
    while lines(output) < rows:
        assert process.poll() is None, (output.parent / "log").read_text()
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def ask_to_stop(process, output, rows):
    """Sends SIGTERM once the log has so many rows; the exit status."""
    while lines(output) < rows:
        assert process.poll() is None, (output.parent / "log").read_text()
        time.sleep(0.002)
    process.terminate()
    return process.wait()


def assert_same_result(one, other):
    rows = [[without_clock(r) for r in logbook.read(folder)] for folder in (one, other)]
    assert rows[0] == rows[1]
    for name in ("best", "last"):
        weights, weights2 = (load_file(f / name / "model.safetensors") for f in (one, other))
        assert weights.keys() == weights2.keys()
        for key in weights:
            np.testing.assert_array_equal(weights[key], weights2[key], err_msg=key)
    assert (one / "best.json").read_text() == (other / "best.json").read_text()


def test_files_of_a_run(finished):
    names = {path.name for path in finished.iterdir()}
    assert names >= {"best", "last", "checkpoints", "config.gin", "metrics.jsonl", "tensorboard"}
    kinds = [row["kind"] for row in logbook.read(finished)]
    assert (kinds.count("train"), kinds.count("dev")) == (STEPS, 3)


def test_config_of_a_run_can_be_read_again(finished):
    load([str(finished / "config.gin")])
    assert gin.query_parameter("train.eval_every") == 4
    assert "train.output_dir" in gin.config_str()


def test_trained_model_predicts(finished, tmp_path, capsys):
    story = tmp_path / "story.txt"
    story.write_text("Anna found a hat. She took it.")
    output = tmp_path / "out.jsonl"
    arguments = ["--input", str(story), "--output", str(output), "--quiet"]
    assert cli.main(["predict", "--model", str(finished / "best"), *arguments]) == 0
    assert json.loads(output.read_text())["tokens"][:2] == ["Anna", "found"]


def test_killed_and_started_again(finished, arguments, tmp_path):
    output = tmp_path / "run"
    kill_after(start(arguments, output), output, rows=7)
    again = start(arguments, output)
    assert again.wait() == 0, (tmp_path / "log").read_text()
    assert "going on after step" in (tmp_path / "log").read_text()
    assert_same_result(finished, output)


def test_stopped_and_started_again(finished, arguments, tmp_path):
    output, log = tmp_path / "run", tmp_path / "log"
    assert ask_to_stop(start(arguments, output), output, rows=2) == 143, log.read_text()
    *_, noted, said = log.read_text().splitlines()
    assert noted == "stopping when this step is saved; a second signal ends at once"
    step = max(int(path.name) for path in (output / "checkpoints").iterdir())
    assert said == (
        f"stopped after step {step} of {STEPS}, which is saved; start the same command again to "
        "go on"
    )
    assert start(arguments, output).wait() == 0, log.read_text()
    assert f"going on after step {step}\n" in log.read_text()
    assert_same_result(finished, output)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments(finished, arguments, tmp_path, seed):
    output, rng = tmp_path / "run", random.Random(seed)
    for _ in range(4):
        process = start(arguments, output)
        kill_after(process, output, rows=rng.randint(1, STEPS + 2)) if rng.random() < 0.7 else None
        if process.poll() is None:  # some moment, perhaps before the first step
            time.sleep(rng.uniform(0, 15))
            process.kill()
            process.wait()
    again = start(arguments, output)
    assert again.wait() == 0, (tmp_path / "log").read_text()
    assert_same_result(finished, output)


def test_what_is_said(arguments, finished, capsys):
    assert cli.main(arguments(finished)) == 0  # finished already
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("CoNLL F1 ")
    assert out.splitlines()[1] == f"model: {finished / 'best'}"
    assert "12 examples" in err
    assert f"going on after step {STEPS}" in err
    assert cli.main([*arguments(finished), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("--gin.train.stepz=3", "did you mean steps"),
        ("--gin.trian.steps=3", "did you mean train"),
        ("--gin.TRAIN_FILE=x", "did you mean TRAIN_FILES"),
        ("--gin.TRAIN_FILES=nowhere/*.x", "no file matches 'nowhere/*.x'"),
        ("--gin.adamw.warmup=2.0", "warmup 2.0 is 24 of 12 steps"),
        ("--gin.STEPS", "expected --gin.NAME=VALUE"),
    ],
)
def test_mistakes_are_explained(arguments, tmp_path, capsys, binding, message):
    assert cli.main([*arguments(tmp_path / "run"), binding]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert "In call to" not in err


def test_required_values_are_asked_for(capsys):
    assert cli.main(["train", "--gin_file", "gin/experiments/litbank_small.gin"]) == 2
    err = capsys.readouterr().err
    for name in ("MODEL", "TRAIN_FILES", "DEV_FILES", "OUTPUT"):
        assert f"--gin.{name}=" in err


def test_missing_file(capsys):
    assert cli.main(["train", "--gin_file", "nowhere.gin"]) == 2
    assert "nowhere.gin" in capsys.readouterr().err

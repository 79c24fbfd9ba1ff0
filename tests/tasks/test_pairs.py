"""GLUE and FEVER as text-to-text tasks: where their files are, rows, scores of gold texts."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("seqio")

import seqio

import tasks
from t5coref.core.errors import ConfigError
from t5coref.downstream.glue import TASKS
from t5coref.tokenizer import Tokenizer

NAMES = [*(f"glue_{name}" for name in TASKS), "fever", "fever_symmetric"]


@pytest.fixture
def data(tmp_path, monkeypatch):
    Tokenizer.train(["mnli hypothesis premise a b fever claim evidence supports"], 40, ()).save(
        tmp_path
    )
    monkeypatch.setenv("T5COREF_DATA", str(tmp_path))
    monkeypatch.setenv("T5COREF_TOKENIZER", str(tmp_path))
    return tmp_path


def test_they_are_registered():
    assert tasks.glue is not None
    assert {name for name in NAMES if name in seqio.TaskRegistry.names()} == set(NAMES)


def test_splits_of_glue(data):
    assert seqio.TaskRegistry.get("glue_mnli").splits == (
        "train", "validation", "validation_mismatched", "test", "test_mismatched",
    )  # fmt: skip
    folder = data / "glue" / "MNLI"
    folder.mkdir(parents=True)
    header = "index\tsentence1\tsentence2\tgold_label\n"
    (folder / "dev_mismatched.tsv").write_text(
        f"{header}0\ta\tb\tneutral\nbroken\n1\ta\tb\tneutral\n"
    )
    recipe = seqio.TaskRegistry.get("glue_mnli").recipe
    examples = recipe.examples("validation_mismatched")
    assert [e.targets for e in examples] == ["neutral", "neutral"]
    assert examples[0].inputs == "mnli hypothesis: b premise: a"
    (metric,) = recipe.metrics
    assert metric(examples, ["neutral", "entailment"])["accuracy"] == 50.0


def test_rows_of_fever(data):
    folder = data / "fever"
    folder.mkdir()
    claim = {"id": 1, "claim": "a", "label": "SUPPORTS", "evidence": [["B", 0, "b", 0.5]]}
    (folder / "dev.jsonl").write_text(json.dumps(claim) + "\n")
    task = seqio.TaskRegistry.get("fever")
    (row,) = task.get_dataset({"inputs": 64, "targets": 32}, "validation").as_numpy_iterator()
    vocabulary = task.output_features["inputs"].vocabulary
    assert vocabulary.decode(row["targets"].tolist()) == "supports"


@pytest.mark.parametrize("name", NAMES)
def test_sets_that_are_not_there_are_asked_for(name, data):
    recipe = seqio.TaskRegistry.get(name).recipe
    for split in recipe.files:
        with pytest.raises(ConfigError, match=r"no file matches .*docs/downstream\.md"):
            recipe.examples(split)

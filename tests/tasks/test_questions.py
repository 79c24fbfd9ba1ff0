"""Tasks of questions: names, splits, rows and scores from files in the published layouts."""

from __future__ import annotations

import gzip
import json

import pytest

pytest.importorskip("seqio")

import seqio
from seqio import test_utils

import tasks
from t5coref.core.errors import ConfigError

TEXT = "the dog saw it . she saw him near the old house ."
NAMES = ("squad", "squad2", "quoref")
SETS = ("newsqa", "triviaqa", "searchqa", "hotpotqa", "naturalquestions", "squad")


@pytest.fixture
def folder(environment, tmp_path, monkeypatch):
    monkeypatch.setenv("T5COREF_DATA", str(tmp_path))
    # One answer: the small vocabulary of the tests does not have what stands between several.
    answers = [{"text": "dog", "answer_start": TEXT.index("dog")}]
    question = {"id": "q1", "question": "who ?", "answers": answers}
    content = {"data": [{"paragraphs": [{"context": TEXT, "qas": [question]}]}]}
    for name in ("squad/dev-v1.1", "squad/dev-v2.0", "quoref/quoref-dev-v0.1"):
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_seqio_tests_every_task(name, folder):
    task = seqio.TaskRegistry.get(name)
    (example,) = task.recipe.examples("validation")
    texts = {"inputs": example.inputs, "targets": example.targets, "example": packed(example)}
    raw = {"validation": texts}
    scores = test_utils.test_postprocessing(
        name,
        raw,
        predict_output=[example.targets],
        feature_encoder=seqio.EncDecFeatureConverter(pack=False),
    )
    assert scores == {"exact": 100.0, "f1": 100.0}


def packed(example):
    found = {"name": example.name, "references": example.references, "data": example.data}
    return json.dumps(dict(found))


def test_mrqa_has_six_sets_and_halves_of_their_dev_files(folder):
    assert {task for task in seqio.TaskRegistry.names() if task.startswith("mrqa_")} == {
        f"mrqa_{name}" for name in SETS
    }
    (folder / "mrqa" / "dev").mkdir(parents=True)
    lines = [json.dumps({"header": {"dataset": "NewsQA", "split": "dev"}})]
    for i in range(4):
        detected = {"text": "dog", "char_spans": [[4, 6]], "token_spans": [[0, 0]]}
        question = {"qid": f"q{i}", "question": "who ?", "answers": ["dog"]}
        question["detected_answers"] = [detected]
        context = {"context": f"{TEXT} {i}", "context_tokens": [["dog", 4]], "qas": [question]}
        lines.append(json.dumps(context))
    path = folder / "mrqa" / "dev" / "NewsQA.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    task = seqio.TaskRegistry.get("mrqa_newsqa")
    assert task.splits == ("train", "validation", "test", "dev")
    names = {
        split: {example.name for example in task.recipe.examples(split)}
        for split in ("validation", "test", "dev")
    }
    assert names["dev"] == {f"q{i}" for i in range(4)}
    assert names["validation"] | names["test"] == names["dev"]
    assert len(names["validation"]) == len(names["test"]) == 2


def test_where_files_have_to_be_is_said(folder):
    for name, place in (("squad", "squad/train-v1.1.json"), ("mrqa_squad", "mrqa/train/SQuAD")):
        with pytest.raises(ConfigError, match=rf"{place}.*docs/downstream.md"):
            seqio.TaskRegistry.get(name).recipe.examples("train")
    assert tasks.quoref

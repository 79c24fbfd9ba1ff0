"""Sets of ambiguous pronouns as text-to-text tasks: names, rows, scores of gold texts."""

from __future__ import annotations

import pytest

pytest.importorskip("seqio")

import seqio

import tasks
from t5coref.core.errors import ConfigError
from t5coref.downstream.pronouns.gap import COLUMNS
from t5coref.tokenizer import Tokenizer

SETS = ("gap", "dpr", "wikicrem", "wsc273", "pdp", "winogender", "winobias")
NAMES = [name for s in SETS for name in (s, f"{s}_cloze")]


@pytest.fixture
def data(tmp_path, monkeypatch):
    words = ["Ann met Eve so she sang pronoun : * neither . , she her the cat"]
    Tokenizer.train(words, 48, ()).save(tmp_path)
    monkeypatch.setenv("T5COREF_DATA", str(tmp_path))
    monkeypatch.setenv("T5COREF_TOKENIZER", str(tmp_path))
    return tmp_path


def test_they_are_registered():
    assert tasks.pronouns is not None
    assert set(NAMES) <= set(seqio.TaskRegistry.names())


def rows(name, split):
    task = seqio.TaskRegistry.get(name)
    vocabulary = task.output_features["inputs"].vocabulary
    made = task.get_dataset({"inputs": 96, "targets": 16}, split, shuffle=False)
    return [
        [vocabulary.decode(row[side].tolist()) for side in ("inputs", "targets")]
        for row in made.as_numpy_iterator()
    ]


def test_rows_of_gap(data):
    (data / "gap").mkdir()
    text = "Ann met Eve so she sang."
    lines = ["\t".join(COLUMNS)]
    for name, a, b in (("v-1", "TRUE", "FALSE"), ("v-2", "FALSE", "FALSE")):
        lines.append("\t".join([name, text, "she", "15", "Ann", "0", a, "Eve", "8", b, "url"]))
    (data / "gap" / "gap-validation.tsv").write_text("\n".join(lines) + "\n")
    assert rows("gap", "validation") == [
        ["pronoun: Ann met Eve so *she* sang.", "Ann"],
        ["pronoun: Ann met Eve so *she* sang.", "neither"],
    ]
    assert rows("gap_cloze", "validation") == [
        ["Ann met Eve so <extra_id_0> sang.", "<extra_id_0> Ann <extra_id_1>"]
    ]
    recipe = seqio.TaskRegistry.get("gap").recipe
    examples = recipe.examples("validation")
    (metric,) = recipe.metrics
    assert metric(examples, [e.targets for e in examples])["f1"] == 100.0


@pytest.mark.parametrize("name", NAMES)
def test_sets_that_are_not_there_are_asked_for(name, data):
    recipe = seqio.TaskRegistry.get(name).recipe
    for split in recipe.files:
        with pytest.raises(ConfigError, match=r"no file matches .*"):
            recipe.examples(split)

"""Every registered task: its name, its rows from real file formats, SeqIO's own test of it."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("seqio")

import gin
import seqio
from seqio import test_utils

import tasks
from t5coref import cli
from t5coref.core.errors import ConfigError
from t5coref.data.features import CorefFeatureConverter
from t5coref.data.mrp import MRPTask, UnaskedTask
from t5coref.data.task import CorefTask, coref_recipe, task_linearization
from t5coref.linearize import PLAIN_TEXT, RELATIONS

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
NAMES = GOLDEN.joinpath("tasks.txt").read_text().split()
MIXTURES = GOLDEN.joinpath("mixtures.txt").read_text().split()
WITHOUT_SINGLETONS = ("ontonotes", "ontogum")


@pytest.fixture(scope="module", autouse=True)
def plain_numerics():
    """SeqIO counts on jax's defaults."""
    import jax

    plain = {"jax_numpy_dtype_promotion": "standard", "jax_numpy_rank_promotion": "allow"}
    before = {name: getattr(jax.config, name) for name in plain}
    for name, value in plain.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def registered():
    """Tasks of ours in a process that imports nothing else."""
    code = """
import seqio, tasks
from t5coref.data.task import CorefTask
ours = [n for n in seqio.TaskRegistry.names() if isinstance(seqio.TaskRegistry.get(n), CorefTask)]
print(*sorted(ours))
print(*sorted(seqio.MixtureRegistry.names()))
"""
    environment = {"PATH": "", "T5COREF_DATA": "/nowhere"}  # neither tokenizer nor data
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=True,
    )
    return [line.split() for line in done.stdout.splitlines()]


def test_names_are_those_of_the_golden_list():
    ours, mixtures = registered()
    assert ours == NAMES
    assert mixtures == MIXTURES


FOLDS = re.compile(r"litbank_fold[1-9]_")  # they differ from fold 0 in lists of ids alone


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if FOLDS.match(n) else []) for n in NAMES],
)
def test_seqio_tests_every_task(name, environment):
    task = seqio.TaskRegistry.get(name)
    assert isinstance(task, CorefTask)
    row = task.source.rows("validation")[0]
    if task.recipe.linearization in ("qa-passage", "qa-text"):
        # A passage a question; SeqIO's test has one example alone, which is no whole document.
        with pytest.raises(ValueError, match="none has all of its windows"):
            test_utils.test_task(name, {"validation": {**row, "answers": row["targets"][None]}},
                                 output_feature_name="answers",
                                 feature_encoder=CorefFeatureConverter())  # fmt: skip
        return
    if task.recipe.linearization in PLAIN_TEXT:  # without a metric, which SeqIO's test asks for
        assert not task.metric_objs
        dataset = task.get_dataset(None, "validation", shuffle=False)
        found = next(iter(dataset.as_numpy_iterator()))
        np.testing.assert_array_equal(found["targets"], row["targets"])
        return
    # The evaluator is given what `answers` holds: one answer, the gold one.
    raw = {"validation": {**row, "answers": row["targets"][None]}}
    output, scores = test_utils.test_task(
        name, raw, output_feature_name="answers", feature_encoder=CorefFeatureConverter()
    )
    np.testing.assert_array_equal(output["targets"], row["targets"])
    assert scores["conll_f1"] == 100.0
    assert scores["mention_f1"] == 100.0
    assert scores["documents"] == 1
    if task.recipe.linearization in RELATIONS:
        assert scores["re_f1"] == 100.0


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith("_full_copy")])
def test_every_split_is_read_from_its_files(name, environment):
    task = seqio.TaskRegistry.get(name)
    assert task.splits == ("train", "validation", "test")
    found = {split: {r["doc_id"] for r in task.source.rows(split)} for split in task.splits}
    assert all(found.values())
    if name.startswith("litbank"):
        assert len(set.union(*found.values())) == 3
    without = name.startswith(WITHOUT_SINGLETONS)
    assert task.recipe.remove_singletons == without
    assert task_linearization(name).min_mentions == (2 if without else 1)


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("redocred")])
def test_relations_are_those_of_the_corpus(name, environment):
    task = seqio.TaskRegistry.get(name)
    assert {split: len(task.source.rows(split)) for split in task.splits} == {
        "train": 1, "validation": 1, "test": 1
    }  # fmt: skip
    format_ = task_linearization(name)
    assert format_.relations == ("P6", "P17")
    assert format_.entity_types == ("LOC", "MISC", "NUM", "ORG", "PER", "TIME")


def test_prepare_finds_them(environment, data, tmp_path, monkeypatch):
    output = tmp_path / "prepared" / "redocred_relation_copy"
    arguments = ["--data", data, "--tokenizer", data, "--output", output, "--workers", 1]
    given = ["prepare", "--task", output.name, "--quiet", *arguments]
    assert cli.main([*map(str, given), "--option", "window=300"]) == 0
    monkeypatch.setenv("T5COREF_PREPARED", str(output.parent))
    monkeypatch.setenv("T5COREF_DATA", "/nowhere")
    format_ = task_linearization(output.name)
    assert (format_.window, format_.relations) == (300, ("P6", "P17"))
    assert seqio.TaskRegistry.get(output.name).num_input_examples("train") == 1


@pytest.mark.parametrize("name", [n for n in MIXTURES if n.startswith("joint")])
def test_mixtures_hold_tasks_of_one_format(name, environment):
    mixture = seqio.MixtureRegistry.get(name)
    assert len(mixture.tasks) == 3
    assert {coref_recipe(task).linearization for task in mixture.tasks} == {
        coref_recipe(name).linearization
    }
    lengths = {"inputs": 2048, "targets": 4096, "feeds": 4096}
    drawn = mixture.get_dataset(lengths, "train", seed=0).take(4)
    assert len(list(drawn)) == 4


def test_a_mixture_with_hidden_mentions(environment):
    """Its coreference tasks are those of the mixture without them, with features for queries."""
    mixture = seqio.MixtureRegistry.get("mrp_joint_full_copy")
    kinds = {task.name: type(task) for task in mixture.tasks}
    plain = {task.name for task in seqio.MixtureRegistry.get("joint_full_copy").tasks}
    assert kinds == {"mrp_joint_full_copy_mrp": MRPTask} | {
        f"mrp_joint_full_copy_{name}": UnaskedTask for name in plain
    }
    assert len({tuple(sorted(task.output_features)) for task in mixture.tasks}) == 1


@pytest.mark.parametrize(
    "name",
    [
        "ontonotes_tagging",
        "preco_tagging",
        "corefud_tagging",
        "codicrac_tagging",
        "litbank_fold3_tagging",
        "redocred_relation_copy",
    ],
)
def test_a_corpus_that_is_not_there_is_asked_for(name, environment, monkeypatch):
    monkeypatch.setenv("T5COREF_DATA", "/nowhere")
    folder = name.split("_")[0]
    with pytest.raises(ConfigError, match=rf"/nowhere/{folder}/.*docs/seqio\.md"):
        seqio.TaskRegistry.get(name).source.rows("train")


def test_gin_binds_the_settings(environment, monkeypatch, data):
    monkeypatch.delenv("T5COREF_TOKENIZER")
    text = f"""
from __gin__ import dynamic_registration
import tasks
tasks.settings.tokenizer = {str(data)!r}
tasks.settings.options = {{'window': 12}}
"""
    try:
        with gin.unlock_config():
            gin.parse_config(text)
        assert task_linearization("gum_full_copy").window == 12
    finally:
        with gin.unlock_config():
            gin.clear_config()
    with pytest.raises(ConfigError, match="tokenizer"):
        task_linearization("gum_full_copy")
    assert tasks.settings().tokenizer is None


class TestRealData:
    """Corpora of the shared folder, straight from their files."""

    @pytest.mark.parametrize(
        ("name", "split", "documents"),
        [
            ("litbank_fold2_full_copy", "validation", 10),
            ("gum_integer_free", "validation", 20),
            ("ontogum_partial", "validation", 20),
        ],
    )
    def test_gold_actions_come_close_to_100(self, shared, monkeypatch, name, split, documents):
        from t5coref.data.metrics import score

        monkeypatch.setenv("T5COREF_DATA", str(shared / "data"))
        monkeypatch.setenv("T5COREF_TOKENIZER", str(shared / "data" / "t5"))
        task = seqio.TaskRegistry.get(name)
        rows = task.source.rows(split)
        found = score(
            task_linearization(name),
            rows,
            [row["targets"] for row in rows],
            remove_singletons=task.recipe.remove_singletons,
        )
        assert found["documents"] == documents
        # Crossing mentions, and what windows keep apart, are lost to any model.
        assert 97 < found["conll_f1"] <= 100

    @pytest.mark.parametrize("name", ["redocred_relation_copy", "redocred_relation_ids"])
    def test_gold_relations_come_back(self, shared, monkeypatch, name):
        from t5coref.data.metrics import score

        monkeypatch.setenv("T5COREF_DATA", str(shared / "data"))
        monkeypatch.setenv("T5COREF_TOKENIZER", str(shared / "data" / "t5"))
        task = seqio.TaskRegistry.get(name)
        rows = task.source.rows("validation")
        format_ = task_linearization(name)
        assert len(format_.relations) == 96
        actions = [row["targets"] for row in rows]
        found = score(format_, rows, actions, remove_singletons=False)
        assert (found["re_f1"], found["conll_f1"], found["documents"]) == (100, 100, 100)

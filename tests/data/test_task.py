"""Tasks and mixtures: registration, rows, sharding, lengths, and messages that help."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("seqio")

import seqio
import tensorflow as tf

from t5coref import linearize
from t5coref.core.errors import ConfigError, DocumentError, MismatchError
from t5coref.corpora import jsonl
from t5coref.data.features import CorefFeatureConverter
from t5coref.data.settings import settings
from t5coref.data.task import coref_mixture, coref_task, task_linearization, task_vocabulary

ROOT = pathlib.Path(__file__).parents[2]


def rows(task, split="validation", lengths=None, **options):
    dataset = task.get_dataset(lengths, split, shuffle=False, **options)
    return list(dataset.as_numpy_iterator())


def same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize("name", sorted(set(linearize.FORMATS) - set(linearize.PLAIN_TEXT)))
def test_rows_are_the_examples_of_the_documents(task, documents, name):
    made = task(linearization=name)
    found = rows(made)
    expected = [e for d in documents[8:] for e in linearize.examples(task_linearization(made), d)]
    assert len(found) == len(expected) == made.num_input_examples("validation")
    for row, example in zip(found, expected, strict=True):
        np.testing.assert_array_equal(row["inputs"], example.turn.source)
        np.testing.assert_array_equal(row["targets"], example.actions)
        np.testing.assert_array_equal(row["feeds"], example.feeds)
        assert row["feeds"].ndim == (2 if name in ("input-feed", "iterative-handles") else 1)
        assert row["doc_id"].decode() == example.turn.doc_id
        assert row["turn"] == example.turn.index
        assert bool(row["document"]) == (example.turn.index == 0)
    firsts = [row for row in found if row["turn"] == 0]
    assert [row["turns"] for row in firsts] == [
        sum(e.turn.doc_id == d.doc_id for e in expected) for d in documents[8:]
    ]


def test_registering_again_finds_the_same_task(task):
    assert task() is task()
    with pytest.raises(ConfigError, match="registered already"):
        task(options={"window": 25})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"linearization": "no-such"}, "no linearization is called 'no-such'"),
        ({"corpus": "no-such"}, "unknown format 'no-such'"),
        ({"options": {"carry": True}}, "carry"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_registered(task, changes, message):
    with pytest.raises(ConfigError, match=message):
        task("broken", **changes)
    assert "broken" not in seqio.TaskRegistry.names()


def test_unknown_options_are_named(task):
    with pytest.raises(ConfigError, match="does not take the options"):
        task_linearization(task(options={"windows": 3}))


def test_no_singletons_are_predicted_where_a_corpus_has_none(corpus):
    files = {"train": "train.jsonl"}
    made = coref_task("onto", linearization="full-copy", corpus="ontonotes", files=files)
    try:
        assert made.recipe.options == {"min_mentions": 2}
        assert made.recipe.remove_singletons
        assert task_linearization("onto").min_mentions == 2
    finally:
        seqio.TaskRegistry.remove("onto")


def test_missing_files_say_where_they_belong(task, monkeypatch):
    monkeypatch.setenv("T5COREF_DATA", "/nowhere")
    with pytest.raises(ConfigError, match=r"/nowhere/dev\.jsonl.*T5COREF_DATA.*T5COREF_PREPARED"):
        rows(task())


def test_ids_that_files_lack_are_named(task, corpus):
    from t5coref.data.documents import Files

    (corpus / "some.ids").write_text("no-such-document\n")
    made = task(files={"validation": Files(("dev.jsonl",), "some.ids")})
    with pytest.raises(ConfigError, match="no-such-document"):
        rows(made)


def test_documents_of_one_name_are_refused(task, corpus, documents):
    jsonl.write([documents[0], documents[0]], corpus / "dev.jsonl")
    with pytest.raises(DocumentError, match="was there before"):
        rows(task())


def test_options_of_the_settings_come_over_those_of_the_task(corpus):
    made = coref_task(
        "smaller",
        linearization="full-copy",
        corpus="jsonl",
        files={"validation": "dev.jsonl"},
        options={"window": 24},
        settings=lambda: settings(options={"window": 12}),
    )
    try:
        assert max(len(row["inputs"]) for row in rows(made)) <= 12
    finally:
        seqio.TaskRegistry.remove("smaller")


def test_shards_share_out_the_documents(task):
    made = task()
    whole = rows(made, "train")
    parts = [rows(made, "train", shard_info=seqio.ShardInfo(i, 3)) for i in range(3)]
    names = [{row["doc_id"] for row in part} for part in parts]
    assert all(names)
    assert sum(map(len, names)) == len(set.union(*names))

    def place(row):
        return row["doc_id"], row["turn"]

    same(sorted((row for part in parts for row in part), key=place), sorted(whole, key=place))


def test_shuffling_follows_the_seed(task):
    made = task()

    def order(seed):
        dataset = made.get_dataset(None, "train", shuffle=True, seed=seed)
        return [(row["doc_id"], row["turn"]) for row in dataset.as_numpy_iterator()]

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == sorted(order(2))


def test_a_place_in_a_dataset_can_be_saved(task, tmp_path):
    lengths = {"inputs": 24, "targets": 200, "feeds": 200}
    dataset = task().get_dataset(lengths, "train", shuffle=True, seed=0, num_epochs=None)
    iterator = iter(dataset)
    for _ in range(5):
        next(iterator)
    path = tf.train.Checkpoint(ds=iterator).write(str(tmp_path / "place"))
    expected = [next(iterator)["targets"].numpy() for _ in range(20)]
    again = iter(dataset)
    tf.train.Checkpoint(ds=again).read(path).assert_consumed()
    for targets in expected:
        np.testing.assert_array_equal(next(again)["targets"], targets)


def test_inputs_are_never_cut(task):
    made = task()
    longest = max(len(row["inputs"]) for row in rows(made))
    lengths = {"inputs": longest, "targets": 500, "feeds": 500}
    same(rows(made, lengths=lengths), rows(made))
    with pytest.raises(tf.errors.InvalidArgumentError, match="an input is longer"):
        rows(made, lengths=lengths | {"inputs": longest - 1})


def test_long_targets_are_refused_in_training_and_cut_in_evaluation(task):
    made = task()
    sizes = [len(row["targets"]) for row in rows(made, "train")]
    lengths = {"inputs": 60, "targets": max(sizes), "feeds": max(sizes)}
    assert len(rows(made, "train", lengths)) == len(sizes)
    shorter = lengths | {"targets": max(sizes) - 1, "feeds": max(sizes) - 1}
    with pytest.raises(tf.errors.InvalidArgumentError, match="skip_long"):
        rows(made, "train", shorter)
    limit = min(len(row["targets"]) for row in rows(made))
    found = rows(made, "validation", lengths | {"targets": limit, "feeds": limit})
    assert {len(row["targets"]) for row in found} == {len(row["feeds"]) for row in found} == {limit}


def test_long_targets_can_be_left_out_of_training(corpus):
    made = coref_task(
        "short",
        linearization="full-copy",
        corpus="jsonl",
        files={"train": "train.jsonl"},
        options={"window": 24},
        settings=lambda: settings(skip_long=True),
    )
    try:
        sizes = sorted(len(row["targets"]) for row in rows(made, "train"))
        limit = sizes[len(sizes) // 2]
        lengths = {"inputs": 60, "targets": limit, "feeds": limit}
        kept = [len(row["targets"]) for row in rows(made, "train", lengths)]
        assert sorted(kept) == [n for n in sizes if n <= limit]
    finally:
        seqio.TaskRegistry.remove("short")


@pytest.mark.parametrize("name", ["full-copy", "input-feed", "partial"])
def test_the_evaluator_scores_gold_actions(task, name):
    made = task(linearization=name, options={"window": 300})
    evaluator = seqio.Evaluator(made.name, CorefFeatureConverter(), eval_split="validation")
    targets = evaluator.cached_model_datasets[made.name]

    def predict(dataset, model_feature_shapes=None):
        del model_feature_shapes
        found = [(int(i), row["decoder_target_tokens"]) for i, row in dataset.as_numpy_iterator()]
        return found[::-1]

    assert len(list(targets)) == len(rows(made))
    future, outputs = evaluator.evaluate(compute_metrics=True, predict_fn=predict)
    scores = future.result()[made.name]
    assert scores["conll_f1"] == 100.0
    assert scores["documents"] == 4
    assert outputs.keys() == {made.name}
    evaluator.close()


def test_a_mixture_draws_from_each_set_as_if_it_were_small(task, corpus, documents):
    jsonl.write(documents[:2], corpus / "two.jsonl")
    task("many"), task("few", files={"train": "two.jsonl"})
    try:
        mixture = coref_mixture("both", ["many", "few"], documents=4)
        assert coref_mixture("both", ["many", "few"], documents=4) is mixture
        with pytest.raises(ConfigError, match="registered already"):
            coref_mixture("both", ["many", "few"], documents=5)
        many, few = (seqio.TaskRegistry.get(name) for name in ("many", "few"))
        assert mixture.get_rate(few) == few.num_input_examples("train")
        assert mixture.get_rate(many) == many.num_input_examples("train") / 2
        assert task_linearization("both").name == "full-copy"
        assert task_vocabulary("both") == task_vocabulary("few")
        lengths = {"inputs": 60, "targets": 300, "feeds": 300}
        drawn = mixture.get_dataset(lengths, "train", seed=0, num_epochs=None).take(3)
        assert all(set(row) == set(lengths) for row in drawn.as_numpy_iterator())
    finally:
        seqio.MixtureRegistry.remove("both")


def test_a_mixture_is_of_one_format(task):
    task("copies"), task("tags", linearization="tagging")
    with pytest.raises(ConfigError, match=r"one format.*copies: full-copy, tags: tagging"):
        coref_mixture("mixed", ["copies", "tags"])


def test_other_tasks_have_no_linearization():
    vocabulary = seqio.PassThroughVocabulary(5)
    source = seqio.FunctionDataSource(lambda split, shuffle_files: None, ["train"])
    seqio.TaskRegistry.add("foreign", source, {"targets": seqio.Feature(vocabulary)})
    try:
        with pytest.raises(MismatchError, match="no coreference task"):
            task_linearization("foreign")
    finally:
        seqio.TaskRegistry.remove("foreign")


def test_the_package_imports_without_tensorflow_until_it_is_needed():
    light = "t5coref.data.prepare, t5coref.data.workers, t5coref.data.recipe, t5coref.cli.prepare"
    code = (
        f"import sys, {light}; print(sorted({{'tensorflow', 'seqio', 'jax'}} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"

"""Heads on an encoder under T5X: the task's rows, and the steps of the local loop."""

from __future__ import annotations

import dataclasses
import functools
import pathlib

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref import cli
from t5coref.core.document import Annotation, Document, Relation
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.corpora import jsonl
from t5coref.joint_ie import JointModel, JointObjective, JointPredictor, from_t5x, joint_model
from t5coref.model import from_scratch
from t5coref.nn.joint_ie import (
    BilinearCoreference,
    GraphCompatibility,
    JointIE,
    MentionDetector,
    MentionRelations,
    SpanRepresentation,
)
from t5coref.tokenizer import Tokenizer
from t5coref.train.optimizers import adamw, encoder_and_task
from t5coref.train.step import TrainState, make_step

model_of = pytest.importorskip("t5coref.t5x_joint_ie")
data = pytest.importorskip("t5coref.data.joint_ie")
adapter = pytest.importorskip("t5coref.t5x_adapter")
seqio = pytest.importorskip("seqio")

STEPS, ROWS = 4, 8
LENGTHS = {"inputs": 64, "mentions": 16, "relations": 8}
HEADS = JointIE(
    SpanRepresentation(16),
    MentionDetector(max_width=4, hidden_dim=16, dropout_rate=0.0),
    BilinearCoreference(dropout_rate=0.0),
    MentionRelations(0, hidden_dim=16, dropout_rate=0.0),
    compatibility=GraphCompatibility(neighbours=4),
)


def story(i: int) -> Document:
    words = tuple(f"Anna saw {'Bob' if i % 2 else 'Eve'} . She met him in Rome .".split())
    clusters = (((0, 1), (4, 5)), ((2, 3), (6, 7)), ((8, 9),))
    relations = (Relation(0, 1, "met"), Relation(0, 2, "was in"))[: 1 + i % 2]
    annotation = Annotation(clusters, relations)
    return Document(
        doc_id=f"story-{i}", words=words, sentences=((0, 4), (4, 10)), annotation=annotation
    )


@pytest.fixture(scope="module")
def documents():
    return [story(i) for i in range(ROWS)]


@pytest.fixture(scope="module")
def task(documents, stories):
    path = stories / "relations.jsonl"
    jsonl.write(documents, path)
    settings = functools.partial(
        data.Settings, tokenizer=str(stories / "spiece.model"), data=str(stories)
    )
    made = data.joint_task(
        "tiny_joint_ie", corpus="jsonl", files={"train": str(path)}, settings=settings
    )
    assert made is data.joint_task(
        "tiny_joint_ie", corpus="jsonl", files={"train": str(path)}, settings=settings
    )
    with pytest.raises(ConfigError, match="registered already"):
        data.joint_task("tiny_joint_ie", corpus="jsonl", files={"dev": "x"}, settings=settings)
    return made


@pytest.fixture(scope="module")
def batch(task):
    dataset = seqio.get_dataset(
        mixture_or_task_name=task.name,
        task_feature_lengths=LENGTHS,
        dataset_split="train",
        shuffle=False,
        feature_converter=data.JointFeatureConverter(),
    )
    return next(dataset.batch(ROWS).as_numpy_iterator())


@pytest.fixture(scope="module")
def local(task, config, documents, stories):
    """The objective of the local loop on the same documents."""
    base = from_scratch(
        dataclasses.replace(config, vocab_size=256), Tokenizer(stories / "spiece.model", ())
    )
    model = joint_model(base=base, heads=HEADS, relations=task.recipe.inventory(), setting="tiny")
    return JointObjective(model=model, train_set=documents)


def test_rows_are_those_of_the_local_loop(batch, local):
    mine = local.batches(ROWS, 0)[0]
    order = [int(name.strip("'").rpartition("-")[2]) for name in mine.names]
    for name, features in mine.features.items():
        theirs = batch[name][order]
        assert theirs.dtype == features.dtype
        width = min(features.shape[1], theirs.shape[1])
        np.testing.assert_array_equal(theirs[:, :width], features[:, :width], err_msg=name)
        assert not theirs[:, width:].any()


def rates(total_steps):
    slow = functools.partial(adamw, peak=1e-3, warmup=2)
    fast = functools.partial(adamw, peak=1e-2, warmup=0)
    return encoder_and_task(total_steps, encoder=slow, task=fast)


@pytest.fixture(scope="module")
def make(task, config):
    def model(**options):
        module = model_of.EncoderWithHeads(dataclasses.replace(config, vocab_size=256), HEADS)
        return model_of.JointIEModel(
            module, adapter.local_optimizer(rates, STEPS), task.name, **options
        )

    return model


@pytest.fixture(scope="module")
def params(make, batch):
    shapes = {name: feature.shape for name, feature in batch.items()}
    variables = make().get_initial_variables(jax.random.key(0), shapes)
    return jax.device_get(flax.core.unfreeze(variables["params"]))


@pytest.fixture(scope="module")
def with_t5x(trainer_of, metrics_of):
    """Gives the metrics of each step on one batch."""

    def train(model, batch, params, **options):
        rate = adapter.local_learning_rate(rates, STEPS)
        trainer = trainer_of(model, batch, params, rate, **options)
        with trainer:
            return [metrics_of(trainer, batch) for _ in range(STEPS)]

    return train


def test_parameters_are_those_of_the_local_loop(params, local):
    mine, theirs = local.initial(), params
    assert jax.tree.structure(mine) == jax.tree.structure(theirs)
    assert jax.tree.map(jnp.shape, mine) == jax.tree.map(jnp.shape, theirs)


@pytest.fixture(scope="module")
def wanted(local, batch, params):
    step = jax.jit(make_step(local.loss, rates(STEPS)))
    state = TrainState(jnp.zeros((), jnp.int32), params, rates(STEPS).transform.init(params))
    found = []
    for _ in range(STEPS):
        features = {name: jnp.asarray(x)[None] for name, x in batch.items()}
        state, metrics = step(state, features, jax.random.key(0))
        found.append(float(metrics["loss"]))
    assert found[-1] < found[0]
    return found


@pytest.mark.parametrize(
    ("options", "mesh"),
    [
        ({}, {"model_parallel_submesh": (1, 1)}),
        ({}, {"model_parallel_submesh": (1, 2)}),
    ],
    ids=["data", "data-and-model"],
)
def test_steps_are_those_of_the_local_loop(with_t5x, make, batch, params, wanted, options, mesh):
    found = with_t5x(make(**options), batch, params, **mesh)
    np.testing.assert_allclose([row["loss"] for row in found], wanted, rtol=2e-4)
    assert {"antecedent", "mention", "relation", "contrastive"} <= set(found[0])
    np.testing.assert_allclose(
        [row["learning_rate"] for row in found],
        [rates(STEPS).learning_rate(step) for step in range(STEPS)],
        rtol=1e-6,
    )


def test_micro_batches_make_the_same_step(with_t5x, make, batch, params, wanted):
    model = make(documents_per_step=ROWS)
    found = with_t5x(model, batch, params, microbatches=2, model_parallel_submesh=(1, 1))
    np.testing.assert_allclose(found[0]["loss"], wanted[0], rtol=2e-4)


def test_prediction_and_scores(make, batch, params):
    model = make()
    clusters, others = model.predict_batch_with_aux(params, batch)
    assert clusters.shape == others["start"].shape
    scores = model.score_batch(params, batch)
    assert scores.shape == (ROWS,)
    loss, _ = model.loss_fn(params, batch, None)
    np.testing.assert_allclose(-scores.mean(), loss, rtol=1e-4)


def test_what_does_not_fit(task, tiny_tasks, config):
    module = model_of.EncoderWithHeads(dataclasses.replace(config, vocab_size=100), HEADS)
    with pytest.raises(MismatchError, match="the network has 100 rows"):
        model_of.JointIEModel(module, adapter.local_optimizer(rates, STEPS), task.name)
    with pytest.raises(MismatchError, match="no task for heads"):
        data.joint_recipe("tiny_full_copy")
    with pytest.raises(ConfigError, match="packing"):
        data.JointFeatureConverter(pack=True)


TINY = pathlib.Path(__file__).with_name("tiny_joint_m.gin")


@pytest.mark.slow
def test_the_program_goes_on_from_a_pretrained_encoder(task, config, stories, t5x, tmp_path):
    """Its gin files; a checkpoint of a whole T5 has no heads, and a decoder that nobody needs."""
    base = from_scratch(
        dataclasses.replace(config, vocab_size=256), Tokenizer(stories / "spiece.model")
    )
    base.save(tmp_path / "base")
    assert cli.main(["convert", str(tmp_path / "base"), str(tmp_path / "t5x"), "--to", "t5x"]) == 0
    output = t5x(
        "train",
        f"--gin_file={TINY}",
        f"--gin.MODEL_DIR={tmp_path / 'run'}",
        f"--gin.INITIAL_CHECKPOINT_PATH={tmp_path / 't5x' / 'checkpoint_0'}",
    )
    assert (tmp_path / "run" / "checkpoint_6").exists(), output[-2000:]
    found = losses(tmp_path / "run")
    assert found["loss"][6] < found["loss"][1]
    assert found["relation"].keys() == found["loss"].keys()
    # What it has trained is a model of ours.
    small = JointIE(
        SpanRepresentation(16),
        MentionDetector(hidden_dim=16),
        BilinearCoreference(),
        MentionRelations(0, hidden_dim=16),
    )
    settings = {"tokenizer": stories / "spiece.model", "setting": "tiny"}
    names = task.recipe.inventory()
    checkpoint = tmp_path / "run" / "checkpoint_6"
    from_t5x(checkpoint, heads=small, relations=names, **settings).save(tmp_path / "model")
    predictor = JointPredictor(JointModel.load(tmp_path / "model"))
    assert len(list(predictor.predict([story(0), story(1)]))) == 2
    with pytest.raises(MismatchError, match="the heads do not fit"):
        from_t5x(checkpoint, heads=small, relations=(*names, "more"), **settings)


def losses(folder):
    tf = pytest.importorskip("tensorflow")
    found: dict[str, dict[int, float]] = {}
    for file in folder.glob("train/events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                made = tf.make_ndarray(value.tensor)
                if made.ndim == 0 and made.dtype.kind == "f":
                    found.setdefault(value.tag, {})[event.step] = float(made)
    return found

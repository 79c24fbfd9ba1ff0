"""Mention reference prediction under T5X: rows, mixtures, and the steps of the local loop."""

from __future__ import annotations

import dataclasses
import functools
import pathlib

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mrp_rows import sentinel_row, without_queries

from t5coref import cli
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.model import Model, pretrained
from t5coref.mrp.objective import MRPObjective
from t5coref.mrp.rows import MRPRow, write_rows
from t5coref.nn.mrp import MRPHead, context_candidates
from t5coref.tokenizer import Tokenizer
from t5coref.train.optimizers import adamw, encoder_and_task
from t5coref.train.step import TrainState, make_step

model_of = pytest.importorskip("t5coref.t5x_mrp")
data = pytest.importorskip("t5coref.data.mrp")
features_of = pytest.importorskip("t5coref.data.mrp_features")
adapter = pytest.importorskip("t5coref.t5x_adapter")
seqio = pytest.importorskip("seqio")

TINY = pathlib.Path(__file__).with_name("tiny_mrp.gin")
STEPS, ROWS = 3, 8
LENGTHS = {"inputs": 48, "targets": 112}


@pytest.fixture(scope="module")
def tokenizer(stories):
    return Tokenizer(stories / "spiece.model", ())


@pytest.fixture(scope="module")
def rows(tokenizer):
    """Of unlike numbers of queries; the fourth has none."""
    pieces = tokenizer.size - 100
    made = [sentinel_row(i, pieces, queries=1 + i % 3) for i in range(ROWS)]
    made[3] = without_queries(made[3])
    return made


@pytest.fixture(scope="module")
def task(rows, stories):
    write_rows(stories / "mrp", rows)
    settings = functools.partial(
        data.Settings, tokenizer=str(stories / "spiece.model"), data=str(stories)
    )
    folders = {"train": "mrp"}
    made = data.mrp_task("tiny_mrp", folders=folders, settings=settings)
    assert made is data.mrp_task("tiny_mrp", folders=folders, settings=settings)
    with pytest.raises(ConfigError, match="registered already"):
        data.mrp_task("tiny_mrp", folders={"train": "elsewhere"}, settings=settings)
    return made


def batch_of(name, rows=ROWS, **options):
    dataset = seqio.get_dataset(
        mixture_or_task_name=name,
        task_feature_lengths=LENGTHS,
        dataset_split="train",
        shuffle=False,
        feature_converter=features_of.MRPFeatureConverter(),
        **options,
    )
    return next(dataset.batch(rows).as_numpy_iterator())


@pytest.fixture(scope="module")
def batch(task):
    return batch_of(task.name)


@pytest.fixture(scope="module")
def local(task, config, tokenizer, rows):
    """The objective of the local loop on the same rows."""
    objective = functools.partial(MRPObjective, train_rows=rows, candidates=context_candidates)

    def make(params):
        t5 = {name: tree for name, tree in params.items() if name != "mrp"}
        return objective(model=Model(config, t5, tokenizer))

    return make


def rates(total_steps):
    slow = functools.partial(adamw, peak=1e-3, warmup=0)
    fast = functools.partial(adamw, peak=1.0, warmup=0)
    return encoder_and_task(total_steps, encoder=slow, task=fast, task_names=("mrp",))


@pytest.fixture(scope="module")
def make(task, config):
    def model(name=task.name, **options):
        module = model_of.T5WithMRP(config, MRPHead())
        options.setdefault("candidates", context_candidates)
        return model_of.MRPModel(module, adapter.local_optimizer(rates, STEPS), name, **options)

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
        trainer = trainer_of(
            model, batch, params, adapter.local_learning_rate(rates, STEPS),
            kind=model_of.CountingTrainer, **options,
        )  # fmt: skip
        with trainer:
            return [metrics_of(trainer, batch) for _ in range(STEPS)]

    return train


def test_rows_are_those_of_the_local_loop(batch, local, params, rows):
    mine = local(params).batches(ROWS, 0)[0]
    order = [[row.name for row in rows].index(name) for name in mine.names]
    for name, theirs in batch.items():
        features = mine.features[name]
        theirs = theirs[order][tuple(slice(0, size) for size in (ROWS, *features.shape[1:]))]
        shape = tuple(map(slice, theirs.shape))
        np.testing.assert_array_equal(theirs, features[shape], err_msg=name)
    assert batch["mrp_ref_mask"].shape == (ROWS, 15, 32)
    assert batch["mrp_ref_mask"].sum() == sum(row.ref_mask.sum() for row in rows)


def test_parameters_are_those_of_the_local_loop(params, local):
    mine = local(params).initial()
    assert jax.tree.map(jnp.shape, dict(mine)) == jax.tree.map(jnp.shape, dict(params))
    assert "logits_dense" in params["decoder"]


@pytest.fixture(scope="module")
def wanted(local, params):
    """The metrics of each step of the local loop, on all rows."""
    objective = local(params)
    step = jax.jit(make_step(objective.loss, rates(STEPS)))
    features = {name: x[None] for name, x in objective.batches(ROWS, 0)[0].features.items()}
    state = TrainState(jnp.zeros((), jnp.int32), params, rates(STEPS).transform.init(params))
    found = []
    for _ in range(STEPS):
        state, metrics = step(state, features, jax.random.key(0))
        found.append({name: float(value) for name, value in metrics.items()})
    assert found[-1]["loss"] < found[0]["loss"]
    return found


@pytest.mark.parametrize(
    ("mesh", "microbatches"),
    [((1, 1), None), ((1, 1), 4), ((1, 2), None)],
    ids=["data", "micro-batches", "data-and-model"],
)
def test_steps_are_those_of_the_local_loop(
    with_t5x, make, batch, params, wanted, mesh, microbatches
):
    """Micro-batches have unlike numbers of queries and pieces."""
    found = with_t5x(make(), batch, params, microbatches=microbatches, model_parallel_submesh=mesh)
    for name in ("loss", "pieces", "mrp", "copy_accuracy"):
        np.testing.assert_allclose(
            [row[name] for row in found], [row[name] for row in wanted], rtol=5e-4, err_msg=name
        )


def test_coreference_rows_train_alongside(tiny_tasks, task, make, params, batch, config):
    """One converter and one loss for both; what is not asked changes nothing."""
    mixture = data.mrp_mixture(
        "tiny_both", mrp=task.name, coreference={"tiny_full_copy": 0.5}, rate=0.5
    )
    assert mixture is data.mrp_mixture(
        "tiny_both", mrp=task.name, coreference={"tiny_full_copy": 0.5}, rate=0.5
    )
    with pytest.raises(ConfigError, match="registered already"):
        data.mrp_mixture("tiny_both", mrp=task.name, coreference={"tiny_full_copy": 1.0})
    both = batch_of("tiny_both", 8)
    asked = both["mrp_q_mask"].any(axis=1)
    # Half of the rows are of each kind; one of the first kind has no queries.
    assert 0 < asked.sum() < 8
    copied = both["decoder_input_tokens"][:, 1:] != both["decoder_target_tokens"][:, :-1]
    copies = (copied & (both["decoder_target_tokens"][:, 1:] > 0)).any(axis=1)
    assert copies.any()
    assert not (copies & asked).any()
    model = make("tiny_both")
    loss, metrics = model.loss_fn(params, both, None)
    kept = {name: x[asked] for name, x in both.items()}
    alone, of_kept = model.loss_fn(params, kept, None)
    np.testing.assert_allclose(metrics["mrp"].total, of_kept["mrp"].total, rtol=1e-5)
    grads = jax.grad(lambda p: model.loss_fn(p, both, None)[0])(params)
    assert np.isfinite(loss)
    assert loss != alone
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(grads))
    none = {name: x[copies] for name, x in both.items()}
    unasked, of_none = model.loss_fn(params, none, None)
    assert of_none["mrp"].total == 0
    np.testing.assert_allclose(unasked, of_none["pieces"].total)


def test_without_weight_there_is_no_head(make, batch, params):
    loss, metrics = make(w_mrp=0.0).loss_fn(params, batch, None)
    _, other = make().loss_fn(params, batch, None)
    assert "mrp" not in metrics
    np.testing.assert_allclose(loss, other["pieces"].total, rtol=1e-6)


def test_what_does_not_fit_is_counted():
    """Queries behind the fifteenth, referents behind the thirty-second."""
    q, j = 17, 40
    places = np.arange(q * j, dtype=np.int32).reshape(q, j)
    there = np.ones((q, j), bool)
    there[0, :10] = False  # the others of this query fit
    row = MRPRow(
        "much", np.ones(1000, np.int32), np.ones(3, np.int32), places[:, 0], places[:, 0],
        np.ones(q, bool), places, places, there,
    )  # fmt: skip
    made = features_of.fixed(row)
    assert (made.queries, made.referents) == (2, 14 * 8)
    np.testing.assert_array_equal(made.features["mrp_ref_start"][0, :30], places[0, 10:])
    np.testing.assert_array_equal(made.features["mrp_q_mask"], np.ones(15))


def test_overflow_of_a_task(task):
    assert task.source.overflow("train") == (0, 0)


def test_what_is_refused(task, tiny_tasks, config):
    with pytest.raises(MismatchError, match="no features for queries"):
        model_of.MRPModel(model_of.T5WithMRP(config, MRPHead()), None, "tiny_full_copy")
    small = model_of.T5WithMRP(dataclasses.replace(config, vocab_size=100), MRPHead())
    with pytest.raises(MismatchError, match="the network has 100 rows"):
        model_of.MRPModel(small, None, task.name)
    with pytest.raises(MismatchError, match="no task of mention reference prediction"):
        data.mrp_recipe("tiny_full_copy")
    with pytest.raises(ConfigError, match="no split 'test'"):
        task.source.num_input_examples("test")
    dataset = task.get_dataset({"inputs": 48, "targets": 3}, "train")
    with pytest.raises(Exception, match="a target is longer than"):
        list(dataset.as_numpy_iterator())
    with pytest.raises(ConfigError, match="packing"):
        features_of.MRPFeatureConverter(pack=True)


@pytest.mark.slow
def test_the_program_goes_on_from_a_t5_and_leaves_one(
    task, params, tokenizer, config, t5x, tmp_path
):
    """Its gin files; the head is new when it begins, and conversion drops it."""
    t5 = {name: tree for name, tree in params.items() if name != "mrp"}
    Model(config, t5, tokenizer).save(tmp_path / "base")
    assert cli.main(["convert", str(tmp_path / "base"), str(tmp_path / "t5x"), "--to", "t5x"]) == 0
    t5x(
        "train",
        f"--gin_file={TINY}",
        f"--gin.MODEL_DIR={tmp_path / 'run'}",
        f"--gin.INITIAL_CHECKPOINT_PATH={tmp_path / 't5x' / 'checkpoint_0'}",
    )
    trained = tmp_path / "run" / "checkpoint_6"
    assert cli.main(["convert", str(trained), str(tmp_path / "hf"), "--to", "hf"]) == 0
    tokenizer.save(tmp_path / "hf")
    again = pretrained(str(tmp_path / "hf"))
    assert jax.tree.map(jnp.shape, dict(again.params)) == jax.tree.map(jnp.shape, t5)
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), dict(again.params), t5)
    assert all(change > 0 for change in jax.tree.leaves(moved))

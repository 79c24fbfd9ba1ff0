"""T5X's trainer takes the steps that the local loop takes, on any mesh."""

from __future__ import annotations

import functools
import itertools
import pathlib

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref import corpora, linearize
from t5coref.nn.scan import scan_params
from t5coref.train.batches import batches
from t5coref.train.optimizers import adamw
from t5coref.train.step import TrainState, make_train_step

adapter = pytest.importorskip("t5coref.t5x_adapter")
coref_task = pytest.importorskip("t5coref.data.task")
partitioning = pytest.importorskip("t5x.partitioning")
utils = pytest.importorskip("t5x.utils")

ROWS, STEPS = 8, 5
MEAN = {"loss_normalizing_factor": "NUM_REAL_TARGET_TOKENS"}


def fast(total_steps):
    return adamw(total_steps, peak=1e-2, warmup=2)


@pytest.fixture(scope="module")
def batch(batch_of):
    return batch_of("tiny_full_copy")


@pytest.fixture(scope="module")
def same_rows(tiny_tasks):
    """The same rows as the local loop makes them of the documents, in other orders."""
    linearization = coref_task.task_linearization("tiny_full_copy")
    documents = list(corpora.read(pathlib.Path(tiny_tasks.FOLDER, "train.jsonl")))
    every = itertools.chain.from_iterable(
        linearize.examples(linearization, document) for document in documents
    )
    examples = list(itertools.islice(every, ROWS))
    return batches(examples, linearization.rules, ROWS, seed=0, source_length=48, target_length=112)


@pytest.fixture(scope="module")
def params(make_model, batch):
    shapes = {name: feature.shape for name, feature in batch.items()}
    variables = make_model().get_initial_variables(jax.random.key(0), shapes)
    # On the host: T5X gives away the arrays of its state at each step.
    return jax.device_get(flax.core.unfreeze(variables["params"]))


@pytest.fixture(scope="module")
def losses_with_t5x(trainer_of, metrics_of):
    """Gives the loss of each step on one batch, the parameters at the end, and the last state."""

    def train(model, batch, params, **mesh):
        with trainer_of(model, batch, params, lambda _: jnp.asarray(1e-2), **mesh) as trainer:
            found = [metrics_of(trainer, batch)["loss"] for _ in range(STEPS)]
            state = trainer.train_state
            return np.asarray(found), jax.device_get(state.params), state

    return train


@pytest.fixture(scope="module")
def local(make_model, same_rows, params):
    rules = coref_task.task_linearization("tiny_full_copy").rules
    optimizer = fast(STEPS)
    config = make_model().module.config
    step = jax.jit(make_train_step(config, optimizer, rules.scored_ids))
    state = TrainState(jnp.zeros((), jnp.int32), params, optimizer.transform.init(params))
    found = []
    for k in range(STEPS):
        features = {name: jnp.asarray(x)[None] for name, x in same_rows[k].features.items()}
        state, metrics = step(state, features, jax.random.key(0))
        found.append(float(metrics["loss"]))
    assert found[-1] < found[0]
    return np.asarray(found), state.params


@pytest.mark.parametrize("scan_layers", [False, True])
def test_first_steps_are_those_of_the_local_loop(
    losses_with_t5x, make_model, batch, params, local, scan_layers
):
    model = make_model(
        optimizer_def=adapter.local_optimizer(fast, STEPS), scan_layers=scan_layers, **MEAN
    )
    start = scan_params(params) if scan_layers else params
    found, _, _ = losses_with_t5x(model, batch, start, model_parallel_submesh=(1, 1))
    np.testing.assert_allclose(found, local[0], atol=1e-4)


def test_learning_rates_are_those_of_the_local_loop():
    rate = adapter.local_learning_rate(fast, STEPS)
    np.testing.assert_allclose(rate(jnp.asarray(0)), 0.5e-2, rtol=1e-6)


@pytest.mark.parametrize(
    ("scan_layers", "placed"), [(False, False), (True, True)], ids=["by-rules", "by-layout"]
)
def test_model_parallelism(losses_with_t5x, make_model, batch, params, scan_layers, placed):
    """With T5X's Adafactor, whose factored moments are divided like the parameters."""
    assert jax.device_count() == 8
    start = scan_params(params) if scan_layers else params
    one, one_params, _ = losses_with_t5x(
        make_model(scan_layers=scan_layers, **MEAN), batch, start, model_parallel_submesh=(1, 1)
    )
    mesh = {
        "model_parallel_submesh": (1, 2),
        "logical_axis_rules": partitioning.standard_logical_axis_rules(
            parameter_partitioning_dims=2 if placed else 1
        ),
    }
    partitioner = partitioning.PjitPartitioner(**mesh) if placed else None
    two, two_params, state = losses_with_t5x(
        make_model(scan_layers=scan_layers, partitioner=partitioner, **MEAN), batch, start, **mesh
    )
    assert one[-1] < one[0]
    np.testing.assert_allclose(one, two, atol=1e-4)
    for a, b in zip(jax.tree.leaves(one_params), jax.tree.leaves(two_params), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)
    layer = state.params["decoder"]["layers" if scan_layers else "layers_0"]
    kernel = layer["mlp"]["wi_0"]["kernel"]
    assert dict(kernel.sharding.mesh.shape) == {"data": 4, "model": 2}
    divided = np.asarray(kernel.shape) // np.asarray(kernel.addressable_shards[0].data.shape)
    assert (divided[0], divided[-1]) == (4 if placed else 1, 2)


def test_decoding_with_model_parallelism(make_model, batch, params):
    model = make_model(decode_fn=functools.partial(adapter.beam_search, drafts=(1,)))
    wanted, scores = jax.jit(model.predict_batch_with_aux, static_argnames="num_decodes")(
        params, batch, num_decodes=2
    )
    partitioner = partitioning.PjitPartitioner(model_parallel_submesh=(1, 2))
    shapes = {name: feature.shape for name, feature in batch.items()}
    initializer = utils.TrainStateInitializer(
        None, model.get_initial_variables, shapes, partitioner
    )
    predict = partitioner.partition(
        lambda params, batch: model.predict_batch_with_aux(params, batch, num_decodes=2),
        in_axis_resources=(
            initializer.train_state_axes.params,
            partitioner.data_partition_spec,
        ),
        out_axis_resources=None,
    )
    found, aux = predict(flax.core.freeze(params), batch)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(aux["scores"], scores["scores"], rtol=1e-4)

"""One step: its loss by hand, and that it does not depend on how the rows are divided."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from t5coref.nn.partition import Layout
from t5coref.nn.scan import scan_params, unscan_params
from t5coref.nn.t5 import T5
from t5coref.train.batches import batches, training_examples
from t5coref.train.loop import DATA, data_mesh
from t5coref.train.optimizers import adafactor, adamw
from t5coref.train.step import TrainState, make_train_step, state_shardings


@pytest.fixture(scope="module")
def setting(model, stories):
    format_ = model.format.make(model.tokenizer)
    examples, _ = training_examples(format_, stories)
    config = dataclasses.replace(model.config, dropout_rate=0.0)
    dataset = batches(examples, format_.rules, 8, seed=0, source_length=32, target_length=96)
    return config, format_.rules.inventory.ids, dataset[0].features


def step(model, config, symbols, features, *, micro=1, devices=1, **options):
    optimizer = adamw(10, peak=1e-2, warmup=0)
    params = scan_params(model.params) if config.scan_layers else model.params
    state = TrainState(jnp.zeros((), jnp.int32), params, optimizer.transform.init(params))
    mesh = data_mesh(8 // micro, jax.devices()[:devices])
    assert mesh.size == devices
    placed = {
        k: jax.device_put(
            v.reshape(micro, 8 // micro, -1), NamedSharding(mesh, PartitionSpec(None, DATA))
        )
        for k, v in features.items()
    }
    state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    function = make_train_step(config, optimizer, symbols, **options)
    return jax.jit(function)(state, placed, jax.random.key(0))


@pytest.fixture(scope="module")
def plain(model, setting):
    return step(model, *setting)


def assert_same(one, other):
    (state, metrics), (state2, metrics2) = one, other
    for name in ("loss", "grad_norm", "param_norm", "learning_rate"):
        np.testing.assert_allclose(metrics[name], metrics2[name], rtol=2e-5, err_msg=name)
    params = unscan_params(state2.params) if "layers" in state2.params["encoder"] else state2.params
    # Adam divides by the size of the gradient: where that is all but 0, its sign decides.
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True):
        close = np.isclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5)
        assert close.mean() > 0.995
    assert int(state2.step) == 1


def test_loss_by_hand(model, setting, plain):
    config, symbols, features = setting
    logits = T5(config).apply(
        {"params": model.params},
        features["encoder_input_tokens"],
        features["decoder_input_tokens"],
        features["decoder_target_tokens"],
        enable_dropout=False,
    )
    chosen = np.asarray(logits, np.float64)[:, :, list(symbols)]
    log_probs = chosen - np.log(np.exp(chosen).sum(-1, keepdims=True))
    total = count = 0.0
    for row in range(8):
        for t in range(int(features["decoder_loss_weights"][row].sum())):
            token = features["decoder_target_tokens"][row, t]
            total -= log_probs[row, t, symbols.index(token)]
            count += 1
    np.testing.assert_allclose(plain[1]["loss"], total / count, rtol=1e-5)


def test_devices_share_a_batch(model, setting, plain):
    assert_same(plain, step(model, *setting, devices=8))


def test_accumulated_batches_are_one_batch(model, setting, plain):
    assert_same(plain, step(model, *setting, micro=4, devices=2))


def test_scanned_and_recomputed_layers(model, setting, plain):
    config, symbols, features = setting
    changed = dataclasses.replace(config, scan_layers=True, remat=True)
    assert_same(plain, step(model, changed, symbols, features))


@pytest.mark.parametrize("factory", [adamw, adafactor])
@pytest.mark.parametrize("micro", [1, 2])
def test_a_mesh_of_data_and_model_takes_the_same_step(model, setting, factory, micro):
    """Everything at once: scanned, recomputed, in blocks, divided over 4 x 2 devices."""
    config, symbols, features = setting
    optimizer = factory(10, peak=1e-2, warmup=0)
    params = scan_params(model.params)
    placed = {k: v.reshape(micro, 8 // micro, -1) for k, v in features.items()}

    def run(config, layout):
        state = TrainState(jnp.zeros((), jnp.int32), params, optimizer.transform.init(params))
        function = make_train_step(config, optimizer, symbols, layout=layout)
        if layout is None:
            return jax.jit(function)(state, placed, jax.random.key(0))
        places = state_shardings(layout, config, optimizer)
        everywhere = layout.sharding((), ())
        jitted = jax.jit(
            function,
            in_shardings=(places, layout.batch(placed), everywhere),
            out_shardings=(places, everywhere),
        )
        return jitted(state, placed, jax.random.key(0))

    scanned = dataclasses.replace(config, scan_layers=True)
    sharded = dataclasses.replace(scanned, remat=True, attention_block=32)
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()).reshape(4, 2), ("data", "model"))
    one, other = run(scanned, None), run(sharded, Layout(mesh))
    kernel = other[0].params["encoder"]["layers"]["mlp"]["wi_0"]["kernel"]
    assert kernel.sharding.shard_shape(kernel.shape) == (4, 1, 16)
    (state, metrics), (state2, metrics2) = one, other
    for name in metrics:
        np.testing.assert_allclose(metrics[name], metrics2[name], rtol=2e-5, err_msg=name)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(state2), strict=True):
        # Both divide by the size of the gradient: where that is all but 0, its sign decides.
        close = np.isclose(np.asarray(a), np.asarray(b), rtol=1e-3, atol=1e-5)
        assert close.mean() > 0.99


def test_bfloat16(model, setting, plain):
    config, symbols, features = setting
    changed = dataclasses.replace(config, dtype="bfloat16")
    state, metrics = step(model, changed, symbols, features)
    np.testing.assert_allclose(metrics["loss"], plain[1]["loss"], rtol=0.02)
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}


def test_dropout_depends_on_the_step(model, setting):
    config, symbols, features = setting
    config = dataclasses.replace(config, dropout_rate=0.5)
    optimizer = adamw(10, peak=0.0, warmup=0)
    function = jax.jit(make_train_step(config, optimizer, symbols))
    placed = {k: v[None] for k, v in features.items()}
    at = functools.partial(
        TrainState, params=model.params, opt_state=optimizer.transform.init(model.params)
    )
    losses = [
        float(function(at(jnp.asarray(n, jnp.int32)), placed, jax.random.key(s))[1]["loss"])
        for n, s in ((0, 0), (0, 0), (1, 0), (0, 1))
    ]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


@pytest.mark.parametrize(
    ("rows", "devices", "used"), [(1, 8, 1), (6, 8, 6), (9, 8, 3), (16, 8, 8), (7, 2, 1)]
)
def test_devices_that_divide_the_batch(rows, devices, used):
    assert data_mesh(rows, jax.devices()[:devices]).size == used

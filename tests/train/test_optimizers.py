"""Learning rates by step, what is decayed, and that both optimizers work on our parameters."""

from __future__ import annotations

import functools
import json

import jax
import numpy as np
import optax
import pytest

from t5coref.core.errors import ConfigError
from t5coref.nn.scan import scan_params, unscan_params
from t5coref.train.optimizers import (
    Optimizer,
    adafactor,
    adamw,
    encoder_and_task,
    is_decayed,
    schedule,
)


def rates(total, **settings):
    rate = schedule(total, **settings)
    return np.asarray([rate(step) for step in range(total + 1)])


def test_linear_decay_after_warm_up():
    got = rates(10, peak=2.0, warmup=0.2)
    expected = [1.0, 2.0, 2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25, 0.0]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_warm_up_in_steps_and_none():
    np.testing.assert_allclose(rates(8, peak=4.0, warmup=4)[:5], [1, 2, 3, 4, 4], rtol=1e-6)
    np.testing.assert_allclose(rates(4, peak=4.0, warmup=0), [4, 3, 2, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(rates(2, peak=1.0, warmup=2), [0.5, 1, 0], rtol=1e-6)


def test_constant():
    got = rates(5, peak=1.0, warmup=2, decay="constant")
    np.testing.assert_allclose(got, [0.5, 1, 1, 1, 1, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup": 11}, "11 of 10 steps"),
        ({"warmup": -1}, "expected 0 to 10"),
        ({"warmup": 1.5}, "15 of 10 steps"),
        ({"decay": "cosine"}, "'linear' or 'constant'"),
    ],
)
def test_impossible_schedules(settings, message):
    with pytest.raises(ConfigError, match=message):
        schedule(10, peak=1.0, **settings)


def by_path(tree):
    return {
        "/".join(key.key for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


@pytest.mark.parametrize("scanned", [False, True])
def test_only_matrices_are_decayed(model, scanned):
    params = scan_params(model.params) if scanned else model.params
    decayed = by_path(is_decayed(params))
    assert {path.split("/")[-1] for path, flag in decayed.items() if flag} == {
        "kernel",
        "embedding",
    }
    assert {path.split("/")[-1] for path, flag in decayed.items() if not flag} == {
        "scale",
        "rel_embedding",
    }


@pytest.mark.parametrize("factory", [adamw, adafactor])
def test_updates(model, factory):
    made = factory(10)
    assert json.loads(json.dumps(made.settings))["name"] == factory.__name__
    with jax.numpy_dtype_promotion("standard"):
        state = jax.jit(made.transform.init)(model.params)
        grads = jax.tree.map(jax.numpy.ones_like, model.params)
        updates, _ = jax.jit(made.transform.update)(grads, state, model.params)
    after = optax.apply_updates(model.params, updates)
    for before, now in zip(jax.tree.leaves(model.params), jax.tree.leaves(after), strict=True):
        assert np.all(np.isfinite(now))
        assert np.any(now != before)


def test_clipping_bounds_the_norm():
    grads = {"a": {"kernel": jax.numpy.full((4, 4), 100.0)}}
    free, clipped = (adamw(1, clip=c, warmup=0).transform for c in (None, 1.0))
    with jax.numpy_dtype_promotion("standard"):
        moments = [
            optax.tree.get(t.update(grads, t.init(grads), grads)[1], "mu") for t in (free, clipped)
        ]
    # The first moment is a tenth of the gradient that the rule has seen.
    np.testing.assert_allclose(optax.tree.norm(moments[0]), 40.0, rtol=1e-5)
    np.testing.assert_allclose(optax.tree.norm(moments[1]), 0.1, rtol=1e-5)


def stepped(rule, params):
    """Two steps with gradients that differ from layer to layer."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        state = rule.init(params)
        for seed in range(2):
            rng = np.random.default_rng(seed)
            grads = {
                "encoder": {
                    f"layers_{i}": {
                        "mlp": {
                            "kernel": 10.0**i * rng.standard_normal((130, 140), np.float32),
                            "scale": 10.0**i * rng.standard_normal((130,), np.float32),
                        }
                    }
                    for i in range(3)
                }
            }
            grads = scan_params(grads) if "layers" in params["encoder"] else grads
            updates, state = rule.update(jax.tree.map(jax.numpy.asarray, grads), state, params)
            params = optax.apply_updates(params, updates)
    return params


def test_adafactor_is_optax_on_each_layer_scanned_or_not():
    """Clipping and scaling by size are of a layer, not of the stack that it lies in."""
    rng = np.random.default_rng(9)
    layers = {
        f"layers_{i}": {
            "mlp": {
                "kernel": 0.1**i * rng.standard_normal((130, 140), np.float32),
                "scale": 0.1**i * rng.standard_normal((130,), np.float32),
            }
        }
        for i in range(3)
    }
    params = {"encoder": jax.tree.map(jax.numpy.asarray, layers)}
    ours = adafactor(10, peak=0.1, warmup=0, decay="constant", clip=None, weight_decay=0.01)
    mask = is_decayed
    theirs = optax.adafactor(0.1, weight_decay_rate=0.01, weight_decay_mask=mask)
    want = stepped(theirs, params)
    scanned = unscan_params(stepped(ours.transform, scan_params(params)))
    for got in (stepped(ours.transform, params), scanned):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def groups_after(optimizer, gradients, steps=3):
    params = {
        "encoder": {"layer": {"kernel": np.ones((2, 2), np.float32)}},
        "heads": {"relations": {"kernel": np.ones((2, 2), np.float32)}},
    }
    state = optimizer.transform.init(params)
    for _ in range(steps):
        grads = {
            name: jax.tree.map(lambda x, g=g: np.full_like(x, g), params[name])
            for name, g in gradients.items()
        }
        with jax.numpy_dtype_promotion("standard"):  # optax counts on it, as the step does
            updates, state = optimizer.transform.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


def of_sgd(total_steps, *, peak, clip=None):
    rule = optax.sgd(peak)
    rule = rule if clip is None else optax.chain(optax.clip_by_global_norm(clip), rule)
    return Optimizer(rule, lambda step: peak, {"peak": peak, "clip": clip})


def test_encoder_and_task_have_rates_and_clipping_of_their_own():
    made = encoder_and_task(
        3,
        encoder=functools.partial(of_sgd, peak=0.5, clip=1.0),
        task=functools.partial(of_sgd, peak=0.01),
    )
    # Norms of the groups: 200 and 2e6. Clipped together, the encoder would not move.
    params = groups_after(made, {"encoder": 100.0, "heads": 1e6}, steps=1)
    np.testing.assert_allclose(params["encoder"]["layer"]["kernel"], 1 - 0.5 / 2)
    np.testing.assert_allclose(params["heads"]["relations"]["kernel"], 1 - 0.01 * 1e6)
    assert made.settings == {
        "name": "encoder_and_task",
        "encoder": {"peak": 0.5, "clip": 1.0},
        "task": {"peak": 0.01, "clip": None},
        "task_names": ["heads"],
    }


def test_published_rates_of_encoder_and_task():
    made = encoder_and_task(100)
    json.dumps(made.settings)
    encoder = np.asarray([made.learning_rate(step) for step in range(101)])
    task = np.asarray([made.further_rates["task_learning_rate"](step) for step in range(101)])
    np.testing.assert_allclose(encoder[[0, 9, 100]], [5e-6, 5e-5, 0], rtol=1e-5)
    np.testing.assert_allclose(task[[0, 50, 100]], [2e-4, 1e-4, 0], rtol=1e-5)
    assert made.settings["encoder"]["weight_decay"] == 0.01
    assert made.settings["task"]["weight_decay"] == 0.0
    params = groups_after(made, {"encoder": 0.0, "heads": 0.0})
    assert np.all(np.asarray(params["encoder"]["layer"]["kernel"]) < 1)  # decayed
    np.testing.assert_array_equal(params["heads"]["relations"]["kernel"], 1)


def test_other_names_of_the_task():
    sgd = functools.partial(of_sgd, peak=0.0)
    task = functools.partial(of_sgd, peak=1.0)
    made = encoder_and_task(3, encoder=sgd, task=task, task_names=("layer",))
    params = groups_after(made, {"encoder": 1.0, "heads": 1.0}, steps=1)
    np.testing.assert_array_equal(params["encoder"]["layer"]["kernel"], 0)
    np.testing.assert_array_equal(params["heads"]["relations"]["kernel"], 1)

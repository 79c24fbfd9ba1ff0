"""Learning rates by step, what is decayed, and that both optimizers work on our parameters."""

from __future__ import annotations

import json

import jax
import numpy as np
import optax
import pytest

from t5coref.core.errors import ConfigError
from t5coref.nn.scan import scan_params
from t5coref.train.optimizers import adafactor, adamw, is_decayed, schedule


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

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.nn import token_loss
from t5coref.nn.losses import projected_loss


def oracle(logits, targets, weights, z_loss, label_smoothing):
    """T5X's loss, written out in float64."""
    logits = logits.astype(np.float64)
    symbols = logits.shape[-1]
    top = logits.max(-1, keepdims=True)
    log_z = np.log(np.exp(logits - top).sum(-1, keepdims=True)) + top
    high, low = 1 - label_smoothing, label_smoothing / (symbols - 1)
    soft = np.full(logits.shape, low)
    np.put_along_axis(soft, np.clip(targets, 0, symbols - 1)[..., None], high, axis=-1)
    best = -(high * np.log(high) + (symbols - 1) * low * np.log(low + 1e-20))
    loss = -(soft * (logits - log_z)).sum(-1) - best + z_loss * log_z[..., 0] ** 2
    return (loss * weights).sum(), weights.sum()


@pytest.fixture
def example():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 5, 7), scale=4).astype(np.float32)
    logits[0, 0] += 3e4  # large logits must not overflow
    targets = rng.integers(0, 7, (3, 5)).astype(np.int32)
    weights = rng.integers(0, 3, (3, 5)).astype(np.float32)
    return logits, targets, weights


@pytest.mark.parametrize(
    ("z_loss", "label_smoothing"), [(0.0, 0.0), (1e-4, 0.0), (0.0, 0.1), (1e-4, 0.1)]
)
def test_against_float64(example, z_loss, label_smoothing):
    logits, targets, weights = example
    if z_loss:
        logits[0, 0] -= 3e4
    want = oracle(logits, targets, weights, z_loss, label_smoothing)
    got = jax.jit(token_loss, static_argnums=(3, 4))(*example, z_loss, label_smoothing)
    assert [x.dtype for x in got] == [jnp.float32, jnp.float32]
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-2 if logits.max() > 1e4 else 1e-5)


def test_gradient_is_softmax_minus_target(example):
    logits, targets, weights = example
    gradient = jax.grad(lambda x: token_loss(x, jnp.asarray(targets), jnp.asarray(weights))[0])(
        jnp.asarray(logits)
    )
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    want = shifted / shifted.sum(-1, keepdims=True) - np.eye(7)[targets]
    np.testing.assert_allclose(gradient, want * weights[..., None], atol=1e-5)


def test_a_perfect_prediction_costs_nothing(example):
    _, targets, weights = example
    low = 0.1 / 6
    probabilities = np.where(np.eye(7)[targets] > 0, 0.9, low).astype(np.float32)
    loss, _ = token_loss(
        jnp.log(probabilities), jnp.asarray(targets), jnp.asarray(weights), label_smoothing=0.1
    )
    assert abs(float(loss)) < 1e-4


def test_targets_out_of_range_matter_only_where_weighted(example):
    logits, targets, weights = (jnp.asarray(x) for x in example)
    want = token_loss(logits, targets, weights)[0]
    padded = jnp.where(weights > 0, targets, -100)
    value, gradient = jax.value_and_grad(lambda x: token_loss(x, padded, weights)[0])(logits)
    np.testing.assert_allclose(value, want)
    assert np.isfinite(gradient).all()
    loud = token_loss(logits, targets.at[0, 0].set(7), jnp.ones_like(weights))[0]
    assert np.isnan(loud)


def test_bfloat16_logits_are_lossless_from_there_on(example):
    logits, targets, weights = (jnp.asarray(x) for x in example)
    rounded = logits.astype(jnp.bfloat16)
    got = token_loss(rounded, targets, weights)[0]
    np.testing.assert_allclose(got, token_loss(rounded.astype(jnp.float32), targets, weights)[0])


@pytest.mark.parametrize(("z_loss", "label_smoothing"), [(0.0, 0.0), (1e-4, 0.1)])
@pytest.mark.parametrize("logits", [1, 14, 21, 10**6])
def test_a_part_at_a_time_is_the_loss_of_all(example, z_loss, label_smoothing, logits):
    """Values and gradients, also where the last part is not full."""
    _, targets, weights = (jnp.asarray(x) for x in example)
    rng = np.random.default_rng(1)
    hidden = jnp.asarray(rng.normal(size=(3, 5, 4)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(4, 7)), jnp.float32)

    def run(loss):
        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(hidden, kernel)

    got = run(
        lambda h, k: projected_loss(h, k, targets, weights, z_loss, label_smoothing, logits=logits)
    )
    want = run(lambda h, k: token_loss(h @ k, targets, weights, z_loss, label_smoothing))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_the_loss_in_parts_takes_less_memory():
    """By what the compiler allots, for the gradient."""
    shapes = [
        jax.ShapeDtypeStruct(shape, dtype)
        for shape, dtype in (
            ((1, 512, 16), jnp.float32),
            ((16, 2000), jnp.float32),
            ((1, 512), jnp.int32),
            ((1, 512), jnp.float32),
        )
    ]

    def temporaries(logits):
        def loss(*args):
            return projected_loss(*args, logits=logits)[0]

        compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(*shapes).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(64 * 2000) < 0.4 * temporaries(512 * 2000)

"""The kernel graph attention head against a float64 computation with loops."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.nn.downstream import KernelGraphAttention
from t5coref.nn.downstream.kgat import LABEL, SEGMENT, kernels

HEAD = KernelGraphAttention(classes=3, kernel_count=5, hidden_dim=4)
B, E, T, D = 2, 3, 6, 4


def softmax(scores):
    weights = np.exp(np.asarray(scores) - max(scores))
    return weights / weights.sum()


def linear(params, x):
    return x @ np.asarray(params["kernel"], np.float64) + np.asarray(params["bias"], np.float64)


def pooled(query, keys, count):
    """Log of the kernels' sums over keys, `[K]`."""
    means, widths = kernels(count)
    found = []
    for mean, width in zip(means, widths, strict=True):
        total = sum(
            np.exp(-((query @ key - float(mean)) ** 2) / (2 * float(width) ** 2)) for key in keys
        )
        found.append(np.log(max(total, 1e-10)))
    return np.asarray(found)


def expected(params, states, segment):
    """Probabilities of the classes of one claim, `[C]`, from `[E, T, d]` and `[E, T]`."""
    count = HEAD.kernel_count
    there = [e for e in range(len(states)) if (segment[e] > 0).any()]
    unit = states / np.linalg.norm(states, axis=-1, keepdims=True)
    relevance = []
    for e in there:
        evidence = [unit[e, t] for t in range(states.shape[1]) if segment[e, t] == 2]
        claim = [unit[e, t] for t in range(states.shape[1]) if segment[e, t] == 1]
        mean = np.mean([pooled(piece, evidence, count) for piece in claim], axis=0)
        relevance.append(linear(params["select"], mean)[0])
    chosen = softmax(relevance)
    probability = np.zeros(HEAD.classes)
    for own, share in zip(there, chosen, strict=True):
        own_pieces = [unit[own, t] for t in range(states.shape[1]) if segment[own, t] > 0]
        found, weights = [], []
        for other in there:
            places = [t for t in range(states.shape[1]) if segment[other, t] > 0]
            attention = softmax(
                [
                    linear(params["attend"], pooled(unit[other, t], own_pieces, count))[0]
                    for t in places
                ]
            )
            found.append(sum(a * states[other, t] for a, t in zip(attention, places, strict=True)))
            both = np.concatenate([states[own, 0], found[-1]])
            hidden = np.maximum(linear(params["edge_hidden"], both), 0)
            weights.append(linear(params["edge"], hidden)[0])
        attended = sum(w * f for w, f in zip(softmax(weights), found, strict=True))
        votes = linear(params["classify"], np.concatenate([states[own, 0], attended]))
        probability += share * softmax(votes)
    return probability


@functools.cache
def made():
    random = np.random.default_rng(0)
    states = random.normal(size=(B, E, T, D)).astype(np.float32)
    segment = np.zeros((B, E, T), np.int32)
    for b, e, claim, evidence in [
        (0, 0, 2, 3),
        (0, 1, 2, 4),
        (0, 2, 2, 1),
        (1, 0, 3, 2),
        (1, 1, 3, 0),
    ]:
        segment[b, e, : claim + evidence] = [1] * claim + [2] * evidence
    states[0, 1, 3] = states[0, 1, 0]  # equal vectors: the narrow kernel has something to find
    params = HEAD.init(jax.random.key(1), jnp.asarray(states), {SEGMENT: jnp.asarray(segment)},
                       deterministic=True)["params"]  # fmt: skip
    random = np.random.default_rng(2)
    params = jax.tree.map(
        lambda x: jnp.asarray(random.normal(0, 0.5, x.shape), jnp.float32), params
    )
    return states, segment, params


@jax.jit
def apply(params, states, segment):
    return HEAD.apply({"params": params}, states, {SEGMENT: segment}, deterministic=True)


def test_kernels():
    means, widths = kernels(21)
    np.testing.assert_allclose(means[:4], [1, 0.95, 0.85, 0.75])
    np.testing.assert_allclose(means[-1], -0.95, rtol=1e-5)
    assert widths.tolist() == [np.float32(0.001)] + [np.float32(0.1)] * 20
    assert kernels(1)[0].tolist() == [1.0]


def test_as_computed_with_loops():
    states, segment, params = made()
    found = np.exp(apply(params, states, segment))
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
    for b in range(B):
        wanted = expected(params, states[b].astype(np.float64), segment[b])
        np.testing.assert_allclose(found[b], wanted, rtol=2e-4)


def test_padding_and_missing_evidence_do_not_matter():
    states, segment, params = made()
    noise = np.random.default_rng(3).normal(size=states.shape).astype(np.float32)
    changed = np.where(segment[..., None] > 0, states, noise)
    np.testing.assert_allclose(
        apply(params, changed, segment), apply(params, states, segment), atol=1e-5
    )
    # The states behind an evidence that is not there may even be zero, as those of padding are.
    zero = np.where(segment[..., None] > 0, states, 0)
    np.testing.assert_allclose(
        apply(params, zero, segment), apply(params, states, segment), atol=1e-5
    )


def test_the_order_of_evidence_does_not_matter():
    states, segment, params = made()
    order = [2, 0, 1]
    np.testing.assert_allclose(
        apply(params, states[:, order], segment[:, order]),
        apply(params, states, segment),
        atol=1e-5,
    )


def test_loss_and_gradient():
    states, segment, params = made()
    labels = np.asarray([2, 0], np.int32)

    @jax.jit
    def loss(params, states):
        features = {SEGMENT: segment, LABEL: labels}
        output: Any = HEAD.apply({"params": params}, states, features, deterministic=False)
        total, weight = HEAD.losses(output, features)
        return jnp.sum(total), (total, weight)

    zero = np.where(segment[..., None] > 0, states, 0)
    grads, (total, weight) = jax.grad(loss, argnums=(0, 1), has_aux=True)(params, zero)
    probability = np.exp(apply(params, zero, segment))
    np.testing.assert_allclose(total, -np.log(probability[[0, 1], labels]), rtol=1e-5)
    assert weight.tolist() == [1, 1]
    for leaf in jax.tree.leaves(grads):
        assert np.isfinite(leaf).all()
    for name in ("select", "attend", "edge", "edge_hidden", "classify"):
        assert np.abs(grads[0][name]["kernel"]).sum() > 0
    assert np.abs(grads[1][1, 2]).sum() == 0  # there is no third evidence for the second claim


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_scores_are_float32(dtype):
    states, segment, params = made()
    assert apply(params, jnp.asarray(states, dtype), segment).dtype == jnp.float32

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.nn import attention
from t5coref.nn.attention import (
    MASKED,
    Attention,
    cached_attention,
    dot_product_attention,
    write_slots,
)
from t5coref.nn.layers import RelativePositionBias, distance_buckets


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (3, 9), (9, 3), (1, 5)])
def test_bias_is_the_embedding_of_each_distance(jit, bidirectional, queries, keys):
    bias = RelativePositionBias(2, 8, 6, bidirectional, jnp.dtype("float32"))
    table = np.arange(16, dtype=np.float32).reshape(2, 8)
    variables = {"params": {"rel_embedding": jnp.asarray(table)}}
    got = jit(lambda: bias.apply(variables, queries, keys))()
    distances = np.arange(keys)[None, :] - np.arange(queries)[:, None]
    buckets = distance_buckets(
        distances, bidirectional=bidirectional, num_buckets=8, max_distance=6
    )
    np.testing.assert_array_equal(got, table[:, buckets][None])


def test_bias_at_positions_is_that_of_the_rows(jit):
    bias = RelativePositionBias(2, 8, 6, False, jnp.dtype("float32"))
    variables = {"params": {"rel_embedding": jax.random.normal(jax.random.key(0), (2, 8))}}
    every = jit(lambda: bias.apply(variables, 12, 12))()
    positions = jnp.array([[0, 1, 2], [9, 10, 11]], jnp.int32)
    got = jit(lambda p: bias.apply(variables, p, jnp.arange(12), method="at"))(positions)
    for n, row in enumerate(np.asarray(positions)):
        for t, position in enumerate(row):
            seen = slice(0, position + 1)
            np.testing.assert_array_equal(got[n, :, seen, t], every[0, :, position, seen])


@pytest.mark.parametrize(
    ("distance", "both_ways", "looking_back"),
    # 32 buckets up to distance 128: exact to 7 (15), then logarithmic; ahead starts at 16.
    [(0, 0, 0), (-7, 7, 7), (-8, 8, 8), (-16, 10, 16), (-127, 15, 31), (-900, 15, 31), (1, 17, 0)],
)
def test_buckets_by_hand(distance, both_ways, looking_back):
    for bidirectional, expected in ((True, both_ways), (False, looking_back)):
        got = distance_buckets(
            np.array([distance]), bidirectional=bidirectional, num_buckets=32, max_distance=128
        )
        assert got.tolist() == [expected]


def test_attention_against_float64(jit):
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, n, 3, 4)).astype(np.float32) for n in (5, 6, 6))
    mask = rng.random((2, 1, 5, 6)) < 0.7
    mask[0, 0, 0] = False
    bias = rng.normal(size=(1, 3, 5, 6)).astype(np.float32)
    logits = np.einsum("bthd,bkhd->bhtk", q.astype(np.float64), k) + bias
    logits = np.where(mask, logits, MASKED)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    want = np.einsum("bhtk,bkhd->bthd", weights, v)
    got = jit(dot_product_attention)(*map(jnp.asarray, (q, k, v, mask, bias)))
    np.testing.assert_allclose(got, want, atol=1e-5)
    np.testing.assert_allclose(got[0, 0], v[0].mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("block", [4, 5, 22, 64])
@pytest.mark.parametrize("used", [None, 1, 8, 9, 21, 22, 30])
def test_cached_attention_reads_used_slots_in_blocks(jit, block, used, monkeypatch):
    monkeypatch.setattr(attention, "BLOCK", block)
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, n, 3, 4)).astype(np.float32) for n in (5, 22, 22))
    mask = rng.random((2, 1, 5, 22)) < 0.7
    mask[..., 0] = True
    if used is not None:
        mask[..., used:] = False
        k[:, used:], v[:, used:] = 1e30, -1e30  # whatever stands there does not matter
    bias = rng.normal(size=(1, 3, 5, 22)).astype(np.float32)
    bias = np.where(mask, bias, MASKED)
    want = jit(dot_product_attention)(q, k, v, mask, bias)
    got = jit(lambda *args: cached_attention(*args))(
        q,
        k.transpose(0, 2, 1, 3),
        v.transpose(0, 2, 3, 1),
        bias.transpose(0, 1, 3, 2),
        None if used is None else jnp.int32(used),
    )
    np.testing.assert_allclose(got, want, atol=2e-6)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("size", [1, 3, 9])
def test_slots_are_written_at_each_row_and_those_beyond_the_last_dropped(jit, axis, size):
    rng = np.random.default_rng(0)
    shape = [(4, 7, 2), (4, 2, 7)][axis - 1]
    slots = rng.normal(size=shape).astype(np.float32)
    new = rng.normal(size=[s if i != axis else size for i, s in enumerate(shape)])
    new = new.astype(np.float32)
    start = np.array([0, 3, 5, 12], np.int32)
    want = np.moveaxis(slots.copy(), axis, 1)
    for row, first in enumerate(start):
        for i in range(size):
            if first + i < 7:
                want[row, first + i] = np.moveaxis(new, axis, 1)[row, i]
    got = jit(functools.partial(write_slots, axis=axis))(slots, new, start)
    np.testing.assert_array_equal(np.moveaxis(np.asarray(got), axis, 1), want)


def test_attention_dropout_draws_once_per_key_and_head(jit):
    """Dropping a value is what T5X does when it drops a key of a head for every query."""
    module = Attention(2, 6, 12, 0.5, jnp.dtype("float32"))
    x = jax.random.normal(jax.random.key(0), (3, 7, 12))
    mask = jnp.ones((1, 1, 1, 1), bool)
    init = jit(functools.partial(module.init, deterministic=True))
    variables = init(jax.random.key(1), x, x, mask)
    kernels = variables["params"]
    # Equal weights for all keys, values all one and no mixing: the output counts the kept keys.
    kernels["query"]["kernel"] = jnp.zeros((12, 12))
    kernels["value"]["kernel"] = kernels["out"]["kernel"] = jnp.eye(12)
    ones = jnp.ones_like(x)
    apply = jit(functools.partial(module.apply, deterministic=False))
    out = apply(variables, ones, ones, mask, rngs={"dropout": jax.random.key(2)})
    heads = np.asarray(out).reshape(3, 7, 2, 6)
    np.testing.assert_allclose(heads, heads[:, :1, :, :1] * np.ones((1, 7, 1, 6)), atol=1e-6)
    kept = heads[:, 0, :, 0] * 7 * 0.5
    np.testing.assert_allclose(kept, np.round(kept), atol=1e-5)
    assert len(set(np.round(kept).ravel().tolist())) > 1

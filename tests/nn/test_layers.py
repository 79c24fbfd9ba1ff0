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
    Sight,
    attend,
    blocks_of,
    cached_attention,
    dot_product_attention,
    write_slots,
)
from t5coref.nn.layers import RelativePositionBias, distance_buckets


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(
    ("queries", "keys", "first"), [(7, 7, 0), (3, 9, 0), (9, 3, 0), (1, 5, 0), (3, 9, 4)]
)
def test_bias_is_the_embedding_of_each_distance(jit, bidirectional, queries, keys, first):
    bias = RelativePositionBias(2, 8, 6, bidirectional, jnp.dtype("float32"))
    table = np.arange(16, dtype=np.float32).reshape(2, 8)
    variables = {"params": {"rel_embedding": jnp.asarray(table)}}
    got = jit(lambda: bias.apply(variables, queries, keys, first))()
    distances = np.arange(keys)[None, :] - np.arange(queries)[:, None] - first
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


SEGMENTS = np.array([[1] * 4 + [2] * 7, [1] * 9 + [0] * 2], np.int32)


def test_sight_is_of_the_same_segment_and_not_ahead(jit):
    got = jit(lambda s: Sight(s[:, 3:6], s, causal=True).mask(3))(jnp.asarray(SEGMENTS))
    for row, segments in enumerate(SEGMENTS):
        for i, query in enumerate((3, 4, 5)):
            want = [
                segments[key] == segments[query] > 0 and key <= query
                for key in range(len(segments))
            ]
            assert np.asarray(got[row, 0, i]).tolist() == want


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("block", [1, 4, 5, 11, 64, None])
def test_attention_in_blocks_is_attention(jit, causal, block):
    """Values and gradients, also where the last block is not full and queries see nothing."""
    rng = np.random.default_rng(0)
    q, k, v, seen = (rng.normal(size=(2, 11, 3, 4)).astype(np.float32) for _ in range(4))
    table = rng.normal(size=(3, 8)).astype(np.float32)
    sight = Sight(jnp.asarray(SEGMENTS), jnp.asarray(SEGMENTS), causal)
    module = RelativePositionBias(3, 8, 6, not causal, jnp.dtype("float32"))

    def bias(table, queries, keys, first):
        return module.apply({"params": {"rel_embedding": table}}, queries, keys, first)

    def in_blocks(q, k, v, table):
        count, size = blocks_of(11, block)
        first = (count - 1) * size
        out = attend(q, k, v, sight, bias(table, size, first + 11, first), block)
        return jnp.sum(out * seen), out

    def at_once(q, k, v, table):
        out = dot_product_attention(q, k, v, sight.mask(), bias(table, 11, 11, 0))
        return jnp.sum(out * seen), out

    def run(function):
        gradient = jax.value_and_grad(function, argnums=(0, 1, 2, 3), has_aux=True)
        return jit(gradient)(*map(jnp.asarray, (q, k, v, table)))

    for got, want in zip(*(jax.tree.leaves(run(f)) for f in (in_blocks, at_once)), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("block", [4, 64])
def test_cross_attention_in_blocks_needs_no_bias(jit, block):
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, n, 3, 4)).astype(np.float32) for n in (9, 11, 11))
    sight = Sight(jnp.asarray(SEGMENTS[:, :9]), jnp.asarray(SEGMENTS))
    got = jit(lambda *x: attend(*x, sight, None, block))(q, k, v)
    want = jit(dot_product_attention)(q, k, v, sight.mask(), None)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_attention_in_blocks_takes_less_memory(jit):
    """By what the compiler allots, for the gradient."""
    shape = jax.ShapeDtypeStruct((1, 512, 4, 8), jnp.float32)
    segments = jnp.ones((1, 512), jnp.int32)

    def temporaries(block):
        count, size = blocks_of(512, block)
        bias = jax.ShapeDtypeStruct((1, 4, size, (count - 1) * size + 512), jnp.float32)

        def loss(q, k, v, bias):
            return jnp.sum(attend(q, k, v, Sight(segments, segments), bias, block))

        compiled = jit(jax.grad(loss, argnums=(0, 1, 2))).lower(shape, shape, shape, bias).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(64) < 0.4 * temporaries(None)


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
    sight = Sight(jnp.ones((3, 7), jnp.int32), jnp.ones((3, 7), jnp.int32))
    init = jit(functools.partial(module.init, deterministic=True))
    variables = init(jax.random.key(1), x, x, sight)
    kernels = variables["params"]
    # Equal weights for all keys, values all one and no mixing: the output counts the kept keys.
    kernels["query"]["kernel"] = jnp.zeros((12, 12))
    kernels["value"]["kernel"] = kernels["out"]["kernel"] = jnp.eye(12)
    ones = jnp.ones_like(x)
    apply = jit(functools.partial(module.apply, deterministic=False))
    out = apply(variables, ones, ones, sight, rngs={"dropout": jax.random.key(2)})
    heads = np.asarray(out).reshape(3, 7, 2, 6)
    np.testing.assert_allclose(heads, heads[:, :1, :, :1] * np.ones((1, 7, 1, 6)), atol=1e-6)
    kept = heads[:, 0, :, 0] * 7 * 0.5
    np.testing.assert_allclose(kept, np.round(kept), atol=1e-5)
    assert len(set(np.round(kept).ravel().tolist())) > 1

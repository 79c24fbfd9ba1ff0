"""Propagation over the graph of relations, and compatibility with it."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import joint_oracles as oracles
import numpy as np
import pytest

from t5coref.nn.joint_ie import GraphCompatibility, GraphPropagation
from t5coref.nn.joint_ie.compatibility import distances, salient
from t5coref.nn.joint_ie.losses import contrastive_loss
from t5coref.nn.joint_ie.propagation import propagate

N, R, K, D = 7, 3, 3, 4
DIRECTIONS = {
    "both": {},
    "out": {"incoming": False},
    "in": {"outgoing": False},
}


def ours(scores):
    """`[N, N, R]` -> `[N, R, N]`, float32."""
    return jnp.asarray(np.asarray(scores).swapaxes(1, 2), jnp.float32)


def pad(array, n, value, axes):
    """Padding to length n."""
    array = np.asarray(array, np.float64)
    widths = [(0, n - size if i in axes else 0) for i, size in enumerate(array.shape)]
    return np.pad(array, widths, constant_values=value)


# Propagation

EDGES = np.array([[[0, np.log(3)], [-1, 0]], [[np.log(2), 0], [np.log(4)] * 2]])
PROPAGATED = {
    "out": [[1.557490, 0.608966], [0.611856, 1.611856]],
    "in": [[1.522450, 0.666089], [0.507549, 1.583294]],
    "both": [[1.539970, 0.637528], [0.559702, 1.597575]],
}


@pytest.fixture(scope="module")
def propagation(jit):
    return {name: jit(functools.partial(propagate, **d)) for name, d in DIRECTIONS.items()}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("masked", [-100.0, 0.0, 100.0])
def test_worked_example_of_propagation(propagation, direction, masked):
    """Of the specification, A9, with a masked third mention of any score."""
    scores = pad(EDGES.transpose(1, 2, 0), 3, masked, (0, 1))
    mentions = jnp.asarray(pad(np.eye(2), 3, 9.0, (0,)), jnp.float32)
    kernel = jnp.asarray([np.eye(2), 2 * np.eye(2)], jnp.float32)
    valid = jnp.asarray([True, True, False])
    found = propagation[direction](mentions, ours(scores), valid, kernel)
    np.testing.assert_allclose(found[:2], PROPAGATED[direction], atol=1e-6)
    np.testing.assert_array_equal(found[2], mentions[2])


@pytest.fixture(scope="module")
def graph():
    """Mentions, relation scores and a kernel."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, D)), 2 * rng.normal(size=(N, N, R)), rng.normal(size=(R, D, D))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_propagation_against_loops(propagation, graph, direction):
    """And a permutation of mentions permutes their vectors."""
    g, scores, kernel = graph
    want = oracles.propagate(g, scores, kernel, **DIRECTIONS[direction])
    run = functools.partial(
        propagation[direction], valid=jnp.ones(N, bool), kernel=jnp.asarray(kernel, jnp.float32)
    )
    found = run(jnp.asarray(g, jnp.float32), ours(scores))
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    order = np.random.default_rng(1).permutation(N)
    moved = run(jnp.asarray(g[order], jnp.float32), ours(scores[order][:, order]))
    np.testing.assert_allclose(moved, found[order], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_outside_of_jit(propagation, measure, graph):
    g, _, kernel = (jnp.asarray(x, jnp.float32) for x in graph)
    arguments, beta = (g, ours(graph[1]), jnp.arange(N) < 5), jnp.ones(R, jnp.float32)
    with jax.disable_jit():
        moved = propagate(*arguments, kernel)
        chosen, there = salient(*arguments[1:], neighbours=K)
        apart = distances(arguments[1], chosen, there, beta)
    np.testing.assert_allclose(propagation["both"](*arguments, kernel), moved, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(measure[False, False](*arguments[1:], beta)[2], apart, rtol=1e-5)


def test_gradients_of_propagation(graph, jit):
    g, scores, kernel = graph
    arguments = jnp.asarray(g, jnp.float32), ours(scores), jnp.arange(N) < 5
    kernel = jnp.asarray(kernel, jnp.float32)

    def total(g, scores, kernel, valid):
        weights = jnp.asarray(np.random.default_rng(2).normal(size=(N, D)), jnp.float32)
        return jnp.sum(weights * propagate(g, scores, valid, kernel))

    gradient = jit(jax.grad(total, argnums=(0, 1, 2)))
    _, of_scores, of_kernel = gradient(arguments[0], arguments[1], kernel, arguments[2])
    # Where a score is negative its edge weighs exp(0), whatever it is; padding weighs nothing.
    used = (np.arange(N) < 5)[:, None] & (np.arange(N) < 5)[None, :]
    live = (arguments[1] > 0) & used[:, None, :]
    assert not np.asarray(of_scores)[~live].any()
    assert np.asarray(of_scores)[live].all()
    assert np.asarray(of_kernel).any()
    for valid in (jnp.zeros(N, bool), jnp.ones(N, bool)):
        for scale in (1e4, -1e4):
            large = jnp.full((N, R, N), scale)
            found = gradient(arguments[0], large, kernel, valid)
            assert all(np.isfinite(x).all() for x in found)


def test_propagation_needs_a_direction():
    part = GraphPropagation(outgoing=False, incoming=False)
    with pytest.raises(ValueError, match="expected outgoing, incoming or both, got neither"):
        part.init(
            jax.random.key(0), jnp.zeros((1, N, D)), jnp.zeros((1, N, R, N)), jnp.ones((1, N), bool)
        )


# Compatibility

SCORES = np.array(
    [
        [[0, 1, 2, -1], [1, 0, 2, 0], [0, 1, 0, 3], [-2, 0, 1, 0]],
        [[0, 0, 1, 1], [0, 0, 2, 1], [1, -1, 0, 0], [0, 2, -1, 0]],
    ]
).transpose(1, 2, 0)
BETA, CLUSTER = (0.5, 0.25), (1, 1, 2, 0)
# exclude_endpoints -> D(1,0), D(2,0), D(2,1), D(3,0), ..; the loss of all and of gold pairs
MEASURED = {
    False: ([0.75, 3.5, 3.25, 1.75, 1.5, 2.25], 0.145833, 0.1875),
    True: ([0.75, 2.25, 1.75, 1.0, 1.25, 0.0], 1.03125, 0.208333),
}


@pytest.mark.parametrize(("both_directions", "want"), [(False, [2, 3]), (True, [2, 1])])
@pytest.mark.parametrize("masked", [-9.0, 9.0])
def test_worked_example_of_neighbours(both_directions, want, masked):
    """Of the specification, A10."""
    scores = ours(pad(SCORES, 5, masked, (0, 1)))
    valid = jnp.arange(5) < 4
    chosen, there = salient(scores, valid, neighbours=2, both_directions=both_directions)
    assert chosen.tolist() == want
    assert there.tolist() == [True, True]


@pytest.mark.parametrize("exclude_endpoints", [False, True])
@pytest.mark.parametrize("masked", [-9.0, 9.0])
def test_worked_example_of_distances(jit, exclude_endpoints, masked):
    def run(scores, chosen, there, cluster, valid):
        found = distances(
            scores, chosen, there, jnp.asarray(BETA), exclude_endpoints=exclude_endpoints
        )
        both = (contrastive_loss(found, cluster, valid, all_pairs=k) for k in (True, False))
        return found, *both

    scores = ours(pad(SCORES, 5, masked, (0, 1)))
    # A third neighbour that is none.
    found, of_all, of_gold = jit(run)(
        scores,
        jnp.asarray([2, 3, 4]),
        jnp.asarray([True, True, False]),
        jnp.asarray([*CLUSTER, 1]),
        jnp.arange(5) < 4,
    )
    want, all_pairs, gold_pairs = MEASURED[exclude_endpoints]
    np.testing.assert_allclose(found[np.tril_indices(4, -1)], want, atol=1e-6)
    np.testing.assert_allclose([of_all, of_gold], [all_pairs, gold_pairs], atol=1e-6)


@pytest.fixture(scope="module")
def measure(jit):
    """scores, valid, beta -> neighbours, distances; by (both_directions, exclude_endpoints)."""

    def build(both_directions, exclude_endpoints):
        def run(scores, valid, beta):
            chosen, there = salient(scores, valid, neighbours=K, both_directions=both_directions)
            found = distances(scores, chosen, there, beta, exclude_endpoints=exclude_endpoints)
            return chosen, there, found

        return jit(run)

    return {key: build(*key) for key in ((False, False), (True, True))}


@pytest.mark.parametrize("knobs", [(False, False), (True, True)])
@pytest.mark.parametrize("count", [7, 4, 2, 0])
def test_distances_against_loops(measure, graph, knobs, count):
    """With padding, and with fewer mentions than neighbours are asked for."""
    scores = graph[1]
    beta = np.array([0.5, -0.25, 2.0])
    valid = jnp.arange(N) < count
    chosen, there, found = measure[knobs](ours(scores), valid, jnp.asarray(beta, jnp.float32))
    real = scores[:count, :count]
    want, _ = oracles.neighbours(real, K, knobs[0])
    assert np.asarray(chosen)[np.asarray(there)].tolist() == want
    np.testing.assert_allclose(
        found[:count, :count], oracles.distances(real, want, beta, knobs[1]), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diag(found), 0)


def test_a_permutation_of_mentions_permutes_distances(measure, graph):
    scores, order = graph[1], np.random.default_rng(1).permutation(N)
    run = functools.partial(
        measure[False, False], valid=jnp.ones(N, bool), beta=jnp.ones(R, jnp.float32)
    )
    found, moved = run(ours(scores))[2], run(ours(scores[order][:, order]))[2]
    np.testing.assert_allclose(moved, found[order][:, order], rtol=1e-5)


@pytest.fixture(scope="module")
def contrast(jit):
    """The loss of a document, and its gradients by scores and beta."""

    def run(scores, beta, cluster, valid):
        chosen, there = salient(scores, valid, neighbours=K)
        found = distances(scores, chosen, there, beta)
        return contrastive_loss(found, cluster, valid)

    return jit(jax.value_and_grad(run, argnums=(0, 1)))


def test_gradients_of_the_contrastive_loss(contrast):
    """Against differences in float64; only outgoing scores to neighbours have any."""
    n, types = 5, 2
    rng = np.random.default_rng(3)
    scores, beta = rng.normal(size=(n, n, types)), np.array([0.3, 0.2])
    cluster = [1, 2, 1, 2, 2]
    chosen, _ = oracles.neighbours(scores, K)

    def loss(scores, beta):
        return oracles.contrastive_loss(oracles.distances(scores, chosen, beta), cluster)

    value, (of_scores, of_beta) = contrast(
        ours(scores), jnp.asarray(beta, jnp.float32), jnp.asarray(cluster), jnp.ones(n, bool)
    )
    np.testing.assert_allclose(value, loss(scores, beta), rtol=1e-5)
    step = 1e-6
    numeric = np.zeros_like(scores)
    for place in np.ndindex(scores.shape):
        for sign in (1, -1):
            moved = scores.copy()
            moved[place] += sign * step
            numeric[place] += sign * loss(moved, beta) / (2 * step)
    np.testing.assert_allclose(np.asarray(of_scores).swapaxes(1, 2), numeric, rtol=1e-3, atol=1e-5)
    for r in range(types):
        ahead, behind = (beta + s * step * np.eye(types)[r] for s in (1, -1))
        slope = (loss(scores, ahead) - loss(scores, behind)) / (2 * step)
        np.testing.assert_allclose(of_beta[r], slope, rtol=1e-3)
    read = np.isin(np.arange(n), chosen)
    assert not np.asarray(of_scores)[:, :, ~read].any()
    assert np.asarray(of_scores)[:, :, read].any(axis=0).all()


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("cluster", [[0] * 5, [1] * 5, [1, 0, 0, 0, 0], [1, 2, 1, 2, 0]])
def test_gradients_are_finite(contrast, scale, cluster):
    """Without a pair, with one entity alone, where scores are equal, and where they are large."""
    scores = ours(scale * np.random.default_rng(4).normal(size=(5, 5, 2)))
    for valid in (jnp.ones(5, bool), jnp.zeros(5, bool)):
        value, gradients = contrast(scores, jnp.ones(2), jnp.asarray(cluster), valid)
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in gradients)
        if sum(c > 0 for c in cluster) < 2 or not valid.any():
            assert value == 0


def test_the_part_starts_as_a_mean_difference(graph, jit):
    """Beta is positive and so small that the distance is a mean over types and neighbours."""
    scores = np.concatenate([np.full((N, N, 1), 5.0), graph[1]], axis=-1)
    want = oracles.distances(graph[1], oracles.neighbours(graph[1], K)[0], np.ones(R)) / (R * K)
    arguments = ours(scores)[None], jnp.ones((1, N), bool)
    for free, minus in ((False, True), (True, False)):  # the threshold is constant and cancels
        part = GraphCompatibility(neighbours=K, free_beta=free, minus_threshold=minus)
        run = jit(functools.partial(part.init_with_output, jax.random.key(0)))
        found, variables = run(*arguments)
        np.testing.assert_allclose(found[0], want, rtol=1e-4, atol=1e-6)
        assert variables["params"]["beta"].shape == (R,)


def test_the_threshold_may_be_subtracted(graph, jit):
    threshold = np.random.default_rng(5).normal(size=(N, N, 1))
    part = GraphCompatibility(neighbours=K, minus_threshold=True, free_beta=True)
    apply = jit(functools.partial(part.apply, {"params": {"beta": jnp.ones(R)}}))
    found = apply(
        ours(np.concatenate([threshold, graph[1]], axis=-1))[None], jnp.ones((1, N), bool)
    )
    relative = graph[1] - threshold
    want = oracles.distances(relative, oracles.neighbours(relative, K)[0], np.ones(R))
    np.testing.assert_allclose(found[0], want, rtol=1e-4, atol=1e-5)


def test_distances_take_no_memory_for_all_types():
    """By what the compiler allots for the gradient: no `[N, N, R]`, much less `[N, N, R, K]`."""
    n, types, count = 96, 48, 8

    def total(scores, chosen, there, beta):
        return jnp.sum(jnp.square(distances(scores, chosen, there, beta)))

    shapes = (
        jax.ShapeDtypeStruct((n, types, count), jnp.float32),
        jax.ShapeDtypeStruct((count,), jnp.int32),
        jax.ShapeDtypeStruct((count,), jnp.bool_),
        jax.ShapeDtypeStruct((types,), jnp.float32),
    )
    compiled = jax.jit(jax.grad(total, argnums=(0, 3))).lower(*shapes).compile()
    allotted = compiled.memory_analysis().temp_size_in_bytes
    assert allotted < 4 * n * n * types

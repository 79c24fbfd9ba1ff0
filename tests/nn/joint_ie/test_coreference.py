"""Antecedents: scores, losses and clusters."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import joint_oracles as oracles
import numpy as np
import pytest

from t5coref.nn.joint_ie.coreference import antecedent_scores
from t5coref.nn.joint_ie.decisions import link, number_clusters
from t5coref.nn.joint_ie.losses import antecedent_loss, mention_loss

N = 7


def run(similarity, mention, cluster, valid, penalty=None):
    scores = antecedent_scores(similarity, mention, valid, penalty)
    return (
        scores,
        antecedent_loss(scores, cluster, valid),
        mention_loss(mention, cluster, valid),
        link(scores, mention, valid),
        link(scores, mention, valid, all_mentions=True),
    )


@pytest.fixture(scope="module")
def program(jit):
    return jit(run)


def example(similarity, mention, cluster, n=N):
    """The arguments of `run`, padded with garbage to n candidates."""
    count = len(mention)
    rng = np.random.default_rng(0)
    similarity_, mention_ = rng.normal(size=(n, n), scale=5), rng.normal(size=n, scale=5)
    similarity_[:count, :count], mention_[:count] = similarity, mention
    cluster_ = np.ones(n, np.int32)
    cluster_[:count] = cluster
    floats = (jnp.asarray(x, jnp.float32) for x in (similarity_, mention_))
    return *floats, jnp.asarray(cluster_), jnp.arange(n) < count


@pytest.mark.parametrize(
    ("first", "linked", "all_mentions"), [(0.5, [0, 0, 0], [0, 0, 0]), (-1, [0, -1, 0], [0, 1, 0])]
)
def test_worked_example(program, first, linked, all_mentions):
    """Of the specification, A5; the other candidates are padding."""
    similarity = [[0, 0, 0], [first, 0, 0], [1, -1, 0]]
    scores, loss, of_mentions, *found = program(*example(similarity, [1, -0.5, 0.5], [1, 0, 1]))
    assert scores[1, 1] == first + 0.5
    np.testing.assert_allclose(scores[2, :3], [0, 2.5, -1])
    if first == 0.5:
        np.testing.assert_allclose(loss, 1.419676, atol=1e-6)
    np.testing.assert_allclose(of_mentions, 1.261416, atol=1e-6)
    assert [x[:3].tolist() for x in found] == [linked, all_mentions]


@pytest.mark.parametrize("seed", range(6))
def test_against_loops(program, seed):
    rng = np.random.default_rng(seed)
    count = [7, 5, 3, 1, 0, 6][seed]
    similarity, mention = rng.normal(size=(count, count), scale=3), rng.normal(size=count)
    cluster = rng.integers(0, 3, count)
    scores, loss, of_mentions, *found = program(*example(similarity, mention, cluster))
    want = oracles.antecedents(similarity, mention)
    for (x, y), score in want.items():
        np.testing.assert_allclose(scores[x, y + 1], score, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss, oracles.antecedent_loss(want, cluster), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(of_mentions, oracles.mention_loss(mention, cluster), rtol=1e-5)
    padding = [-1] * (N - count)
    assert found[0].tolist() == oracles.clusters(want, mention) + padding
    assert found[1].tolist() == oracles.clusters(want, mention, all_mentions=True) + padding


def test_a_long_chain_is_one_cluster(program):
    """Each candidate links to the one before."""
    similarity = np.full((N, N), -50.0)
    similarity[np.arange(1, N), np.arange(N - 1)] = 50
    found = program(*example(similarity, np.zeros(N), np.zeros(N)))[3]
    assert found.tolist() == [0] * N


def test_ties_are_for_no_antecedent(program):
    found = program(*example(np.zeros((3, 3)), np.zeros(3), np.zeros(3)))[3]
    assert found.tolist() == [-1] * N


def test_clusters_are_numbered_by_first_appearance(jit):
    found = jit(number_clusters)(
        np.asarray([9, 4, 4, 9, 2, 7], np.int32), np.asarray([1, 0, 1, 1, 0, 1], bool)
    )
    assert found.tolist() == [0, -1, 1, 0, -1, 2]


@pytest.mark.parametrize("places", [(0, 1, 2, 3, 4), (0, 2, 3, 5, 6)])
def test_masked_candidates_change_nothing(program, places):
    """Wherever they lie, and whatever they score."""
    rng = np.random.default_rng(3)
    similarity, mention = rng.normal(size=(5, 5), scale=3), rng.normal(size=5)
    cluster = np.array([1, 2, 0, 1, 2])
    want = program(*example(similarity, mention, cluster))
    places = np.array(places)
    arguments = [np.full((N, N), 77.0), np.full(N, 99.0), np.ones(N, int), np.zeros(N, bool)]
    arguments[0][np.ix_(places, places)] = similarity
    for argument, values in zip(arguments[1:], (mention, cluster, True), strict=True):
        argument[places] = values
    got = program(*(
        jnp.asarray(x, dtype)
        for x, dtype in zip(arguments, (jnp.float32, jnp.float32, jnp.int32, bool), strict=True)
    ))  # fmt: skip
    np.testing.assert_allclose(got[1:3], want[1:3], rtol=1e-6)
    assert np.asarray(got[3])[places].tolist() == want[3][:5].tolist()
    assert (np.delete(np.asarray(got[3]), places) == -1).all()


def test_a_penalty_is_subtracted_from_real_antecedents_only(jit):
    arguments = example(np.zeros((3, 3)), np.ones(3), np.ones(3))
    scores = jit(run)(*arguments, jnp.full((N, N), 0.25))[0]
    assert scores[2].tolist()[:4] == [0, 1.75, 1.75, -1e9]


def test_only_the_best_antecedents():
    similarity = jnp.asarray([[0, 0, 0, 0], [1, 0, 0, 0], [1, 2, 0, 0], [3, 1, 2, 0]], jnp.float32)
    choose = functools.partial(antecedent_scores, similarity, jnp.zeros(4), jnp.ones(4, bool))
    scores = choose(max_antecedents=2)
    assert scores[3].tolist() == [0, 3, -1e9, 2, -1e9]
    assert scores[2].tolist() == [0, 1, 2, -1e9, -1e9]
    np.testing.assert_array_equal(choose(max_antecedents=4), choose())


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_gradients_are_finite(jit, scale):
    """Also for large scores, and with nothing but padding."""

    def loss(similarity, mention, cluster, valid):
        _, antecedent, mention, *_ = run(similarity, mention, cluster, valid)
        return antecedent + mention

    gradient = jit(jax.value_and_grad(loss, argnums=(0, 1)))
    rng = np.random.default_rng(0)
    similarity, mention = scale * rng.normal(size=(5, 5)), scale * rng.normal(size=5)
    arguments = example(similarity, mention, np.array([1, 1, 0, 2, 1]))
    for valid in (arguments[3], jnp.zeros(N, bool)):
        value, gradients = gradient(*arguments[:3], valid)
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in gradients)
        used = np.asarray(valid)[:, None] & np.asarray(valid)[None, :] & np.tri(N, k=-1, dtype=bool)
        assert not np.asarray(gradients[0])[~used].any()
        assert np.asarray(gradients[0])[used].any() == bool(valid.any())

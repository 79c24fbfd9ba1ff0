"""Relations of mentions and of entities: scores, losses and decisions."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import joint_oracles as oracles
import numpy as np
import pytest

from t5coref.nn.joint_ie import EntityRelations, MentionRelations
from t5coref.nn.joint_ie.decisions import decide_relations
from t5coref.nn.joint_ie.gold import entity_slots, relation_labels, relation_table
from t5coref.nn.joint_ie.losses import adaptive_threshold_loss, pair_loss
from t5coref.nn.joint_ie.relations import biaffine, pool

LOGITS = [0, np.log(2), np.log(3), -np.log(2)]


def as_pairs(logits, positive, dtype=jnp.float32):
    """Logits and labels of several pairs as `[1, C, T]`."""
    labels = [[c in chosen for c in range(len(logits[0]))] for chosen in positive]
    return jnp.asarray(logits, dtype).T[None], jnp.asarray(labels).T[None]


@pytest.fixture(scope="module")
def loss_and_gradient(jit):
    def run(logits, labels):
        def total(logits):
            loss = adaptive_threshold_loss(logits, labels)
            return jnp.sum(loss), loss

        (_, loss), gradient = jax.value_and_grad(total, has_aux=True)(logits)
        return loss[0], gradient[0].T

    return jit(run)


def test_worked_example(loss_and_gradient):
    """Of the specification, A6."""
    loss, _ = loss_and_gradient(*as_pairs([LOGITS] * 3, [{1}, {}, {1, 2}]))
    np.testing.assert_allclose(loss, [1.909543, 1.871802, 2.197225], atol=1e-6)


@pytest.mark.parametrize(
    ("scale", "dtype"), [(1, jnp.float32), (1e4, jnp.float32), (3, jnp.bfloat16)]
)
def test_adaptive_threshold_loss(loss_and_gradient, scale, dtype):
    """Against loops; also with no and with all classes positive."""
    rng = np.random.default_rng(0)
    logits = scale * rng.normal(size=(7, 5))
    logits[3] = scale * np.sign(logits[3])
    positive = [{}, {1, 2, 3, 4}, {2}, {1, 3}, {}, {4}, {1, 2, 3, 4}]
    logits, labels = as_pairs(logits, positive, dtype)
    loss, gradient = loss_and_gradient(logits, labels)
    assert loss.dtype == jnp.float32
    rounded = np.asarray(logits[0].astype(jnp.float32), np.float64).T
    want = [oracles.threshold_loss(row, p) for row, p in zip(rounded, positive, strict=True)]
    # Where scores are large, so is what float32 leaves out of them.
    np.testing.assert_allclose(loss, want, rtol=1e-5, atol=2e-7 * max(scale, 50))
    gradient = np.asarray(gradient.astype(jnp.float32))
    assert np.isfinite(gradient).all()
    # Each of the two parts is a softmax minus something that sums to one.
    np.testing.assert_allclose(gradient.sum(1), 0, atol=1e-5 if dtype == jnp.float32 else 0.05)


def test_the_probabilities_of_a_loss_sum_to_one(loss_and_gradient):
    """With one positive class, exp(-L1) is its share and the threshold's is the rest."""
    logits = np.random.default_rng(1).normal(size=(1, 4))
    both, _ = loss_and_gradient(*as_pairs(logits, [{3}]))
    negatives = oracles.logsumexp(logits[0, :3]) - logits[0, 0]
    share = np.exp(logits[0, 0]) / np.exp(logits[0, [0, 3]]).sum()
    np.testing.assert_allclose(np.exp(-(both[0] - negatives)) + share, 1, rtol=1e-5)


@pytest.mark.parametrize(("gold_pairs_only", "per_gold_pair"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_pair_loss(jit, gold_pairs_only, per_gold_pair):
    """Against loops, with padding, with one gold mention and with none."""
    options = {"gold_pairs_only": bool(gold_pairs_only), "per_gold_pair": bool(per_gold_pair)}
    rng = np.random.default_rng(2)
    relations = [(1, 2, 1), (1, 2, 3), (2, 1, 2), (1, 1, 2)]
    scores = rng.normal(size=(5, 4, 5))

    def run(scores, cluster, valid):
        heads, tails, kinds = jnp.asarray(relations, jnp.int32).T
        gold = jnp.asarray([1, 2, 1], jnp.int32)
        table = relation_table(gold, heads, tails, kinds, classes=4)
        labels = relation_labels(table, entity_slots(cluster, gold))
        return pair_loss(scores, labels, cluster, valid, **options)

    program = jit(jax.value_and_grad(run))
    for cluster in ([1, 0, 2, 1], [0, 2, 0, 0], [0, 0, 0, 0], []):
        count = len(cluster)
        valid = jnp.arange(5) < count
        padded = jnp.asarray([*cluster, *[1] * (5 - count)], jnp.int32)
        loss, gradient = program(jnp.asarray(scores, jnp.float32), padded, valid)
        table = scores[:count, :, :count].transpose(0, 2, 1)
        want = oracles.pair_loss(table, cluster, relations, **options)
        np.testing.assert_allclose(loss, want, rtol=1e-5, atol=1e-6)
        outside = ~(np.asarray(valid)[:, None] & np.asarray(valid)[None, :])
        assert not np.asarray(gradient).transpose(0, 2, 1)[outside].any()


def test_labels_of_candidates(jit):
    """By any numbers; not of one entity with itself, of padding, or of what has no mention."""
    gold = np.asarray([20, 7, 20, 0], np.int32)
    triples = [(20, 7, 2), (7, 20, 1), (7, 20, 3), (20, 20, 1), (20, 9, 1), (9, 7, 1), (0, 7, 0)]
    cluster = [7, 0, 20, 20, 8]

    @jit
    def run(cluster, gold, triples):
        table = relation_table(gold, *triples, classes=4)
        return relation_labels(table, entity_slots(cluster, gold))

    labels = run(np.asarray(cluster, np.int32), gold, np.asarray(triples, np.int32).T)
    found = {
        (cluster[x], cluster[y], c, x, y) for x, c, y in np.argwhere(np.asarray(labels)).tolist()
    }
    assert found == {
        (20, 7, 2, 2, 0), (20, 7, 2, 3, 0),
        (7, 20, 1, 0, 2), (7, 20, 1, 0, 3), (7, 20, 3, 0, 2), (7, 20, 3, 0, 3),
    }  # fmt: skip


def test_biaffine(jit):
    rng = np.random.default_rng(0)
    heads, kernel, tails = (rng.normal(size=s) for s in ((2, 3, 5), (5, 4, 5), (2, 6, 5)))
    got = jit(biaffine)(*(jnp.asarray(x, jnp.float32) for x in (heads, kernel, tails)))
    for b in range(2):
        want = oracles.biaffine(heads[b], kernel, tails[b]).transpose(0, 2, 1)
        np.testing.assert_allclose(got[b], want, rtol=1e-4, atol=1e-4)


def test_mean_scores_are_the_scores_of_means(jit):
    """Of all pairs of mentions of two entities, the threshold included."""
    relations = MentionRelations(3, hidden_dim=4)
    rng = np.random.default_rng(4)
    mentions = rng.normal(size=(1, 7, 5))
    cluster = np.array([0, 1, -1, 1, 0, 2, 1])
    init = functools.partial(relations.init, deterministic=True)
    shapes = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 7, 5)))["params"]
    params = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape), jnp.float32), shapes)

    @jit
    def run(mentions, cluster):
        apply = functools.partial(relations.apply, {"params": params})
        means = apply(mentions, cluster, method="entity_scores")
        return apply(mentions, deterministic=True), means

    scores, means = run(jnp.asarray(mentions, jnp.float32), jnp.asarray(cluster[None], jnp.int32))
    table = oracles.mention_relations(oracles.to_float64(params), mentions[0])
    np.testing.assert_allclose(scores[0], table.transpose(0, 2, 1), rtol=1e-4, atol=1e-4)
    for (h, t), want in oracles.entity_means(table, cluster).items():
        np.testing.assert_allclose(means[0, h, :, t], want, rtol=1e-4, atol=1e-4)


def test_scores_of_entities(jit):
    """ATLOP's outer products in blocks, which we never make."""
    relations = EntityRelations(3, projection_dim=6, blocks=2)
    rng = np.random.default_rng(5)
    mentions = rng.normal(size=(1, 6, 4), scale=3)
    cluster = jnp.asarray([[3, 0, -1, 3, 1, 3]], jnp.int32)
    shapes = jax.eval_shape(
        functools.partial(relations.init, method="entity_scores"),
        jax.random.key(0), jnp.zeros((1, 6, 4)), cluster,
    )["params"]  # fmt: skip
    params = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape), jnp.float32), shapes)
    run = jit(functools.partial(relations.apply, {"params": params}, method="entity_scores"))
    scores = run(jnp.asarray(mentions, jnp.float32), cluster)
    groups = {e: [mentions[0, x] for x in range(6) if cluster[0, x] == e] for e in (0, 1, 3)}
    want = oracles.entity_relations(oracles.to_float64(params), groups.values(), 2)
    for a, h in enumerate(groups):
        for b, t in enumerate(groups):
            np.testing.assert_allclose(scores[0, h, :, t], want[a, b], rtol=1e-4, atol=1e-4)


def test_pooling_is_stable_and_its_gradient_a_softmax(jit):
    mentions = jnp.asarray([[1e4, -1e4], [1e4, 3.0], [5.0, 5.0]], jnp.float32)
    cluster = jnp.asarray([1, 1, -1], jnp.int32)

    @jit
    def run(mentions):
        pooled, pull = jax.vjp(lambda m: pool(m, cluster), mentions)
        return pooled, pull(jnp.ones_like(pooled))[0]

    pooled, gradient = run(mentions)
    np.testing.assert_allclose(pooled, [[0, 0], [1e4 + np.log(2), 3], [0, 0]], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.5, 0], [0.5, 1], [0, 0]])


def test_blocks_must_divide():
    relations = EntityRelations(3, projection_dim=7, blocks=2)
    with pytest.raises(ValueError, match="expected projection_dim divisible by 2 blocks, got 7"):
        relations.init(
            jax.random.key(0), jnp.zeros((1, 2, 4)), jnp.zeros((1, 2), jnp.int32),
            method="entity_scores",
        )  # fmt: skip


@pytest.mark.parametrize("max_labels", [None, 1, 2, 4])
@pytest.mark.parametrize("rows", [3, 60])
def test_decisions(jit, max_labels, rows):
    """Against loops: the best come first, and no more than there is room for."""
    decide = jit(functools.partial(decide_relations, max_labels=max_labels, rows=rows))
    rng = np.random.default_rng(6)
    scores = rng.normal(size=(4, 4, 4)).astype(np.float32)
    for cluster in ([0, 2, -1, 2, 1, 3], [0, -1, 0, 1, -1, -1], [0] * 6, [-1] * 6):
        triples, margins = (np.asarray(x) for x in decide(scores, jnp.asarray(cluster, jnp.int32)))
        pairs = {
            (h, t): scores[h, :, t] for h in set(cluster) for t in set(cluster)
            if h != t and h >= 0 and t >= 0
        }  # fmt: skip
        want = sorted(oracles.decide(pairs, max_labels).items(), key=lambda item: -item[1])[:rows]
        assert triples[: len(want)].tolist() == [list(triple) for triple, _ in want]
        np.testing.assert_allclose(margins[: len(want)], [m for _, m in want], rtol=1e-5)
        assert (triples[len(want) :] == -1).all()
        assert not margins[len(want) :].any()
        assert triples.shape == (rows, 3)


def test_a_class_must_beat_the_threshold(jit):
    """Equal is not above."""
    scores = np.zeros((2, 3, 2), np.float32)
    scores[0, 2, 1] = 1
    decide = jit(functools.partial(decide_relations, max_labels=None, rows=2))
    triples, margins = decide(scores, np.asarray([0, 1], np.int32))
    assert triples.tolist() == [[0, 1, 2], [-1, -1, -1]]
    assert margins.tolist() == [1, 0]

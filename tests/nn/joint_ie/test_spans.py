"""Which spans are candidates, and what they are made of."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import joint_oracles as oracles
import numpy as np
import pytest

from t5coref.nn.joint_ie.mentions import MentionDetector, prune, score_spans
from t5coref.nn.joint_ie.spans import (
    SpanRepresentation,
    given_mentions,
    gold_spans,
    offered_spans,
)

T, W = 17, 4
NAMES = ("sentence", "word_start", "word_end")


def as_table(spans):
    """bool `[T, W]` of (start, end)."""
    table = np.zeros((T, W), bool)
    for start, end in spans:
        table[start, end - start] = True
    return table


@pytest.fixture(scope="module")
def pruned(jit):
    return {force: jit(functools.partial(prune, size=7, force=force)) for force in (False, True)}


@pytest.mark.parametrize("word_boundaries", [True, False])
def test_offered_spans(batch, jit, word_boundaries):
    offer = jit(jax.vmap(functools.partial(
        offered_spans, max_width=W, word_boundaries=word_boundaries)))  # fmt: skip
    found = np.asarray(offer(*(batch.features[name] for name in NAMES)))
    for i in range(2):
        rows = [batch.row(i)[1][name] for name in NAMES]
        want = as_table(oracles.offered(*rows, W, word_boundaries))
        np.testing.assert_array_equal(found[i], want)
        assert want.any()


def test_gold_spans(batch, jit):
    """Clusters stand at their spans; what is too wide or padded stands nowhere."""
    mark = jit(functools.partial(gold_spans, length=T, max_width=W))
    mentions = [batch.features[f"mention_{name}"][0] for name in ("start", "end", "cluster")]
    want = np.zeros((T, W), int)
    for start, end, cluster in [(9, 10, 7), (1, 1, 3), (0, 1, 7), (12, 13, 20), (5, 6, 3)]:
        want[start, end - start] = cluster
    np.testing.assert_array_equal(mark(*mentions), want)
    # Given twice, a span belongs to the lower number, in whatever order.
    for clusters in ([5, 9], [9, 5]):
        clusters = jnp.asarray([*clusters, 0, 0, 0, 0], jnp.int32)
        table = mark(jnp.full((6,), 3, jnp.int32), jnp.full((6,), 4, jnp.int32), clusters)
        assert table[3, 1] == 5
        assert jnp.sum(table > 0) == 1


def test_given_mentions_are_sorted(batch):
    found = given_mentions(batch.features)
    spans = [*zip(*(np.asarray(x[0]).tolist() for x in found), strict=True)]
    assert spans == [
        (0, 1, True, 7), (1, 1, True, 3), (2, 8, True, 20),
        (5, 6, True, 3), (9, 10, True, 7), (12, 13, True, 20),
    ]  # fmt: skip
    assert np.asarray(found.valid[1]).tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("force", [False, True])
def test_the_best_are_kept(pruned, seed, force):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 3, (T, W)).astype(np.float32)  # many are equal
    spans = [(i, j) for i in range(T) for j in range(i, min(T, i + W)) if rng.random() < 0.3]
    gold = {spans[k]: int(rng.integers(1, 4)) for k in rng.choice(len(spans), seed, replace=False)}
    gold |= {(2, 3): 1} if (2, 3) not in spans else {}  # one that is not offered
    table = np.zeros((T, W), np.int32)
    for (i, j), cluster in gold.items():
        table[i, j - i] = cluster
    for budget in (0, 1, 5, 7):
        found = pruned[force](scores, as_table(spans), table, jnp.int32(budget))
        valid = np.asarray(found.valid)
        kept = [*zip(np.asarray(found.start)[valid], np.asarray(found.end)[valid], strict=True)]
        by_span = {(i, j): scores[i, j - i] for i, j in spans}
        forced = [s for s in gold if s in by_span] if force else []
        assert kept == oracles.keep_best(by_span, budget, forced)
        assert np.asarray(found.cluster)[valid].tolist() == [gold.get(s, 0) for s in kept]
        # Padding is behind, and no duplicate of anything.
        assert valid.tolist() == sorted(valid.tolist(), reverse=True)
        assert not np.asarray(found.cluster)[~valid].any()


def test_crossing_spans_are_kept_where_the_published_filter_leaves_them_out(pruned):
    """Without crossing spans both choose alike; nested ones are no hindrance."""
    nested = {(0, 3): 3.0, (1, 2): 2.0, (5, 6): 1.0, (6, 6): 0.5}
    crossing = {(0, 2): 3.0, (1, 3): 2.0, (5, 6): 1.0}

    def ours(spans, budget):
        scores = np.zeros((T, W), np.float32)
        for (i, j), score in spans.items():
            scores[i, j - i] = score
        none = np.zeros((T, W), np.int32)
        found = pruned[False](scores, as_table(spans), none, jnp.int32(budget))
        kept = [*zip(found.start.tolist(), found.end.tolist(), found.valid.tolist(), strict=True)]
        return [(i, j) for i, j, valid in kept if valid]

    for budget in (2, 3, 4):
        assert ours(nested, budget) == oracles.keep_best_without_crossing(nested, budget)
    assert ours(crossing, 2) == [(0, 2), (1, 3)]
    assert oracles.keep_best_without_crossing(crossing, 2) == [(0, 2), (5, 6)]


@pytest.mark.parametrize("mention_dim", [0, 5])
def test_vectors_and_scores_of_all_spans(batch, jit, mention_dim):
    """The sum of two parts is the map of two states; so are the hidden units."""
    spans, detector = SpanRepresentation(mention_dim), MentionDetector(max_width=W, hidden_dim=7)
    given = given_mentions(batch.features)
    rng = np.random.default_rng(0)
    width = mention_dim or 12

    def matrix(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    params = {"start": {"kernel": matrix(6, 5), "bias": matrix(5)}, "end": {"kernel": matrix(6, 5)}}
    params = params if mention_dim else {}
    scorer = {
        "hidden": {"kernel": matrix(width, 7), "bias": matrix(7)},
        "output": {"kernel": matrix(7, 1), "bias": matrix(1)},
    }

    @jit
    def run(encoded):
        boundaries = spans.apply({"params": params}, encoded)
        tables = detector.apply(
            {"params": {"scorer": scorer}}, boundaries, method=MentionDetector._all_scores
        )
        vectors = boundaries.of(given)
        scores = detector.apply({"params": {"scorer": scorer}}, vectors, given, deterministic=True)
        return vectors, scores, tables

    vectors, scores, tables = (np.asarray(x) for x in run(batch.encoded))
    reference = oracles.to_float64(scorer)
    for i in range(2):
        encoded, features = batch.row(i)
        for i_, j in oracles.offered(*(features[name] for name in NAMES), W):
            g = oracles.mention_vector(oracles.to_float64(params), encoded, (i_, j))
            want = oracles.feed_forward(reference, g)[0]
            np.testing.assert_allclose(tables[i, i_, j - i_], want, rtol=1e-4, atol=1e-4)
        for k in range(int(given.valid[i].sum())):
            span = int(given.start[i, k]), int(given.end[i, k])
            g = oracles.mention_vector(oracles.to_float64(params), encoded, span)
            np.testing.assert_allclose(vectors[i, k], g, rtol=1e-4, atol=1e-5)
            want = oracles.feed_forward(reference, g)[0]
            np.testing.assert_allclose(scores[i, k], want, rtol=1e-4, atol=1e-4)


def test_scoring_all_spans_takes_no_memory_for_all_spans():
    """By what the compiler allots: less than the hidden units of all spans, or their states."""
    length, width, hidden = 256, 30, 64
    shapes = [
        jax.ShapeDtypeStruct(s, jnp.float32) for s in ((1, length, hidden),) * 2 + ((hidden,),)
    ]
    run = jax.jit(functools.partial(score_spans, max_width=width))
    allotted = run.lower(*shapes).compile().memory_analysis().temp_size_in_bytes
    assert allotted < 4 * length * width * hidden / 4


def test_a_learned_number_for_each_width(batch, jit):
    detector = MentionDetector(max_width=W, hidden_dim=2, width_prior=True)
    given = given_mentions(batch.features)
    vectors = np.zeros((2, 6, 3), np.float32)
    init, apply = (
        jit(functools.partial(f, deterministic=True)) for f in (detector.init, detector.apply)
    )
    params = init(jax.random.key(0), vectors, given)["params"]
    assert params["prior"].tolist() == [0] * W
    prior = np.asarray([1, 2, 3, 4], np.float32)
    scores = apply({"params": params | {"prior": prior}}, vectors, given)
    # Spans that are wider than any candidate count as the widest.
    assert scores[0].tolist() == [2, 1, 4, 2, 2, 2]


@pytest.mark.parametrize(
    ("pieces", "budget"), [(0, 0), (2, 0), (3, 1), (5, 2), (10, 4), (15, 6), (16, 6), (17, 6)]
)
def test_how_many_candidates(batch, pieces, budget):
    """floor(min(cap, 0.4 * pieces)): 0.4 * 5 is 2 and 0.4 * 15 is 6."""
    for ratio, cap, want in ((0.4, 410, budget), (0.4, 3, min(3, budget))):
        detector = MentionDetector(ratio=ratio, max_candidates=cap)
        assert int(detector._budgets(T)[pieces]) == want

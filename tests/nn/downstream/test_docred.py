"""CorefBERT's head for DocRED against a float64 computation with loops."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t5coref.nn.downstream import BilinearRelations
from t5coref.nn.downstream.docred import distance_bucket

HEAD = BilinearRelations(classes=3, hidden_dim=4, distance_dim=2)
T, D = 40, 6

# Two documents: mentions (start, end, entity), and pairs (head, tail, classes).
MENTIONS = [
    [(0, 2, 0), (9, 10, 0), (3, 4, 1), (20, 25, 1), (36, 40, 2)],
    [(5, 6, 0), (5, 6, 1)],
]
FIRST = [[0, 20, 36], [5, 5]]
PAIRS = [
    [(0, 1, (1,)), (1, 0, (1, 2)), (0, 2, (0,)), (2, 0, (0,)), (2, 1, (0,))],
    [(0, 1, (2,))],
]


def bucket(distance):
    """As the lookup table of the released code, with signs."""
    table = np.zeros(512, int)
    table[1] = 1
    for k in range(1, 9):
        table[2**k :] = k + 1
    return int(np.sign(distance)) * table[min(abs(distance), 511)]


@functools.cache
def made():
    random = np.random.default_rng(0)
    features: dict[str, Any] = {
        name: np.zeros((2, 6), np.int32)
        for name in ("mention_start", "mention_end", "mention_entity", "pair_head", "pair_tail",
                     "pair_mask")
    }  # fmt: skip
    features["entity_start"] = np.zeros((2, 4), np.int32)
    features["pair_labels"] = np.zeros((2, 6, 3), np.int32)
    features["encoder_input_tokens"] = np.ones((2, T), np.int32)
    for b in range(2):
        for i, (start, end, entity) in enumerate(MENTIONS[b]):
            features["mention_start"][b, i] = start
            features["mention_end"][b, i] = end
            features["mention_entity"][b, i] = entity
        features["entity_start"][b, : len(FIRST[b])] = FIRST[b]
        for i, (head, tail, classes) in enumerate(PAIRS[b]):
            features["pair_head"][b, i], features["pair_tail"][b, i] = head, tail
            features["pair_mask"][b, i] = 1
            features["pair_labels"][b, i, list(classes)] = 1
    states = random.normal(size=(2, T, D)).astype(np.float32)
    params: Any = HEAD.init(jax.random.key(0), jnp.asarray(states), features, deterministic=True)[
        "params"
    ]
    return states, features, params


@jax.jit
def apply(params, states, features):
    output: Any = HEAD.apply({"params": params}, states, features, deterministic=True)
    return output, HEAD.losses(output, features)


def expected(params, states, b):
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    states = states.astype(np.float64) @ params["states"]["kernel"] + params["states"]["bias"]
    vectors = []
    for entity in range(len(FIRST[b])):
        means = [states[start:end].mean(0) for start, end, e in MENTIONS[b] if e == entity]
        vectors.append(np.mean(means, axis=0))
    table = params["distance"].copy()
    table[10] = 0
    logits = []
    for head, tail, _ in PAIRS[b]:
        place = bucket(FIRST[b][head] - FIRST[b][tail])
        one = np.concatenate([vectors[head], table[10 + place]])
        other = np.concatenate([vectors[tail], table[10 - place]])
        logits.append([one @ matrix @ other for matrix in params["bilinear"]] + params["bias"])
    return np.asarray(logits)


def test_buckets():
    distances = np.asarray([*range(-600, 601)])
    found = distance_bucket(jnp.asarray(distances, jnp.int32))
    assert found.tolist() == [bucket(int(x)) for x in distances]
    assert (int(found.min()), int(found.max())) == (-9, 9)


def test_as_computed_with_loops():
    states, features, params = made()
    logits, (total, weight) = apply(params, states, features)
    for b in range(2):
        wanted = expected(params, states[b], b)
        np.testing.assert_allclose(logits[b, : len(PAIRS[b])], wanted, atol=1e-4)
        labels = np.zeros_like(wanted)
        for i, (_, _, classes) in enumerate(PAIRS[b]):
            labels[i, list(classes)] = 1
        sure = 1 / (1 + np.exp(-wanted))
        loss = -(labels * np.log(sure) + (1 - labels) * np.log(1 - sure)).sum()
        np.testing.assert_allclose(total[b], loss, rtol=1e-4)
        assert weight[b] == 3 * len(PAIRS[b])


def test_distance_zero_has_no_vector():
    states, features, params = made()
    other = {**params, "distance": params["distance"].at[10].set(7.0)}
    np.testing.assert_array_equal(
        apply(other, states, features)[0], apply(params, states, features)[0]
    )


def test_padding_does_not_matter():
    states, features, params = made()
    changed = {**features, "entity_start": features["entity_start"].copy()}
    changed["entity_start"][:, 3] = 17
    changed["pair_head"] = np.where(features["pair_mask"] == 1, features["pair_head"], 3)
    changed["mention_entity"] = np.where(
        features["mention_end"] > 0, features["mention_entity"], 1
    )  # mentions without pieces belong to nobody
    found, (total, _) = apply(params, states, changed)
    wanted, (before, _) = apply(params, states, features)
    mask = features["pair_mask"] == 1
    np.testing.assert_allclose(np.asarray(found)[mask], np.asarray(wanted)[mask], atol=1e-6)
    np.testing.assert_allclose(total, before, rtol=1e-6)


def test_large_scores_have_a_finite_loss():
    _, features, _ = made()
    for size in (-1e4, 1e4):
        total, _ = HEAD.losses(jnp.full((2, 6, 3), size), features)
        assert np.isfinite(total).all()
        grads = jax.grad(lambda x: jnp.sum(HEAD.losses(x, features).total))(
            jnp.full((2, 6, 3), size)
        )
        assert np.isfinite(grads).all()

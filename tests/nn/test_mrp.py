"""Mention reference prediction against equations 2 to 4, written down with loops in float64."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.nn import mrp
from t5coref.nn.mrp import MRPHead, factored_form, joint_form
from t5coref.train.optimizers import adafactor

LN = np.log
H = np.array(
    [(0, 0), (LN(4), 0), (0, LN(3)), (0, 0), (LN(2), 0), (0, LN(2)), (LN(8), 0), (LN(2), LN(6))]
)
V = np.array([1 / LN(2), 1 / LN(2)])


def oracle(enc, v_s, v_e, can, query, referents, *, factored=False, single=False, square=False):
    """The probability of one hidden word, by equations 2 to 4."""

    def p(v, i, j):
        score = [float(np.sum(v * enc[x] * enc[i])) for x in range(len(enc))]
        total = 0.0
        for x in range(len(enc)):
            total += np.exp(score[x]) if can[x] else 0.0
        return np.exp(score[j]) / total

    once = single and not square
    if factored:
        start = sum(p(v_s, query[0], s) for s, _ in referents)
        return start if once else start * sum(p(v_e, query[1], e) for _, e in referents)
    return sum(p(v_s, query[0], s) * (1.0 if once else p(v_e, query[1], e)) for s, e in referents)


@functools.partial(jax.jit, static_argnums=0)
def apply(head, params, arrays):
    return head.apply({"params": params}, **arrays)


def example(padding=0, excluded=()):
    """The worked example: the word at (4, 5) stands at (1, 2) and (6, 7) too."""
    length = 8 + padding
    can = np.ones((1, length), bool)
    can[0, list(excluded)] = False
    return {
        "enc": jnp.asarray(np.pad(H, ((0, padding), (0, 0)))[None], jnp.float32),
        "cand_mask": jnp.asarray(can),
        "q_start": jnp.array([[4]]),
        "q_end": jnp.array([[5]]),
        "q_mask": jnp.array([[True]]),
        "q_single": jnp.array([[False]]),
        "ref_start": jnp.array([[[1, 6, 0]]]),
        "ref_end": jnp.array([[[2, 7, 0]]]),
        "ref_mask": jnp.array([[[True, True, False]]]),
    }


TIED = {"v_s": jnp.asarray(2 * V, jnp.float32)}  # the head divides by the width


@pytest.mark.parametrize(
    ("form", "changes", "loss"),
    [
        (joint_form, {}, 1.673976),
        (factored_form, {}, 1.086190),
        (factored_form, {"padding": 2}, 0.606136 + 0.693147),
        (joint_form, {"excluded": (4, 5)}, 1.303818),
        (joint_form, {"excluded": (4, 5, 0)}, 1.163151),
    ],
)
def test_worked_example(form, changes, loss):
    arrays = example(**changes)
    found = apply(MRPHead(form, tied_v=True), TIED, arrays)
    np.testing.assert_allclose(found.loss_sum, loss, atol=2e-6)
    assert found.n_words == 1
    # exp scores 1, 4, 1, 1, 2, 1, 8, 2: the likeliest start is that of the second referent.
    assert found.copy_accuracy == 1
    single = arrays["q_single"]
    assert mrp.words_norm(found.counted, single) == mrp.sum_norm(found.counted, single) == 1
    assert mrp.rows_norm(found.counted, single) == 2


def test_rows_of_the_worked_example():
    """The two boundaries of the factored form, and their means."""
    for padding, rows in ((0, (0.510826, 0.575364)), (2, (0.606136, 0.693147))):
        arrays = example(padding=padding)
        both = apply(MRPHead(factored_form, tied_v=True), TIED, arrays)
        start = apply(
            MRPHead(factored_form, tied_v=True),
            TIED,
            arrays | {"q_single": jnp.array([[True]])},
        )
        np.testing.assert_allclose(start.loss_sum, rows[0], atol=2e-6)
        np.testing.assert_allclose(both.loss_sum - start.loss_sum, rows[1], atol=2e-6)
        mean = both.loss_sum / mrp.rows_norm(both.counted, arrays["q_single"])
        np.testing.assert_allclose(mean, np.mean(rows), atol=2e-6)


def test_candidates():
    """Of a special piece, a text with a hidden word (id 50) and an end, and padding."""
    tokens = np.array([[7, 50, 8, 9, 1, 0, 0]])
    hidden = tokens == 50
    for kind, wanted in (
        (mrp.all_real_candidates, [1, 1, 1, 1, 0, 0, 0]),
        (mrp.code_candidates, [1, 1, 1, 1, 1, 1, 1]),
        (mrp.context_candidates, [1, 0, 1, 1, 0, 0, 0]),
    ):
        for array in (np.asarray, jnp.asarray):
            np.testing.assert_array_equal(kind(array(tokens), array(hidden)), [wanted])


B, T, D, Q, J = 3, 11, 6, 4, 5


def random_arrays(seed=0, *, one_place=False):
    """Words of one to three pieces; queries without referents, and referents that may not be."""
    r = np.random.default_rng(seed)
    q_start = r.integers(0, T - 2, (B, Q))
    ref_start = r.integers(0, T - 2, (B, Q, J))
    single = r.random((B, Q)) < 0.4
    wide = np.where(single, 0, r.integers(1, 3, (B, Q)))
    ref_mask = r.random((B, Q, J)) < 0.6
    ref_mask[0, 0] = False
    return {
        "enc": r.normal(size=(B, T, D)),
        "cand_mask": r.random((B, T)) < 0.8,
        "q_start": q_start,
        "q_end": q_start + (0 if one_place else wide),
        "q_mask": r.random((B, Q)) < 0.8,
        "q_single": single,
        "ref_start": ref_start,
        "ref_end": ref_start + wide[:, :, None],
        "ref_mask": ref_mask,
    }


def cast(arrays):
    floats = {k: jnp.asarray(v, jnp.float32) for k, v in arrays.items() if v.dtype == np.float64}
    return {k: jnp.asarray(v) for k, v in arrays.items()} | floats


def vectors(seed=0):
    r = np.random.default_rng(seed)
    return {"v_s": r.normal(size=D) * 3, "v_e": r.normal(size=D) * 3}


@pytest.mark.parametrize("form", [joint_form, factored_form])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("square", [True, False])
def test_brute_force(form, tied, square):
    arrays, v = random_arrays(1), vectors(1)
    params = {k: jnp.asarray(x, jnp.float32) for k, x in v.items() if not tied or k == "v_s"}
    found = apply(MRPHead(form, tied_v=tied, square_single=square), params, cast(arrays))
    v_s, v_e = v["v_s"] / D, (v["v_s"] if tied else v["v_e"]) / D
    total, count = 0.0, 0
    for b in range(B):
        can = arrays["cand_mask"][b]
        for q in range(Q):
            spans = zip(arrays["ref_start"][b, q], arrays["ref_end"][b, q], strict=True)
            kept = [
                (s, e)
                for (s, e), there in zip(spans, arrays["ref_mask"][b, q], strict=True)
                if there and can[s] and can[e]
            ]
            counts = bool(arrays["q_mask"][b, q] and kept)
            assert bool(found.counted[b, q]) == counts
            if not counts:
                assert found.logp_word[b, q] == 0
                continue
            probability = oracle(
                arrays["enc"][b], v_s, v_e, can,
                (arrays["q_start"][b, q], arrays["q_end"][b, q]), kept,
                factored=form is factored_form, single=arrays["q_single"][b, q], square=square,
            )  # fmt: skip
            np.testing.assert_allclose(found.logp_word[b, q], np.log(probability), rtol=1e-5)
            total, count = total - np.log(probability), count + 1
    assert 3 < count < B * Q
    assert found.n_words == count
    np.testing.assert_allclose(found.loss_sum, total, rtol=1e-5)


def test_copy_accuracy_counts_words():
    """Two of three words point at a referent."""
    enc = np.zeros((1, 6, 3))
    enc[0, :3] = enc[0, 3:] = 4 * np.eye(3)
    arrays = cast(random_arrays()) | {
        "enc": jnp.asarray(enc, jnp.float32),
        "cand_mask": jnp.array([[False] * 3 + [True] * 3]),
        "q_start": jnp.array([[0, 1, 2, 0]]),
        "q_end": jnp.array([[0, 1, 2, 0]]),
        "q_mask": jnp.array([[True, True, True, False]]),
        "q_single": jnp.ones((1, 4), bool),
        "ref_start": jnp.array([[[3, 4], [4, 0], [4, 0], [3, 0]]]),
        "ref_end": jnp.array([[[3, 4], [4, 0], [4, 0], [3, 0]]]),
        "ref_mask": jnp.array([[[True, True], [True, False], [True, False], [True, True]]]),
    }
    found = apply(MRPHead(), {"v_s": jnp.ones(3), "v_e": jnp.ones(3)}, arrays)
    np.testing.assert_allclose(found.copy_accuracy, 2 / 3)


def test_without_queries_nothing_is_lost_and_gradients_are_numbers():
    arrays = cast(random_arrays(2))
    head, params = MRPHead(), cast(vectors())

    def loss(params, enc, arrays):
        return apply(head, params, {**arrays, "enc": enc}).loss_sum

    slope = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    empty = {k: x[:, :0] for k, x in arrays.items() if k.startswith(("q_", "ref_"))}

    for change in (
        {"q_mask": jnp.zeros((B, Q), bool)},
        {"ref_mask": jnp.zeros((B, Q, J), bool)},
        {"cand_mask": jnp.zeros((B, T), bool)},
        empty,
    ):
        value, grads = slope(params, arrays["enc"], arrays | change)
        assert value == 0
        for leaf in jax.tree.leaves(grads):
            assert not np.any(np.asarray(leaf))


def test_packed_texts_are_as_good_as_apart():
    one, other = (cast(random_arrays(seed)) for seed in (3, 4))
    head, params = MRPHead(), cast(vectors(5))
    both = {}
    for name, x in one.items():
        y = other[name]
        if name in ("enc", "cand_mask"):
            both[name] = jnp.concatenate([x, y], axis=1)
        else:
            moved = T if name.endswith(("_start", "_end")) else 0
            both[name] = jnp.concatenate([x, y + moved if moved else y], axis=1)
    ids = jnp.broadcast_to(jnp.repeat(jnp.array([1, 2]), T), (B, 2 * T))
    packed = apply(head, params, {**both, "segment_ids": ids})
    apart = [apply(head, params, arrays) for arrays in (one, other)]
    np.testing.assert_allclose(
        packed.logp_word, jnp.concatenate([x.logp_word for x in apart], axis=1), rtol=1e-5
    )
    assert packed.n_words == apart[0].n_words + apart[1].n_words
    loose = apply(head, params, both)
    assert loose.loss_sum > packed.loss_sum


def test_scores_are_float32():
    arrays = cast(random_arrays(6))
    rough = arrays["enc"].astype(jnp.bfloat16)
    head, params = MRPHead(), cast(vectors(6))
    found = apply(head, params, arrays | {"enc": rough})
    exact = apply(head, params, arrays | {"enc": rough.astype(jnp.float32)})
    assert found.logp_word.dtype == jnp.float32
    np.testing.assert_allclose(found.logp_word, exact.logp_word, rtol=1e-6, atol=1e-6)


def test_padding_and_order_of_referents_change_nothing():
    arrays = random_arrays(7)
    head, params = MRPHead(), cast(vectors(7))
    known = apply(head, params, cast(arrays)).logp_word
    longer = arrays | {
        "enc": np.pad(arrays["enc"], ((0, 0), (0, 3), (0, 0)), constant_values=9.0),
        "cand_mask": np.pad(arrays["cand_mask"], ((0, 0), (0, 3))),
    }
    turned = {k: v[..., ::-1] if k.startswith("ref_") else v for k, v in longer.items()}
    np.testing.assert_allclose(apply(head, params, cast(turned)).logp_word, known, rtol=1e-6)


def initial(width=512):
    arrays = example() | {"enc": jnp.zeros((1, 8, width))}
    return MRPHead().init(jax.random.key(0), **arrays)["params"]


def test_queries_that_count():
    """Known before anything is computed."""
    arrays = cast(random_arrays(9))
    found = apply(MRPHead(), cast(vectors()), arrays).counted
    names = ("cand_mask", "q_mask", "ref_start", "ref_end", "ref_mask")
    np.testing.assert_array_equal(mrp.counted_queries(*(arrays[n] for n in names)), found)
    assert 0 < found.sum() < B * Q


def test_starts_as_the_published_code_does():
    """V is 1/d: the effective vector of a fresh head."""
    arrays = cast(random_arrays(8))
    v = {"v_s": np.ones(D), "v_e": np.ones(D)}
    fresh = MRPHead().init(jax.random.key(0), **arrays)["params"]
    assert jax.tree.map(np.shape, fresh) == {"v_s": (D,), "v_e": (D,)}
    np.testing.assert_array_equal(
        apply(MRPHead(), fresh, arrays).logp_word, apply(MRPHead(), cast(v), arrays).logp_word
    )
    assert set(MRPHead(tied_v=True).init(jax.random.key(0), **arrays)["params"]) == {"v_s"}


def test_adafactor_moves_the_vectors():
    """Scaled by the size of its parameter a step is `peak`, however wide the model is."""
    params = initial()
    rule = adafactor(10, peak=1e-2, warmup=0, decay="constant", clip=None, relative=True)
    state, grads = rule.transform.init(params), jax.tree.map(jnp.ones_like, params)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = rule.transform.update(grads, state, params)
    for leaf in jax.tree.leaves(updates):
        np.testing.assert_allclose(leaf, -1e-2, rtol=1e-3)

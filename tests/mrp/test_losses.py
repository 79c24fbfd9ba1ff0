"""The two losses together: each a mean over what it is about, over all micro-batches of a step."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mrp_rows import inplace_row, sentinel_row, without_queries

from t5coref.model import from_scratch
from t5coref.mrp.features import query_features, survey
from t5coref.mrp.losses import HEAD, mrp_loss, point
from t5coref.mrp.masking import Inplace, SentinelSpan, padded
from t5coref.mrp.objective import MRPObjective, initial_head
from t5coref.nn.mrp import (
    MRPHead,
    context_candidates,
    factored_form,
    rows_norm,
    sum_norm,
    words_norm,
)
from t5coref.nn.stack import T5Config
from t5coref.nn.t5 import T5
from t5coref.tokenizer import Tokenizer
from t5coref.train.step import sequence_loss

TINY = T5Config(
    vocab_size=1,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=8,
    mlp_dim=32,
    dropout_rate=0.0,
)
KEY = jax.random.key(0)  # nothing has dropout here


@pytest.fixture(scope="module")
def tokenizer():
    words = " ".join(chr(97 + i % 26) + chr(97 + i // 26) for i in range(60))
    return Tokenizer.train([words], 60, ())


@pytest.fixture(scope="module")
def pieces(tokenizer):
    return tokenizer.size - 100


@pytest.fixture(scope="module")
def model(tokenizer):
    return from_scratch(TINY, tokenizer)


def features_of(rows, tokenizer, masking, *, candidates=context_candidates, norm=words_norm):
    """A whole step."""
    lengths = survey(rows, masking).lengths
    hidden = [masking.hidden(row, tokenizer) for row in rows]
    made = {
        "encoder_input_tokens": padded([row.inputs for row in rows], lengths.inputs),
        **masking.features(rows, lengths.targets),
        **query_features(
            rows, hidden, lengths, candidates=candidates, norm=norm,
            targets=sum(map(masking.count, rows)),
        ),
    }  # fmt: skip
    return {name: jnp.asarray(x) for name, x in made.items()}


def parameters(model, head, scale=3.0):
    """With a head whose scores are far from zero."""
    fresh = initial_head(head, model.config.emb_dim)
    r = np.random.default_rng(0)
    moved = {name: scale * r.normal(size=x.shape).astype(np.float32) for name, x in fresh.items()}
    return {**model.params, HEAD: moved}


@functools.partial(jax.jit, static_argnums=0)
def encode(config, params, tokens):
    return T5(config).apply({"params": params}, tokens, None, False, method="encode")


def slope(loss):
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


@pytest.mark.parametrize("norm", [words_norm, rows_norm, sum_norm])
def test_the_sum_of_both_under_accumulation(model, tokenizer, pieces, norm):
    """Micro-batches of unlike numbers of pieces and of queries."""
    rows = [sentinel_row(0, pieces), sentinel_row(1, pieces, queries=3)]
    rows = [*rows, without_queries(rows[0]), sentinel_row(2, pieces, queries=1)]
    head = MRPHead(form=factored_form)
    params = parameters(model, head)
    every = features_of(rows, tokenizer, SentinelSpan(), norm=norm)
    loss = jax.jit(mrp_loss(model.config, SentinelSpan(), head, w_mrp=0.7))
    sums = [
        loss(params, {name: x[part] for name, x in every.items()}, KEY)
        for part in (slice(0, 2), slice(2, 4))
    ]
    weight = sum(float(s[1].weight) for s in sums)
    total = sum(float(s[0]) for s in sums) / weight
    written, of_written = jax.jit(sequence_loss(model.config, None))(model.params, every, KEY)
    assert float(of_written.weight) == weight == sum(len(row.targets) for row in rows)
    encoded = encode(model.config, model.params, every["encoder_input_tokens"])
    found = point(head, params, encoded, every)
    divisor = {words_norm: 6, rows_norm: 6, sum_norm: 1}[norm]  # words of one piece have one row
    assert found.n_words == 6
    wanted = float(written) / weight + 0.7 * float(found.loss_sum) / divisor
    np.testing.assert_allclose(total, wanted, rtol=1e-5)
    logged = {
        name: sum(float(s[1].parts[name]) for s in sums) / weight for name in sums[0][1].parts
    }
    np.testing.assert_allclose(logged["pieces"], float(written) / weight, rtol=1e-5)
    np.testing.assert_allclose(logged["mrp"], float(found.loss_sum) / divisor, rtol=1e-5)
    np.testing.assert_allclose(logged["copy_accuracy"], float(found.copy_accuracy), rtol=1e-5)


def test_without_weight_it_is_span_corruption_alone(model, tokenizer, pieces):
    rows = [sentinel_row(i, pieces) for i in range(2)]
    every = features_of(rows, tokenizer, SentinelSpan())
    bare = {name: x for name, x in every.items() if not name.startswith("mrp_")}
    alone = mrp_loss(model.config, SentinelSpan(), MRPHead(), w_mrp=0.0)
    written = sequence_loss(model.config, None)
    for mine, theirs in zip(
        jax.tree.leaves(slope(alone)(model.params, bare, KEY)),
        jax.tree.leaves(slope(written)(model.params, bare, KEY)),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_dropout_is_the_same_with_and_without_a_head(model, tokenizer, pieces):
    """So that two runs from one seed differ in the mentions only."""
    config = dataclasses.replace(model.config, dropout_rate=0.3)
    every = features_of([sentinel_row(0, pieces)], tokenizer, SentinelSpan())
    params = parameters(model, MRPHead())
    both, alone = (
        jax.jit(mrp_loss(config, SentinelSpan(), MRPHead(), w_mrp=w)) for w in (1.0, 0.0)
    )
    _, sums = both(params, every, KEY)
    alone, _ = alone(params, every, KEY)
    np.testing.assert_allclose(sums.parts["pieces"], alone, rtol=1e-6)


def test_rows_without_queries_have_gradients(model, tokenizer, pieces):
    rows = [without_queries(sentinel_row(i, pieces)) for i in range(2)]
    every = features_of(rows, tokenizer, SentinelSpan())
    loss = mrp_loss(model.config, SentinelSpan(), MRPHead(), w_mrp=1.0)
    params = parameters(model, MRPHead())
    (total, sums), grads = slope(loss)(params, every, KEY)
    assert np.isfinite(total)
    assert sums.parts["mrp"] == 0
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(grads))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(grads[HEAD]))


@pytest.mark.parametrize("tied", [True, False])
def test_masked_in_place(model, tokenizer, pieces, tied):
    """Predicted by the encoder with the input embedding, in float64."""
    config = dataclasses.replace(model.config, logits_via_embedding=tied)
    rows = [inplace_row(i, pieces, queries=1 + i) for i in range(2)]
    every = features_of(rows, tokenizer, Inplace())
    head = MRPHead(tied_v=True)
    params = parameters(model, head)
    total, sums = jax.jit(mrp_loss(config, Inplace(), head, w_mrp=0.5))(params, every, KEY)
    encoded = encode(config, model.params, every["encoder_input_tokens"])
    table = np.asarray(model.params["token_embedder"]["embedding"], np.float64)
    losses = []
    for states, row in zip(np.asarray(encoded, np.float64), rows, strict=True):
        for place in np.flatnonzero(row.targets >= 0):
            logits = table @ states[place] * (config.emb_dim**-0.5 if tied else 1.0)
            losses.append(np.log(np.exp(logits).sum()) - logits[row.targets[place]])
    assert len(losses) == float(sums.weight) == 5
    np.testing.assert_allclose(sums.parts["pieces"] / sums.weight, np.mean(losses), rtol=1e-5)
    found = point(head, params, encoded, every)
    wanted = np.mean(losses) + 0.5 * float(found.loss_sum) / 3
    np.testing.assert_allclose(total / sums.weight, wanted, rtol=1e-5)


def test_features_leave_out_what_is_hidden(tokenizer, pieces):
    """A referent that is itself hidden is none; a query that loses all of them is none either."""
    row = sentinel_row(3, pieces)
    hiding = row.ref_start.copy()
    hiding[0, 0] = row.query_start[1]
    hiding[1] = row.query_start[0]
    row = dataclasses.replace(row, ref_start=hiding, ref_end=hiding)
    found = features_of([row], tokenizer, SentinelSpan())
    np.testing.assert_array_equal(found["mrp_ref_mask"][0], [[False, True], [False, False]])
    np.testing.assert_array_equal(found["mrp_q_mask"][0], [True, False])
    can = np.asarray(found["mrp_cand_mask"][0])
    assert not can[row.query_start].any()
    assert not can[-1]
    assert can.sum() == len(row.inputs) - 3


def test_batches_of_the_objective(model, pieces):
    rows = [sentinel_row(i, pieces, queries=1 + i % 3) for i in range(5)]
    objective = MRPObjective(model=model, train_rows=rows)
    batch = objective.batches(4, 0)[0]
    assert batch.features["encoder_input_tokens"].shape == (4, 32)
    assert batch.features["decoder_target_tokens"].shape == (4, 16)
    for i, name in enumerate(batch.names):
        row = next(row for row in rows if row.name == name)
        feeds = batch.features["decoder_input_tokens"][i]
        np.testing.assert_array_equal(feeds[: len(row.targets)], [0, *row.targets[:-1]])
        np.testing.assert_array_equal(
            batch.features["mrp_q_start"][i][: len(row.query_start)], row.query_start
        )
        assert batch.features["mrp_q_mask"][i].sum() == len(row.query_start)
    assert batch.pieces == sum(
        len(row.inputs) + len(row.targets) for row in rows if row.name in batch.names
    )

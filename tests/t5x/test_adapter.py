"""`CorefModel` by itself: its loss, its variables, its search."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.core.errors import ConfigError, MismatchError
from t5coref.decode import draft
from t5coref.decode.constraint import Tables
from t5coref.decode.search import Beam, Greedy, Rows
from t5coref.nn.scan import scan_params
from t5coref.nn.t5 import T5
from t5coref.predict import decode_batch

adapter = pytest.importorskip("t5coref.t5x_adapter")
coref_task = pytest.importorskip("t5coref.data.task")
losses = pytest.importorskip("t5x.losses")
models = pytest.importorskip("t5x.models")
seqio = pytest.importorskip("seqio")

TASKS = ("tiny_full_copy", "tiny_full_token", "tiny_input_feed", "tiny_iterative_text")


def variables_of(model, batch):
    shapes = {name: feature.shape for name, feature in batch.items()}
    return model.get_initial_variables(jax.random.key(0), shapes)


@pytest.fixture(scope="module")
def batches(batch_of):
    return {task: batch_of(task) for task in TASKS}


@pytest.mark.parametrize("scan_layers", [False, True])
def test_every_parameter_has_named_axes(make_model, batches, scan_layers):
    """In a batch of pairs of feeds too, and where T5X names no types."""
    model = make_model("tiny_input_feed", scan_layers=scan_layers)
    batch = batches["tiny_input_feed"]
    assert batch["decoder_input_tokens"].shape == (8, 112, 2)
    variables = variables_of(model, batch)
    params = jax.tree_util.tree_leaves_with_path(variables["params"])
    named = jax.tree_util.tree_leaves_with_path(
        variables["params_axes"], is_leaf=lambda x: hasattr(x, "names")
    )
    ranks = {jax.tree_util.keystr(path): leaf.ndim for path, leaf in params}
    names = {jax.tree_util.keystr(path).replace("_axes", ""): leaf.names for path, leaf in named}
    assert {path: len(axes) for path, axes in names.items()} == ranks
    assert any("layers" in axes for axes in names.values()) == scan_layers


@pytest.mark.parametrize(("z_loss", "smoothing"), [(0.0, 0.0), (1e-2, 0.0), (1e-2, 0.1)])
@pytest.mark.parametrize("task", TASKS)
def test_loss_is_that_of_t5x_over_the_symbols(make_model, batches, task, z_loss, smoothing):
    model = make_model(
        task,
        z_loss=z_loss,
        label_smoothing=smoothing,
        loss_normalizing_factor="NUM_REAL_TARGET_TOKENS",
        vocab_size=2048 if task == "tiny_iterative_text" else 256,  # many symbols
    )
    batch = batches[task]
    params = variables_of(model, batch)["params"]
    loss, metrics = model.loss_fn(params, batch, None)

    logits = model.module.apply(
        {"params": params},
        batch["encoder_input_tokens"],
        batch["decoder_input_tokens"],
        batch["decoder_target_tokens"],
        enable_dropout=False,
    )
    targets, weights = batch["decoder_target_tokens"], batch["decoder_loss_weights"]
    rules = coref_task.task_linearization(task).rules
    if task == "tiny_iterative_text":
        assert rules.copy_weight == 0.1
        weights = np.where(targets == rules.inventory.ids[rules.copy], 0.1, 1.0) * weights
    symbols = rules.scored_ids
    if symbols is not None:
        logits = logits[..., jnp.asarray(symbols)]
        targets = np.vectorize(lambda t: symbols.index(t) if t else 0)(targets)
    total, total_z, count = losses.compute_weighted_cross_entropy(
        logits, jnp.asarray(targets), jnp.asarray(weights, jnp.float32), smoothing, z_loss
    )
    np.testing.assert_allclose(loss, total / count, rtol=1e-5)
    np.testing.assert_allclose(metrics["z_loss"].total, total_z / count, rtol=1e-5, atol=1e-8)
    there = weights > 0  # whatever they weigh
    right = (logits.argmax(-1) == targets) & there
    np.testing.assert_allclose(metrics["accuracy"].compute(), right.sum() / there.sum(), rtol=1e-5)
    if not z_loss:
        scores = model.score_batch(params, batch)
        assert scores.shape == (8,)
        np.testing.assert_allclose(-scores.sum(), total, rtol=1e-5)


def test_sum_is_t5x_default(make_model, batches):
    batch = batches["tiny_full_copy"]
    mean = make_model(loss_normalizing_factor="NUM_REAL_TARGET_TOKENS")
    total = make_model()
    params = variables_of(mean, batch)["params"]
    count = batch["decoder_loss_weights"].sum()
    one, other = mean.loss_fn(params, batch, None)[0], total.loss_fn(params, batch, None)[0]
    np.testing.assert_allclose(one * count, other, rtol=1e-5)


def step_by_step(**given):
    """Greedy search without guesses, which compiles faster."""
    return adapter.greedy_search(**given, drafts=(1,))


@pytest.mark.parametrize(
    ("task", "width"), [("tiny_full_copy", 1), ("tiny_full_token", 2), ("tiny_input_feed", 3)]
)
def test_search_finds_what_the_predictor_finds(make_model, batches, task, width):
    batch = batches[task]
    model = make_model(
        task,
        decode_fn=adapter.beam_search if width > 1 else adapter.greedy_search,
        default_decoder_params=models.DecoderParams(return_all_decodes=True, num_decodes=width),
    )
    params = variables_of(model, batch)["params"]
    found, aux = jax.jit(model.predict_batch_with_aux)(params, batch, jax.random.key(1))
    rows = Rows(
        jnp.asarray(batch["encoder_input_tokens"]),
        jnp.full(8, 112, jnp.int32),
        jnp.full((8, 1), -1, jnp.int32),
    )
    tables = Tables.of(coref_task.task_linearization(task).rules)
    search = Beam(width) if width > 1 else Greedy()
    wanted, _ = decode_batch(model.module, params, tables, rows, draft.empty(), 112, search)
    np.testing.assert_array_equal(found, wanted.actions[:, ::-1])
    np.testing.assert_allclose(aux["scores"], wanted.scores[:, ::-1], rtol=1e-5)
    assert (np.diff(aux["scores"], axis=1) >= 0).all()


def test_outputs_are_whole_with_scanned_layers_too(make_model, batches):
    batch = batches["tiny_full_copy"]
    plain = make_model(decode_fn=step_by_step)
    params = variables_of(plain, batch)["params"]
    found, aux = jax.jit(plain.predict_batch_with_aux)(params, batch)
    assert found.shape == (8, 112)
    tokenizer = coref_task.task_linearization("tiny_full_copy").tokenizer
    copy, opens, closes = map(tokenizer.symbol, ("<copy>", "<m>", "</m>"))
    for source, actions in zip(batch["encoder_input_tokens"], np.asarray(found), strict=True):
        written = actions[actions > 0]
        assert np.sum(written == copy) == np.sum(source > 0)
        assert written[-1] == copy
        assert np.sum(written == opens) == np.sum(written == closes)

    scanned = make_model(decode_fn=step_by_step, scan_layers=True)
    same, aux2 = jax.jit(scanned.predict_batch_with_aux)(scan_params(params), batch)
    np.testing.assert_array_equal(same, found)
    np.testing.assert_allclose(aux["scores"], aux2["scores"], rtol=1e-4)


@pytest.mark.parametrize("width", [1, 2])
def test_sources_that_cannot_be_answered(make_model, batches, width):
    """Cut at the end, or too long for the steps: an empty output, and JSON can hold the score."""
    model = make_model(decode_fn=adapter.beam_search if width > 1 else step_by_step)
    batch = {name: np.array(x) for name, x in batches["tiny_full_copy"].items()}
    params = variables_of(model, batch)["params"]
    batch["encoder_input_tokens"][0] = 5  # no </s>
    batch["encoder_input_tokens"][1] = 0  # T5X fills batches with empty rows
    predict = jax.jit(
        model.predict_batch_with_aux, static_argnames=("num_decodes", "return_all_decodes")
    )
    found, aux = predict(params, batch, num_decodes=width, return_all_decodes=True)
    assert (np.asarray(found[:2]) == 0).all()
    assert (np.asarray(found[2:, -1]) > 0).any(axis=1).all()
    assert np.isfinite(aux["scores"]).all()
    short = batch | {"decoder_target_tokens": batch["decoder_target_tokens"][:, :8]}
    found, aux = predict(params, short, num_decodes=width, return_all_decodes=True)
    assert found.shape == (8, width, 8)
    assert (np.asarray(found) == 0).all()


def test_greedy_search_has_one_hypothesis(make_model, batches):
    model = make_model()
    batch = batches["tiny_full_copy"]
    params = variables_of(model, batch)["params"]
    with pytest.raises(ConfigError, match=r"num_decodes = 4; include gin/decode/beam.gin"):
        model.predict_batch_with_aux(params, batch, num_decodes=4)


def test_small_network(tiny_tasks, make_model, config):
    with pytest.raises(MismatchError, match="the network has 100 rows; set T5Config"):
        adapter.CorefModel(T5(dataclasses.replace(config, vocab_size=100)), None, "tiny_full_copy")


def test_mixtures_share_their_rules(make_model):
    seqio.MixtureRegistry.add("tiny_same", ["tiny_full_copy"], default_rate=1.0)
    make_model("tiny_same")
    seqio.MixtureRegistry.add("tiny_differing", list(TASKS), default_rate=1.0)
    with pytest.raises(MismatchError, match="have different rules"):
        make_model("tiny_differing")

"""Runs in which adapters and rows of symbols learn, and everything else stays as it was."""

from __future__ import annotations

import functools
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from t5coref.adapters import Adapters
from t5coref.cli import gin_files
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.model import Model
from t5coref.nn.layers import Dense
from t5coref.nn.lora import LoRA, Rows, abstract, split
from t5coref.nn.partition import AbstractParameters
from t5coref.train import logbook, train
from t5coref.train.logbook import without_clock
from t5coref.train.lora import LoRAObjective, adapted, adapted_loss
from t5coref.train.objective import Sums
from t5coref.train.optimizers import adamw, adapters_alone

LORA = LoRA(rank=2, alpha=4.0)
LEARNED = ("lora_a", "lora_b", "symbols")


def flat(params) -> dict[tuple[str, ...], Any]:
    return dict(flatten_dict(params))


def rows(folder):
    return [without_clock(row) for row in logbook.read(folder)]


def trained_files(folder):
    return {path.name: path.read_bytes() for path in (folder / "adapters").iterdir()}


def assert_same_run(one, other):
    assert rows(one) == rows(other)
    for name in ("best", "last"):
        assert trained_files(one / name) == trained_files(other / name)
        assert (one / name / "model.safetensors").read_bytes() == (
            other / name / "model.safetensors"
        ).read_bytes()


@pytest.fixture(scope="module")
def still(settings, tmp_path_factory):
    """A run without dropout."""
    folder = tmp_path_factory.mktemp("still")
    return train(output_dir=folder, lora=LORA, **settings | {"dropout": 0.0})


@pytest.fixture(scope="module")
def reference(settings, tmp_path_factory):
    """A run that nothing disturbed, with dropout everywhere."""
    folder = tmp_path_factory.mktemp("reference")
    return train(output_dir=folder, lora=LoRA(rank=2, dropout=0.3), **settings)


def test_only_adapters_and_symbols_move(still, model):
    """Bit by bit: other rows of the table and the head, norms and position biases stay."""
    losses = [row["loss"] for row in rows(still.last.parent) if row["kind"] == "train"]
    assert losses[-1] < losses[0]
    before, after = flat(model.params), flat(Model.load(still.last).params)
    assert before.keys() == after.keys()
    first, count = Rows.of(model.tokenizer)
    ids = np.arange(first, first + count)
    assert 0 < count < 32
    for path, leaf in before.items():
        old, new = np.asarray(leaf), np.asarray(after[path])
        if path[-1] == "embedding" or path[-2] == "logits_dense":
            axis = 0 if path[-1] == "embedding" else 1
            others = [np.delete(x, ids, axis).tobytes() for x in (old, new)]
            assert others[0] == others[1]
            moved = np.take(old, ids, axis) != np.take(new, ids, axis)
            assert moved.any()
        elif path[-1] == "kernel":
            assert np.all(old != new) or np.mean(old != new) > 0.9
            assert np.linalg.matrix_rank(np.float64(new) - np.float64(old), tol=1e-4) <= 2
        else:
            assert old.tobytes() == new.tobytes()


def test_exported_adapters_are_what_was_merged(still, model):
    adapters = Adapters.load(still.last / "adapters")
    assert adapters.lora == LORA
    assert adapters.card == model.card()
    merged = adapters.merge(model)
    for one, other in zip(
        *map(jax.tree.leaves, (merged.params, Model.load(still.last).params)), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert any(np.any(leaf) for path, leaf in flat(adapters.weights).items() if "lora_b" in path)


@pytest.mark.parametrize(("event", "step"), [("stepped", 3), ("evaluated", 4), ("saved", 6)])
def test_interrupted_run_goes_on(reference, run, recorder, crash, event, step):
    lora = LoRA(rank=2, dropout=0.3)
    with pytest.raises(crash):
        run(listener=recorder(step, event), lora=lora)
    assert_same_run(reference.last.parent, run(lora=lora).last.parent)


def test_dropout_of_adapters_is_seen_in_training(still, reference):
    losses = [
        [row["loss"] for row in rows(r.last.parent) if row["kind"] == "train"]
        for r in (still, reference)
    ]
    assert losses[0] != losses[1]


def test_scanned_and_accumulated_is_the_same_run(still, run):
    settings = {"scan_layers": True, "remat": True, "batch_size": 2, "accumulate": 2}
    other = run(lora=LORA, dropout=0.0, **settings)
    for one, two in zip(rows(still.last.parent), rows(other.last.parent), strict=True):
        if one["kind"] == "train":
            np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-4)
    for one, two in zip(
        *(jax.tree.leaves(Adapters.load(r.last / "adapters").weights) for r in (still, other)),
        strict=True,
    ):
        np.testing.assert_allclose(one, two, atol=2e-3)


def test_optimizer_and_checkpoints_hold_only_what_is_trained(still, run, recorder, crash, model):
    """AdamW has two moments of each trained number and nothing for the others."""
    listener = recorder(0, "started")
    with pytest.raises(crash):
        run("plan", listener=listener, lora=LORA)
    places = abstract(LORA, AbstractParameters.of(model.network), Rows.of(model.tokenizer))
    trained, fixed = split(places.shapes)
    count = sum(leaf.size for leaf in jax.tree.leaves(trained))
    every = sum(leaf.size for leaf in jax.tree.leaves((trained, fixed)))
    assert listener.plan.parameters == count
    assert f"{count:,} of {every:,} parameters" in listener.plan.notes[-1]
    state = jax.eval_shape(adamw(6).transform.init, trained)
    whole = jax.eval_shape(adamw(6).transform.init, AbstractParameters.of(model.network).shapes)
    counters = 2 * 4
    assert nbytes(state) == 2 * 4 * count + counters
    assert nbytes(state) < nbytes(whole) / 3
    stored = still.last.parent / "checkpoints" / "6" / "state" / "_METADATA"
    assert "lora_a" in stored.read_text()
    assert "kernel" not in stored.read_text()


def nbytes(tree):
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def test_another_run_in_the_same_folder_is_refused(run, recorder, crash):
    with pytest.raises(crash):
        run(listener=recorder(2, "saved"), lora=LORA, dropout=0.0)
    with pytest.raises(MismatchError, match=r"settings.lora.alpha was 4.0 and is now 8.0"):
        run(lora=LoRA(rank=2, alpha=8.0), dropout=0.0)
    with pytest.raises(MismatchError, match=r"settings.lora was"):
        run(dropout=0.0)


def test_impossible_settings(run):
    with pytest.raises(ConfigError, match=r"lora: .*\['wi_0'\]|lora: .*are none of them"):
        run(lora=LoRA(targets=("query", "wi_0", "wi_1", "wi"), parts=("cross_attention",)))
    with pytest.raises(ConfigError, match="SimpleNamespace, which has no `model`"):
        adapted(types.SimpleNamespace(), LORA, 0)  # pyright: ignore[reportArgumentType]


def test_heads_are_trained_as_a_whole(model):
    """What is no part of the T5 is new, and has no pretrained values to keep."""
    heads = {"heads": {"types": {"kernel": np.ones((16, 3), np.float32)}}}
    base = types.SimpleNamespace(
        model=types.SimpleNamespace(tokenizer=model.tokenizer, params={**model.params, **heads}),
        initial=lambda: {**model.params, **heads},
        examples=1, score="re", skipped=(), notes=(), loss=functools.partial(max),
    )  # fmt: skip
    objective = LoRAObjective(base, LORA, 0)  # pyright: ignore[reportArgumentType]
    trained = flat(objective.initial())
    assert {path[-1] for path in trained if path[0] != "heads"} == set(LEARNED)
    assert trained["heads", "types", "kernel"].shape == (16, 3)
    assert all("heads" not in path for path in flat(objective.fixed))


def test_the_loss_drops_and_evaluation_does_not():
    lora = LoRA(rank=2, alpha=2.0, dropout=0.5, targets=("query",), parts=("encoder",))
    layer = Dense(3, ("embed", "mlp"), jnp.dtype("float32"))

    def loss(params, features, key):
        out = layer.apply(
            {"params": params["encoder"]["query"]}, features["x"], rngs={"dropout": key}
        )
        return jnp.sum(out), Sums(jnp.ones(()), {})

    trained = {"encoder": {"query": {"lora_a": jnp.ones((8, 2)), "lora_b": jnp.ones((2, 3))}}}
    fixed = {"encoder": {"query": {"kernel": jnp.zeros((8, 3))}}}
    features = {"x": jnp.ones((5, 8))}
    with_adapters = adapted_loss(loss, lora, Rows(0, 0))
    assert with_adapters is adapted_loss(loss, lora, Rows(0, 0))
    both = {"encoder": {"query": trained["encoder"]["query"] | fixed["encoder"]["query"]}}
    found = [
        float(f(*args)[0])
        for key in map(jax.random.key, (0, 1))
        for f, args in (
            (with_adapters, (trained, features, key, fixed)),
            (loss, (both, features, key)),
        )
    ]
    assert found[0] != found[2]
    assert found[1] == found[3] == 5 * 3 * 8 * 2


def test_adapters_alone_leaves_the_rest(model):
    """For T5X, where one tree has everything."""
    tree = {"encoder": {"query": {"kernel": jnp.ones((4, 4)), "lora_a": jnp.ones((4, 2)),
                                  "lora_b": jnp.ones((2, 4))}},
            "token_embedder": {"embedding": jnp.ones((9, 4)), "symbols": jnp.ones((2, 4))},
            "heads": {"kernel": jnp.ones((4, 4))}}  # fmt: skip
    made = adapters_alone(6, optimizer=functools.partial(adamw, peak=0.1))
    state = made.transform.init(tree)

    @jax.jit
    def step(tree, state):
        updates, state = made.transform.update(jax.tree.map(jnp.ones_like, tree), state, tree)
        return optax.apply_updates(tree, updates), state

    with jax.numpy_dtype_promotion("standard"):
        after, state = step(tree, state)
    after = flat(after)
    still = {path for path, leaf in after.items() if np.all(leaf == 1.0)}
    assert still == {("encoder", "query", "kernel"), ("token_embedder", "embedding")}
    assert nbytes(state) == 2 * 4 * (8 + 8 + 8 + 16) + 2 * 4
    assert made.settings["optimizer"]["peak"] == 0.1


def test_gin_file_goes_on_top_of_any_experiment():
    gin_files.load(["gin/experiments/demo.gin", "gin/lora.gin"], ["OUTPUT = 'x'", "LORA_RANK = 4"])
    assert gin_files.call("LoRA") == LoRA(rank=4)
    bound = [gin_files.gin.query_parameter(f"{name}.lora") for name in ("train", "fit")]
    assert [str(reference) for reference in bound] == ["@LoRA()"] * 2

"""Adapters in T5X: the steps of the local loop, what is kept of them, and the way back to ours."""

from __future__ import annotations

import itertools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import unfreeze
from flax.traverse_util import flatten_dict
from tiny_checkpoints import drawn

from t5coref import corpora, linearize
from t5coref.adapters import Adapters, fingerprint, from_t5x
from t5coref.checkpoints import T5X, open_checkpoint, transfer
from t5coref.core.errors import MismatchError
from t5coref.model import Format, Model
from t5coref.nn import save_hf, unscan_params
from t5coref.nn.lora import LoRA, Rows, is_trained, split, with_adapters
from t5coref.tokenizer import Tokenizer
from t5coref.train.batches import batches
from t5coref.train.lora import adapted_loss
from t5coref.train.optimizers import adamw, adapters_alone
from t5coref.train.step import TrainState, make_step, sequence_loss

adapter = pytest.importorskip("t5coref.t5x_adapter")
coref_task = pytest.importorskip("t5coref.data.task")
checkpoints = pytest.importorskip("t5x.checkpoints")
partitioning = pytest.importorskip("t5x.partitioning")
trainers = pytest.importorskip("t5x.trainer")
utils = pytest.importorskip("t5x.utils")

ROWS, STEPS = 8, 3
LORA = LoRA(rank=2, alpha=4.0)


def flat(params) -> dict[tuple[str, ...], Any]:
    return dict(flatten_dict(params))


def fast(total_steps):
    return adamw(total_steps, peak=1e-2, warmup=1)


def of_adapters(total_steps):
    return adapters_alone(total_steps, optimizer=fast)


@pytest.fixture(scope="module")
def batch(batch_of):
    return batch_of("tiny_full_copy")


@pytest.fixture(scope="module")
def tokenizer(stories):
    symbols = linearize.symbols_of("full-copy", {})
    return Tokenizer(stories / "spiece.model", symbols)


@pytest.fixture(scope="module")
def model(make_model):
    def make(**options):
        return make_model(
            optimizer_def=adapter.local_optimizer(of_adapters, STEPS),
            loss_normalizing_factor="NUM_REAL_TARGET_TOKENS",
            lora=LORA,
            **options,
        )

    return make


@pytest.fixture(scope="module")
def start(config, tmp_path_factory):
    """A T5X checkpoint without adapters, and its parameters."""
    params = drawn(config)
    params = jax.tree.map(lambda leaf: 0.1 * leaf, params)
    source = tmp_path_factory.mktemp("source")
    save_hf(source, config, params)
    folders = {
        scan: transfer(open_checkpoint(source), source / f"t5x{scan}", T5X, scan=scan).folder
        for scan in (False, True)
    }
    return folders, params


def trained_by_t5x(model, batch, folder, output, **mesh):
    """The losses of some steps from a checkpoint, as T5X's program restores it; saves one."""
    partitioner = partitioning.PjitPartitioner(**mesh)
    shapes = {name: feature.shape for name, feature in batch.items()}
    made = utils.TrainStateInitializer(
        model.optimizer_def, model.get_initial_variables, shapes, partitioner
    )
    settings = utils.RestoreCheckpointConfig(
        path=str(folder), mode="specific", dtype="float32",
        assignment_map=((r"state.*", None),), fallback_to_scratch=True,
    )  # fmt: skip
    state, manager = utils.create_checkpoint_manager_and_restore(
        made, partitioner, settings, str(folder), jax.random.PRNGKey(0), use_orbax=True
    )
    manager.close()
    first = jax.device_get(unfreeze(state.params))
    trainer = trainers.Trainer(
        model, state, partitioner, [], None, made.train_state_axes, jax.random.PRNGKey(0),
        learning_rate_fn=lambda step: jnp.asarray(1e-2), num_microbatches=None,
    )  # fmt: skip
    with trainer:
        found = [trainer.train(iter([batch]), 1).result()["loss"].value for _ in range(STEPS)]
        state = trainer.train_state
        saver = checkpoints.OrbaxCheckpointManagerInterface(
            str(output), made.global_train_state_shape, partitioner
        )
        saver.save(state)
        saver.close()
        return np.asarray(found), first, state


@pytest.fixture(scope="module", params=[False, True], ids=["layers", "scanned"])
def run(request, model, batch, start, tmp_path_factory):
    scan = request.param
    output = tmp_path_factory.mktemp("run")
    mesh = {"model_parallel_submesh": (1, 2)} if scan else {"model_parallel_submesh": (1, 1)}
    made = model(scan_layers=scan)
    return scan, output, trained_by_t5x(made, batch, start[0][scan], output, **mesh)


def test_begins_as_the_checkpoint(run, start):
    """The T5 is restored; what it does not have begins as it should."""
    scan, _, (_, first, _) = run
    trained, fixed = split(unscan_params(first) if scan else first)
    want, found = (flat(tree) for tree in (start[1], fixed))
    assert found.keys() == want.keys()
    for path, leaf in want.items():
        np.testing.assert_array_equal(found[path], leaf)
    for path, leaf in flat(trained).items():
        assert np.any(leaf) == (path[-1] == "lora_a")


def test_steps_are_those_of_the_local_loop(run, tiny_tasks, config, tokenizer):
    scan, _, (losses, first, state) = run
    linearization = coref_task.task_linearization("tiny_full_copy")
    documents = list(corpora.read(pathlib.Path(tiny_tasks.FOLDER, "train.jsonl")))
    every = itertools.chain.from_iterable(
        linearize.examples(linearization, document) for document in documents
    )
    rows: Any = batches(
        list(itertools.islice(every, ROWS)), linearization.rules, ROWS, seed=0,
        source_length=48, target_length=112,
    )  # fmt: skip
    optimizer = fast(STEPS)
    loss = adapted_loss(
        sequence_loss(config, linearization.rules.scored_ids), LORA, Rows.of(tokenizer)
    )
    step = jax.jit(make_step(loss, optimizer))
    trained, fixed = split(unscan_params(first) if scan else first)
    local = TrainState(jnp.zeros((), jnp.int32), trained, optimizer.transform.init(trained))
    for k in range(STEPS):
        features = {name: jnp.asarray(x)[None] for name, x in rows[k].features.items()}
        local, metrics = step(local, features, jax.random.key(0), fixed)
        np.testing.assert_allclose(losses[k], metrics["loss"], atol=2e-4)
    assert losses[-1] < losses[0]
    after = jax.device_get(unfreeze(state.params))
    found = flat(split(unscan_params(after) if scan else after)[0])
    for path, leaf in flat(local.params).items():
        np.testing.assert_allclose(found[path], leaf, atol=2e-3, err_msg="/".join(path))


def test_only_what_is_trained_moves_and_has_moments(run):
    _, _, (_, first, state) = run
    before = flat(first)
    after = flat(jax.device_get(unfreeze(state.params)))
    for path, leaf in before.items():
        if not is_trained(path):
            assert np.asarray(after[path]).tobytes() == np.asarray(leaf).tobytes()
    numbers = sum(leaf.size for path, leaf in before.items() if is_trained(path))
    moments = sum(leaf.size for leaf in jax.tree.leaves(state.param_states))
    assert 2 * numbers <= moments <= 2 * numbers + 8


def test_back_to_ours(run, start, config, tokenizer, tmp_path):
    _, output, (_, _, state) = run
    base = Model(config, start[1], tokenizer, Format("full-copy"))
    found = from_t5x(output, base, alpha=LORA.alpha)
    assert (found.lora.rank, found.lora.scale) == (LORA.rank, LORA.scale)
    found.save(tmp_path / "a")
    after = jax.device_get(unfreeze(state.params))
    after = unscan_params(after) if "layers" in after["encoder"] else after
    theirs = flat(split(after)[0])
    for path, leaf in flat(found.weights).items():
        np.testing.assert_array_equal(leaf, theirs[path])
    other = jax.tree.map(lambda leaf: leaf + 1, start[1])
    with pytest.raises(MismatchError, match="is not that of the T5 that was given"):
        from_t5x(output, Model(config, other, tokenizer, Format("full-copy")), alpha=4.0)


def test_decodes_the_merged_model(model, make_model, batch, config, tokenizer):
    rng = np.random.default_rng(0)
    adapted = with_adapters(LORA, drawn(config), Rows.of(tokenizer), jax.random.key(0))
    adapted = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 0.1 * rng.standard_normal(leaf.shape, np.float32)
        if path[-1].key in ("lora_b", "symbols") else leaf,
        adapted,
    )  # fmt: skip
    base = Model(config, split(adapted)[1], tokenizer, Format("full-copy"))
    merged = Adapters(
        LORA, jax.device_get(split(adapted)[0]), Rows.of(tokenizer),
        fingerprint(base.params, Rows.of(tokenizer)), tokenizer, base.card(),
    ).merge(base).params  # fmt: skip
    few = {name: feature[:2] for name, feature in batch.items()}
    got, _ = model().predict_batch_with_aux(adapted, few)
    want, _ = make_model().predict_batch_with_aux(merged, few)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_allclose(
        model().score_batch(adapted, few), make_model().score_batch(merged, few), rtol=1e-4
    )

"""Checkpoints of ours restore in T5X, for training and for inference; T5X's load in ours."""

from __future__ import annotations

import json
import pathlib

import flax
import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from tiny_checkpoints import assert_same_bits, drawn, tensors_of

from t5coref.checkpoints import HUGGING_FACE, T5X, T5X_LEGACY, load, open_checkpoint, transfer
from t5coref.convert import TARGETS, convert
from t5coref.model import Format, Model
from t5coref.nn import save_hf, scan_params
from t5coref.tokenizer import Tokenizer

pytest.importorskip("t5coref.t5x_adapter")
adafactor = pytest.importorskip("t5x.adafactor")
checkpoints = pytest.importorskip("t5x.checkpoints")
partitioning = pytest.importorskip("t5x.partitioning")
utils = pytest.importorskip("t5x.utils")

HERE = pathlib.Path(__file__).parent
SHAPES = {
    "encoder_input_tokens": (8, 16),
    "decoder_input_tokens": (8, 16),
    "decoder_target_tokens": (8, 16),
}
LAYOUTS = pytest.mark.parametrize("layout", [T5X, T5X_LEGACY], ids=lambda layout: layout.title)
ORBAX = pytest.mark.parametrize("use_orbax", [True, False], ids=["orbax", "legacy"])
SCAN = pytest.mark.parametrize("scan", [False, True], ids=["layers", "scanned"])
PARALLEL = {"num_partitions": None, "model_parallel_submesh": (1, 2)}


@pytest.fixture(scope="module")
def params(config):
    return drawn(config)


@pytest.fixture(scope="module")
def source(config, params, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    save_hf(folder, config, params)
    return folder


def initializer(model, optimizer, **mesh):
    partitioner = partitioning.PjitPartitioner(**mesh)
    made = utils.TrainStateInitializer(optimizer, model.get_initial_variables, SHAPES, partitioner)
    return made, partitioner


def restored(model, optimizer, path, *, use_orbax, for_training=False, **mesh):
    """As T5X's programs do it; `for_training` as `gin/runs/finetune.gin` says."""
    made, partitioner = initializer(model, optimizer, **mesh)
    fresh = {"assignment_map": ((r"state.*", None),), "fallback_to_scratch": True}
    settings = utils.RestoreCheckpointConfig(
        path=str(path), mode="specific", dtype="float32", **(fresh if for_training else {})
    )
    state, manager = utils.create_checkpoint_manager_and_restore(
        made, partitioner, settings, str(path), jax.random.PRNGKey(0), use_orbax=use_orbax
    )
    manager.close()
    return state


def assert_same_tree(got, want):
    """Numbers for numbers; T5X's trees may be of another class."""
    got, want = (flatten_dict(jax.device_get(dict(tree)), sep="/") for tree in (got, want))
    assert_same_bits(
        {name: np.asarray(leaf) for name, leaf in got.items()},
        {name: np.asarray(leaf) for name, leaf in want.items()},
    )


@SCAN
@ORBAX
@LAYOUTS
def test_ours_restores_for_inference(make_model, source, params, layout, use_orbax, scan, tmp_path):
    if layout is T5X and not use_orbax:
        pytest.skip("T5X's old checkpointer cannot read its new layout")
    summary = transfer(open_checkpoint(source), tmp_path / "t5x", layout, scan=scan, step=4)
    state = restored(
        make_model(scan_layers=scan), None, summary.folder, use_orbax=use_orbax, **PARALLEL
    )
    assert int(state.step) == 4
    assert_same_tree(state.params, scan_params(params) if scan else params)
    wide = state.params["token_embedder"]["embedding"]
    assert dict(wide.sharding.mesh.shape) == {"data": 4, "model": 2}


@SCAN
@LAYOUTS
def test_ours_restores_for_training(make_model, source, params, layout, scan, tmp_path):
    summary = transfer(open_checkpoint(source), tmp_path / "t5x", layout, scan=scan, step=4)
    model = make_model(scan_layers=scan)
    state = restored(
        model, model.optimizer_def, summary.folder, use_orbax=True, for_training=True, **PARALLEL
    )
    assert int(state.step) == 0
    assert_same_tree(state.params, scan_params(params) if scan else params)
    # The optimizer begins afresh.
    moments = jax.tree.leaves(jax.device_get(state.param_states))
    assert moments
    assert all(not np.any(leaf) for leaf in moments)


@SCAN
@ORBAX
def test_theirs_loads_in_ours(make_model, config, params, source, use_orbax, scan, tmp_path):
    """What T5X saves, in either layout, with the optimizer's state beside the parameters."""
    model = make_model(scan_layers=scan)
    made, partitioner = initializer(model, model.optimizer_def, **PARALLEL)
    state = made.from_scratch(jax.random.PRNGKey(0))
    state = state.replace_params(flax.core.freeze(scan_params(params) if scan else params))
    state = state.replace_step(jax.numpy.asarray(70))
    place = partitioner.partition(
        lambda x: x, in_axis_resources=None, out_axis_resources=made.train_state_axes
    )
    state = place(jax.device_get(state))
    shapes = made.global_train_state_shape
    if use_orbax:
        manager = checkpoints.OrbaxCheckpointManagerInterface(str(tmp_path), shapes, partitioner)
        manager.save(state)
        manager.close()
    else:
        checkpoints.Checkpointer(shapes, partitioner, str(tmp_path)).save(state)
    opened = open_checkpoint(tmp_path)
    assert opened.layout == ("T5X" if use_orbax else "T5X legacy")
    assert (opened.step, opened.scanned) == (70, scan)
    assert opened.left_behind
    assert load(tmp_path)[0].num_decoder_layers == config.num_decoder_layers
    jax.tree.map(np.testing.assert_array_equal, load(tmp_path)[1], params)
    transfer(opened, tmp_path / "hf", HUGGING_FACE)
    assert_same_bits(tensors_of(tmp_path / "hf"), tensors_of(source))


def test_a_model_through_the_programs(stories, config, params, t5x, tmp_path):
    """Train from a converted model without learning; what T5X wrote is still the same model."""
    tokenizer = Tokenizer(stories / "spiece.model", Format("full-copy").symbols)
    model = Model(config, params, tokenizer)
    model.save(tmp_path / "own")
    begun = convert(tmp_path / "own", tmp_path / "begun", TARGETS["t5x"]).summary.folder
    lengths = "--gin.TASK_FEATURE_LENGTHS={'inputs': 48, 'targets': 112, 'feeds': 112}"
    model_file = f"--gin_file={HERE / 'tiny.gin'}"  # after the run, whose settings it gives
    t5x(
        "train", "--gin_file=gin/decode/greedy.gin", "--gin_file=gin/runs/finetune.gin",
        model_file, lengths, "--gin.TRAIN_STEPS=2",
        f"--gin.INITIAL_CHECKPOINT_PATH='{begun}'", f"--gin.MODEL_DIR='{tmp_path / 'run'}'",
        "--gin.CHECKPOINT_PERIOD=2", "--gin.BATCH_SIZE=8", "--gin.EVAL_STEPS=1",
        "--gin.EVAL_PERIOD=100", "--gin.LEARNING_RATE=0.0",
        "--gin.utils.create_learning_rate_scheduler.min_learning_rate=0.0",
    )  # fmt: skip
    _, identity = convert(
        tmp_path / "run", tmp_path / "trained", TARGETS["t5coref"], format="full-copy",
        tokenizer=stories,
    )  # fmt: skip
    assert identity is not None
    assert_same_bits(tensors_of(tmp_path / "trained"), tensors_of(tmp_path / "own"))
    assert Model.load(tmp_path / "trained").fingerprint() == model.fingerprint()
    written = []
    for name, folder in (("ours", begun), ("theirs", tmp_path / "run/checkpoint_2")):
        t5x(
            "infer", "--gin_file=gin/decode/greedy.gin", "--gin_file=gin/runs/infer.gin",
            model_file, lengths, "--gin.BATCH_SIZE=4",
            f"--gin.CHECKPOINT_PATH='{folder}'", f"--gin.INFER_OUTPUT_DIR='{tmp_path / name}'",
        )  # fmt: skip
        (file,) = (tmp_path / name).glob("*jsonl-00000-of-00001")
        written.append([json.loads(line) for line in file.read_text("utf-8").splitlines()])
    assert len(written[0]) >= 8
    assert written[0] == written[1]

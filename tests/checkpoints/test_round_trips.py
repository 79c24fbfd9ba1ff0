"""Every layout to every other and back: not one bit changes."""

from __future__ import annotations

import json
import pathlib

import jax
import ml_dtypes
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file
from tiny_checkpoints import assert_same_bits, tensors_of

from t5coref.checkpoints import HUGGING_FACE, T5X, T5X_LEGACY, load, open_checkpoint, transfer
from t5coref.nn import load_hf
from t5coref.nn.checkpoint import HEAD, TABLE, grow_vocab

ROUTES = {
    "orbax": [(T5X, {})],
    "orbax, scanned": [(T5X, {"scan": True})],
    "legacy": [(T5X_LEGACY, {})],
    "legacy, scanned": [(T5X_LEGACY, {"scan": True})],
    "stacked and unstacked": [(T5X, {"scan": True}), (T5X_LEGACY, {"scan": False})],
    "legacy to orbax": [(T5X_LEGACY, {"scan": True}), (T5X, {})],
    "hugging face": [(HUGGING_FACE, {"max_shard_bytes": 3000})],
}


def through(folder: pathlib.Path, route, place: pathlib.Path) -> pathlib.Path:
    for i, (layout, options) in enumerate([*route, (HUGGING_FACE, {})]):
        transfer(open_checkpoint(folder), place / str(i), layout, **options)
        folder = place / str(i)
    return folder


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_round_trips(folder, config, route, tmp_path):
    (folder / "spiece.model").write_bytes(b"pieces")
    back = through(folder, route, tmp_path / "route")
    assert_same_bits(tensors_of(back), tensors_of(folder))
    assert json.loads((back / "config.json").read_text()) == json.loads(
        (folder / "config.json").read_text()
    )
    assert (back / "spiece.model").read_bytes() == b"pieces"
    assert load_hf(back)[0] == config


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_half_precision_stays_as_it_is(folder, route, tmp_path):
    """Some tensors are often kept wider than others; each keeps its own type."""
    types = (ml_dtypes.bfloat16, np.float32, np.float16)
    tensors = tensors_of(folder)
    for file in folder.glob("*"):
        if file.name != "config.json":
            file.unlink()
    if any(options.get("scan") for _, options in route):  # a stack has one type
        types = types[:1]
    mixed = {n: tensors[n].astype(types[i % len(types)]) for i, n in enumerate(sorted(tensors))}
    save_file(mixed, folder / "model.safetensors")
    assert_same_bits(tensors_of(through(folder, route, tmp_path / "route")), mixed)


def test_a_stack_of_several_types_gets_one_that_holds_them_all(folder, params, tmp_path):
    tensors = tensors_of(folder)
    name = "encoder.block.{}.layer.1.DenseReluDense.wo.weight"
    tensors[name.format(0)] = tensors[name.format(0)].astype(ml_dtypes.bfloat16)
    tensors[name.format(1)] = tensors[name.format(1)].astype(np.float16)
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    save_file(tensors, folder / "model.safetensors")
    _, want = load_hf(folder)
    transfer(open_checkpoint(folder), tmp_path / "t5x", T5X, scan=True)
    jax.tree.map(np.testing.assert_array_equal, load(tmp_path / "t5x")[1], want)


@pytest.mark.parametrize("layout", [HUGGING_FACE, T5X, T5X_LEGACY])
def test_types_are_converted(folder, params, layout, tmp_path):
    summary = transfer(open_checkpoint(folder), tmp_path / "half", layout, dtype="bfloat16")
    assert set(summary.dtypes) == {"bfloat16"}
    want = {n: v.astype(ml_dtypes.bfloat16) for n, v in tensors_of(folder).items()}
    transfer(open_checkpoint(tmp_path / "half"), tmp_path / "back", HUGGING_FACE)
    assert_same_bits(tensors_of(tmp_path / "back"), want)
    assert json.loads((tmp_path / "back/config.json").read_text())["torch_dtype"] == "bfloat16"
    transfer(open_checkpoint(tmp_path / "half"), tmp_path / "wide", layout, dtype="float32")
    rounded = jax.tree.map(lambda x: x.astype(ml_dtypes.bfloat16).astype(np.float32), params)
    jax.tree.map(np.testing.assert_array_equal, load(tmp_path / "wide")[1], rounded)


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("layout", [T5X, T5X_LEGACY])
def test_what_is_loaded(folder, config, params, layout, scan, tmp_path):
    """In memory: the same parameters; the shape of the model, with or without a description."""
    transfer(open_checkpoint(folder), tmp_path / "t5x", layout, scan=scan, step=7)
    for place in (tmp_path / "t5x", tmp_path / "t5x/checkpoint_7"):
        got_config, got = load(place)
        assert got_config == config
        jax.tree.map(np.testing.assert_array_equal, got, params)
    (tmp_path / "t5x/config.json").unlink()
    assert load(tmp_path / "t5x")[0] == config
    assert open_checkpoint(tmp_path / "t5x").scanned == scan
    assert open_checkpoint(tmp_path / "t5x").step == 7
    assert load(tmp_path / "t5x", dtype="bfloat16")[0].dtype == "bfloat16"


def test_the_last_of_several_checkpoints_is_taken(folder, tmp_path):
    for step in (5, 30, 200):
        transfer(open_checkpoint(folder), tmp_path / f"at {step}", T5X, step=step)
        (tmp_path / f"at {step}/checkpoint_{step}").rename(tmp_path / f"checkpoint_{step}")
    (tmp_path / "checkpoint_1000.orbax-checkpoint-tmp-12").mkdir()
    assert open_checkpoint(tmp_path).step == 200
    assert open_checkpoint(tmp_path / "checkpoint_30").step == 30


def test_a_summary_counts(folder, config, params, tmp_path):
    steps = []
    summary = transfer(
        open_checkpoint(folder), tmp_path / "out", T5X, advanced=lambda *a: steps.append(a)
    )
    leaves = jax.tree.leaves(params)
    assert (summary.source, summary.target) == ("Hugging Face", "T5X")
    assert summary.tensors == len(leaves) == len(steps)
    assert summary.numbers == sum(leaf.size for leaf in leaves)
    assert summary.nbytes == 4 * summary.numbers
    assert summary.dtypes == {"float32": len(leaves)}
    assert summary.rows == (40, 40)
    assert summary.folder == tmp_path / "out/checkpoint_0"
    assert steps[-1][1:] == (summary.nbytes, summary.nbytes)
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


@pytest.mark.parametrize("layout", [HUGGING_FACE, T5X])
def test_rows_are_added_as_elsewhere(folder, config, params, layout, tmp_path):
    summary = transfer(open_checkpoint(folder), tmp_path / "out", layout, at_least=129)
    assert summary.rows == (40, 256)
    got_config, got = load(tmp_path / "out")
    want_config, want = grow_vocab(config, params, 256)
    assert got_config == want_config
    jax.tree.map(np.testing.assert_array_equal, got, want)
    assert transfer(open_checkpoint(folder), tmp_path / "same", layout, at_least=40).rows == (
        40,
        40,
    )
    half = transfer(
        open_checkpoint(folder), tmp_path / "half", layout, at_least=129, dtype="bfloat16"
    )
    assert set(half.dtypes) == {"bfloat16"}
    flat, wide = (flatten_dict(tree, sep="/") for tree in (load(tmp_path / "half")[1], want))
    for name in {TABLE, HEAD} & wide.keys():
        np.testing.assert_allclose(flat[name], wide[name], rtol=2**-8)

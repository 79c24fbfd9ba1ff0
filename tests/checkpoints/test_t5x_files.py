"""The files themselves: orbax reads what we write, we read what orbax and older T5X write."""

from __future__ import annotations

import json
import shutil

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore as ts
from flax.serialization import msgpack_restore, msgpack_serialize
from flax.traverse_util import flatten_dict, unflatten_dict
from tiny_checkpoints import assert_same_bits, drawn, scanned_shapes, tensors_of

from t5coref.checkpoints import (
    HUGGING_FACE,
    T5X,
    T5X_LEGACY,
    config_of,
    load,
    open_checkpoint,
    transfer,
)
from t5coref.checkpoints.zarr import Spec, array_metadata
from t5coref.nn import T5Config, save_hf, scan_params
from t5coref.nn.checkpoint import hf_tensors, our_shapes
from t5coref.nn.weight_files import CheckpointError


def t5x_state(params, step: int = 11) -> dict:
    """The tree that T5X saves in training: parameters, Adafactor's moments and the step."""
    moments = jax.tree.map(lambda leaf: {"m": np.zeros(1), "v": np.ones(leaf.shape)}, params)
    state = {"step": np.array(step, np.int32), "param_states": moments}
    return {"target": params, "state": state}


def save_as_t5x_does(folder, tree, **options) -> None:
    """With orbax's manager, T5X's names and, unless options say otherwise, its handler."""
    manager = ocp.CheckpointManager(
        folder,
        options=ocp.CheckpointManagerOptions(step_prefix="checkpoint"),
        item_handlers={"state": ocp.PyTreeCheckpointHandler(**{"use_ocdbt": True, **options})},
    )
    save_args = jax.tree.map(lambda _: ocp.SaveArgs(), tree)
    step = int(tree["state"]["step"])
    args = ocp.args.Composite(state=ocp.args.PyTreeSave(tree, save_args=save_args))
    manager.save(step, args=args)
    manager.wait_until_finished()
    manager.close()


@pytest.mark.parametrize("scan", [False, True])
def test_orbax_restores_what_we_write(folder, config, params, scan, tmp_path):
    transfer(open_checkpoint(folder), tmp_path / "t5x", T5X, scan=scan, step=3)
    state = tmp_path / "t5x/checkpoint_3/state"
    got = ocp.PyTreeCheckpointer().restore(state)
    want = scan_params(params) if scan else params
    assert int(got["state"]["step"]) == 3
    assert jax.tree.structure(got["target"]) == jax.tree.structure(want)
    jax.tree.map(np.testing.assert_array_equal, got["target"], want)
    # In the network's own names, and placed on devices as T5X places it.
    network = T5Config(**{**vars(config), "scan_layers": scan})
    flat = flatten_dict(got["target"], sep="/")
    assert {name: leaf.shape for name, leaf in flat.items()} == scanned_shapes(network)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("model",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("model"))
    restore_args = jax.tree.map(
        lambda leaf: (
            ocp.ArrayRestoreArgs(
                sharding=sharding if leaf.ndim else None, global_shape=leaf.shape, dtype=leaf.dtype
            )
            if leaf.ndim == 2
            else ocp.RestoreArgs()
        ),
        got,
    )
    placed = ocp.PyTreeCheckpointer().restore(state, restore_args=restore_args)
    table = placed["target"]["token_embedder"]["embedding"]
    assert table.sharding == sharding
    np.testing.assert_array_equal(table, params["token_embedder"]["embedding"])


@pytest.mark.parametrize("options", [{}, {"use_ocdbt": False}, {"use_zarr3": True}], ids=str)
@pytest.mark.parametrize("scan", [False, True])
def test_checkpoints_of_orbax(config, folder, params, scan, options, tmp_path):
    tree = t5x_state(scan_params(params) if scan else params)
    save_as_t5x_does(tmp_path / "t5x", tree, **options)
    opened = open_checkpoint(tmp_path / "t5x/checkpoint_11")
    assert (opened.config, opened.scanned, opened.step) == (config, scan, 11)
    assert len(opened.left_behind) == len(jax.tree.leaves(tree["state"]["param_states"]))
    transfer(opened, tmp_path / "back", HUGGING_FACE)
    assert_same_bits(tensors_of(tmp_path / "back"), tensors_of(folder))


def test_arrays_of_devices_and_half_precision(params, tmp_path):
    half = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), params)
    save_as_t5x_does(tmp_path / "t5x", t5x_state(half))
    summary = transfer(open_checkpoint(tmp_path / "t5x"), tmp_path / "copy", T5X)
    assert set(summary.dtypes) == {"bfloat16"}
    got = ocp.PyTreeCheckpointer().restore(tmp_path / "copy/checkpoint_11/state")["target"]
    assert_same_bits(
        flatten_dict(got, sep="/"),
        {name: np.asarray(leaf) for name, leaf in flatten_dict(half, sep="/").items()},
    )


@pytest.fixture
def legacy(folder, tmp_path):
    """A legacy checkpoint, and a way to change its tree."""
    place = tmp_path / "legacy"
    transfer(open_checkpoint(folder), place, T5X_LEGACY, step=9)
    (place / "config.json").unlink()
    file = place / "checkpoint_9/checkpoint"

    def edit(change):
        content = msgpack_restore(file.read_bytes())
        leaves = flatten_dict(
            content["optimizer"], sep="/", is_leaf=lambda _, value: "kvstore" in value
        )
        change(content, leaves)
        content["optimizer"] = unflatten_dict(leaves, sep="/")
        file.write_bytes(msgpack_serialize(content))

    return place, edit


def test_the_tree_of_a_legacy_checkpoint(legacy, params):
    """Each leaf is a specification by which tensorstore opens the array, as T5X does."""
    place, _ = legacy
    content = msgpack_restore((place / "checkpoint_9/checkpoint").read_bytes())
    assert content["version"] == 3
    assert content["optimizer"]["state"] == {"step": 9}
    leaves = flatten_dict(
        content["optimizer"]["target"], sep="/", is_leaf=lambda _, value: "kvstore" in value
    )
    want = flatten_dict(params, sep="/")
    assert leaves.keys() == want.keys()
    for name, leaf in leaves.items():
        spec = ts.Spec(leaf).to_json()
        assert spec["metadata"].keys() >= {"shape", "chunks", "compressor"}
        assert tuple(spec["metadata"]["shape"]) == want[name].shape
        assert spec["kvstore"]["path"] == f"target.{name.replace('/', '.')}/"
        spec["kvstore"]["path"] = f"{place}/checkpoint_9/{spec['kvstore']['path']}"
        np.testing.assert_array_equal(ts.open(spec).result().read().result(), want[name])


def test_legacy_checkpoints_of_other_places_and_times(legacy, params):
    place, edit = legacy
    flat = flatten_dict(params, sep="/")
    norm, table = "encoder/encoder_norm/scale", "token_embedder/embedding"

    def change(content, leaves):
        leaves["state/param_states/" + norm + "/v"] = np.ones(3, np.float32)
        leaves["state/param_states/" + table + "/v"] = None
        # Small arrays were kept in the tree; paths were elsewhere; other file systems.
        leaves[f"target/{norm}"] = flat[norm]
        spec = leaves[f"target/{table}"]
        leaves[f"target/{table}"] = {
            "driver": "zarr",
            "path": spec["kvstore"]["path"].rstrip("/"),
            "kvstore": {"driver": "gcs", "bucket": "t5x-dummy-bucket"},
            "metadata": spec["metadata"],
        }
        leaves["target/decoder/decoder_norm/scale"]["kvstore"]["driver"] = "gfile"
        shutil.rmtree(place / "checkpoint_9/target.encoder.encoder_norm.scale")

    edit(change)
    opened = open_checkpoint(place)
    assert opened.left_behind == (f"state/param_states/{norm}/v",)
    jax.tree.map(np.testing.assert_array_equal, load(place)[1], params)


def test_legacy_checkpoints_that_are_refused(legacy, tmp_path):
    place, edit = legacy
    file = place / "checkpoint_9/checkpoint"
    whole = file.read_bytes()
    norm = "encoder/encoder_norm/scale"

    def as_uint16(content, leaves):
        content["version"] = 2
        leaves[f"target/{norm}"] = np.ones(16, np.uint16)

    edit(as_uint16)
    with pytest.raises(
        CheckpointError, match=r"\['encoder/encoder_norm/scale: uint16'\].*version 2"
    ):
        open_checkpoint(place)
    file.write_bytes(whole)
    edit(lambda content, leaves: content.update(version=1))
    with pytest.raises(CheckpointError, match="expected version 3, got 1"):
        open_checkpoint(place)
    for content in (b"", whole[:50], msgpack_serialize([1, 2]), msgpack_serialize({"version": 3})):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match="expected T5X's msgpack with version"):
            open_checkpoint(place)
    file.write_text('model_checkpoint_path: "model.ckpt-1000000"\n')
    with pytest.raises(CheckpointError, match="Mesh TensorFlow T5; convert it"):
        open_checkpoint(place)


@pytest.mark.parametrize("layout", [T5X, T5X_LEGACY])
def test_arrays_that_got_lost(folder, layout, tmp_path):
    """A missing chunk would be read as zeros by default."""
    transfer(open_checkpoint(folder), tmp_path / "t5x", layout)
    (array,) = (tmp_path / "t5x").rglob("target.encoder.layers_1.mlp.wo.kernel")
    (array / "0.0").unlink()
    with pytest.raises(CheckpointError, match=r"encoder/layers_1/mlp/wo.*expected all chunks"):
        load(tmp_path / "t5x")
    with pytest.raises(CheckpointError, match="expected all chunks"):
        transfer(open_checkpoint(tmp_path / "t5x"), tmp_path / "out", HUGGING_FACE)
    assert not (tmp_path / "out").exists()
    shutil.rmtree(array)
    with pytest.raises(CheckpointError, match=r"layers_1.mlp.wo.kernel.*expected an array"):
        open_checkpoint(tmp_path / "t5x")


def test_zeros_are_not_mistaken_for_lost_chunks(config, tmp_path):
    params = jax.tree.map(np.zeros_like, drawn(config))
    save_hf(tmp_path / "hf", config, params)
    for layout in (T5X, T5X_LEGACY):
        transfer(open_checkpoint(tmp_path / "hf"), tmp_path / layout.title, layout)
        jax.tree.map(np.testing.assert_array_equal, load(tmp_path / layout.title)[1], params)


def test_every_tensor_is_accounted_for(params, folder, tmp_path):
    """All that is missing, left over or of the wrong shape is named at once."""
    flat = flatten_dict(t5x_state(params), sep="/")
    del flat["target/encoder/layers_0/mlp/wo/kernel"], flat["target/decoder/decoder_norm/scale"]
    flat["target/decoder/layers_1/lora/kernel"] = np.ones((2, 2), np.float32)
    flat["target/encoder/encoder_norm/scale"] = np.ones(15, np.float32)
    save_as_t5x_does(tmp_path / "t5x", unflatten_dict(flat, sep="/"))
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(tmp_path / "t5x")
    for part in (
        "missing: ['decoder/decoder_norm/scale', 'encoder/layers_0/mlp/wo/kernel']",
        "unmapped: ['decoder/layers_1/lora/kernel']",
        "wrong shape: ['encoder/encoder_norm/scale: expected (16,), got (15,)']",
    ):
        assert part in str(error.value)
    tree = t5x_state(params) | {"flax_mutables": {"statistics": np.ones(2)}}
    save_as_t5x_does(tmp_path / "mutable", tree)
    with pytest.raises(CheckpointError, match=r"unmapped: \['flax_mutables/statistics'\]"):
        open_checkpoint(tmp_path / "mutable")


def test_a_description_that_does_not_fit_is_refused(folder, tmp_path):
    transfer(open_checkpoint(folder), tmp_path / "t5x", T5X)
    description = json.loads((tmp_path / "t5x/config.json").read_text())
    (tmp_path / "t5x/config.json").write_text(json.dumps({**description, "num_layers": 3}))
    with pytest.raises(CheckpointError, match=r"missing: \['encoder/layers_2/attention/key"):
        open_checkpoint(tmp_path / "t5x")
    (tmp_path / "t5x/config.json").write_text(json.dumps({**description, "num_heads": 3}))
    with pytest.raises(CheckpointError, match=r"relpos_bias/rel_embedding: expected \(3, 32\)"):
        open_checkpoint(tmp_path / "t5x")


def test_the_shape_of_a_model_from_its_tensors(config):
    shapes = our_shapes(hf_tensors(config))
    assert config_of("here", shapes) == config
    assert config_of("here", shapes, dtype="bfloat16").dtype == "bfloat16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("token_embedder/embedding"), r"expected a T5 with \['token_embedder/"),
        (lambda s: s.pop("encoder/layers_0/mlp/wi_0/kernel"), r"layers_0/mlp/wi/kernel'\]"),
        (lambda s: s.pop("encoder/layers_0/attention/query/kernel"), "attention/query/kernel"),
        (
            lambda s: s.update({"encoder/layers_0/attention/query/kernel": (16, 13)}),
            r"queries for 2 heads.*got .*query/kernel of \(16, 13\)",
        ),
        (
            lambda s: s.update({"token_embedder/embedding": (640,)}),
            r"expected matrices, got \['token_embedder/embedding: \(640,\)'\]",
        ),
        (
            lambda s: s.update(
                {"encoder/encoder/relpos_bias/rel_embedding": s.pop(
                    "encoder/relpos_bias/rel_embedding")}
            ),
            "scalable_t5, whose layers each have position biases of their own",
        ),
    ],
)  # fmt: skip
def test_shapes_of_something_else(change, message):
    config = T5Config(
        vocab_size=40, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1,
        head_dim=6, mlp_dim=24,
    )  # fmt: skip
    shapes = our_shapes(hf_tensors(config))
    change(shapes)
    with pytest.raises(CheckpointError, match=message):
        config_of("here", shapes)


def test_nothing_and_half_a_checkpoint(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"expected a checkpoint of .*found \[\]"):
        open_checkpoint(tmp_path / "empty")
    (tmp_path / "empty/checkpoint_4/state").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"checkpoint_4: expected state/_METADATA"):
        open_checkpoint(tmp_path / "empty")
    transfer(open_checkpoint(folder), tmp_path / "t5x", T5X)
    (tmp_path / "t5x/checkpoint_0/state/_METADATA").write_text("{}")
    with pytest.raises(CheckpointError, match="expected the tree_metadata of orbax"):
        open_checkpoint(tmp_path / "t5x")


def test_chunks_are_bounded_and_never_span_layers():
    table = array_metadata(Spec((32128, 4096), np.dtype(np.float32)), layered=False)
    stack = array_metadata(Spec((4096, 24, 10240), np.dtype(ml_dtypes.bfloat16)), layered=True)
    assert table["chunks"] == [4016, 4096]
    assert stack["chunks"] == [4096, 1, 5120]
    small = array_metadata(Spec((16,), np.dtype(np.float32)), layered=False)
    assert small["chunks"] == [16]

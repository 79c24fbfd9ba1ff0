from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from t5coref.nn import T5, load_hf, save_hf, scan_params
from t5coref.nn.checkpoint import (
    CheckpointError,
    alike,
    config_from_hf,
    config_to_hf,
    grow_vocab,
    hf_tensors,
)
from t5coref.nn.weight_files import write_tensors


@pytest.fixture(scope="module")
def params_of(batch):
    def draw(config):
        shapes = jax.eval_shape(
            lambda: T5(config).init(jax.random.key(0), *batch, enable_dropout=False)
        )["params"]
        rng = np.random.default_rng(0)
        return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)

    return draw


@pytest.fixture(params=["1.0", "1.1"])
def saved(request, tiny, params_of, tmp_path):
    """A folder written by `save_hf`, and what was written."""
    config = tiny(request.param)
    params = params_of(config)
    save_hf(tmp_path, config, params)
    return tmp_path, config, params


@pytest.fixture
def edit(saved):
    """Rewrites the tensors of the folder through a function of the dictionary."""

    def apply(change):
        file = saved[0] / "model.safetensors"
        tensors = dict(load_file(file))
        change(tensors)
        save_file({n: np.ascontiguousarray(w) for n, w in tensors.items()}, file)

    return apply


def assert_equal_trees(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_round_trip_is_exact(saved):
    folder, config, params = saved
    got_config, got = load_hf(folder)
    assert got_config == config
    assert_equal_trees(got, params)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(got))
    assert load_hf(folder, dtype="bfloat16")[0].dtype == "bfloat16"


def test_transformers_reads_what_we_write(twin, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    save_hf(tmp_path, twin.config, twin.params)
    model = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path)
    want = twin.torch_model.state_dict()
    got = model.state_dict()
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], want[name]) for name in want)
    assert model.config.scale_decoder_outputs == twin.torch_model.config.scale_decoder_outputs
    assert model.config.dense_act_fn == twin.torch_model.config.dense_act_fn


def test_shards_are_written_and_read(saved):
    folder, config, params = saved
    save_hf(folder, config, params, max_shard_bytes=4000)
    assert not (folder / "model.safetensors").exists()
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 3
    assert all(sum(w.nbytes for w in load_file(s).values()) <= 4000 for s in shards)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(hf_tensors(config))
    assert_equal_trees(load_hf(folder)[1], params)
    shards[1].unlink()
    with pytest.raises(CheckpointError, match=f"expected .*{shards[1].name}"):
        load_hf(folder)
    save_hf(folder, config, params)
    assert_equal_trees(load_hf(folder)[1], params)


def test_scanned_parameters_are_saved_alike(saved, tmp_path):
    _, config, params = saved
    scanned = dataclasses.replace(config, scan_layers=True)
    save_hf(tmp_path / "scanned", scanned, scan_params(params))
    assert load_hf(tmp_path / "scanned")[0] == config
    assert_equal_trees(load_hf(tmp_path / "scanned")[1], params)


def test_bfloat16_files_become_float32(saved, edit):
    folder, _, params = saved
    edit(lambda t: t.update({n: w.astype(ml_dtypes.bfloat16) for n, w in t.items()}))
    rounded = jax.tree.map(lambda x: x.astype(ml_dtypes.bfloat16).astype(np.float32), params)
    assert_equal_trees(load_hf(folder)[1], rounded)


def test_copies_of_the_table_are_accepted_when_equal(saved, edit):
    folder, config, params = saved
    names = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"]
    names += ["lm_head.weight"] * config.logits_via_embedding
    edit(lambda t: t.update(dict.fromkeys(names, t["shared.weight"])))
    assert_equal_trees(load_hf(folder)[1], params)
    edit(lambda t: t.pop("shared.weight"))
    assert_equal_trees(load_hf(folder)[1], params)
    edit(lambda t: t.update({names[-1]: t[names[-1]] + 1}))
    with pytest.raises(CheckpointError, match=f"{names[-1]} to equal the shared table"):
        load_hf(folder)


def test_the_unused_bias_of_old_files_is_accepted(saved, edit):
    folder, _, params = saved
    name = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    edit(lambda t: t.update({name: np.ones((8, 2), np.float32)}))
    assert_equal_trees(load_hf(folder)[1], params)


def test_what_does_not_fit_is_refused_by_name(saved, edit):
    folder, config, params = saved

    def spoil(tensors):
        del tensors["encoder.final_layer_norm.weight"]
        tensors["encoder.block.2.layer.0.layer_norm.weight"] = np.ones(16, np.float32)
        tensors["shared.weight"] = tensors["shared.weight"][:39]

    edit(spoil)
    with pytest.raises(CheckpointError) as error:
        load_hf(folder)
    for part in (
        "missing: ['encoder.final_layer_norm.weight']",
        "unmapped: ['encoder.block.2.layer.0.layer_norm.weight']",
        "wrong shape: ['shared.weight: expected (40, 16), got (39, 16)']",
    ):
        assert part in str(error.value)
    del params["encoder"]["encoder_norm"]
    params["decoder"]["extra"] = np.ones(3)
    with pytest.raises(CheckpointError, match=r"missing: .*_norm.*unmapped: .*extra"):
        save_hf(folder, config, params)


def test_a_head_of_its_own_is_needed_by_version_1_1_and_refused_by_1_0(tiny, params_of, tmp_path):
    for version, other in (("1.0", "1.1"), ("1.1", "1.0")):
        folder = tmp_path / version
        save_hf(folder, tiny(version), params_of(tiny(version)))
        description = {**config_to_hf(tiny(version)), "tie_word_embeddings": other == "1.0"}
        (folder / "config.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=r"missing: \['lm_head.weight'\]"):
        load_hf(tmp_path / "1.0")
    with pytest.raises(CheckpointError, match=r"expected lm_head.weight to equal the shared"):
        load_hf(tmp_path / "1.1")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_configs_of_transformers_4_and_5(tiny, version):
    description = config_to_hf(tiny(version))
    assert config_from_hf(description) == tiny(version)
    five = {
        **description,
        "scale_decoder_outputs": description["tie_word_embeddings"],
        "tie_word_embeddings": True,
    }
    assert config_from_hf(five) == tiny(version)
    old = {name: description[name] for name in (
        "vocab_size", "d_model", "d_kv", "d_ff", "num_heads", "num_layers",
    )}  # fmt: skip
    small = config_from_hf(old)
    assert small.mlp_activations == ("relu",)
    assert small.logits_via_embedding
    assert small.num_decoder_layers == small.num_encoder_layers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "umt5"}, "expected model_type 't5' or 'mt5', got 'umt5'"),
        ({"feed_forward_proj": "gated-silu"}, "got 'gated-silu'"),
        ({"d_model": ...}, r"\['d_model'\] are missing"),
    ],
)
def test_configs_that_are_refused(tiny, change, message):
    description = {**config_to_hf(tiny()), **change}
    description = {k: v for k, v in description.items() if v is not ...}
    with pytest.raises(CheckpointError, match=message):
        config_from_hf(description)
    with pytest.raises(CheckpointError, match="transformers' T5 has no other"):
        config_to_hf(tiny(mlp_activations=("silu", "linear")))


def test_the_table_covers_every_parameter(tiny, params_of):
    for version in ("1.0", "1.1"):
        paths = set(flatten_dict(params_of(tiny(version)), sep="/"))
        tensors = hf_tensors(tiny(version, scan_layers=True, remat=True)).values()
        assert {tensor.path for tensor in tensors} == paths
        assert len(tensors) == len(paths)


def test_growing_keeps_old_rows_and_draws_like_them(saved):
    folder, config, params = saved
    got_config, got = load_hf(folder, vocab_size=4000)
    assert got_config.vocab_size == 4000
    flat, old = flatten_dict(got, sep="/"), flatten_dict(params, sep="/")
    grown = {"token_embedder/embedding": 0, "decoder/logits_dense/kernel": 1}
    for path, leaf in flat.items():
        if path not in grown:
            np.testing.assert_array_equal(leaf, old[path])
            continue
        rows, before = (np.moveaxis(x, grown[path], 0) for x in (leaf, old[path]))
        assert rows.shape == (4000, 16)
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows[:40], before)
        np.testing.assert_allclose(rows[40:].mean(0), before.mean(0), atol=0.1)
        np.testing.assert_allclose(rows[40:].std(0), before.std(0), rtol=0.1)
    # A row depends on the seed and its number alone.
    fewer = flatten_dict(grow_vocab(config, params, 50)[1], sep="/")
    for path, axis in grown.items():
        if path in fewer:
            np.testing.assert_array_equal(fewer[path], np.take(flat[path], range(50), axis=axis))
    other = flatten_dict(grow_vocab(config, params, 50, seed=1)[1], sep="/")
    assert np.abs(other["token_embedder/embedding"] - fewer["token_embedder/embedding"]).max() > 0
    with pytest.raises(CheckpointError, match="at least the model's 40, got 39"):
        load_hf(folder, vocab_size=39)
    token = jnp.array([[3999]], jnp.int32)
    embedded = T5(got_config).apply({"params": got}, token, method="embed")
    np.testing.assert_array_equal(embedded[0, 0], got["token_embedder"]["embedding"][3999])


def test_rows_become_the_means_of_others(saved):
    _, _, params = saved
    flat, got = (
        flatten_dict(p, sep="/") for p in (params, alike(params, {7: (3,), 20: (4, 7), 2: (5,)}))
    )
    axes = {"token_embedder/embedding": 0, "decoder/logits_dense/kernel": 1}
    assert got.keys() == flat.keys()
    for path, leaf in got.items():
        if path not in axes:
            assert leaf is flat[path]
            continue
        rows, old = (np.moveaxis(x, axes[path], 0) for x in (leaf, flat[path]))
        np.testing.assert_array_equal(rows[[7, 2]], old[[3, 5]])
        # Means are of what was there before.
        np.testing.assert_allclose(rows[20], (old[4] + old[7]) / 2, rtol=1e-6)
        others = np.setdiff1d(np.arange(len(old)), [2, 7, 20])
        np.testing.assert_array_equal(rows[others], old[others])
    jax.tree.map(np.testing.assert_array_equal, alike(params, {}), params)


def test_tensors_are_written_for_whoever_may_read_the_folder(tmp_path):
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b": np.ones(2, np.int8)}
    write_tensors(tmp_path / "x.safetensors", tensors, {"format": "pt"})
    (tmp_path / "plain").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1
    with safe_open(tmp_path / "x.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt"}
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(file.get_tensor(name), tensor)


def test_nothing_to_read_is_said_clearly(tmp_path, tiny, monkeypatch):
    with pytest.raises(CheckpointError, match=r"expected config.json, found \[\]"):
        load_hf(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config_to_hf(tiny())))
    (tmp_path / "flax_model.msgpack").touch()
    with pytest.raises(CheckpointError, match=r"expected \['model.safetensors'\].*flax_model"):
        load_hf(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"<html>not found</html>")
    with pytest.raises(CheckpointError, match=r"model.safetensors: not safetensors"):
        load_hf(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"expected a weight_map"):
        load_hf(tmp_path)
    shutil.rmtree(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"install t5coref\[hf\]"):
        load_hf("someone/some-t5")


@pytest.mark.parametrize("shards", [1, 3])
def test_files_of_torch_are_read_alike(saved, shards):
    torch = pytest.importorskip("torch")
    folder, _, params = saved
    tensors = {n: torch.tensor(w) for n, w in load_file(folder / "model.safetensors").items()}
    tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"]
    names = [f"pytorch_model-{i}.bin" if shards > 1 else "pytorch_model.bin" for i in range(shards)]
    for i, name in enumerate(names):
        torch.save(dict(list(tensors.items())[i::shards]), folder / name)
    if shards > 1:
        weight_map = {tensor: names[i % shards] for i, tensor in enumerate(tensors)}
        index = json.dumps({"metadata": {}, "weight_map": weight_map})
        (folder / "pytorch_model.bin.index.json").write_text(index)
    assert_equal_trees(load_hf(folder)[1], params)  # safetensors go first
    (folder / "model.safetensors").unlink()
    got = load_hf(folder)[1]
    assert_equal_trees(got, params)
    assert all(leaf.flags.owndata or leaf.base.flags.owndata for leaf in jax.tree.leaves(got))
    (folder / names[-1]).write_bytes(b"")
    with pytest.raises(CheckpointError, match="expected tensors in PyTorch's format"):
        load_hf(folder)
    torch.save([1, 2], folder / names[-1])
    with pytest.raises(CheckpointError, match="expected a mapping of names to tensors"):
        load_hf(folder)


def test_an_unreachable_hub_is_said_clearly(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def offline(name, allow_patterns):
        raise hub.errors.LocalEntryNotFoundError(f"cannot reach the hub for {name}")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(CheckpointError, match=r"'someone/some-t5'.*could not be fetched"):
        load_hf("someone/some-t5")


def test_a_name_on_the_hub_is_downloaded(monkeypatch, saved):
    hub = pytest.importorskip("huggingface_hub")
    folder, config, _ = saved
    asked = []

    def download(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert load_hf("someone/some-t5")[0] == config
    assert [name for name, _ in asked] == ["someone/some-t5"]
    assert "*.safetensors" in asked[0][1]
    # PyTorch's files, which are as large, are fetched only where there are no others.
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"expected \['model.safetensors'\]"):
        load_hf("someone/some-t5")
    assert "pytorch_model*.bin" in asked[2][1]


def test_the_library_does_not_import_torch():
    code = "import sys; sys.modules['torch'] = None; import t5coref.nn"
    assert subprocess.run([sys.executable, "-W", "error", "-c", code]).returncode == 0

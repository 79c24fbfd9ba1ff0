from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from t5coref.nn.shards import Shards, Spec, slabs
from t5coref.nn.weight_files import CheckpointError, open_tensors

TYPES = (np.float32, ml_dtypes.bfloat16, np.float16, np.float64)


@pytest.fixture
def tensors():
    rng = np.random.default_rng(0)
    shapes = ((3, 5), (7,), (2, 3, 4), (1, 1), (5, 3), (129,))
    return {
        f"t{i}": rng.standard_normal(shape).astype(TYPES[i % 4]) for i, shape in enumerate(shapes)
    }


def specs(tensors) -> dict[str, Spec]:
    return {name: Spec(values.shape, values.dtype) for name, values in tensors.items()}


@pytest.mark.parametrize("limit", [10**9, 150, 1])
def test_the_library_reads_what_is_written_in_any_order(tensors, limit, tmp_path):
    shards = Shards(tmp_path, specs(tensors), max_shard_bytes=limit)
    for name in sorted(tensors, reverse=True):
        shards.write(name, tensors[name])
    assert list(tmp_path.glob("*.safetensors")) == []
    shards.close()
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) == {10**9: 1, 150: 3, 1: 6}[limit]
    found = {}
    for file in files:
        found |= load_file(file)
        with safe_open(file, "np") as opened:
            assert opened.metadata() == {"format": "pt"}
        assert int.from_bytes(file.read_bytes()[:8], "little") % 8 == 0
    assert found.keys() == tensors.keys()
    for name, values in tensors.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    index = tmp_path / "model.safetensors.index.json"
    assert index.exists() == (limit < 10**9)
    if index.exists():
        content = json.loads(index.read_text())
        assert content["weight_map"].keys() == tensors.keys()
        assert content["metadata"]["total_size"] == sum(v.nbytes for v in tensors.values())
    ours = open_tensors(tmp_path)
    for name, values in tensors.items():
        assert (ours[name].shape, ours[name].dtype) == (values.shape, values.dtype)
        np.testing.assert_array_equal(ours[name].read(), values)


def test_what_the_library_writes_is_read(tensors, tmp_path):
    save_file(tensors, tmp_path / "model.safetensors")
    found = open_tensors(tmp_path)
    for name, values in tensors.items():
        assert found[name].dtype == values.dtype
        assert found[name].read().tobytes() == values.tobytes()


def test_types_are_converted_and_views_straightened(tmp_path):
    values = np.random.default_rng(0).standard_normal((6, 5), np.float32)
    shards = Shards(tmp_path, {"a": Spec((5, 6), np.dtype(ml_dtypes.bfloat16))})
    shards.write("a", values.T)
    shards.close()
    want = values.T.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(load_file(tmp_path / "model.safetensors")["a"], want)


def test_nothing_unfinished_looks_finished(tensors, tmp_path):
    shards = Shards(tmp_path, specs(tensors))
    with pytest.raises(ValueError, match=r"t0: expected shape \(3, 5\), got \(5, 3\)"):
        shards.write("t0", tensors["t0"].T)
    shards.write("t0", tensors["t0"])
    with pytest.raises(ValueError, match=r"without \['t1', 't2', 't3', 't4', 't5'\]"):
        shards.close()
    with pytest.raises(CheckpointError, match=r"expected \['model.safetensors'\]"):
        open_tensors(tmp_path)


def test_integers_are_refused(tmp_path):
    save_file({"a": np.ones(2, np.int8), "b": np.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"got \['a: I8'\]; give the .* before it was quant"):
        open_tensors(tmp_path)


def test_slabs_are_all_of_a_tensor(monkeypatch):
    monkeypatch.setattr("t5coref.nn.shards.SLAB_BYTES", 100)
    values = np.arange(90.0, dtype=np.float32).reshape(30, 3)
    pieces = list(slabs(values))
    assert max(len(piece) for piece in pieces) == 8
    np.testing.assert_array_equal(np.concatenate(pieces), values)
    assert [len(piece) for piece in slabs(values, 20)] == [20, 10]
    assert [piece.shape for piece in slabs(np.zeros((0, 3)))] == [(0, 3)]
    assert [piece.shape for piece in slabs(np.float32(1))] == [()]

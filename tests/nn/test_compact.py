"""Matrices in eight bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save_file

from t5coref.nn import compact
from t5coref.nn.weight_files import WEIGHTS, CheckpointError, open_tensors

FLOATS = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)
MATRICES = arrays.arrays(
    np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=FLOATS
)


def there_and_back(values, kept=None):
    return compact.restored(*compact.parts(compact.quantized("w", values, kept), "w"))


@settings(max_examples=200)
@given(MATRICES)
def test_no_weight_moves_by_more_than_half_a_step(values):
    found = there_and_back(values)
    half = np.abs(values).max(axis=1, keepdims=True) / 254
    assert (np.abs(found - values) <= half * 1.001 + 1e-30).all()
    np.testing.assert_allclose(there_and_back(found), found, rtol=1e-6)


@given(MATRICES, st.data())
def test_rows_that_are_left_out_are_zero(values, data):
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    found = there_and_back(values, kept)
    assert not found[~kept].any()
    np.testing.assert_array_equal(found[kept], there_and_back(values)[kept])


def test_files_have_floats_again(tmp_path):
    rng = np.random.default_rng(0)
    values, vector = rng.normal(size=(5, 3)).astype(np.float32), np.ones(3, np.float32)
    kept = np.array([True, False, True, True, False])
    stored = {**compact.quantized("a", values), **compact.quantized("b", values, kept)}
    save_file({**stored, "norm": vector}, tmp_path / WEIGHTS)
    found = open_tensors(tmp_path)
    assert {name: tensor.shape for name, tensor in found.items()} == {
        "a": (5, 3), "b": (5, 3), "norm": (3,)
    }  # fmt: skip
    np.testing.assert_array_equal(found["a"].read(), there_and_back(values))
    np.testing.assert_array_equal(found["b"].read(), there_and_back(values, kept))
    np.testing.assert_array_equal(found["norm"].read(), vector)


@pytest.mark.parametrize("lost", [compact.SCALE, None])
def test_integers_without_a_scale_are_refused(tmp_path, lost):
    stored = compact.quantized("a", np.ones((2, 2), np.float32), np.array([True, True]))
    if lost is None:
        stored = {"a": np.ones((2, 2), np.int32)}
    save_file({k: v for k, v in stored.items() if lost is None or k != "a" + lost},
              tmp_path / WEIGHTS)  # fmt: skip
    with pytest.raises(CheckpointError, match=r"expected floats of 16, 32 or 64 bits, got \['a: "):
        open_tensors(tmp_path)

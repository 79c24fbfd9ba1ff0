"""Names of slices, and the meshes that they can be."""

from __future__ import annotations

import sys

import pytest

from t5coref.core.errors import ConfigError
from t5coref.plan import CHIPS, Slice


@pytest.mark.parametrize(
    ("name", "chips", "models"),
    [
        ("v5e:1x1", 1, (1,)),
        ("v5e:2x2", 4, (1, 2, 4)),
        ("v5e:4x8", 32, (1, 4, 8, 32)),
        ("v6e:16x16", 256, (1, 16, 256)),
        ("v4:2x2x1", 4, (1, 2, 4)),
        ("v5p:2x4x4", 32, (1, 2, 4, 8, 16, 32)),
    ],
)
def test_slices_and_their_meshes(name, chips, models):
    slice_ = Slice.parse(name)
    assert str(slice_) == name
    assert slice_.chips == chips
    assert slice_.model_sizes() == models
    for model in models:
        assert slice_.mesh(model) == (chips // model, model)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v7:2x2", "'v7'; expected one of v4, v5e, v5p, v6e"),
        ("v5e", "expected one of v5e:1x1, v5e:2x2"),
        ("v5e:3x5", "expected one of v5e:1x1, v5e:2x2"),
        ("v5e:4", "expected one of"),
        ("v4:4x4", "expected one of v4:2x2x1"),
        ("v5e:axb", "expected one of"),
    ],
)
def test_unknown_slices(name, message):
    with pytest.raises(ConfigError, match=message):
        Slice.parse(name)


def test_a_mesh_is_a_product_of_axes():
    with pytest.raises(ConfigError, match="product of the slice's axes, one of 1, 4, 8, 32"):
        Slice.parse("v5e:4x8").mesh(2)


def test_links_of_a_mesh_axis():
    """A mesh axis over one axis of the slice has two links, over both of them four."""
    slice_ = Slice.parse("v5e:4x8")
    link = CHIPS["v5e"].link
    assert slice_.bandwidths(1) == (4 * link, 0)
    assert slice_.bandwidths(8) == (2 * link, 2 * link)
    assert slice_.bandwidths(32) == (0, 4 * link)
    # 4 chips are one axis of 4, not two of 2.
    assert Slice.parse("v4:2x2x4").bandwidths(4) == (4 * 50e9, 2 * 50e9)


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "libtpu", None)
    with pytest.raises(ConfigError, match=r"pip install \"t5coref\[tpu\]\""):
        Slice.parse("v5e:2x2").topology()

"""Where arrays lie on a mesh, by their logical axes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from t5coref.nn import T5
from t5coref.nn.partition import AbstractParameters, Layout, constrain, for_each_row, gathered


def layout(data: int, model: int) -> Layout:
    devices = np.asarray(jax.devices()[: data * model]).reshape(data, model)
    return Layout(jax.sharding.Mesh(devices, ("data", "model")))


@pytest.mark.parametrize(
    ("axes", "shape", "want"),
    [
        (("embed", "mlp"), (16, 24), ("data", "model")),
        (("joined_kv", "embed"), (12, 16), ("model", "data")),
        (("embed", "layers", "mlp"), (16, 3, 24), ("data", None, "model")),
        (("vocab", "embed"), (40, 16), ("model", "data")),
        # A mesh axis divides one dimension: rows come before the width, heads before positions.
        (("batch", "length", "embed"), (8, 6, 16), ("data", "model", None)),
        (("batch", "length", "heads", "kv"), (8, 6, 2, 6), ("data", None, "model", None)),
        # What cannot be divided evenly is left whole.
        (("batch", "length", "heads", "kv"), (6, 6, 3, 6), (None, "model", None, None)),
        (("batch", None, "vocab"), (8, 1, 15), ("data", None, None)),
    ],
)
def test_places_by_hand(axes, shape, want):
    assert layout(4, 2).spec(axes, shape) == PartitionSpec(*want)


def test_a_mesh_of_rows_alone_divides_nothing_else():
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:4]), ("data",))
    assert Layout(mesh).spec(("embed", "mlp"), (16, 24)) == PartitionSpec("data", None)


@pytest.mark.parametrize("scan", [False, True])
def test_moments_lie_where_their_parameters_do(tiny, scan):
    network = T5(tiny(emb_dim=128, mlp_dim=256, scan_layers=scan))
    abstract = AbstractParameters.of(network)
    places = layout(4, 2)
    specs = jax.tree.map(lambda s: s.spec, places.parameters(abstract))
    name = "layers" if scan else "layers_0"
    kernel = specs["encoder"][name]["mlp"]["wi_0"]["kernel"]
    middle = (None,) if scan else ()
    assert kernel == PartitionSpec("data", *middle, "model")

    state = jax.eval_shape(optax.adafactor(1e-3).init, abstract.shapes)
    moments = jax.tree.map(lambda s: s.spec, places.moments(abstract, state))

    def of(field, *path):
        tree = optax.tree.get(moments, field)["encoder"][name]
        for key in path:
            tree = tree[key]
        return tree

    mlp = ("mlp", "wi_0", "kernel")
    assert {of("v_row", *mlp), of("v_col", *mlp)} == {
        PartitionSpec("data", *middle),
        PartitionSpec(*middle, "model"),
    }
    # Too narrow to be factored: its moment is a matrix like it.
    query = ("attention", "query", "kernel")
    assert of("v", *query) == PartitionSpec("data", *middle, "model")
    assert optax.tree.get(moments, "count") == PartitionSpec()


def test_layout_places_what_is_traced_with_it_and_nothing_else():
    axes, shape = ("embed", "mlp"), (16, 24)
    x = jnp.arange(16 * 24, dtype=jnp.float32).reshape(shape)
    places = layout(4, 2)

    def placed(x):
        with places.traced():
            return constrain(x, axes), gathered(x, axes), for_each_row(x[None], 8, ("batch",) * 3)

    divided, whole, rows = jax.jit(placed)(x)
    assert divided.sharding.spec == PartitionSpec("data", "model")
    assert whole.sharding.spec == PartitionSpec(None, "model")
    assert rows.shape == (8, *shape)
    assert rows.sharding.spec == PartitionSpec("data")
    np.testing.assert_array_equal(rows, np.broadcast_to(x, (8, *shape)))
    for here in (constrain(x, axes), gathered(x, axes), for_each_row(x[None], 8, axes)):
        assert here.size == x.size
        assert len(here.sharding.device_set) == 1


def test_gradient_of_a_gathered_parameter_is_divided():
    axes, x = ("embed", "mlp"), jnp.ones((16, 24))
    places = layout(4, 2)

    def gradient(x):
        with places.traced():
            return jax.grad(lambda x: jnp.sum(jnp.sin(gathered(x, axes))))(x)

    got = jax.jit(gradient)(x)
    assert got.sharding.spec == PartitionSpec("data", "model")
    np.testing.assert_allclose(got, np.cos(np.ones((16, 24))), rtol=1e-6)

"""Adapters beside the matrices of a T5: the function, its gradients, its places, and nothing else.

The oracle is the network itself with kernels W + alpha / rank A B, computed in float64 here.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh, PartitionSpec

from t5coref.nn import attention, layers, stack, token_loss
from t5coref.nn.layers import Dense, adapter_dropout
from t5coref.nn.lora import (
    LoRA,
    Rows,
    abstract,
    composed,
    is_trained,
    joined,
    merged,
    split,
    with_adapters,
)
from t5coref.nn.partition import AbstractParameters, Layout
from t5coref.nn.scan import scan_params, unscan_params

RANK, ALPHA = 3, 5.0
LORA = LoRA(rank=RANK, alpha=ALPHA)
ROWS = Rows(33, 4)
KEY = jax.random.key(0)


def flat(params) -> dict[tuple[str, ...], Any]:
    return dict(flatten_dict(params))


def drawn(tree, seed=1):
    """Adapters and rows that have learned something."""
    rng = np.random.default_rng(seed)
    return unflatten_dict(
        {
            path: jnp.asarray(0.3 * rng.standard_normal(leaf.shape, np.float32))
            if is_trained(path) else leaf
            for path, leaf in sorted(flat(tree).items())
        }
    )  # fmt: skip


def by_hand(adapted, scale=ALPHA / RANK):
    """The tree with kernels W + scale A B and the new rows, in float64, unscanned."""
    found = {}
    for path, leaf in flat(adapted).items():
        if path[-1] in ("lora_a", "lora_b", "symbols"):
            continue
        value = np.asarray(leaf, np.float64)
        a, b = (flat(adapted).get((*path[:-1], name)) for name in ("lora_a", "lora_b"))
        if path[-1] == "kernel" and a is not None:
            value = value + scale * np.asarray(a, np.float64) @ np.asarray(b, np.float64)
        rows = flat(adapted).get((*path[:-1], "symbols"))
        if rows is not None and path[-1] == "embedding":
            value[33:37] += rows
        elif rows is not None:
            value[:, 33:37] += rows
        found[path] = jnp.asarray(value, jnp.float32)
    return unflatten_dict(found)


SHALLOW = {"num_encoder_layers": 1, "num_decoder_layers": 2}


@pytest.fixture(scope="module", params=["1.0", "1.1"])
def case(request, tiny, make, compiled):
    """A network, its parameters, its adapted tree, and its program."""
    model, variables = make(tiny(request.param, **SHALLOW))
    adapted = drawn(with_adapters(LORA, variables["params"], ROWS, KEY))
    return model, variables["params"], adapted, compiled(model)


@pytest.fixture(scope="module")
def gradients(tiny, make, compiled, batch, jit):
    """Loss and gradients of what is trained, and of all kernels of the same function."""
    model, variables = make(tiny(**SHALLOW))
    adapted = drawn(with_adapters(LORA, variables["params"], ROWS, KEY))
    plain = compiled(model).loss_and_gradients
    trained, fixed = split(adapted)

    def loss(trained, fixed):
        return token_mean(model, composed(LORA, joined(fixed, trained), ROWS), batch)

    found = jit(jax.value_and_grad(loss))(trained, fixed)
    return adapted, found, plain(by_hand(adapted), batch)


def token_mean(model, params, batch):
    logits = model.apply({"params": params}, *batch, enable_dropout=False)
    total, weight = token_loss(logits, batch.targets, batch.targets > 0)
    return total / weight


def test_nothing_is_learned_yet(case):
    model, params, _, programs = case
    del model, programs
    adapted = with_adapters(LORA, params, ROWS, KEY)
    for tree in (merged(LORA, adapted, ROWS), split(composed(LORA, adapted, ROWS))[1]):
        assert flat(tree).keys() == flat(params).keys()
        for path, leaf in flat(params).items():
            np.testing.assert_array_equal(flat(tree)[path], leaf)
    a = [leaf for path, leaf in flat(adapted).items() if path[-1] == "lora_a"]
    sizes = [float(jnp.std(leaf)) * leaf.shape[0] ** 0.5 for leaf in a]
    assert 0.8 < np.mean(sizes) < 1.2
    assert len({float(leaf[0, 0]) for leaf in a}) == len(a)


def test_same_as_the_pretrained_network_at_first(case, batch):
    _, params, _, programs = case
    fresh = composed(LORA, with_adapters(LORA, params, ROWS, KEY), ROWS)
    np.testing.assert_array_equal(programs.logits(fresh, batch), programs.logits(params, batch))


def test_same_as_kernels_with_the_product_added(case, batch):
    _, params, adapted, programs = case
    want = programs.logits(by_hand(adapted), batch)
    np.testing.assert_allclose(
        programs.logits(composed(LORA, adapted, ROWS), batch), want, atol=2e-4, rtol=2e-4
    )
    np.testing.assert_allclose(
        programs.logits(merged(LORA, adapted, ROWS), batch), want, atol=2e-5, rtol=2e-5
    )
    assert float(jnp.abs(want - programs.logits(params, batch)).max()) > 0.1


def test_gradients_are_those_of_the_product(gradients):
    """d/dA = scale dW B^T and d/dB = scale A^T dW, where dW is the gradient of the kernel."""
    adapted, (value, found), (want_value, whole) = gradients
    np.testing.assert_allclose(value, want_value, rtol=1e-5)
    found, whole = flat(found), flat(whole)
    assert found.keys() == flat(split(adapted)[0]).keys()
    scale = ALPHA / RANK
    for path, gradient in found.items():
        if path[-1] == "symbols":
            table = path[0] == "token_embedder"
            change = whole[*path[:-1], "embedding" if table else "kernel"]
            want = change[33:37] if table else change[:, 33:37]
        else:
            change = whole[*path[:-1], "kernel"]
            a, b = (flat(adapted)[*path[:-1], name] for name in ("lora_a", "lora_b"))
            want = scale * (change @ b.T if path[-1] == "lora_a" else a.T @ change)
        np.testing.assert_allclose(gradient, want, atol=3e-5, rtol=3e-4, err_msg="/".join(path))
        assert float(jnp.abs(gradient).max()) > 0


def test_the_draw_does_not_depend_on_scanning(make, tiny):
    _, variables = make(tiny(**SHALLOW))
    plain = with_adapters(LORA, variables["params"], ROWS, KEY)
    scanned = with_adapters(LORA, scan_params(variables["params"]), ROWS, KEY)
    for path, leaf in flat(unscan_params(scanned)).items():
        np.testing.assert_array_equal(leaf, flat(plain)[path])


def test_the_draw_does_not_depend_on_other_matrices(make, tiny):
    _, variables = make(tiny(**SHALLOW))
    some = with_adapters(LoRA(rank=RANK, targets=("value",)), variables["params"], Rows(33, 0), KEY)
    every = flat(with_adapters(LORA, variables["params"], ROWS, KEY))
    for path, leaf in flat(some).items():
        np.testing.assert_array_equal(leaf, every[path])


@pytest.mark.parametrize(
    ("settings", "version", "count"),
    [
        ({}, "1.1", 7 + 2 * 11),
        ({}, "1.0", 6 + 2 * 10),
        ({"targets": ("query", "value")}, "1.1", 2 + 2 * 4),
        ({"parts": ("cross_attention",), "targets": ("key",)}, "1.1", 2),
        ({"parts": ("encoder",)}, "1.1", 7),
        ({"parts": ("decoder",), "targets": ("out", "wi_1", "wo")}, "1.1", 2 * 3),
    ],
)  # fmt: skip
def test_targets(tiny, make, settings, version, count):
    _, variables = make(tiny(version, **SHALLOW))
    adapted = flat(with_adapters(LoRA(**settings), variables["params"], ROWS, KEY))
    chosen = {path[:-1] for path in adapted if path[-1] == "lora_a"}
    assert len(chosen) == count
    assert chosen == {path[:-1] for path in adapted if path[-1] == "lora_b"}
    assert ("decoder", "logits_dense") not in chosen


def test_only_rows_of_symbols_are_taken(case):
    _, params, adapted, _ = case
    trained, fixed = split(adapted)
    assert flat(joined(trained, fixed)).keys() == flat(adapted).keys()
    for path, leaf in flat(fixed).items():
        np.testing.assert_array_equal(leaf, flat(params)[path])
    assert flat(trained)["token_embedder", "symbols"].shape == (4, 16)
    before, after = flat(params), flat(merged(LORA, adapted, ROWS))
    table = "token_embedder", "embedding"
    others = np.delete(np.arange(len(before[table])), np.arange(33, 37))
    assert after[table][others].tobytes() == before[table][others].tobytes()
    assert np.all(after[table][33:37] != before[table][33:37])


def dense(params, inputs, key=None) -> Any:
    layer = Dense(3, ("embed", "mlp"), jnp.dtype("float32"))
    return layer.apply({"params": params}, inputs, rngs=None if key is None else {"dropout": key})


ONES = {"lora_a": jnp.ones((4, 2)), "lora_b": jnp.ones((2, 3))}


def test_dropout_keeps_the_mean():
    with adapter_dropout(0.25):
        out = dense({"kernel": jnp.zeros((4, 3)), **ONES}, jnp.ones((4000, 4)), KEY)
    values = np.unique(np.asarray(out).round(4))
    np.testing.assert_allclose(values, 2 * np.arange(5) / 0.75, rtol=1e-4)  # 0 to 4 are kept
    np.testing.assert_allclose(np.mean(out), 8.0, rtol=0.02)


def test_dropout_is_of_training_only_and_of_adapters_only():
    kernel, inputs = {"kernel": jnp.arange(12.0).reshape(4, 3)}, jnp.ones((5, 4))
    still = dense(kernel | ONES, inputs, KEY)
    np.testing.assert_array_equal(still, dense(kernel | ONES, inputs))
    with adapter_dropout(0.5):
        one, again, other = (
            dense(kernel | ONES, inputs, key) for key in (KEY, KEY, jax.random.key(1))
        )
        np.testing.assert_array_equal(dense(kernel, inputs, KEY), dense(kernel, inputs))
    np.testing.assert_array_equal(one, again)
    assert np.any(one != other)
    assert np.any(one != still)
    np.testing.assert_array_equal(dense(kernel | ONES, inputs, KEY), still)


def test_kernels_that_are_turned_for_decoding():
    rng = np.random.default_rng(0)
    kernel, inputs = (rng.standard_normal(shape, np.float32) for shape in ((4, 3), (2, 4)))
    got = dense({"transposed": jnp.asarray(kernel.T), **ONES}, jnp.asarray(inputs))
    want = inputs @ kernel + inputs @ np.ones((4, 2)) @ np.ones((2, 3))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_without_adapters_the_program_is_unchanged(tiny, make, batch, monkeypatch):
    """The jaxpr, forward and backward, is that of layers that know nothing of adapters."""

    def trace():
        model, variables = make(tiny(**SHALLOW))

        def loss(params):
            logits = model.apply({"params": params}, *batch, rngs={"dropout": KEY})
            return jnp.sum(logits)

        return str(jax.make_jaxpr(jax.value_and_grad(loss))(variables["params"]))

    with adapter_dropout(0.5):
        now = trace()

    for module in (layers, attention, stack):
        monkeypatch.setattr(module, "Dense", PlainDense)
    assert now == trace()


class PlainDense(nn.Module):
    """`Dense` as it is without adapters and without decoding."""

    features: int
    axes: tuple[str, str]
    dtype: jnp.dtype
    kernel_init: layers.Initializer = layers.FAN_IN_TRUNCATED

    @nn.compact
    def __call__(self, inputs, columns=None):
        shape = inputs.shape[-1], self.features
        kernel = layers.param_with_axes("kernel", self.kernel_init, shape, axes=self.axes)
        if columns is not None:
            kernel = jnp.take(kernel, columns, axis=1)
        kernel = layers.gathered(kernel.astype(self.dtype), self.axes)
        return jnp.dot(inputs.astype(self.dtype), kernel)


def test_scanned_recomputed_and_divided_over_devices(tiny, make, batch, jit, gradients):
    """Factors lie as their kernels do, the rank and the new rows on all; nothing else changes."""
    plain, want, _ = gradients
    model, _ = make(tiny(**SHALLOW, scan_layers=True, remat=True))
    layout = Layout(Mesh(np.asarray(jax.devices()[:2]).reshape(1, 2), ("data", "model")))
    places = abstract(LORA, AbstractParameters.of(model), ROWS)
    adapted = scan_params(plain)
    assert jax.tree.structure(places.shapes) == jax.tree.structure(adapted)
    query = "decoder", "layers", "self_attention", "query"
    assert flat(adapted)[*query, "lora_a"].shape == (16, 2, RANK)
    assert places.axes[*query, "kernel"] == ("embed", "layers", "joined_kv")
    assert places.axes[*query, "lora_a"] == ("embed", "layers", None)
    assert places.axes[*query, "lora_b"] == (None, "layers", "joined_kv")
    assert places.axes["token_embedder", "symbols"] == (None, "embed")
    assert places.axes["decoder", "logits_dense", "symbols"] == ("embed", None)
    shardings = layout.parameters(places)
    assert flat(shardings)[*query, "lora_b"].spec == PartitionSpec(None, None, "model")
    assert flat(shardings)[*query, "lora_a"].spec == PartitionSpec("data", None, None)
    trained, fixed = split(jax.device_put(adapted, shardings))

    def placed(trained, fixed):
        with layout.traced():
            return token_mean(model, composed(LORA, joined(fixed, trained), ROWS), batch)

    np.testing.assert_allclose(jit(placed)(trained, fixed), want[0], rtol=1e-4)
    for one, other in zip(
        *map(jax.tree.leaves, (merged(LORA, adapted, ROWS), scan_params(by_hand(plain)))),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank of at least 1"),
        ({"dropout": 1.0}, "dropout in"),
        ({"targets": ("query", "q")}, "expected targets among"),
        ({"targets": ()}, "expected targets among"),
        ({"parts": ("head",)}, "expected parts among"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        LoRA(**settings)


def test_what_the_model_lacks_is_named(tiny, make):
    _, variables = make(tiny("1.0", **SHALLOW))
    with pytest.raises(ValueError, match=r"which has .*'wi', 'wo'.*\['wi_0'\] are none"):
        with_adapters(LoRA(targets=("query", "wi_0")), variables["params"], ROWS, KEY)
    with pytest.raises(ValueError, match="at least 50 rows, got 40"):
        with_adapters(LORA, variables["params"], Rows(40, 10), KEY)

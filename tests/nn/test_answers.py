"""Outputs side by side: none sees another, and each is what a call of its own gives."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.nn import T5, scan_params
from t5coref.nn.t5 import head_kernel

LENGTH = 3


def split(x):
    """int `[B, T]` as `[B * T / LENGTH, LENGTH]`, the last output filled up with 0."""
    x = np.pad(x, ((0, 0), (0, -x.shape[1] % LENGTH)))
    return x.reshape(-1, LENGTH)


@pytest.mark.parametrize("changes", [{}, {"attention_block": 5, "scan_layers": True}])
def test_outputs_side_by_side_are_outputs_alone(jit, tiny, changes):
    steps = 10  # the last output is cut
    config = tiny(num_encoder_layers=1, num_decoder_layers=2)
    network = T5(config)
    rng = np.random.default_rng(0)
    source = rng.integers(1, 40, (2, 9)).astype(np.int32)
    source[1, 6:] = 0
    feeds, targets = rng.integers(1, 40, (2, 2, steps)).astype(np.int32)
    feeds[:, ::LENGTH] = 0
    targets[1, 6:] = 0
    one = jnp.zeros((1, 1), jnp.int32)
    params = jit(network.init, static_argnames="enable_dropout")(
        jax.random.key(0), one, one, one, enable_dropout=False
    )["params"]
    alone = jit(lambda *a: network.apply({"params": params}, *a, enable_dropout=False))
    repeated = np.repeat(source, -(-steps // LENGTH), axis=0)
    want = np.asarray(alone(repeated, split(feeds), split(targets)))
    want = want.reshape(2, -1, want.shape[-1])[:, :steps]
    other = T5(dataclasses.replace(config, **changes))
    given = scan_params(params) if changes.get("scan_layers") else params
    together = jit(
        lambda *a: other.apply({"params": given}, *a, enable_dropout=False, answer_length=LENGTH)
    )
    got = np.asarray(together(source, feeds, targets))
    assert got.shape == want.shape
    written = targets > 0
    np.testing.assert_allclose(got[written], want[written], atol=2e-5)

    hidden = jit(
        lambda *a: other.apply(
            {"params": given}, *a, enable_dropout=False, answer_length=LENGTH, method="hidden"
        )
    )(source, feeds, targets)
    scored = np.asarray(hidden @ head_kernel(config, params))
    np.testing.assert_allclose(scored[written], want[written], atol=2e-5)
    # In one output they would see each other.
    differ = np.asarray(alone(source, feeds, targets))
    assert np.abs(differ - want)[0, LENGTH:].max() > 1e-3

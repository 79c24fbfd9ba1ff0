"""Operations and bytes against counts by other means."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.core.errors import ConfigError
from t5coref.nn import T5, T5Config
from t5coref.nn.partition import AbstractParameters
from t5coref.plan import SIZES, Slice, Work
from t5coref.plan.cost import decoding_cost, floor_bytes, products, training_cost
from t5coref.plan.program import parameter_count

CONFIG = T5Config(
    vocab_size=128,
    emb_dim=64,
    num_heads=2,
    num_encoder_layers=2,
    num_decoder_layers=3,
    head_dim=16,
    mlp_dim=96,
)
# As their cards say, in millions.
PUBLISHED = {"small": 77, "base": 248, "large": 783, "xl": 2850, "xxl": 11135}


@pytest.mark.parametrize("size", list(SIZES))
def test_parameters_are_the_published_numbers(size):
    work = Work.of_size(size, batch=1, source=8, target=8)
    assert parameter_count(work) / 1e6 == pytest.approx(PUBLISHED[size], rel=2e-3)


def test_forward_operations_are_those_of_the_compiler():
    """Products alone, against XLA's count of an unscanned network, which has all else besides."""
    model = T5(CONFIG)
    shapes = AbstractParameters.of(model).shapes
    tokens = [jax.ShapeDtypeStruct((1, n), jnp.int32) for n in (256, 384, 384)]

    def forward(params, *tokens):
        return model.apply({"params": params}, *tokens, enable_dropout=False)

    analysis = jax.jit(forward).lower(shapes, *tokens).compile().cost_analysis()
    assert analysis is not None
    counted = analysis["flops"]
    once = products(CONFIG, 256, 384, 128)
    assert counted == pytest.approx(once.weights + once.attention + once.head, rel=0.2)
    assert counted > once.weights + once.attention + once.head


def work(**changes) -> Work:
    fields = {"batch": 8, "source": 256, "target": 384, **changes}
    return Work.of_size("small", **fields)


def test_training_is_three_times_forward_and_recomputation_is_counted_apart():
    once = products(work().config, 256, 384, work().actions)
    cost = training_cost(work(), 1000, 4, 2)
    assert cost.model_flops == 8 * 3 * (once.weights + once.attention + once.head)
    assert 4 / 3 < cost.flops / cost.model_flops < 1.5


def test_one_chip_receives_nothing_and_more_parts_gather_more():
    alone = training_cost(work(), 10**6, 1, 1)
    assert alone.data_bytes == alone.model_bytes == 0
    few, many = (training_cost(work(accumulate=n), 10**6, 4, 2) for n in (1, 2))
    assert many.data_bytes == 2 * few.data_bytes
    assert many.model_bytes == few.model_bytes
    assert many.flops == few.flops


def test_bounds_are_of_the_published_peaks():
    slice_ = Slice.parse("v5e:2x2")
    cost = dataclasses.replace(
        training_cost(work(), 10**6, 2, 2), flops=4 * 197e12, bytes=2 * 819e9,
        data_bytes=300e9, model_bytes=100e9,
    )  # fmt: skip
    bounds = cost.bounds(slice_, 2)
    assert bounds == {"compute": 1.0, "memory": 2.0, "links": 3.0}


def test_a_step_cannot_do_without_parameters_and_gradients():
    assert floor_bytes(work(accumulate=1), 1000, 4, 2) == 2 * 4 * 1000 / 8
    assert floor_bytes(work(accumulate=2), 1000, 4, 2) == 3 * 4 * 1000 / 8
    assert floor_bytes(work(decode=True), 1000, 4, 2) == 2 * 1000 / 2


def test_decoding_reads_the_decoder_at_each_step():
    costs = [decoding_cost(work(decode=True, target=n), 10**9, 1, 1).bytes for n in (100, 200)]
    assert costs[1] > 2 * costs[0] > 2 * 100 * 10**9


def test_parts_of_a_batch():
    assert work().parts(4) == 2
    assert work(accumulate=1).parts(4) == 1
    assert work(decode=True).parts(4) == 1
    with pytest.raises(ConfigError, match="multiple of 16"):
        work(batch=24, accumulate=2).parts(8)
    with pytest.raises(ConfigError, match="multiple of 16"):
        work().parts(16)


def test_formats_decide_how_many_logits_there_are():
    assert work().actions < 30
    assert work(format="full-token").symbols is None
    assert work(format="full-token").actions == 32128
    assert np.all(np.asarray(work().symbols) < 32128)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 0}, "--batch is 0"),
        ({"accumulate": 0}, "--accumulate is 0"),
        ({"format": "prose"}, "no linearization is called 'prose'"),
    ],
)
def test_impossible_work(changes, message):
    with pytest.raises(ConfigError, match=message):
        work(**changes)

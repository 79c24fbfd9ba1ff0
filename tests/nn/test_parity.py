"""The same weights give the same numbers here and in transformers' PyTorch T5."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.nn import attention
from t5coref.nn.layers import distance_buckets

TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def expected(twin, batch):
    """transformers' encoder output and logits, and where they are not padding."""
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        out = twin.torch_model(
            input_ids=torch.tensor(np.array(batch.source), dtype=torch.long),
            attention_mask=torch.tensor(np.array(batch.source) > 0, dtype=torch.long),
            decoder_input_ids=torch.tensor(np.array(batch.feeds), dtype=torch.long),
        )
    return out.encoder_last_hidden_state.numpy(), out.logits.numpy()


@pytest.fixture(scope="module")
def stepper(twin, batch, jit):
    """A cache of 22 slots, read in blocks of 5, and a jitted `step(cache, tokens, positions)`."""
    variables = {"params": twin.params}

    @jit
    def start(source):
        encoded = twin.model.apply(variables, source, enable_dropout=False, method="encode")
        return twin.model.apply(
            variables, encoded, source, 22, method="init_cache", mutable=["cache"]
        )[1]["cache"]

    @jit
    def step(cache, tokens, positions):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "BLOCK", 5)
            logits, state = twin.model.apply(
                {**variables, "cache": cache},
                tokens,
                positions,
                method="decode_step",
                mutable=["cache"],
            )
        return logits, state["cache"]

    return start(batch.source), step


def assert_close(got, want, where):
    error = np.abs(np.asarray(got) - want)[np.asarray(where)].max()
    assert error < TOLERANCE


def test_encoder(twin, batch, expected, jit):
    encode = jit(functools.partial(twin.model.apply, enable_dropout=False, method="encode"))
    assert_close(encode({"params": twin.params}, batch.source), expected[0], batch.source > 0)


def test_decoder_uncached(twin, batch, expected, jit):
    apply = jit(functools.partial(twin.model.apply, enable_dropout=False))
    assert_close(apply({"params": twin.params}, *batch), expected[1], batch.targets > 0)


def test_decoder_cached_token_by_token(batch, expected, stepper):
    cache, step = stepper
    for t in range(batch.feeds.shape[1]):
        logits, cache = step(cache, batch.feeds[:, t : t + 1], jnp.full((3,), t, jnp.int32))
        assert_close(logits[:, 0], expected[1][:, t], [True] * 3)


def test_decoder_cached_with_many_tokens_and_rollbacks(batch, expected, stepper):
    cache, step = stepper
    rng = np.random.default_rng(1)
    feeds = np.asarray(batch.feeds)
    rows, length = feeds.shape
    positions = np.zeros(rows, np.int32)
    for k in (5, 1, 4, 4, 1, 5, 5, 4, 1, 5, 5):
        # Each row is at its own place; it feeds a right prefix and then wrong guesses.
        right = rng.integers(1, k + 1, rows)
        places = positions[:, None] + np.arange(k)
        tokens = feeds[np.arange(rows)[:, None], np.minimum(places, length - 1)]
        guessed = np.arange(k)[None, :] >= right[:, None]
        tokens = np.where(guessed, (tokens + 7) % 40, tokens).astype(np.int32)
        logits, cache = step(cache, jnp.asarray(tokens), jnp.asarray(positions))
        for n in range(rows):
            for j in range(min(right[n], length - positions[n])):
                error = np.abs(np.asarray(logits[n, j]) - expected[1][n, positions[n] + j])
                assert error.max() < TOLERANCE
        positions = np.minimum(positions + right, length - 1).astype(np.int32)
    assert positions.min() > 10, "the walk should come far"


def test_decoder_by_the_calling_convention_of_t5x(twin, batch, expected, jit):
    """As `t5x.models.EncoderDecoderModel.predict_batch` calls a module."""
    variables = {"params": twin.params}

    @jit
    def start(source):
        encoded = twin.model.apply(variables, source, enable_dropout=False, method="encode")
        ones = jnp.ones_like
        _, state = twin.model.apply(
            variables,
            encoder_input_tokens=ones(batch.source),
            decoder_input_tokens=ones(batch.feeds),
            decoder_target_tokens=ones(batch.feeds),
            mutable=["cache"],
            decode=True,
            enable_dropout=False,
        )
        return encoded, state

    @jit
    def step(cache, encoded, tokens):
        return twin.model.apply(
            {**variables, "cache": cache},
            encoded,
            batch.source,
            tokens,
            tokens,
            enable_dropout=False,
            decode=True,
            max_decode_length=batch.feeds.shape[1],
            mutable=["cache"],
            method=twin.model.decode,
        )

    encoded, state = start(batch.source)
    for t in range(6):
        logits, state = step(state["cache"], encoded, batch.feeds[:, t : t + 1])
        assert_close(logits[:, 0], expected[1][:, t], [True] * 3)
    assert state["cache"]["cache_index"] == 6


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (8, 20), (32, 256)])
def test_distance_buckets(bidirectional, num_buckets, max_distance):
    torch = pytest.importorskip("torch")
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    distances = np.arange(-4000, 4001)
    want = t5.T5Attention._relative_position_bucket(
        torch.tensor(distances), bidirectional, num_buckets, max_distance
    )
    got = distance_buckets(
        distances,
        bidirectional=bidirectional,
        num_buckets=num_buckets,
        max_distance=max_distance,
    )
    np.testing.assert_array_equal(got, want.numpy())

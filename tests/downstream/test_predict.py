"""Writing and scoring texts: against programs that do it one token at a time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_checkpoints import SHAPE, VERSIONS, drawn

from t5coref.core.errors import ConfigError
from t5coref.downstream import text
from t5coref.downstream.model import TextModel
from t5coref.downstream.predict import TextPredictor
from t5coref.nn.t5 import T5Config
from t5coref.tokenizer import Tokenizer

INPUTS = ["the dog saw it", "she", "Anna gave Ben 's cat to her . " * 4, "he near <extra_id_0> old"]
LONGEST = 12
TARGETS = [["the dog", "it"], ["she"], ["Ben", "Anna", "cat to", "her", "her ."], []]


@pytest.fixture(scope="module")
def model(tokenizer):
    pieces = Tokenizer(tokenizer.model, ())
    changes = {"vocab_size": pieces.size + 4, "num_encoder_layers": 1, "num_decoder_layers": 1}
    config = T5Config(**{**SHAPE, **VERSIONS["1.1"], **changes})
    params = jax.tree.map(lambda x: x * np.float32(x.shape[0] ** -0.3), drawn(config))
    return TextModel(config, params, pieces)


@pytest.fixture(scope="module")
def logits(model):
    """Logits `[T, V]` of one unpadded pair, by the network's plain call."""

    @jax.jit
    def run(source, feeds):
        return model.network.apply(
            {"params": model.params}, source, feeds, jnp.ones_like(feeds), enable_dropout=False
        )[0]

    def of(source, feeds):
        # What follows changes nothing: one program for all lengths.
        padded = [*feeds, *[2] * (LONGEST - len(feeds))]
        found = run(jnp.asarray([source], jnp.int32), jnp.asarray([padded], jnp.int32))
        return np.asarray(found, np.float64)[: len(feeds)]

    return of


@pytest.fixture(scope="module")
def predictor(model):
    return TextPredictor(
        model, batch_size=4, max_target_length=LONGEST, round_size=3, devices=jax.devices()[:1]
    )


def expected(logits, source, target):
    found = logits(source, [0, *target[:-1]])
    found = found - np.log(np.sum(np.exp(found), axis=-1, keepdims=True))
    return found[np.arange(len(target)), target]


def test_scores_are_those_of_one_pair_at_a_time(model, predictor, logits):
    results = list(predictor.score(zip(INPUTS, TARGETS, strict=True)))
    for given, targets, scored in zip(INPUTS, TARGETS, results, strict=True):
        assert scored.error is None
        assert len(scored.targets) == len(targets) == len(scored.totals)
        source = [*text.encode(model.tokenizer, given), 1]
        for target, found in zip(targets, scored.targets, strict=True):
            ids = [*text.encode(model.tokenizer, target), 1]
            assert found.tokens.tolist() == ids
            wanted = expected(logits, source, ids)
            np.testing.assert_allclose(found.log_probs, wanted, atol=2e-4)
            assert found.total == pytest.approx(wanted.sum(), abs=1e-3)


def test_written_is_the_likeliest_piece_each_time(model, predictor, logits):
    for given, found in zip(INPUTS, predictor.write(INPUTS), strict=True):
        source = [*text.encode(model.tokenizer, given), 1]
        feeds, ids, sure = [0], [], []
        while len(ids) < LONGEST and (not ids or ids[-1] != 1):
            row = logits(source, feeds)[-1]
            row = row - np.log(np.sum(np.exp(row)))
            row[0], row[model.tokenizer.size :] = -np.inf, -np.inf
            ids.append(int(row.argmax()))
            sure.append(row.max())
            feeds.append(ids[-1])
        assert found.tokens.tolist() == ids
        np.testing.assert_allclose(found.log_probs, sure, atol=2e-4)
        assert found.ended == (ids[-1] == 1)
        assert found.text == text.decode(model.tokenizer, ids)


def test_what_cannot_be_read_harms_nothing_else(predictor):
    good, bad, again = predictor.write(["she", "<extra_id_100>", "she"])
    assert "from 0 to 99" in str(bad.error)
    assert bad.text == ""
    assert good.error is None
    assert good.tokens.tolist() == again.tokens.tolist()
    long, fine = predictor.score([("she", ["the dog saw it and the dog saw it"]), ("she", ["it"])])
    assert "max_target_length = 12" in str(long.error)
    assert fine.error is None
    assert len(fine.targets) == 1


def test_pieces_may_be_given_instead_of_texts(model, predictor):
    ids = text.encode(model.tokenizer, "the dog")
    one, other, wrong = predictor.score([("she", ["the dog"]), (ids, [ids]), ([0], [ids])])
    assert one.targets[0].tokens.tolist() == other.targets[0].tokens.tolist()
    assert "expected from 1" in str(wrong.error)


def test_several_devices_find_the_same(model, predictor):
    divided = TextPredictor(
        model, batch_size=4, max_target_length=LONGEST, round_size=3, devices=jax.devices()[:2]
    )
    for one, other in zip(predictor.write(INPUTS), divided.write(INPUTS), strict=True):
        assert one.tokens.tolist() == other.tokens.tolist()
    requests = list(zip(INPUTS, TARGETS, strict=True))
    for one, other in zip(predictor.score(requests), divided.score(requests), strict=True):
        np.testing.assert_allclose(one.totals, other.totals, atol=1e-3)


def test_other_parameters(model, predictor):
    zeros = jax.tree.map(np.zeros_like, model.params)
    (scored,) = predictor.score([("she", ["it"])], zeros)
    uniform = -np.log(model.config.vocab_size)
    np.testing.assert_allclose(scored.targets[0].log_probs, uniform, rtol=1e-5)


def test_sizes_are_checked(model):
    with pytest.raises(ConfigError, match="at least 1"):
        TextPredictor(model, batch_size=0)


def test_folder(model, tmp_path):
    model.save(tmp_path / "m")
    again = TextModel.load(tmp_path / "m")
    assert again.card() == model.card()
    assert again.fingerprint() == model.fingerprint()
    with pytest.raises(ConfigError):
        TextModel.load(tmp_path)

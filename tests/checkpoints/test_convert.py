"""Conversion of whole models: the tokenizer and the format go along, and come from elsewhere."""

from __future__ import annotations

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from tiny_checkpoints import SHAPE, assert_same_bits, drawn, tensors_of

from t5coref.convert import TARGETS, convert
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.downstream.model import TextModel
from t5coref.linearize import named
from t5coref.model import Format, Model, pretrained
from t5coref.nn import T5Config, load_hf, save_hf
from t5coref.tokenizer import Tokenizer

OPTIONS = {"window": 24, "max_clusters": 20, "max_depth": 3}


@pytest.fixture(scope="module")
def model(tokenizer):
    config = T5Config(**{**SHAPE, "vocab_size": tokenizer.size})
    return Model(config, drawn(config), tokenizer, Format("full-copy", OPTIONS))


@pytest.fixture
def own(model, tmp_path):
    model.save(tmp_path / "own")
    return tmp_path / "own"


@pytest.fixture
def base(tokenizer, tmp_path):
    """A pretrained T5 that knows of no format: pieces and sentinels, in a table of 128 rows."""
    pieces = Tokenizer(tokenizer.model, ())
    config = T5Config(**{**SHAPE, "vocab_size": 170})
    save_hf(tmp_path / "base", config, drawn(config, seed=1))
    pieces.save(tmp_path / "base")
    return tmp_path / "base"


def card(folder) -> dict:
    return json.loads((folder / "t5coref.json").read_text())


@pytest.mark.parametrize("to", ["t5x", "t5x-legacy", "hf"])
def test_a_model_goes_there_and_back(model, own, to, tmp_path):
    summary, identity = convert(own, tmp_path / "there", TARGETS[to])
    assert identity.format == model.format
    assert card(tmp_path / "there")["tokenizer"] == card(own)["tokenizer"]
    # Every loader takes what came out, whether the weights are T5X's or not.
    loaded = Model.load(tmp_path / "there")
    assert loaded.fingerprint() == model.fingerprint()
    assert loaded.format == model.format
    if to != "hf":
        assert Model.load(summary.folder).fingerprint() == model.fingerprint()
        begun = pretrained(str(summary.folder), format=Format("full-copy"))
        assert begun.tokenizer.fingerprint == model.tokenizer.fingerprint
        jax.tree.map(np.testing.assert_array_equal, begun.params, model.params)
    convert(summary.folder, tmp_path / "back", TARGETS["t5coref"])
    assert card(tmp_path / "back") == card(own)
    assert_same_bits(tensors_of(tmp_path / "back"), tensors_of(own))


def test_a_model_of_texts_is_a_plain_t5(base, tmp_path):
    """What mention reference prediction leaves goes on like the T5 that it began with."""
    TextModel.load(base).save(tmp_path / "text")
    for folder, name in ((base, "a"), (tmp_path / "text", "b")):
        convert(folder, tmp_path / name, TARGETS["t5x"], format="full-copy")
    a, b = (Model.load(tmp_path / name) for name in "ab")
    assert a.fingerprint() == b.fingerprint()


def test_a_pretrained_model_gets_the_symbols_of_a_format(base, tmp_path):
    for name in ("full-copy", "integer-free"):
        summary, identity = convert(base, tmp_path / name, TARGETS["t5x"], format=name)
        want = pretrained(str(base), format=Format(name))
        rows = want.config.vocab_size
        assert identity.tokenizer.fingerprint == want.tokenizer.fingerprint
        assert summary.rows == (170, 170 if rows == 170 else -(-rows // 128) * 128)
        model = Model.load(tmp_path / name)
        assert model.format == Format(name)
        assert model.config == dataclasses.replace(want.config, vocab_size=summary.rows[1])
        # The rows are those that training from the Hugging Face folder would begin with.
        table, same = (m.params["token_embedder"]["embedding"] for m in (model, want))
        np.testing.assert_array_equal(table[:rows], same)
        convert(tmp_path / name, tmp_path / f"{name} own", TARGETS["t5coref"])
        assert Model.load(tmp_path / f"{name} own").fingerprint() == model.fingerprint()


def test_what_t5x_trained_becomes_a_model(model, own, tokenizer, tmp_path):
    """T5X writes a checkpoint and nothing beside it."""
    convert(own, tmp_path / "t5x", TARGETS["t5x"], step=500)
    bare = tmp_path / "run/checkpoint_500"
    bare.parent.mkdir()
    (tmp_path / "t5x/checkpoint_500").rename(bare)
    with pytest.raises(ConfigError, match="nothing says for which format"):
        convert(bare, tmp_path / "out", TARGETS["t5coref"])
    with pytest.raises(ConfigError, match=r"expected a spiece.model.*--tokenizer"):
        convert(bare, tmp_path / "out", TARGETS["t5coref"], format="full-copy")
    convert(
        bare, tmp_path / "out", TARGETS["t5coref"], format="full-copy", tokenizer=own,
        word_rule="reference",
    )  # fmt: skip
    trained = Model.load(tmp_path / "out")
    assert trained.tokenizer.word_rule == "reference"
    assert trained.config == model.config
    jax.tree.map(np.testing.assert_array_equal, trained.params, model.params)
    # Without a format it is still a checkpoint, of which nothing more is known.
    assert convert(bare, tmp_path / "plain", TARGETS["hf"]).identity is None
    assert not (tmp_path / "plain/t5coref.json").exists()
    with pytest.raises(ConfigError, match="no use for a tokenizer and a word rule"):
        convert(
            bare, tmp_path / "no", TARGETS["hf"], tokenizer=own, word_rule="strict"
        )  # fmt: skip
    assert not (tmp_path / "no").exists()


def test_what_does_not_belong_together_is_refused(own, base, tokenizer, tmp_path):
    out, to = tmp_path / "out", TARGETS["t5x"]
    with pytest.raises(MismatchError, match="'integer-free' has other symbols"):
        convert(own, out, to, format="integer-free")
    other = Tokenizer.train(["of other words there is no end"], 40, ())
    (tmp_path / "other").mkdir()
    other.save(tmp_path / "other")
    with pytest.raises(MismatchError, match="is not the tokenizer that the weights were"):
        convert(own, out, to, tokenizer=tmp_path / "other")
    with pytest.raises(ConfigError, match="no linearization is called 'full'"):
        convert(base, out, to, format="full")
    with pytest.raises(ConfigError, match="no SentencePiece model at"):
        convert(base, out, to, format="full-copy", tokenizer=tmp_path / "nowhere")
    other.save(own)
    with pytest.raises(MismatchError, match=r"restore its spiece.model"):
        convert(own, out, to)
    assert not out.exists()


def test_another_format_of_the_same_symbols(own, tmp_path):
    _, identity = convert(
        own, tmp_path / "out", TARGETS["hf"], format="tagging", word_rule="reference"
    )
    assert identity.format == Format("tagging", OPTIONS)
    assert card(tmp_path / "out")["tokenizer"]["word_rule"] == "reference"


def test_published_checkpoints_are_recognized(base, tokenizer, tmp_path):
    """As `Model.load` does, by the tokens that training added."""
    place = tmp_path / "seq2seq-coref-t0-3b-partial-linear"
    shutil.copytree(base, place)
    first = Tokenizer(tokenizer.model, ()).size
    added = {symbol: first + i for i, symbol in enumerate(named("partial").symbols)}
    (place / "added_tokens.json").write_text(json.dumps(added))
    for format in (None, "partial"):
        out = tmp_path / f"as {format}"
        _, identity = convert(place, out, TARGETS["t5coref"], format=format)
        want = Model.load(place, format=format)
        assert identity.card() == want.card()
        assert Model.load(out).fingerprint() == want.fingerprint()
    # Without being asked, nothing is claimed; what identifies it goes along.
    convert(place, tmp_path / "t5x", TARGETS["t5x"])
    assert not (tmp_path / "t5x/t5coref.json").exists()
    assert (tmp_path / "t5x/added_tokens.json").exists()
    with pytest.raises(MismatchError, match="integer-free"):
        convert(place, tmp_path / "wrong", TARGETS["t5x"], format="integer-free")


def test_errors_of_checkpoints_are_errors_of_ours(tmp_path, own):
    with pytest.raises(ConfigError, match="expected a folder"):
        convert(tmp_path / "nothing", tmp_path / "out", TARGETS["hf"])
    with pytest.raises(ConfigError, match="not empty"):
        convert(own, own, TARGETS["hf"])
    assert load_hf(own)

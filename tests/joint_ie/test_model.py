"""A model folder: what is in it, what comes back, and what is refused."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from t5coref.core.errors import ConfigError, MismatchError
from t5coref.joint_ie import JointModel, joint_model
from t5coref.model import Model, has_heads


@pytest.fixture
def folder(make_model, tmp_path):
    make_model("gc").save(tmp_path / "model")
    return tmp_path / "model"


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("setting", "options"),
    [("gc", {}), ("relations", {"segment_length": 128}), ("joint", {"decoder": True})],
)
def test_comes_back(make_model, tmp_path, setting, options):
    model = make_model(setting, **options)
    model.save(tmp_path / "model")
    model.save(tmp_path / "model")  # replaces it
    loaded = JointModel.load(tmp_path / "model")
    assert loaded.card() == model.card()
    assert loaded.heads == model.heads
    assert loaded.relations == ("based in", "founded", "lives in")
    assert loaded.types == {"based in": 1, "founded": 2, "lives in": 3}
    assert (loaded.format is None) == ("decoder" not in options)
    assert loaded.segment_length == options.get("segment_length")
    assert_same(loaded.params, model.params)
    assert loaded.fingerprint() == model.fingerprint()
    assert has_heads(tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_card(folder):
    card = json.loads((folder / "t5coref.json").read_text())
    assert card["format"] is None
    assert card["joint_ie"]["setting"] == "gc"
    assert card["joint_ie"]["heads"]["compatibility"]["neighbours"] == 24
    assert card["joint_ie"]["heads"]["relations"]["types"] == 3
    assert set(card["weights"]) == {"model.safetensors", "heads.safetensors"}
    assert card["tokenizer"]["symbols"] == []


def test_the_encoder_is_one_of_transformers(folder, make_model):
    """`model.safetensors` has the encoder alone, and T5EncoderModel computes the same states."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from t5coref.headed import encode

    assert not any(name.startswith("decoder") for name in load_file(folder / "model.safetensors"))
    model = make_model("gc")
    tokens = np.asarray([[5, 9, 12, 7, 1]], np.int32)
    ours = encode(
        model.config, model.params, {"encoder_input_tokens": tokens}, enable_dropout=False
    )
    with torch.no_grad():
        theirs = transformers.T5EncoderModel.from_pretrained(folder)(
            input_ids=torch.asarray(tokens, dtype=torch.int64)
        ).last_hidden_state.numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_the_language_model_beside_the_heads(make_model, tmp_path, base):
    make_model("joint", decoder=True).save(tmp_path / "both")
    for written in (
        Model.load(tmp_path / "both"),
        JointModel.load(tmp_path / "both").language_model(),
    ):
        assert written.format == base.format
        assert_same(written.params, base.params)
    with pytest.raises(ConfigError, match="learned no linearization"):
        make_model("joint").language_model()


def test_what_is_not_such_a_model(folder, base, tmp_path):
    with pytest.raises(ConfigError, match=r"t5coref.joint_ie.JointModel.load"):
        Model.load(folder)
    base.save(tmp_path / "plain")
    assert not has_heads(tmp_path / "plain")
    assert not has_heads(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no model for joint entity and relation extraction"):
        JointModel.load(tmp_path / "plain")


def test_another_tokenizer_is_refused(folder, tokenizer):
    tokenizer.save(folder)
    with pytest.raises(MismatchError, match="the tokenizer has fingerprint"):
        JointModel.load(folder)


def test_other_heads_are_refused(folder):
    tensors = load_file(folder / "heads.safetensors")
    save_file({name: x * 2 for name, x in tensors.items()}, folder / "heads.safetensors")
    with pytest.raises(MismatchError, match=r"heads.safetensors: expected SHA-256"):
        JointModel.load(folder)


def test_heads_of_another_composition_are_refused(folder):
    path = folder / "t5coref.json"
    card = json.loads(path.read_text())
    card["joint_ie"]["heads"]["spans"]["mention_dim"] = 8
    path.write_text(json.dumps(card))
    with pytest.raises(MismatchError, match=r"does not fit the heads"):
        JointModel.load(folder)


def test_an_unfit_encoder_is_refused(folder):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_layers": 2}))
    with pytest.raises(MismatchError, match="missing"):
        JointModel.load(folder)


def test_segments_and_a_decoder_contradict_each_other(base, make_model):
    with pytest.raises(ConfigError, match="segment_length with a decoder"):
        joint_model(
            base=base, heads=make_model("joint").heads, relations=["a"], setting="x",
            segment_length=64, decoder=True,
        )  # fmt: skip

"""Small model folders."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.cli import main
from t5coref.compress import compress, without_decoder_layers
from t5coref.core.errors import ConfigError
from t5coref.model import CARD_FILE, Format, Model, digest, from_scratch, read_card
from t5coref.nn.stack import T5Config
from t5coref.nn.weight_files import WEIGHTS
from t5coref.tokenizer import Tokenizer

TINY = T5Config(
    vocab_size=100, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=3,
    head_dim=8, mlp_dim=24, mlp_activations=("gelu", "linear"), logits_via_embedding=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tokenizer):
    format = Format("full-copy", {"window": 64, "max_clusters": 4, "max_depth": 2})
    return from_scratch(TINY, tokenizer_of(tokenizer, format), format=format)


def tokenizer_of(pieces, format):
    return Tokenizer(pieces.model, format.symbols)


def logits(model):
    source, fed = jnp.arange(2, 12)[None], jnp.arange(7)[None]
    return np.asarray(
        model.network.apply({"params": model.params}, source, fed, fed, enable_dropout=False)
    )


def test_a_compressed_model_is_a_fraction_and_scores_nearly_the_same(model, tmp_path):
    model.save(tmp_path / "whole")
    made = compress(model, tmp_path / "small")
    assert made.nbytes == (tmp_path / "small" / WEIGHTS).stat().st_size
    assert made.nbytes < (tmp_path / "whole" / WEIGHTS).stat().st_size / 2
    assert 0 < made.error < 0.01
    found = Model.load(tmp_path / "small")
    assert found.card() == model.card()
    assert found.config == model.config
    scored = list(model.format.make(model.tokenizer).rules.scored_ids)
    assert made.head_rows == (len(scored), model.config.vocab_size)
    ours, theirs = logits(model), logits(found)
    np.testing.assert_allclose(theirs[..., scored], ours[..., scored], atol=0.1 * ours.std())
    others = np.setdiff1d(np.arange(model.config.vocab_size), scored)
    assert not theirs[..., others].any()
    again = compress(found, tmp_path / "again")
    assert again.error < 1e-6
    saved = read_card(tmp_path / "small")["weights"]
    assert saved == {WEIGHTS: digest(tmp_path / "small" / WEIGHTS)}


def test_a_format_that_writes_pieces_keeps_the_whole_head(tokenizer, tmp_path):
    format = Format("document", {"window": 64, "max_mentions": 4, "max_clusters": 4})
    model = from_scratch(TINY, tokenizer_of(tokenizer, format), format=format)
    made = compress(model, tmp_path / "small")
    assert made.head_rows == (model.config.vocab_size, model.config.vocab_size)
    np.testing.assert_allclose(logits(Model.load(tmp_path / "small")), logits(model), atol=0.2)


def test_a_dropped_layer_adds_nothing(model):
    """A residual layer whose last matrices are zero adds nothing, too."""
    silent = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * 0 if _ends(path) and "layers_1" in _names(path) else leaf,
        model.params["decoder"],
    )
    expected = dataclasses.replace(model, params={**model.params, "decoder": silent})
    found = without_decoder_layers(model, [1])
    assert found.config.num_decoder_layers == 2
    np.testing.assert_allclose(logits(found), logits(expected), atol=1e-5)


def _names(path):
    return [entry.key for entry in path]


def _ends(path):
    return _names(path)[-2] in ("out", "wo")


@pytest.mark.parametrize("dropped", [[3], [-1], [0, 1, 2]])
def test_layers_that_are_not_there_or_are_all_there_are(model, dropped):
    with pytest.raises(ConfigError, match="expected some, not all, of the decoder layers 0 to 2"):
        without_decoder_layers(model, dropped)


def test_the_command(model, tmp_path, capsys):
    model.save(tmp_path / "whole")
    source, target = str(tmp_path / "whole"), str(tmp_path / "small")
    assert main(["compress", source, target, "--drop-decoder-layers", "1"]) == 0
    assert "2 decoder layers" in capsys.readouterr().out
    assert Model.load(target).config.num_decoder_layers == 2
    (tmp_path / "small" / "mine.txt").write_text("mine")
    assert main(["compress", source, target]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["compress", source, target, "--overwrite"]) == 2  # it would delete a foreign file
    assert (tmp_path / "small" / CARD_FILE).is_file()

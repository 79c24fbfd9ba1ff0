"""Damaged model folders are refused by name: weights, card, tokenizer, rows."""

from __future__ import annotations

import json
import re

import pytest
from mrp_rows import sentinel_row

from t5coref import cli
from t5coref.core.errors import ConfigError, FormatError, MismatchError, T5CorefError
from t5coref.model import CARD_FILE, Model, digest, from_scratch, read_card
from t5coref.mrp.rows import read_rows, write_rows
from t5coref.nn.t5 import T5Config
from t5coref.tokenizer import MODEL_FILE, Tokenizer

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def saved(tokenizer, tmp_path_factory):
    config = T5Config(
        vocab_size=tokenizer.size, emb_dim=16, num_heads=2, num_encoder_layers=1,
        num_decoder_layers=1, head_dim=8, mlp_dim=32,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("models") / "model"
    from_scratch(config, tokenizer).save(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    copy = tmp_path / "model"
    copy.mkdir()
    for file in saved.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_a_whole_folder_loads(folder, saved):
    assert Model.load(folder).fingerprint() == Model.load(saved).fingerprint()


@pytest.mark.parametrize("place", [9, 0.5, -1])
def test_one_changed_bit_of_the_weights_is_named(folder, place):
    path = folder / WEIGHTS
    content = bytearray(path.read_bytes())
    expected = digest(path)
    content[int(place * len(content)) if isinstance(place, float) else place] ^= 1
    path.write_bytes(content)
    with pytest.raises(MismatchError) as raised:
        Model.load(folder)
    message = str(raised.value)
    assert message.startswith(f"{path}: expected SHA-256 {expected}")
    assert f"got {digest(path)}" in message


@pytest.mark.parametrize("left", [0, 7, 100, -1])
def test_weights_that_are_cut_short_are_named(folder, left):
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(MismatchError, match=rf"{re.escape(str(path))}: expected SHA-256"):
        Model.load(folder)


def test_missing_weights_are_named(folder):
    (folder / WEIGHTS).unlink()
    with pytest.raises(MismatchError, match=r"model\.safetensors: expected .* got no such file"):
        Model.load(folder)


def test_cut_weights_without_a_card_are_refused(folder):
    (folder / CARD_FILE).unlink()
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(T5CorefError):
        Model.load(folder, format="full-copy")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_broken_card_is_named(folder, content):
    (folder / CARD_FILE).write_bytes(content)
    with pytest.raises(ConfigError, match=CARD_FILE):
        Model.load(folder)


@pytest.mark.parametrize("change", ["drop", "null", "text"])
@pytest.mark.parametrize("key", ["format", "tokenizer", "dtype"])
def test_a_card_that_lacks_something_is_refused(folder, key, change):
    card = read_card(folder)
    if change == "drop":
        del card[key]
    else:
        card[key] = None if change == "null" else "text"
    (folder / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(T5CorefError):
        Model.load(folder)


def test_another_tokenizer_is_refused(folder):
    other = Tokenizer.train(["an other text of other words and an other house"] * 2, 40)
    (folder / MODEL_FILE).write_bytes(other.model)
    with pytest.raises(MismatchError, match=r"the tokenizer has fingerprint .* trained with"):
        Model.load(folder)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x00" * 1000])
def test_a_broken_tokenizer_is_refused(folder, content):
    (folder / MODEL_FILE).write_bytes(content)
    with pytest.raises(T5CorefError):
        Model.load(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"d_model": "x"}'])
def test_a_broken_config_is_refused(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(T5CorefError):
        Model.load(folder)


def test_the_command_says_so_in_one_line(folder, tmp_path, capsys):
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"\x00\x00")
    text = tmp_path / "a.txt"
    text.write_text("Anna saw it.")
    argv = [
        "predict",
        "--model",
        str(folder),
        "--input",
        str(text),
        "--output",
        str(tmp_path / "o"),
    ]
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert "expected SHA-256" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("left", [0, 10, 0.5, -1])
def test_prepared_rows_that_are_cut_short_are_refused(tmp_path, left):
    write_rows(tmp_path, [sentinel_row(seed, 50) for seed in range(5)])
    (shard,) = tmp_path.glob("*.mrp")
    content = shard.read_bytes()
    shard.write_bytes(content[: int(left * len(content)) if isinstance(left, float) else left])
    with pytest.raises(FormatError, match=r"\.mrp"):
        list(read_rows(tmp_path))

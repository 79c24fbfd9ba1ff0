"""`t5coref convert` from the command line."""

from __future__ import annotations

import json

import pytest
from tiny_checkpoints import SHAPE, VERSIONS, assert_same_bits, drawn, tensors_of

from t5coref import cli
from t5coref.cli.convert import TARGETS
from t5coref.convert import TARGETS as LIBRARY_TARGETS
from t5coref.model import Model
from t5coref.nn import T5Config, save_hf
from t5coref.tokenizer import Tokenizer


@pytest.fixture
def folder(tokenizer, tmp_path):
    config = T5Config(**{**SHAPE, **VERSIONS["1.1"], "vocab_size": 170})
    save_hf(tmp_path / "flan", config, drawn(config))
    Tokenizer(tokenizer.model, ()).save(tmp_path / "flan")
    return tmp_path / "flan"


def run(*arguments) -> int:
    return cli.main(["convert", *map(str, arguments)])


def test_the_targets_are_those_of_the_library():
    assert tuple(LIBRARY_TARGETS) == TARGETS


def test_there_and_back(folder, tmp_path, capsys):
    there, back = tmp_path / "there", tmp_path / "back"
    assert run(folder, there, "--to", "t5x", "--scan", "--step", "5") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (f"{folder} (Hugging Face) -> {there}/checkpoint_5 (T5X, scanned layers)")
    assert said[1].startswith("66 tensors, ")
    assert "(float32)" in said[1]
    assert len(said) == 2
    assert (there / "checkpoint_5/state/target.encoder.layers.mlp.wo.kernel/.zarray").exists()
    assert run(there, back, "--to", "hf", "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert_same_bits(tensors_of(back), tensors_of(folder))


def test_a_format_grows_the_table(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        run(folder, out, "--to", "t5coref", "--format", "integer-free", "--dtype", "bfloat16") == 0
    )
    said = capsys.readouterr().out
    model = Model.load(out)
    assert model.config.vocab_size % 128 == 0
    assert f"vocabulary: grown from 170 to {model.config.vocab_size:,} rows" in said
    assert "format: integer-free, " in said
    assert model.tokenizer.fingerprint in said
    assert json.loads((out / "config.json").read_text())["torch_dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "hf", "--scan"), "the layout Hugging Face has no scanned layers"),
        (("--to", "t5coref"), "--linearization"),
        (("--to", "t5x", "--format", "full"), "no linearization is called 'full'"),
    ],
)
def test_mistakes(folder, tmp_path, capsys, options, message):
    assert run(folder, tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    said = capsys.readouterr().out
    assert "examples:" in said
    assert "%" not in said

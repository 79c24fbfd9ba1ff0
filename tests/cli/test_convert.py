"""`t5coref convert` from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_checkpoints import SHAPE, VERSIONS, assert_same_bits, drawn, tensors_of

from t5coref import cli
from t5coref.cli.convert import TARGETS
from t5coref.convert import TARGETS as LIBRARY_TARGETS
from t5coref.model import Format, Model, pretrained
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


def test_symbols_with_numbers_begin_as_those_that_training_begins_with(folder, tmp_path):
    """In both directions of the table, and nothing else is touched."""
    option = ("--format", "iterative-text", "--numbers-as-pieces", "--quiet")
    assert run(folder, tmp_path / "ours", "--to", "t5coref", *option) == 0
    assert run(folder, tmp_path / "t5x", "--to", "t5x", "--scan", *option) == 0
    there = Model.load(tmp_path / "ours")
    wanted = pretrained(str(folder), format=Format("iterative-text"), numbers_as_pieces=True)
    size = wanted.tokenizer.size
    for model in (there, Model.load(tmp_path / "t5x")):
        assert model.tokenizer.fingerprint == wanted.tokenizer.fingerprint
        table, head = (
            (m.params["token_embedder"]["embedding"], m.params["decoder"]["logits_dense"]["kernel"])
            for m in (model, wanted)
        )
        named = [*wanted.tokenizer.numbered()]
        np.testing.assert_array_equal(table[0][named], head[0][named])
        np.testing.assert_array_equal(table[1][:, named], head[1][:, named])
        np.testing.assert_array_equal(table[0][: size - len(wanted.tokenizer.symbols)],
                                      head[0][: size - len(wanted.tokenizer.symbols)])  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "hf", "--scan"), "the layout Hugging Face has no scanned layers"),
        (("--to", "t5coref"), "--linearization"),
        (("--to", "hf", "--numbers-as-pieces"), "numbers_as_pieces is for symbols that a format"),
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

"""The rival's outputs are those of the published implementation."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from rival import ReferenceConstraint, Rival, Symbols

from t5coref.tokenizer import Tokenizer

OPEN, SEPARATOR, CLOSE, COPY, EOS, ZERO, ONE = 2, 3, 4, 5, 1, 6, 7
SYMBOLS = Symbols(OPEN, SEPARATOR, CLOSE, COPY, EOS, (ZERO, ONE))
DOG, BARKS = 8, 9
SOURCE = [DOG, BARKS, EOS]


@pytest.fixture(scope="module")
def published(shared):
    folder = shared / "data/reference_seq2seq/decode"
    return folder, json.loads((folder / "cases.json").read_text("utf-8"))


@pytest.fixture(autouse=True)
def one_thread():
    """For so small a model threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def rival(published, tmp_path_factory):
    folder, found = published
    ids = found["special_ids"]["int"]
    model = tmp_path_factory.mktemp("int")
    shutil.copy(folder / "int.config.json", model / "config.json")
    shutil.copy(folder / "int.safetensors", model / "model.safetensors")
    symbols = Symbols(
        open=ids["mention_start"],
        separator=ids["sep"],
        close=ids["mention_end"],
        copy=ids["copy"],
        eos=ids["eos"],
        digits=tuple(ids["integers"]),
    )
    return Rival(model, symbols)


def until_eos(row):
    return row[: row.index(EOS) + 1] if EOS in row else row


@pytest.mark.parametrize("beams", [1, 4])
def test_outputs_of_the_published_implementation(published, rival, beams):
    (case,) = (c for c in published[1]["cases"] if (c["kind"], c["beams"]) == ("int", beams))
    sources = [until_eos(row) for row in case["source"]]
    found = rival.decode(sources, beams, max_steps=case["max_length"] - 1)
    assert found.tokens == [until_eos(row[1:]) for row in case["output"]]
    assert found.calls == case["max_length"] - 1


def test_symbols_of_the_published_implementation(published, rival, shared):
    symbols = Symbols.of(Tokenizer(shared / "data/t5"))
    assert symbols.digits == tuple(sorted(rival.symbols.digits))
    for name in ("open", "separator", "close", "copy", "eos"):
        assert getattr(symbols, name) == getattr(rival.symbols, name)


@pytest.mark.parametrize(
    ("prefix", "allowed"),
    [
        ([], {OPEN, DOG}),
        ([OPEN], {OPEN, SEPARATOR, DOG}),
        ([OPEN, DOG], {OPEN, SEPARATOR, BARKS}),
        ([OPEN, DOG, SEPARATOR], {ZERO, ONE, CLOSE}),
        ([OPEN, DOG, SEPARATOR, ZERO], {ZERO, ONE, CLOSE}),
        ([OPEN, DOG, SEPARATOR, ZERO, CLOSE], {OPEN, BARKS}),
        ([OPEN, DOG, BARKS], {EOS}),
        ([OPEN, DOG, BARKS, SEPARATOR], {ZERO, ONE, CLOSE}),
        ([DOG, BARKS, EOS], {EOS}),
    ],
)
def test_what_the_constraint_allows(prefix, allowed):
    constraint = ReferenceConstraint(torch.tensor([SOURCE]), SYMBOLS)
    scores = constraint(torch.tensor([[0, *prefix]]), torch.arange(10.0)[None])
    assert set(torch.isfinite(scores[0]).nonzero()[:, 0].tolist()) == allowed
    for piece in allowed - {OPEN, SEPARATOR, CLOSE, ZERO, ONE}:
        assert scores[0, piece] == COPY  # the score of the copy action

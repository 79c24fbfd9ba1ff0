"""The decoding benchmark from end to end, and what it writes."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import decode
import pytest

from t5coref.model import Format, from_scratch
from t5coref.nn.t5 import T5Config

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "decode.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True
    )


def test_tables():
    cost = decode.Cost(seconds=2.0, calls=200, actions=1600, peak_mib=512.0)
    slow = decode.Cost(seconds=50.0, calls=1600, actions=1600, peak_mib=1024.0)
    result = decode.Result(decode.Row(4, 1024, 1), 2, 2000, 1, cost, slow, 3.0, 0.0125)
    assert result.row.name == "beam4-1024-1"
    assert result.ratio == 25
    lines = decode.tables([result]).splitlines()
    assert lines[2] == (
        "| beam 4 | 1024 | 1 | 2 | 1.00 | 25.0 | 1,000 | 40.0 | **25.0** | 10 | 1 of 2 |"
    )
    assert lines[-1] == (
        "| beam 4 | 1024 | 1 | 10.0 | 31.2 | 100.0 | 800.0 | 8.00 | 1.2 % | 3.00 | 512.0 | 1,024 |"
    )


def test_where_outputs_part():
    found = decode.difference([1, 2, 3], [1, 5])
    assert found == "3 and 2 tokens, differ from token 1 on: [2, 3] and [5]"


def test_without_a_model():
    done = run("--model", "no/such/model")
    assert done.returncode == 1
    assert "t5coref train --gin_file" in done.stderr


@pytest.mark.slow
def test_from_end_to_end(shared, tokenizer, tmp_path):
    litbank = shared / "data/litbank"
    if not litbank.is_dir():
        pytest.skip(f"no LitBank at {litbank}")
    config = T5Config(
        vocab_size=tokenizer.size, emb_dim=16, num_heads=2, num_encoder_layers=1,
        num_decoder_layers=1, head_dim=8, mlp_dim=32,
    )  # fmt: skip
    from_scratch(config, tokenizer, format=Format("full-copy"), seed=3).save(tmp_path / "tiny")
    arguments = ["--rows", "greedy-512-1", "--documents", 1, "--repeat", 1, "--litbank", litbank]
    done = run("--model", tmp_path / "tiny", *arguments)
    assert done.returncode == 0, done.stderr
    assert "| greedy | 512 | 1 | 1 |" in done.stdout
    assert "1 of 1" in done.stdout  # the same token ids on both sides

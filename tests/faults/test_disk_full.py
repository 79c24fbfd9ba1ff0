"""A disk that is full: an error that says so, the old result where there was one, and a way on.

The system's own limit of a file's size stands for it: writing fails in the middle of a file.
"""

from __future__ import annotations

import contextlib
import resource
from dataclasses import replace

import pytest
from jobs_to_kill import DOCUMENTS, Pretender
from mrp_rows import sentinel_row

from t5coref import cli, jobs
from t5coref.core.document import Annotation
from t5coref.core.errors import FormatError
from t5coref.corpora import jsonl
from t5coref.model import Model, from_scratch
from t5coref.mrp.rows import read_rows, write_rows
from t5coref.nn.t5 import T5Config


@contextlib.contextmanager
def full(size):
    """No file of this process gets larger than this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("size", [10, 300, 1000, 2500])
def test_a_job_goes_on_when_there_is_room_again(tmp_path, size):
    whole, output = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    jobs.run(Pretender(), iter(DOCUMENTS), whole)
    assert size < whole.stat().st_size
    with full(size), pytest.raises(OSError, match="File too large"):
        jobs.run(Pretender(), iter(DOCUMENTS), output)
    assert not output.exists()
    jobs.run(Pretender(), iter(DOCUMENTS), output)
    assert output.read_bytes() == whole.read_bytes()
    assert names(tmp_path) == [
        "out.jsonl", "out.jsonl.job.json", "whole.jsonl", "whole.jsonl.job.json",
    ]  # fmt: skip


def test_another_format_is_written_when_there_is_room_again(tmp_path):
    # Each row of CoNLL begins with the name: the output is larger than the records before it.
    named = [replace(d, doc_id=f"{d.doc_id}-{'x' * 60}") for d in DOCUMENTS]
    output, whole = tmp_path / "out.conll", tmp_path / "whole.conll"
    records = sum(len(jsonl.dumps(d)) for d in Pretender().predict(named))
    jobs.run(Pretender(), iter(named), whole, output_format="conll")
    assert whole.stat().st_size > records + 100
    with full(records + 100), pytest.raises(OSError, match="File too large"):
        jobs.run(Pretender(), iter(named), output, output_format="conll")
    assert not output.exists()
    jobs.run(Pretender(), iter(named), output, output_format="conll")
    assert output.read_bytes() == whole.read_bytes()


def test_an_old_model_stays_where_a_new_one_has_no_room(tmp_path, tokenizer):
    config = T5Config(
        vocab_size=tokenizer.size, emb_dim=16, num_heads=2, num_encoder_layers=1,
        num_decoder_layers=1, head_dim=8, mlp_dim=32,
    )  # fmt: skip
    old, new = (from_scratch(config, tokenizer, seed=seed) for seed in range(2))
    old.save(tmp_path / "model")
    with full(5000), pytest.raises(Exception, match=r"File too large|os error 27"):
        new.save(tmp_path / "model")
    assert names(tmp_path) == ["model"]
    assert Model.load(tmp_path / "model").fingerprint() == old.fingerprint()


def test_rows_that_had_no_room_are_not_there(tmp_path):
    rows = [sentinel_row(seed, 50) for seed in range(30)]
    with full(2000), pytest.raises(OSError, match="File too large"):
        write_rows(tmp_path, rows)
    with pytest.raises(FormatError, match="has no manifest"):
        read_rows(tmp_path)
    write_rows(tmp_path, rows)
    assert len(read_rows(tmp_path)) == len(rows)


@pytest.mark.parametrize("command", ["view", "report"])
def test_a_command_says_what_is_the_matter(tmp_path, capsys, command):
    path = tmp_path / "x.jsonl"
    jsonl.write([d.with_annotation(Annotation()) for d in DOCUMENTS[:3]], path)
    target = tmp_path / "page.html"
    argv = [command, str(path), *([str(path)] if command == "report" else [])]
    with full(5000):
        assert cli.main([*argv, "--output", str(target)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("t5coref: error: ")
    assert "File too large" in error
    assert not target.exists()

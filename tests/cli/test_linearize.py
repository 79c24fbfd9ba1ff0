"""`t5coref linearize`, and what the command line says when it is used wrongly."""

from __future__ import annotations

import json

import pytest

from t5coref import cli
from t5coref.core.document import Annotation, Document, Relation
from t5coref.corpora import jsonl
from t5coref.linearize import FORMATS, MENTION_GIVEN, PLAIN_TEXT, RELATIONS

DOCUMENT = Document(
    doc_id="d",
    words=("the", "dog", "saw", "it", ".", "Anna", "saw", "the", "dog", "."),
    sentences=((0, 5), (5, 10)),
    annotation=Annotation((((0, 2), (3, 4), (7, 9)), ((5, 6),))),
)


@pytest.fixture
def files(tmp_path, tokenizer):
    tokenizer.save(tmp_path)
    jsonl.write([DOCUMENT], tmp_path / "a.jsonl")
    crossing = DOCUMENT.with_annotation(Annotation((((0, 2), (1, 3)),)))
    jsonl.write([crossing, DOCUMENT], tmp_path / "b.jsonl")
    return tmp_path


def run(capsys, *argv):
    status = cli.main(["linearize", *map(str, argv)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_list_describes_every_format(capsys):
    status, out, _ = run(capsys, "--list")
    assert status == 0
    described = dict(line.split("  ", 1) for line in out.splitlines())
    assert [name.strip() for name in described] == sorted(FORMATS)
    assert all(text.endswith(".") and len(text) < 90 for text in described.values())


@pytest.mark.parametrize("name", sorted(set(MENTION_GIVEN) - {"qa-text"}))
def test_mentions_that_are_given_are_marked(files, capsys, name):
    argv = (files / "a.jsonl", "--tokenizer", files, "--format", name)
    status, out, _ = run(capsys, *argv)
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [row["turn"] for row in rows] == list(range(len(rows)))
    for row in rows:
        assert [p for p in row["source"] if p.startswith("<m")] == ["<m0>", "<m1>", "<m2>", "<m3>"]
        assert row["source"].count("</m>") == 4
        assert row["actions"][-1] == "</s>"


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {*RELATIONS, *PLAIN_TEXT, *MENTION_GIVEN}))
def test_one_turn_a_line(files, capsys, name):
    argv = (files / "a.jsonl", "--tokenizer", files, "--format", name)
    status, out, _ = run(capsys, *argv)
    (row,) = map(json.loads, out.splitlines())
    assert status == 0
    assert list(row) == ["doc_id", "turn", "offset", "source", "actions", "feeds"]
    assert row["doc_id"] == "d"
    assert row["source"][-1] == "</s>"
    assert len(row["actions"]) == len(row["feeds"])
    assert row["actions"].count("<m>") == 4
    feeds = row["feeds"]
    if name == "input-feed":
        assert [action for _, action in feeds] == row["actions"]
        feeds = [piece for piece, _ in feeds]
    assert feeds[-1] == "</s>"
    copied = [f for a, f in zip(row["actions"], feeds, strict=True) if a == "<copy>"]
    if name == "tagging":
        assert copied == ["<copy>"] * (len(row["source"]) - 1)
    elif copied:
        assert copied == row["source"]


@pytest.mark.parametrize("name", RELATIONS)
def test_relations(tmp_path, tokenizer, capsys, name):
    """The names are those of the files."""
    tokenizer.save(tmp_path)
    clusters = DOCUMENT.annotation.clusters
    related = Annotation(
        clusters, (Relation(0, 1, "near"), Relation(1, 0, "far")), types=("X", "Y")
    )
    jsonl.write([DOCUMENT.with_annotation(related)], tmp_path / "a.jsonl")
    jsonl.write([DOCUMENT], tmp_path / "b.jsonl")
    argv = ("--tokenizer", tmp_path, "--format", name, tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    status, out, _ = run(capsys, *argv)
    first, second = map(json.loads, out.splitlines())
    assert status == 0
    written = [a for a in first["actions"] if a.startswith("<rel:")]
    assert sorted(written) == ["<rel:far>", "<rel:near>"]
    assert "<type:X>" in first["source"] + first["actions"]
    assert not [a for a in second["actions"] if a.startswith("<rel")]
    _, out, _ = run(capsys, *argv, "--check")
    assert " re 100.00  (1 document" in out.splitlines()[0]
    _, out, _ = run(capsys, *argv, "--check", "--json")
    assert json.loads(out.splitlines()[-1])["re"]["recall"] == 1.0


def test_published_targets(tmp_path, tokenizer, capsys):
    tokenizer.save(tmp_path)
    crossing = DOCUMENT.with_annotation(Annotation((((3, 7), (7, 9)),)))
    jsonl.write([crossing], tmp_path / "a.jsonl")
    argv = (tmp_path / "a.jsonl", "--tokenizer", tmp_path, "--format", "partial")

    def rows(*more):
        return [json.loads(line) for line in run(capsys, *argv, *more)[1].splitlines()]

    (strict,), published = rows(), rows("--pieces", "reference")
    # The published constraint has mentions across sentence marks, its windows go on to the end.
    assert (strict["actions"].count("<m>"), published[0]["actions"].count("<m>")) == (1, 2)
    few = "--window", "30", "--stride", "10"
    assert len(rows("--pieces", "reference", *few)) > len(rows(*few))


def test_windows(files, capsys):
    _, out, _ = run(capsys, files / "a.jsonl", "--tokenizer", files, "--window", 20, "--stride", 19)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [r["turn"] for r in rows] == list(range(len(rows)))
    assert len(rows) > 1
    assert all(len(r["source"]) <= 20 for r in rows)
    assert rows[1]["offset"] == len(rows[0]["source"]) - 1


def test_check_prints_each_file_and_all(files, capsys):
    argv = ("--check", "--tokenizer", files, files / "a.jsonl", files / "b.jsonl")
    status, out, _ = run(capsys, *argv)
    lines = out.splitlines()
    assert status == 0
    assert lines[0].startswith(f"{files / 'a.jsonl'}: muc 100.00")
    assert lines[-1].startswith("all: ")
    assert "(3 documents, 1 mentions lost)" in lines[-1]
    _, out, _ = run(capsys, *argv, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [r["lost_mentions"] for r in rows] == [0, 1, 1]
    assert rows[0]["conll"]["f1"] == 1.0
    assert rows[2]["mentions"]["recall"] == pytest.approx(9 / 10)


def test_errors_name_the_fix(files, capsys, monkeypatch):
    assert run(capsys)[0] == 2
    status, _, err = run(capsys, files / "a.jsonl", "--tokenizer", files / "none")
    assert status == 2
    assert "spiece.model" in err
    status, _, err = run(capsys, files / "a.jsonl", "--tokenizer", files, "--format", "x")
    assert "full-copy" in err
    status, _, err = run(capsys, files / "no.jsonl", "--tokenizer", files)
    assert (status, "no.jsonl" in err) == (2, True)
    monkeypatch.setenv("T5COREF_TOKENIZER", str(files))
    assert run(capsys, files / "a.jsonl")[0] == 0


@pytest.mark.parametrize("command", [[], *([name] for name in cli.COMMANDS)])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as done:
        cli.main([*command, "--help"])
    out = capsys.readouterr().out
    assert done.value.code == 0
    assert len(out.splitlines()) > 6


def test_unknown_command_names_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        cli.main(["lineraize"])
    assert "linearize" in capsys.readouterr().err

"""`t5coref prepare`: what it writes and says, and how it answers wrong use."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from t5coref import cli
from t5coref.core.document import Annotation, Document
from t5coref.corpora import jsonl

pytestmark = [
    # TensorFlow's and SeqIO's own, which they emit on import and while they run.
    pytest.mark.filterwarnings(f"ignore:.*:{kind}")
    for kind in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
]


def stories(count):
    return [
        Document(
            doc_id=f"d{i}",
            words=("the", "dog", "saw", "it", ".", "Anna", "saw", "the", "dog", "."),
            sentences=((0, 5), (5, 10)),
            annotation=Annotation((((0, 2), (3, 4), (7, 9)), ((5, 6),))),
        )
        for i in range(count)
    ]


@pytest.fixture
def files(tmp_path, tokenizer):
    tokenizer.save(tmp_path)
    jsonl.write([*stories(5), Document(doc_id="plain", words=("a",))], tmp_path / "all.jsonl")
    (tmp_path / "train.ids").write_text("d0\nd1\nd3\nplain\n")
    (tmp_path / "dev.ids").write_text("d4\n")
    return tmp_path


def run(capsys, *argv):
    status = cli.main(["prepare", *map(str, argv)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def needs_tensorflow():
    pytest.importorskip("tensorflow")


def test_splits_by_ids_from_one_set_of_files(files, capsys):
    needs_tensorflow()
    argv = ("--corpus", "jsonl", "--input", files / "*.jsonl", "--tokenizer", files)
    argv += ("--split", f"train={files}/train.ids", "--split", f"validation={files}/dev.ids")
    argv += ("--option", "window=8", "--output", files / "out", "--shards", 2, "--workers", 1)
    status, out, err = run(capsys, *argv)
    assert status == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][1:4] == ["full-copy", "(window", "8),"]
    train, left_out, validation = lines[2:5]
    assert train[:2] == ["train", "3"]
    assert validation[:2] == ["validation", "1"]
    assert int(train[2]) == 3 * int(validation[2]) > 3
    assert train[4] == "8"
    assert left_out == ["left", "out:", "1", "document", "without", "annotation"]
    assert run(capsys, *argv)[1] == out
    assert run(capsys, *argv[:-6], "--option", "window=9", "--output", files / "out")[0] == 2

    status, checked, _ = run(capsys, "--check", files / "out")
    assert status == 0
    assert checked.splitlines()[-1] == "all files are as they were written"
    assert checked.splitlines()[:-1] == out.splitlines()
    shard = next((files / "out").glob("train.tfrecord-00001-*"))
    shard.write_bytes(shard.read_bytes()[:-2])
    status, _, err = run(capsys, "--check", files / "out")
    assert status == 1
    assert shard.name in err


def test_files_by_split(files, capsys):
    needs_tensorflow()
    argv = ("--split", f"train={files}/all.jsonl", "--tokenizer", files, "--format", "tagging")
    status, out, err = run(capsys, *argv, "--output", files / "out", "--workers", 1, "--quiet")
    assert status == 0, err
    assert err == ""
    assert out.split()[1] == "tagging"


def test_a_registered_task_with_workers(files, capsys):
    pytest.importorskip("seqio")
    folder = files / "corpora" / "preco"
    folder.mkdir(parents=True)
    from t5coref.corpora import preco

    preco.write(stories(3), folder / "train.jsonl")
    preco.write(stories(2), folder / "dev.jsonl")
    argv = ("--task", "preco_integer_free", "--data", files / "corpora", "--tokenizer", files)
    argv += ("--split", "train", "--split", "validation", "--output", files / "out")
    status, out, err = run(capsys, *argv, "--workers", 2)
    assert status == 0, err
    assert [line.split()[:2] for line in out.splitlines()[2:]] == [
        ["train", "3"],
        ["validation", "2"],
    ]
    status, _, err = run(capsys, "--task", "preco_integer", "--output", files / "out")
    assert status == 2
    assert "did you mean" in err
    assert "preco_integer_free" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "--output"),
        (("--output", "o"), "--split NAME=PATH"),
        (("--output", "o", "--split", "train"), "expected --split NAME=VALUE"),
        (("--output", "o", "--split", "a=b", "--split", "a=c"), "given twice"),
        (("--output", "o", "--split", "a=nowhere.jsonl"), "nowhere.jsonl"),
        (("--output", "o", "--split", "a=b", "--option", "window"), "expected --option NAME=VALUE"),
        (("--output", "o", "--split", "a=b", "--data", "d"), "--data belongs to --task"),
        (("--output", "o", "--task", "t", "--format", "tagging"), "--format is given with --task"),
        (("--check", "nowhere"), "manifest.json"),
    ],
)
def test_wrong_use_is_answered_with_what_to_do(files, capsys, monkeypatch, argv, message):
    needs_tensorflow()
    monkeypatch.chdir(files)
    status, _, err = run(capsys, *argv)
    assert status == 2
    assert message in err
    assert not (files / "o").exists()


def test_wrong_options_leave_no_folder(files, capsys):
    needs_tensorflow()
    argv = ("--split", f"train={files}/all.jsonl", "--tokenizer", files, "--option", "windows=3")
    status, _, err = run(capsys, *argv, "--output", files / "out")
    assert status == 2
    assert "windows" in err
    assert not (files / "out").exists()


def test_without_tensorflow_it_says_what_to_install(files, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorflow" else find(name)
    )
    status, _, err = run(capsys, "--split", f"train={files}/all.jsonl", "--output", files / "out")
    assert status == 2
    assert "t5coref[seqio]" in err


def test_another_tasks_module_in_front_of_ours_is_named(files):
    pytest.importorskip("seqio")
    (files / "tasks.py").write_text("")
    command = [sys.executable, "-m", "t5coref", "prepare", "--task", "gum_tagging"]
    done = subprocess.run(
        [*command, "--output", "out"], cwd=files, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert str(files / "tasks.py") in done.stderr
    assert "rename" in done.stderr

"""`t5coref t5x`: what is passed on, and what is said where T5X is missing. Needs no T5X."""

from __future__ import annotations

import sys

import pytest

from t5coref import cli
from t5coref.cli.t5x import flags


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("--gin.MODEL_DIR=runs/x", "--gin_bindings=MODEL_DIR = 'runs/x'"),
        ("--gin.MODEL_DIR='runs/x'", "--gin_bindings=MODEL_DIR = 'runs/x'"),
        ('--gin.MODEL_DIR="gs://b/x"', '--gin_bindings=MODEL_DIR = "gs://b/x"'),
        ("--gin.BATCH_SIZE=8", "--gin_bindings=BATCH_SIZE = 8"),
        ("--gin.SUBMESH=(1, 2)", "--gin_bindings=SUBMESH = (1, 2)"),
        ("--gin.TASK={'inputs': 3}", "--gin_bindings=TASK = {'inputs': 3}"),
        ("--gin.x.f=@y.g()", "--gin_bindings=x.f=@y.g()"),
        ("--gin.x.f=[@y.g, 3]", "--gin_bindings=x.f=[@y.g, 3]"),
        ("--gin.x.f=%MACRO", "--gin_bindings=x.f=%MACRO"),
        ("--gin_file=a.gin", "--gin_file=a.gin"),
        ("--logtostderr", "--logtostderr"),
        ("--tfds_data_dir=x=y", "--tfds_data_dir=x=y"),
    ],
)
def test_flags(given, passed):
    assert flags([given]) == [passed]


def test_values_behind_a_flag_are_left_alone():
    assert flags(["--gin_file", "a.gin", "--alsologtostderr"]) == [
        "--gin_file", "a.gin", "--alsologtostderr"
    ]  # fmt: skip


def test_missing_t5x(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "seqio", None)
    monkeypatch.delitem(sys.modules, "t5coref.t5x_adapter", raising=False)
    assert cli.main(["t5x", "train", "--gin_file=a.gin"]) == 2
    said = capsys.readouterr().err
    assert "there is no module 'seqio'" in said
    assert "docs/t5x.md" in said


def test_help_names_the_programs(capsys):
    with pytest.raises(SystemExit):
        cli.main(["t5x", "--help"])
    said = capsys.readouterr().out
    for word in ("train", "eval", "infer", "--gin_file", "--multihost", "docs/t5x.md"):
        assert word in said

"""Metrics against the figures that the official scorers' own test suites expect."""

from __future__ import annotations

import ast
import csv
import pathlib

import pytest

from t5coref import corpora
from t5coref.core import metrics

NAMES = {"bcub": "b3", "b_cubed": "b3", "blancc+blancn": "blanc"}
TOLERANCE = 5e-5  # four decimals; the figures themselves are rounded to five or more


def rows(path: pathlib.Path):
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t")


def check(key: pathlib.Path, response: pathlib.Path, expected: dict[str, tuple], **options) -> None:
    """Reads both files and compares (recall, precision, f1) of every metric."""
    sides = [list(corpora.read(path, **options)) for path in (key, response)]
    assert [d.doc_id for d in sides[0]] == [d.doc_id for d in sides[1]]
    scores = metrics.score_corpus(
        [(k.annotation.clusters, r.annotation.clusters) for k, r in zip(*sides, strict=True)],
        expected,
    )
    for name, figures in expected.items():
        precision, recall, f1 = scores[name]
        assert (recall, precision, f1) == pytest.approx(figures, abs=TOLERANCE), (response, name)


def check_table(table: pathlib.Path, columns: tuple[str, str, str], locate, **options) -> int:
    """Checks all rows of a table whose files `locate` finds; returns how many rows there were."""
    expected: dict[tuple, dict[str, tuple]] = {}
    n = 0
    for row in rows(table):
        files = locate(row)
        if files is not None:
            name = NAMES.get(row["metric"], row["metric"])
            expected.setdefault(files, {})[name] = tuple(float(row[c]) for c in columns)
            n += 1
    for (key, response), figures in expected.items():
        check(key, response, figures, **options)
    return n


def arguments(row) -> tuple[list, dict]:
    """Arguments of the call `read(...)` in the column `doc`."""
    call = ast.parse(row["doc"], mode="eval").body
    assert isinstance(call, ast.Call)
    return (
        [ast.literal_eval(a) for a in call.args],
        {k.arg: ast.literal_eval(k.value) for k in call.keywords},
    )


def test_conll_scorer(shared):
    folder = shared / "data" / "conll_scorer_tests"

    def locate(row):
        return folder / row["key"], folder / row["response"]

    n = check_table(
        folder / "expected_scores.tsv",
        ("recall", "precision", "f1"),
        locate,
        format="conll2012",
    )
    assert n == 65


COLUMNS = ("v1_recall", "v2_precision", "v3_f1")


def test_corefud_scorer_on_conll_files(shared):
    folder = shared / "data" / "corefud_scorer_tests"

    def locate(row):
        return tuple(folder / "tests-conll" / name for name in arguments(row)[0])

    table = folder / "expected_scores_conll.tsv"
    assert check_table(table, COLUMNS, locate, format="conll2012") == 72


def test_corefud_scorer_with_exact_match(shared):
    folder = shared / "data" / "corefud_scorer_tests"

    def locate(row):
        names, options = arguments(row)
        if options != {"matching": "exact"}:
            return None
        return tuple(folder / "tests-corefud" / "exact-match" / name for name in names)

    assert check_table(folder / "expected_scores_corefud.tsv", COLUMNS, locate) == 73

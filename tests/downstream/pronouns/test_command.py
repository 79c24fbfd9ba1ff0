"""`t5coref cloze`: tables, JSON, prediction files, mistakes; and learning from a gin file."""

from __future__ import annotations

import json
import re

import gin
import pytest

from t5coref import cli
from t5coref.downstream.pronouns import gap

HEADER = "\t".join(gap.COLUMNS)


def gap_row(name, pronoun, a, b, coref):
    text = f"{a} sings and {b} runs because {pronoun} sings ."
    cells = (
        name, text, pronoun, text.index(f" {pronoun} ") + 1, a, 0, str(coref[0]).upper(), b,
        text.index(f" {b} ") + 1, str(coref[1]).upper(), "url",
    )  # fmt: skip
    return "\t".join(map(str, cells))


@pytest.fixture(scope="module")
def files(model, questions, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cloze")
    model.save(folder / "t5")
    rows = [
        gap_row("v-1", "she", "Ann", "Ben", (True, False)),
        gap_row("v-2", "he", "Ben", "Dan", (False, True)),
        gap_row("v-3", "he", "Cleo", "Dan", (False, False)),
        gap_row("v-4", "she", "Dan", "Ann", (True, False)).replace("\t0\t", "\t1\t"),
    ]
    (folder / "gap.tsv").write_text("\n".join([HEADER, *rows]) + "\n")
    blocks = [
        f"{q.text}\nshe\n{','.join(c.text for c in q.candidates)}\n{q.candidates[q.true[0]].text}\n"
        for q in questions
    ]
    (folder / "dpr.txt").write_text("\n".join(blocks))
    return folder


def run(capsys, *arguments):
    status = cli.main(["cloze", "--quiet", "--batch-size", "8", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_several_sets(files, capsys):
    status, out, err = run(
        capsys, "--model", files / "t5", "--set", "gap", files / "gap.tsv",
        "--set", "dpr", files / "dpr.txt", "--json", "--output-dir", files / "out",
    )  # fmt: skip
    assert status == 1  # v-4 could not be read
    assert f"{files}/gap.tsv:5: example 'v-4': offsets (1, 4) are those of" in err
    assert "1 example could not be read or scored" in err
    of_gap, of_dpr = json.loads(out)
    predictions = gap.read_predictions(files / "out" / "gap.tsv")
    assert set(predictions) == {"v-1", "v-2", "v-3"}
    assert all(sum(labels) == 1 for labels in predictions.values())
    overall = of_gap["gap"]["overall"]
    assert of_gap["gap"]["missing"] == 1
    assert overall["fn"] >= 2  # both names of the example that could not be read
    assert sum(overall[k] for k in ("tp", "fp", "fn", "tn")) == 8
    assert (of_gap["errors"], of_gap["right"] + of_gap["wrong"]) == (1, 2)
    assert of_dpr["right"] + of_dpr["wrong"] == 12
    assert of_dpr["accuracy"] == of_dpr["right"] / 12
    records = [json.loads(x) for x in (files / "out" / "dpr.jsonl").read_text().splitlines()]
    assert [r["name"] for r in records] == [f"dpr-{i}" for i in range(1, 13)]
    assert sum(r["best"] == r["true"] for r in records) == of_dpr["right"]
    # Their own scores again, from the file alone.
    status, out, _ = run(
        capsys, "--predicted", files / "out" / "gap.tsv", "--set", "gap", files / "gap.tsv",
        "--json",
    )  # fmt: skip
    assert status == 0
    assert json.loads(out)[0]["gap"] == of_gap["gap"]


def test_the_table(files, capsys):
    status, out, _ = run(
        capsys, "--model", files / "t5", "--set", "dpr", files / "dpr.txt", "--length", "mean"
    )
    assert status == 0
    title, columns, row = out.splitlines()
    assert title == f"dpr  {files / 'dpr.txt'}"
    assert columns.split() == ["examples", "right", "tied", "errors", "accuracy", "published"]
    assert row.split()[:2] == ["all", "12"]


def test_the_table_of_gap(files, capsys):
    (files / "said.tsv").write_text("v-1\tTRUE\tFALSE\nv-2\tFALSE\tTRUE\nv-3\tFALSE\tFALSE\n")
    status, out, err = run(
        capsys, "--predicted", files / "said.tsv", "--set", "gap", files / "gap.tsv"
    )
    assert status == 0
    assert "lacks 1 example; they count as false negatives" in err
    lines = [line.split() for line in out.splitlines()[2:]]
    assert lines == [
        ["overall", "100.0", "50.0", "66.7"],
        ["masculine", "100.0", "100.0", "100.0"],
        ["feminine", "100.0", "33.3", "50.0"],
        ["bias", "(F/M)", "0.50"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "gab", "x"], "no such set; there are gap, dpr"),
        (["--set", "pdp"], "--set pdp without a file; Pronoun Disambiguation .* is at https://"),
        (["--set", "pdp", "x.txt"], "no file 'x.txt'; Pronoun Disambiguation"),
        (
            ["--set", "dpr", "{dpr}", "{dpr}", "--output-dir", "{out}"],
            "two inputs are called 'dpr'",
        ),
        (["--set", "dpr", "{dpr}", "--persons", "x"], "--persons changes the candidates of GAP"),
    ],
)
def test_what_the_user_can_mend(files, capsys, arguments, message):
    given = [a.format(dpr=files / "dpr.txt", out=files / "twice") for a in arguments]
    status, _, err = run(capsys, "--model", files / "t5", *given)
    assert status == 2
    assert re.search(message, err)


def test_predictions_of_others_are_of_gap(files, capsys):
    status, _, err = run(
        capsys, "--predicted", files / "gap.tsv", "--set", "dpr", files / "dpr.txt"
    )
    assert (status, "expected one --set gap FILE" in err) == (2, True)


@pytest.mark.slow
def test_learning_from_a_gin_file_and_asking_the_model(files, capsys):
    gin.clear_config()
    data = files / "dpr.txt"
    status = cli.main([
        "train", "--quiet", "--gin_file", "gin/pronouns/dpr.gin", f"--gin.MODEL={files / 't5'}",
        f"--gin.OUTPUT={files / 'run'}", f"--gin.TRAIN_FILES={data}", f"--gin.DEV_FILES={data}",
        "--gin.EPOCHS=None", "--gin.STEPS=400", "--gin.BATCH_SIZE=12", "--gin.RATE=5e-3",
        "--gin.fit.eval_every=40", "--gin.fit.stop_at=1.0", "--gin.adamw.decay=constant",
        "--gin.adamw.warmup=0",
    ])  # fmt: skip
    assert status == 0
    assert "accuracy 100.00 on the dev documents" in capsys.readouterr().out
    status, out, _ = run(capsys, "--model", files / "run" / "best", "--set", "dpr", data, "--json")
    assert status == 0
    assert json.loads(out)[0]["accuracy"] == 1.0

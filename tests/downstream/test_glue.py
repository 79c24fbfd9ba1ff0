"""GLUE: its files, T5's text form, the official metrics, submissions, a classifier."""

from __future__ import annotations

import io
import itertools
import math
import zipfile

import numpy as np
import pytest

from t5coref.core.errors import ConfigError, FormatError
from t5coref.downstream.glue import NO_CLASS, TASKS, GlueReader, split_mrpc, task_of
from t5coref.downstream.glue_head import GlueClassification, classify, rows_of
from t5coref.downstream.glue_metrics import GlueMetric, accuracy, f1, matthews, scores, spearman
from t5coref.downstream.glue_submission import write_submission
from t5coref.downstream.head_model import HeadModel
from t5coref.downstream.head_objective import HeadObjective
from t5coref.downstream.head_rows import shortened
from t5coref.downstream.text import Mistakes, TextExample
from t5coref.model import from_scratch
from t5coref.nn.stack import T5Config
from t5coref.train.loop import fit
from t5coref.train.optimizers import adamw

TINY = T5Config(
    vocab_size=1, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1, head_dim=8,
    mlp_dim=32, dropout_rate=0.0,
)  # fmt: skip
SAMPLES = "data/format_samples/hf_datasets_dummy_Apache2/glue/dummy"

FIRST = {  # of the real samples: split -> inputs and targets of the first row
    ("cola", "CoLA/train.tsv"): (
        "cola sentence: Our friends won't buy this analysis, let alone the next one we propose.",
        "acceptable",
    ),
    ("cola", "CoLA/test.tsv"): ("cola sentence: Bill whistled past the house.", ""),
    ("sst2", "SST-2/dev.tsv"): (
        "sst2 sentence: it 's a charming and often affecting journey .", "positive",
    ),
    ("mrpc", "MRPC/train"): (
        'mrpc sentence1: Amrozi accused his brother , whom he called " the witness " , of '
        "deliberately distorting his evidence . sentence2: Referring to him as only \" the witness "
        '" , Amrozi accused his brother of deliberately distorting his evidence .',
        "equivalent",
    ),
    ("stsb", "SST-B/dev.tsv"): (
        "stsb sentence1: A man with a hard hat is dancing. sentence2: A man wearing a hard hat is "
        "dancing.", "5.0",
    ),
    ("qqp", "QQP/dev.tsv"): (
        "qqp question1: Why are African-Americans so beautiful? question2: Why are hispanics so "
        "beautiful?", "not_duplicate",
    ),
    ("mnli", "MNLI/dev_matched.tsv"): (
        "mnli hypothesis: Everyone really likes the newest benefits premise: The new rights are "
        "nice enough", "neutral",
    ),
    ("qnli", "QNLI/dev.tsv"): (
        "qnli question: What came into force after the new constitution was herald? sentence: As "
        "of that day, the new constitution heralding the Second Republic came into force.",
        "entailment",
    ),
    ("rte", "RTE/train.tsv"): (
        "rte sentence1: No Weapons of Mass Destruction Found in Iraq Yet. sentence2: Weapons of "
        "Mass Destruction Found in Iraq.", "not_entailment",
    ),
    ("wnli", "WNLI/dev.tsv"): (
        "wnli sentence1: The drain is clogged with hair. It has to be cleaned. sentence2: The hair "
        "has to be cleaned.", "not_entailment",
    ),
    ("ax", "ax.tsv"): (
        "mnli hypothesis: The cat did not sit on the mat. premise: The cat sat on the mat.", "",
    ),
}  # fmt: skip


def member(shared, task, path):
    (archive,) = (shared / SAMPLES / task).rglob("*.zip")
    with zipfile.ZipFile(archive) as files:
        return files.read(f"dummy_data/{path}")


@pytest.mark.parametrize(("task", "path"), list(FIRST))
def test_real_samples(shared, tmp_path, task, path):
    file = tmp_path / "file.tsv"
    file.write_bytes(member(shared, task, path))
    examples = GlueReader(task)(str(file))
    assert (examples[0].inputs, examples[0].targets) == FIRST[task, path]
    assert len({example.name for example in examples}) == len(examples)


def test_every_file_of_the_samples_can_be_read(shared, tmp_path):
    count = 0
    for task in TASKS:
        (archive,) = (shared / SAMPLES / task).rglob("*.zip")
        with zipfile.ZipFile(archive) as files:
            for name in files.namelist():
                if name.endswith("/") or name.endswith("dev_ids"):
                    continue
                path = tmp_path / f"{task}.tsv"
                path.write_bytes(files.read(name))
                examples = GlueReader(task)(str(path))
                rows = io.BytesIO(files.read(name)).read().decode("utf-8-sig").splitlines()
                headless = task == "cola" and "test" not in name
                assert len(examples) == len(rows) - (not headless)
                count += 1
    assert count == 29


def test_mrpc_of_microsoft(shared, tmp_path):
    train, ids = tmp_path / "train", tmp_path / "dev_ids"
    train.write_bytes(member(shared, "mrpc", "MRPC/train"))
    ids.write_bytes(member(shared, "mrpc", "MRPC/dev_ids").splitlines()[0])
    examples = GlueReader("mrpc")(str(train))
    kept, held_out = split_mrpc(examples, str(train), str(ids))
    assert [e.name for e in held_out] == ["mrpc-0"]
    assert [e.name for e in [*held_out, *kept]] == [e.name for e in examples]
    with pytest.raises(FormatError, match="#1 ID"):
        split_mrpc(examples[1:], str(train), str(ids))


def write(tmp_path, *rows):
    path = tmp_path / "file.tsv"
    path.write_text("".join(f"{row}\n" for row in rows), "utf-8")
    return str(path)


def test_quotes_are_text(tmp_path):
    path = write(tmp_path, "sentence\tlabel", '"open\t1', 'he said "no" \t0')
    assert [e.data["texts"] for e in GlueReader("sst2")(path)] == [['"open'], ['he said "no"']]


def test_broken_rows_are_named_and_left_out(tmp_path):
    path = write(
        tmp_path, "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "1\t2\t3\ta?\tb?\t1",
        "4\t5\t6\tonly one", "7\t8\t9\t\t\t0", "10\t11\t12\tc?\td?\t2", "13\t14\t15\te?\tf?\t-1",
    )  # fmt: skip
    mistakes = Mistakes()
    examples = GlueReader("qqp")(path, mistakes)
    assert [(e.name, e.data["label"]) for e in examples] == [("qqp-1", 1), ("qqp-13", None)]
    assert [m.split("file.tsv:")[1] for m in mistakes.messages] == [
        "3: 4 columns; expected 6 as in the header",
        "4: no text in it; expected 2",
        "5: label '2'; expected 0 or 1",
    ]
    with pytest.raises(FormatError, match=r"file\.tsv:3: 4 columns"):
        GlueReader("qqp")(path)


def test_files_of_another_task(tmp_path):
    with pytest.raises(FormatError, match="no column question1 for the question1 of QQP"):
        GlueReader("qqp")(write(tmp_path, "sentence\tlabel", "a\t1"))
    with pytest.raises(FormatError, match="the file is empty"):
        GlueReader("rte")(write(tmp_path))
    with pytest.raises(ConfigError, match=r"no task 'boolq'; it has cola,"):
        GlueReader("boolq")("x")
    bad = write(tmp_path, "index\tsentence1\tsentence2\tscore", "0\ta\tb\t5.5")
    with pytest.raises(FormatError, match=r"score '5\.5'; expected a number from 0 to 5"):
        GlueReader("stsb")(bad)


@pytest.mark.parametrize("score", [0.0, 0.25, 3.8, 4.75, 5.0])
def test_scores_as_text(score):
    """Multiples of 0.2, as T5 was trained to write them."""
    task = task_of("stsb")
    written = task.target(score)
    assert abs(task.label(written) - score) <= 0.1
    assert math.isclose(task.label(written) * 5 % 1, 0, abs_tol=1e-9) or math.isclose(
        task.label(written) * 5 % 1, 1, abs_tol=1e-9
    )
    assert task.label("similar") == NO_CLASS


def brute_matthews(gold, found):
    """Gorodkin's sum over all triples of classes."""
    classes = sorted({*gold, *found})
    table = {(a, b): sum(g == a and f == b for g, f in zip(gold, found, strict=True))
             for a in classes for b in classes}  # fmt: skip
    c = table.__getitem__
    above = sum(
        c((k, k)) * c((m, n)) - c((n, k)) * c((k, m))
        for k, m, n in itertools.product(classes, repeat=3)
    )

    def spread(pair):
        return sum(
            sum(c(pair(k, m)) for m in classes)
            * sum(c(pair(n, m)) for n in classes if n != k for m in classes)
            for k in classes
        )

    below = math.sqrt(spread(lambda k, m: (k, m))) * math.sqrt(spread(lambda k, m: (m, k)))
    return above / below if below else 0.0


def test_metrics_by_brute_force():
    random = np.random.default_rng(0)
    for _ in range(200):
        size, classes = random.integers(1, 12), random.integers(2, 4)
        gold = random.integers(0, classes, size).tolist()
        found = random.integers(-1, classes, size).tolist()
        assert math.isclose(matthews(gold, found), brute_matthews(gold, found), abs_tol=1e-12)
        pairs = list(zip(gold, found, strict=True))
        assert math.isclose(accuracy(gold, found), sum(g == f for g, f in pairs) / size)
        hits, given, wanted = pairs.count((1, 1)), found.count(1), gold.count(1)
        precision, recall = hits / given if given else 0, hits / wanted if wanted else 0
        both = precision + recall
        assert math.isclose(f1(gold, found), 2 * precision * recall / both if both else 0.0)


def test_metrics_where_nothing_can_be_divided():
    assert matthews([1, 1, 1], [1, 1, 1]) == 0.0
    assert f1([0, 0], [0, 0]) == 0.0
    assert scores("stsb", [1.0, 2.0], [3.0, 3.0])["glue"] == 0.0
    assert spearman([1.0, 2.0, 3.0], [10.0, 20.0, 21.0]) == 1.0
    with pytest.raises(ConfigError, match="0 predictions for 0 examples"):
        scores("rte", [], [])


@pytest.mark.parametrize("name", [name for name in TASKS if name != "ax"])
def test_what_is_written_is_scored(tmp_path, name):
    """Gold texts are perfect, nonsense is not."""
    task = TASKS[name]
    codes = task.codes or ("1.0", "3.2", "4.8")
    columns = [c[0] for _, c in task.texts] + [task.label_columns[0]]
    rows = ["\t".join(["a"] * len(task.texts) + [code]) for code in codes * 2]
    examples = GlueReader(name)(write(tmp_path, "\t".join(columns), *rows))
    metric = GlueMetric(name)
    perfect = metric(examples, [e.targets for e in examples])
    assert set(perfect) == {*task.metrics, "glue"}
    assert all(math.isclose(value, 100.0) for value in perfect.values())
    nonsense = metric(examples, ["nonsense"] * len(examples))
    assert all(value <= 0.0 for value in nonsense.values())
    assert metric == GlueMetric(name)


def test_test_files_have_nothing_to_score(tmp_path):
    examples = GlueReader("rte")(write(tmp_path, "index\tsentence1\tsentence2", "0\ta\tb"))
    with pytest.raises(ConfigError, match="no example of rte has a label"):
        GlueMetric("rte")(examples, ["entailment"])


def test_submissions(tmp_path):
    rows = [f"{i}\ta\tb" for i in (0, 1, 2)]
    pairs = GlueReader("mnli")(write(tmp_path, "index\tsentence1\tsentence2", *rows))
    file = write_submission(tmp_path / "out", "mnli", pairs, [0, 2, NO_CLASS], mismatched=True)
    assert file.name == "MNLI-mm.tsv"
    wanted = "index\tprediction\n0\tentailment\n1\tcontradiction\n2\tentailment\n"
    assert file.read_text() == wanted
    file = write_submission(tmp_path / "out", "stsb", pairs, [-0.3, 2.0625, 7])
    assert file.read_text().splitlines()[1:] == ["0\t0.000", "1\t2.062", "2\t5.000"]
    file = write_submission(tmp_path / "out", "wnli", pairs, [1, 0, 1])
    assert file.read_text().splitlines()[1:] == ["0\t1", "1\t0", "2\t1"]
    with pytest.raises(ConfigError, match="2 labels for 3 rows"):
        write_submission(tmp_path, "rte", pairs, [0, 1])
    with pytest.raises(ConfigError, match="class 3 of mnli"):
        write_submission(tmp_path, "mnli", pairs, [0, 1, 3])
    with pytest.raises(ConfigError, match="one test file only"):
        write_submission(tmp_path, "rte", pairs, [0, 1, 0], mismatched=True)


def halves(tmp_path):
    """A training file of RTE whose class is told by every word."""
    rows = [f"{i}\tthe dog saw {w}\tdog\tentailment" for i, w in enumerate("aeiou")]
    rows += [f"{i}\tAnna gave {w}\tAnna\tnot_entailment" for i, w in enumerate("aeiou", 5)]
    return write(tmp_path, "index\tsentence1\tsentence2\tlabel", *rows)


def test_dev_scores_of_a_classifier(tokenizer, tmp_path):
    path = halves(tmp_path)
    task = GlueClassification(task="rte", train_file=path, dev_file=path)
    score = task.scorer(tokenizer)
    rows = task.rows(tokenizer)
    assert score is not None
    assert task.batch(rows[3:7], None)["label"].tolist() == [0, 0, 1, 1]

    def said(seen):
        assert [row.name for row in seen] == [row.name for row in rows]
        return [np.asarray([0.0, row.label - 0.5 if i else 1.0]) for i, row in enumerate(seen)]

    assert score(said) == {"accuracy": 0.9, "glue": 0.9}
    assert GlueClassification(task="rte", train_file=path).scorer(tokenizer) is None
    other = write(tmp_path, "index\tsentence1\tsentence2\tscore", "0\ta\tb\t3.8")
    scored = GlueClassification(task="stsb", train_file=other)
    assert scored.head.classes == 1
    assert scored.batch(scored.rows(tokenizer), None)["label"].tolist() == [np.float32(3.8)]
    bare = write(tmp_path, "index\tsentence1\tsentence2", "0\ta\tb")
    with pytest.raises(ConfigError, match="no example of rte with a label"):
        GlueClassification(task="rte", train_file=bare)


@pytest.mark.slow
def test_a_classifier(tokenizer, tmp_path):
    """Learned, saved, and used on a test file."""
    train = halves(tmp_path)
    task = GlueClassification(task="rte", train_file=train, dev_file=train, dropout_rate=0.0)
    result = fit(
        objective=HeadObjective(base=from_scratch(TINY, tokenizer), task=task),
        output_dir=tmp_path / "run", steps=40, batch_size=8, eval_every=40,
        optimizer=lambda total: adamw(total, peak=1e-2, warmup=0, decay="constant"),
    )  # fmt: skip
    assert result.scores["glue"] == result.scores["accuracy"] == 1.0
    test = tmp_path / "test.tsv"
    test.write_text("index\tsentence1\tsentence2\n0\tAnna gave o\tAnna\n")
    model = HeadModel.load(result.best)
    assert classify(model, GlueReader("rte")(str(test)), batch_size=8) == [1]


def test_rows_of_long_pairs(tokenizer):
    """The longest text is cut, headings and short texts stay."""
    text = "the dog saw it and she saw him near the old house "
    example = TextExample("x", "", "", (), {"texts": [text * 9, "Anna gave Ben"], "label": 0})
    (row,) = rows_of(task_of("rte"), [example], tokenizer, 96)
    assert len(row) == 96
    tail = [*tokenizer.encode("sentence2:"), *tokenizer.encode("Anna gave Ben"), 1]
    assert row.source.tolist()[-len(tail) :] == tail
    assert shortened([5, 2, 5], 8) == [3, 2, 3]
    assert shortened([1, 1], 5) == [1, 1]
    with pytest.raises(ConfigError, match="max_length 8; expected at least"):
        rows_of(task_of("rte"), [example], tokenizer, 8)

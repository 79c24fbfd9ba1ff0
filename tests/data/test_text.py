"""Text-to-text tasks of SeqIO: rows, lengths, what metrics get, what is said where files lack."""

from __future__ import annotations

import json

import pytest

from t5coref.core.errors import ConfigError, MismatchError
from t5coref.downstream import text
from t5coref.downstream.text import Mistakes, TextExample
from t5coref.tokenizer import Tokenizer

seqio = pytest.importorskip("seqio")
tasks = pytest.importorskip("t5coref.data.text")


def lines(path, mistakes=None):
    """One example a line: a question, its answers between bars."""
    with open(path, encoding="utf-8") as file:
        for i, line in enumerate(file):
            question, *answers = line.strip().split("|")
            if not answers:
                Mistakes.report(mistakes, f"{path}: q{i}: no answer")
                continue
            yield TextExample(f"q{i}", question, answers[0], tuple(answers), {"line": i})


def exact(examples, predictions):
    found = [p in e.references for e, p in zip(examples, predictions, strict=True)]
    return {"exact": 100.0 * sum(found) / len(found)}


QUESTIONS = ["Anna saw Ben . <extra_id_0> ?|Ben|he", "Ben saw Anna . Who ?|Anna", "Who ?|Ben"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    Tokenizer.train([*QUESTIONS, "Anna saw Ben .", "Who saw he ?"], 40, ()).save(tmp_path)
    (tmp_path / "quiz").mkdir()
    (tmp_path / "quiz" / "train.txt").write_text("\n".join(QUESTIONS), "utf-8")
    monkeypatch.setenv("T5COREF_DATA", str(tmp_path))
    monkeypatch.setenv("T5COREF_TOKENIZER", str(tmp_path))
    return tmp_path


@pytest.fixture
def task(folder):
    files = {"train": "quiz/train.txt", "validation": "quiz/dev.txt"}
    name = "quiz_for_tests"
    yield tasks.text_task(name, reader=lines, files=files, metrics=[exact])
    seqio.TaskRegistry.remove(name)


def rows(task, split="train", lengths=None, **options):
    lengths = lengths or {"inputs": 64, "targets": 16}
    return list(task.get_dataset(lengths, split, **options).as_numpy_iterator())


def test_rows_are_pieces_with_an_end(task):
    tokenizer = task.recipe.tokenizer()
    found = rows(task, shuffle=False)
    for row, example in zip(found, task.recipe.examples("train"), strict=True):
        for name in ("inputs", "targets"):
            wanted = [*text.encode(tokenizer, getattr(example, name)), tokenizer.eos_id]
            assert row[name].tolist() == wanted
    vocabulary = task.output_features["inputs"].vocabulary
    assert vocabulary == tasks.text_vocabulary()
    assert vocabulary.decode(found[0]["inputs"].tolist()) == "Anna saw Ben . <extra_id_0> ?"


def test_cut_texts_keep_their_end(task):
    for row in rows(task, lengths={"inputs": 4, "targets": 2}):
        assert row["inputs"].tolist()[-1] == 1
        assert len(row["inputs"]) <= 4


def test_stock_converter_takes_them(task):
    dataset = seqio.get_dataset(
        task.name,
        {"inputs": 64, "targets": 16},
        dataset_split="train",
        shuffle=False,
        feature_converter=seqio.EncDecFeatureConverter(pack=True),
    )
    (packed,) = list(dataset.as_numpy_iterator())
    assert packed["encoder_segment_ids"].max() == len(QUESTIONS)


def test_metrics_get_examples_and_texts(task):
    found = rows(task, shuffle=False)
    targets = [task.postprocess_fn("", example=row, is_target=True) for row in found]
    assert targets == task.recipe.examples("train")
    (metric,) = task.metric_fns
    assert metric(targets, ["Ben", "Anna", "he"]) == {"exact": pytest.approx(200 / 3)}
    assert json.loads(found[1][tasks.EXAMPLE])["data"] == {"line": 1}


def test_evaluator_of_seqio(task, folder, tmp_path):
    (folder / "quiz" / "dev.txt").write_text("\n".join(QUESTIONS), "utf-8")
    evaluator = seqio.Evaluator(
        task.name,
        feature_converter=seqio.EncDecFeatureConverter(pack=False),
        eval_split="validation",
        sequence_length={"inputs": 64, "targets": 16},
    )

    def gold(dataset):
        return [
            (i, row["decoder_target_tokens"].tolist()) for i, row in dataset.as_numpy_iterator()
        ]

    metrics, *_ = evaluator.evaluate(compute_metrics=True, predict_fn=gold, score_fn=None)
    assert metrics.result()[task.name] == {"exact": 100.0}


def test_shards_share_the_rows_out(task):
    found = []
    for i in range(2):
        found += rows(task, shuffle=False, shard_info=seqio.ShardInfo(i, 2))
    assert len(found) == len(QUESTIONS)


def test_missing_files_and_settings_are_explained(task, monkeypatch):
    with pytest.raises(ConfigError, match=r"quiz/dev.txt; put the data set there \(docs/downstr"):
        task.recipe.examples("validation")
    with pytest.raises(ConfigError, match="no split 'test'; it has train, validation"):
        task.recipe.examples("test")
    monkeypatch.delenv("T5COREF_TOKENIZER")
    with pytest.raises(ConfigError, match="T5COREF_TOKENIZER"):
        task.recipe.tokenizer()


def test_what_cannot_be_read_is_left_out_and_logged(task, folder, caplog):
    (folder / "quiz" / "dev.txt").write_text("Who ?\nWho saw ?|Ben", "utf-8")
    assert [example.name for example in task.recipe.examples("validation")] == ["q1"]
    assert "dev.txt: q0: no answer" in caplog.text
    (folder / "quiz" / "dev.txt").write_text("Who ?", "utf-8")
    with pytest.raises(ConfigError, match=r"no example in .*q0: no answer"):
        task.recipe.examples("validation")


def test_a_name_is_registered_once(task):
    files = {"train": "quiz/train.txt", "validation": "quiz/dev.txt"}
    assert tasks.text_task(task.name, reader=lines, files=files, metrics=[exact]) is task
    with pytest.raises(ConfigError, match="registered already"):
        tasks.text_task(task.name, reader=lines, files=files)
    assert tasks.text_recipe(task.name) is task.recipe
    seqio.TaskRegistry.add("plain_for_tests", source=task.source, output_features={})
    with pytest.raises(MismatchError, match="no text-to-text task"):
        tasks.text_recipe("plain_for_tests")
    seqio.TaskRegistry.remove("plain_for_tests")

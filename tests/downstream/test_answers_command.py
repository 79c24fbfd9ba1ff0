"""From gin files over `t5coref train` to `t5coref answers`; training on texts."""

from __future__ import annotations

import json

import gin
import jax
import numpy as np
import pytest
from tiny_checkpoints import SHAPE, VERSIONS, drawn

from t5coref import cli
from t5coref.core.errors import ConfigError
from t5coref.downstream import text
from t5coref.downstream.answers import question_files, question_metric
from t5coref.downstream.head_model import HeadModel
from t5coref.downstream.model import TextModel
from t5coref.downstream.objective import TextObjective, batch, dev_scorer
from t5coref.downstream.predict import TextPredictor
from t5coref.nn.t5 import T5Config
from t5coref.tokenizer import Tokenizer

TEXT = "the dog saw it . she saw him near the old house . Anna gave Ben her cat . it saw her ."
ANSWERS = (["dog"], ["Anna", "Ben", "cat"], ["house"], ["Ben"], ["dog", "house"], ["cat"])
ONE = jax.devices()[:1]


@pytest.fixture(scope="module")
def pieces():
    return Tokenizer.train([TEXT, "question: who ? context: |", *TEXT.split()], 70, ())


@pytest.fixture(scope="module")
def model(pieces):
    one = {"num_encoder_layers": 1, "num_decoder_layers": 1}
    config = T5Config(**{**SHAPE, **one, **VERSIONS["1.1"], "vocab_size": pieces.size})
    params = jax.tree.map(lambda x: x * np.float32(x.shape[0] ** -0.5), drawn(config))
    return TextModel(config, params, pieces)


@pytest.fixture(scope="module")
def files(tmp_path_factory, model):
    """A tiny T5, and six questions in QUOREF's layout."""
    folder = tmp_path_factory.mktemp("quoref")
    asked = [
        {
            "id": f"q{i}",
            "question": "who saw it ?",
            "answers": [{"text": a, "answer_start": TEXT.index(a)} for a in texts],
        }
        for i, texts in enumerate(ANSWERS)
    ]
    content = {"data": [{"paragraphs": [{"context": TEXT, "qas": asked}]}]}
    (folder / "dev.json").write_text(json.dumps(content))
    model.save(folder / "t5")
    return folder


@pytest.fixture(autouse=True)
def clean():
    yield
    gin.clear_config()


@pytest.fixture(scope="module")
def examples(files):
    return question_files(questions="quoref", files=str(files / "*.json"))


def test_loss_is_that_of_scoring_the_targets(model, examples):
    objective = TextObjective(model=model, train_set=examples, dropout=0.0, devices=ONE)
    rows = batch(objective._rows)
    assert rows.names == tuple(f"q{i}" for i in range(6))
    total, sums = jax.jit(objective.loss)(model.params, rows.features, jax.random.key(0))
    predictor = TextPredictor(model, batch_size=8, devices=ONE)
    scored = list(predictor.score((e.inputs, [e.targets]) for e in examples))
    assert float(total) == pytest.approx(-sum(s.totals[0] for s in scored), rel=1e-4)
    assert int(sums.weight) == sum(len(s.targets[0].tokens) for s in scored)


def test_dev_scores_are_fractions(model, examples, monkeypatch):
    def gold(self, inputs, params=None):
        for example, _ in zip(examples, inputs, strict=True):
            yield type("Written", (), {"text": example.targets, "ended": True})

    monkeypatch.setattr(TextPredictor, "write", gold)
    evaluate = dev_scorer(model, examples, question_metric(questions="quoref"), devices=ONE)
    assert evaluate(model.params) == {"exact": 1.0, "f1": 1.0, "unfinished": 0}


def test_long_examples_are_refused_or_left_out(model, examples):
    lengths = {e.name: len(text.encode(model.tokenizer, e.targets)) + 1 for e in examples}
    most = lengths["q1"] - 1
    with pytest.raises(ConfigError, match=rf"q1 has a target of .* max_target_length = {most}"):
        TextObjective(model=model, train_set=examples, max_target_length=most)
    made = TextObjective(model=model, train_set=examples, max_target_length=most, skip_long=True)
    assert made.skipped == ["q1"]
    assert made.examples == 5
    with pytest.raises(ConfigError, match="nothing to train on"):
        TextObjective(model=model, train_set=examples, max_source_length=3, skip_long=True)
    with pytest.raises(ConfigError, match="without a metric"):
        TextObjective(model=model, train_set=examples, dev_set=examples)


def trained(files, experiment, *options):
    """The folder of a model that `t5coref train` made in two steps, on one device: 3 is odd."""
    gold, output = files / "dev.json", files / experiment
    status = cli.main(
        ["train", "--gin_file", f"gin/experiments/{experiment}.gin", "--quiet",
         f"--gin.MODEL={files / 't5'}", f"--gin.TRAIN_FILES={gold}", f"--gin.DEV_FILES={gold}",
         f"--gin.OUTPUT={output}", "--gin.EPOCHS=None", "--gin.STEPS=2", "--gin.BATCH_SIZE=3",
         *options]
    )  # fmt: skip
    assert status == 0
    return output / "best"


def test_writing_answers(files, examples, capsys):
    best = trained(
        files, "quoref_text", "--gin.MAX_TARGET_LENGTH=24", "--gin.TextObjective.eval_batch_size=3"
    )
    model = TextModel.load(best)
    output = files / "written.json"
    capsys.readouterr()
    arguments = ["answers", "quoref", str(files / "dev.json"), "--quiet", "--batch-size", "3"]
    asked = [*arguments, "--model", str(best), "--max-target-length", "24", "--output", str(output)]
    assert cli.main([*asked, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["questions"] == 6
    assert scores["missing"] == []
    found = json.loads(output.read_text("utf-8"))
    predictor = TextPredictor(model, batch_size=3, max_target_length=24, round_size=48)
    texts = [written.text for written in predictor.write(e.inputs for e in examples)]
    assert list(found.values()) == [[t.strip() for t in x.split("|") if t.strip()] for x in texts]
    # Scoring the file again finds the same, and so did training.
    assert cli.main([*arguments, "--predictions", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == scores
    logged = (best.parent / "metrics.jsonl").read_text().splitlines()
    assert any("unfinished" in line for line in logged)


def test_pointing_at_answers(files, capsys):
    best = trained(
        files, "quoref_spans", "--gin.HEADS=2", "--gin.MLP_DIM=8", "--gin.Chunking.max_length=90",
        "--gin.Chunking.max_question=8", "--gin.Chunking.stride=30",
        "--gin.HeadObjective.eval_batch_size=3",
    )  # fmt: skip
    assert HeadModel.load(best).task == "quoref"
    capsys.readouterr()
    arguments = ["answers", "quoref", str(files / "dev.json"), "--model", str(best), "--quiet"]
    assert cli.main([*arguments, "--output", "-", "--batch-size", "3", "--no-gold"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {f"q{i}" for i in range(6)}
    for texts in found.values():
        assert 1 <= len(texts) <= 2
        assert all(text in TEXT for text in texts)


def test_scores_of_a_file(files, tmp_path, capsys):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"q0": ["the dog"], "q1": ["Ben", "Anna"], "zz": "x"}))
    asked = ["answers", "quoref", str(files / "dev.json"), "--predictions", str(path)]
    assert cli.main(asked) == 1
    shown = capsys.readouterr()
    # 1 + 0.67 of six questions
    assert shown.out == "exact  16.67   f1  27.83\n6 questions\n"
    assert "4 questions without a prediction, counted as 0: q2; q3; q4; q5" in shown.err
    assert "1 prediction for no question: zz" in shown.err


def test_bad_questions_are_named(files, tmp_path, capsys):
    content = json.loads((files / "dev.json").read_text())
    content["data"][0]["paragraphs"][0]["qas"][2]["answers"][0]["answer_start"] = 1
    (tmp_path / "d.json").write_text(json.dumps(content))
    (tmp_path / "p.json").write_text(json.dumps({f"q{i}": a for i, a in enumerate(ANSWERS)}))
    asked = ["answers", "quoref", str(tmp_path / "d.json"), "--predictions"]
    assert cli.main([*asked, str(tmp_path / "p.json")]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("exact 100.00   f1 100.00\n5 questions")
    assert "question q2: expected the answer 'house' at character 1" in shown.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--predictions", "p", "--no-gold"], "--no-gold scores nothing"),
        (["--predictions", "p", "--output", "o"], "--output is for a model's answers"),
    ],
)
def test_options_that_do_not_fit(files, options, message, capsys):
    assert cli.main(["answers", "quoref", str(files / "dev.json"), *options]) == 2
    assert message in capsys.readouterr().err


def test_files_that_are_not_there(files, capsys):
    with pytest.raises(ConfigError, match="no file matches"):
        question_files(questions="quoref", files="nowhere.json")
    twice = [str(files / "dev.json")] * 2
    assert cli.main(["answers", "quoref", *twice, "--predictions", "p"]) == 2
    assert "give each file once" in capsys.readouterr().err

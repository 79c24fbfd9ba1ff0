"""A tiny network learns stories by heart through the whole command line, and is tuned."""

from __future__ import annotations

import json

import jax
import pytest

from t5coref import cli, linearize
from t5coref.core.document import Annotation
from t5coref.corpora import jsonl
from t5coref.model import Format, Model, from_scratch, read_card, store_options
from t5coref.nn.t5 import T5Config
from t5coref.questions import QuestionPredictor
from t5coref.tokenizer import Tokenizer
from t5coref.train import train
from t5coref.train.inputs import demo_stories, vocabulary
from t5coref.train.optimizers import adamw

SMALL = T5Config(
    vocab_size=1, emb_dim=48, num_heads=3, num_encoder_layers=1, num_decoder_layers=1,
    head_dim=16, mlp_dim=96, dropout_rate=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def stories():
    """A short one."""
    return [min(demo_stories(count=12, seed=5), key=lambda story: len(story.words))]


@pytest.fixture(scope="module")
def folder(stories, tmp_path_factory):
    """The folder of a model that knows the stories."""
    output = tmp_path_factory.mktemp("run")
    pieces = vocabulary(documents=stories, size=120)
    options = {"window": 128, "max_mentions": 40, "alpha": 0.7}
    tokenizer = Tokenizer(pieces.model, linearize.symbols_of("qa"))
    model = from_scratch(SMALL, tokenizer, format=Format("qa", options), seed=1)
    result = train(
        model=model,
        train_set=stories,
        dev_set=stories,
        output_dir=output,
        steps=160,
        batch_size=1,
        optimizer=lambda steps: adamw(steps, peak=5e-3),
        eval_every=40,
        stop_at=1.0,
        fixed_lengths=True,
        max_source_length=64,
        max_target_length=192,
        devices=jax.devices()[:1],
    )
    assert result.scores["conll"] == 1.0
    return result.best


def test_what_was_learnt_is_predicted_and_scored(folder, stories, tmp_path, capsys):
    file = tmp_path / "stories.jsonl"
    jsonl.write(stories, file)
    argv = ["evaluate", "--model", str(folder), "--corpus", "jsonl", "--mentions", "gold"]
    assert cli.main([*argv, str(file), "--json", "--quiet"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["conll"]["f1"] == 1.0
    status = cli.main([*argv, str(file), "--beams", "2"])
    assert status == 2
    assert "leave out --beams" in capsys.readouterr().err
    assert cli.main([*argv, str(file), "--question-weight", "1"]) == 2
    assert "--question-model DIR" in capsys.readouterr().err


@pytest.mark.slow
def test_questions_speak_to_iterative_generation(folder, stories, tmp_path, capsys):
    """What an untrained model chooses is decided by the questions, if they count enough."""
    file = tmp_path / "stories.jsonl"
    jsonl.write(stories, file)
    tokenizer = Tokenizer(Model.load(folder).tokenizer.model, linearize.symbols_of("iterative-ids"))
    options = {"window": 128, "max_clusters": 40}
    from_scratch(SMALL, tokenizer, format=Format("iterative-ids", options)).save(tmp_path / "ids")
    argv = ["evaluate", "--model", str(tmp_path / "ids"), "--corpus", "jsonl", "--mentions", "gold"]
    argv += [str(file), "--json", "--quiet"]
    assert cli.main(argv) == 0
    alone = json.loads(capsys.readouterr().out)["conll"]["f1"]
    argv += ["--question-model", str(folder), "--question-weight", "1e6"]
    assert cli.main(argv) == 0
    together = json.loads(capsys.readouterr().out)["conll"]["f1"]
    assert together == 1.0 > alone


def test_tuned_weights_are_stored_and_used(folder, stories, tmp_path, capsys):
    file = tmp_path / "stories.jsonl"
    jsonl.write(stories, file)
    copy = tmp_path / "copy"
    Model.load(folder).save(copy)
    before = read_card(copy)
    argv = ["tune", "--model", str(copy), "--corpus", "jsonl", "--mentions", "gold", str(file)]
    assert cli.main([*argv, "--dry-run", "--json", "--quiet"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["tuned"]["conll"] >= said["untuned"]["conll"]
    assert read_card(copy) == before
    assert cli.main([*argv, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["untuned", "tuned"]
    assert f"stored in {copy}" in err
    options = read_card(copy)["format"]["options"]
    assert options == {
        **before["format"]["options"],
        **{name: said["tuned"][name] for name in ("alpha", "gamma", "tau", "one_to_one")},
    }
    tuned = QuestionPredictor(Model.load(copy), devices=jax.devices()[:1])
    assert tuned.weights == tuple(said["tuned"][name] for name in ("alpha", "gamma", "tau"))
    for found, gold in zip(tuned.predict(stories), stories, strict=True):
        clusters = {c for c in found.annotation.clusters if len(c) > 1}
        assert clusters == {c for c in gold.annotation.clusters if len(c) > 1}


def test_there_is_nothing_to_tune_elsewhere(tokenizer, tmp_path, capsys):
    tagging = Tokenizer(tokenizer.model, linearize.symbols_of("tagging"))
    from_scratch(SMALL, tagging, format=Format("tagging", {"window": 40})).save(tmp_path / "m")
    file = tmp_path / "stories.jsonl"
    document = demo_stories(count=1)[0].with_annotation(Annotation())
    jsonl.write([document], file)
    argv = ["tune", "--model", str(tmp_path / "m"), "--corpus", "jsonl", "--mentions", "gold"]
    assert cli.main([*argv, str(file)]) == 2
    assert "nothing to tune" in capsys.readouterr().err
    with pytest.raises(Exception, match="expected a folder"):
        store_options(tmp_path, {"alpha": 1.0})

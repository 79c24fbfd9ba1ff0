"""Options of predict and evaluate that say how a model is to decode, and what is written then."""

from __future__ import annotations

import argparse
import json

import pytest

from t5coref import cli
from t5coref.cli.models import add_model_arguments, load_model, search_of
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.corpora import jsonl
from t5coref.decode.search import Beam, Greedy
from t5coref.model import Format, from_scratch
from t5coref.nn.t5 import T5Config

WORDS = ("the", "dog", "saw", "it", "and", "she", "saw", "him", "near", "the", "house", ".")


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    """A tiny random model whose windows are shorter than some stories."""
    config = T5Config(
        vocab_size=tokenizer.size, emb_dim=16, num_heads=2, num_encoder_layers=1,
        num_decoder_layers=1, head_dim=8, mlp_dim=32,
    )  # fmt: skip
    options = {"window": 24, "max_clusters": 20, "max_depth": 3, "suffixes": True}
    path = tmp_path_factory.mktemp("models") / "tiny"
    from_scratch(config, tokenizer, format=Format("full-copy", options), seed=3).save(path)
    return path


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    path = tmp_path_factory.mktemp("inputs") / "stories.jsonl"
    jsonl.write(
        [
            Document(doc_id=f"story-{n}", words=WORDS[:n], extra={"genre": "tale"})
            for n in (12, 0, 4)
        ],
        path,
    )
    return path


def parsed(folder, *options) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_model_arguments(parser)
    return parser.parse_args(["--model", str(folder), *options])


def predict(folder, stories, output, *options) -> tuple[int, dict, list[dict]]:
    status = cli.main(
        ["predict", "--model", str(folder), "--input", str(stories), "--output", str(output),
         "--quiet", "--batch-size", "2", *options]
    )  # fmt: skip
    card = output.with_name(output.name + ".job.json")
    rows = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    return status, json.loads(card.read_text("utf-8")), rows


def test_searches():
    assert search_of(parsed("m")) == Greedy()
    assert search_of(parsed("m", "--beams", "1")) == Greedy()
    assert search_of(parsed("m", "--beams", "4")) == Beam(4)
    assert search_of(parsed("m", "--beams", "2", "--length-penalty", "0")) == Beam(2, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--beams", "0"), "--beams is 0; expected at least 1"),
        (("--length-penalty", "1.5"), "--length-penalty is given for greedy search"),
        (("--beams", "2", "--length-penalty", "-1"), "--length-penalty is -1.0; expected a number"),
        (("--beams", "2", "--length-penalty", "nan"), "--length-penalty is nan; expected a number"),
    ],
)
def test_searches_that_make_no_sense(options, message):
    with pytest.raises(ConfigError, match=message):
        search_of(parsed("m", *options))


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ((), {}),
        (("--carry",), {"carry": True}),
        (("--constraint", "reference"), {"constraint": "reference"}),
        (("--drop-singletons",), {"min_mentions": 2}),
        (("--keep-singletons",), {"min_mentions": 1}),
        (("--window", "40"), {"window": 40, "stride": None}),
        (("--stride", "5"), {"stride": 5}),
    ],
)
def test_options_of_the_format(folder, given, options):
    saved = {"window": 24, "max_clusters": 20, "max_depth": 3}
    assert load_model(parsed(folder, *given)).format == Format("full-copy", saved | options)


def test_another_linearization_keeps_the_options(folder):
    found = load_model(parsed(folder, "--linearization", "full-token")).format
    assert found == Format("full-token", {"window": 24, "max_clusters": 20, "max_depth": 3})


def test_records_and_the_card_of_greedy_search(folder, stories, tmp_path):
    status, card, rows = predict(folder, stories, tmp_path / "out.jsonl")
    assert status == 0
    assert card["search"] == {"name": "greedy"}
    assert "drafts" not in json.dumps(card)
    assert "confidences" not in rows[1]  # an empty document, for which no model was asked
    for row in rows[::2]:
        assert [len(c) for c in row["confidences"]] == [len(c) for c in row["clusters"]]
        assert row["genre"] == "tale"
        for cluster in row["confidences"]:
            for mention, link in cluster:
                assert 0 <= mention <= 1
                assert 0 <= link <= 1
                assert mention == round(mention, 6)
    assert any(row["confidences"] for row in rows)
    read = list(jsonl.read(tmp_path / "out.jsonl"))
    assert "".join(map(jsonl.dumps, read)) == (tmp_path / "out.jsonl").read_text("utf-8")
    assert all(set(d.extra) == {"genre"} for d in read)


def test_the_card_of_a_beam_search(folder, stories, tmp_path, capsys):
    output = tmp_path / "out.jsonl"
    options = ("--beams", "2", "--length-penalty", "0.5", "--carry", "--constraint", "reference")
    status, card, rows = predict(folder, stories, output, *options)
    assert status == 0
    assert len(rows) == 3
    assert card["search"] == {"name": "beam", "width": 2, "length_penalty": 0.5}
    described = card["model"]["format"]["options"]
    assert described["carry"] is True
    assert described["constraint"] == "reference"

    # An unfinished job of another search is not gone on with.
    output.rename(tmp_path / "out.jsonl.partial")
    command = ["predict", "--model", str(folder), "--input", str(stories), "--output", str(output)]
    assert cli.main([*command, "--batch-size", "2", "--quiet"]) == 2
    assert "out.jsonl.partial was begun with" in capsys.readouterr().err
    same = [*command, "--batch-size", "2", "--quiet", *options]
    assert cli.main([*same[:-1], "strict"]) == 2
    assert cli.main(same) == 0
    assert [json.loads(line) for line in output.read_text("utf-8").splitlines()] == rows


def test_evaluate_takes_the_same_options(folder, stories, tmp_path, capsys):
    gold = tmp_path / "gold.jsonl"
    predict(folder, stories, gold, "--beams", "2")
    args = ["evaluate", "--model", str(folder), "--corpus", "jsonl", "--json", "--quiet", str(gold)]
    assert cli.main([*args, "--beams", "2", "--batch-size", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["conll"]["f1"] == pytest.approx(1.0)


def test_command_line_errors_are_short(folder, stories, tmp_path, capsys):
    command = ["predict", "--model", str(folder), "--input", str(stories)]
    command += ["--output", str(tmp_path / "x")]
    cases = [
        (["--beams", "0"], "--beams is 0"),
        (["--linearization", "full"], "no linearization is called 'full'; expected one of docu"),
        (["--linearization", "integer-free"], "the tokenizer has no symbol '</new>'"),
    ]
    for options, message in cases:
        assert cli.main([*command, *options]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
    for options in (["--constraint", "none"], ["--keep-singletons", "--drop-singletons"]):
        with pytest.raises(SystemExit):
            cli.main([*command, *options])
        assert "t5coref predict: error: argument" in capsys.readouterr().err


def test_help_teaches_the_options(capsys):
    for name in ("predict", "evaluate"):
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        text = " ".join(capsys.readouterr().out.split())
        for option in ("--beams N", "--length-penalty X", "--carry", "--constraint", "strict (all"):
            assert option in text
        assert "`confidences`" in text or name == "evaluate"

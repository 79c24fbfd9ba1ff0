"""`t5coref propose`, and `--mentions` of `predict` and `evaluate`."""

from __future__ import annotations

import argparse
import json
import shutil
import types

import pytest

from t5coref import cli, linearize, released
from t5coref.cli import models
from t5coref.cli.mentions import add_mentions_arguments, mention_source
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError
from t5coref.core.given_mentions import given
from t5coref.corpora import jsonl
from t5coref.downstream.head_model import head_model
from t5coref.extractors import told
from t5coref.mentions import ToldPredictor
from t5coref.mentions.sources import ProposedMentions
from t5coref.model import from_scratch
from t5coref.nn.downstream import TaggingHead
from t5coref.nn.stack import T5Config

TINY = T5Config(
    vocab_size=1, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1, head_dim=8,
    mlp_dim=32,
)  # fmt: skip
DATA = {"window": 64, "stride": 48, "max_depth": 2, "bias": 0.0}
GOLD = Annotation((((0, 1), (2, 3)), ((1, 2),)))


class Linker:
    """Puts all mentions that it is told into one cluster."""

    round_size, memory = 4, None
    identity = {"model": {"t5coref": "0"}}  # noqa: RUF012

    def __init__(self, needs_mentions=True):
        self.needs_mentions = needs_mentions

    def predict(self, documents):
        for document in documents:
            assert document.annotation is None or not self.needs_mentions
            spans = given(document).spans if self.needs_mentions else ((0, 1),)
            yield document.with_annotation(Annotation((spans,) if spans else ()))


@pytest.fixture(scope="module")
def proposer(tokenizer, tmp_path_factory):
    """A proposer with random weights."""
    folder = tmp_path_factory.mktemp("models") / "proposer"
    base = from_scratch(TINY, tokenizer)
    head_model(base=base, head=TaggingHead(8, 16), task="mentions", data=DATA).save(folder)
    return str(folder)


@pytest.fixture
def documents(tmp_path):
    path = tmp_path / "gold.jsonl"
    some = [
        Document(doc_id=f"d{i}", words=("the", "dog", "saw", "it"), annotation=GOLD)
        for i in range(3)
    ]
    jsonl.write(some, path)
    return str(path)


@pytest.fixture
def linker(monkeypatch):
    def use(needs_mentions=True):
        monkeypatch.setattr(models, "_one_predictor", lambda args: Linker(needs_mentions))

    use()
    return use


def run(*argv):
    return cli.main([str(arg) for arg in argv])


def propose(proposer, documents, output, *options):
    return run("propose", "--model", proposer, "--input", documents, "--output", output, *options)


def test_from_proposals_to_clusters(proposer, documents, linker, tmp_path, capsys):
    """In two commands or in one, with the same result."""
    assert propose(proposer, documents, tmp_path / "more.jsonl", "--bias", 5) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].split()[0] == "mentions"
    assert "3 annotated documents" in out
    between = list(jsonl.read(tmp_path / "more.jsonl"))
    assert {given(d).source for d in between} == {"predicted"}
    assert all(d.annotation == GOLD for d in between)

    predict = ["predict", "--model", "M", "--quiet"]
    two, one = tmp_path / "two.jsonl", tmp_path / "one.jsonl"
    assert run(*predict, "--input", tmp_path / "more.jsonl", "--output", two) == 0
    assert run(*predict, "--input", documents, "--output", one, "--mentions", proposer,
               "--mention-bias", 5) == 0  # fmt: skip
    assert two.read_text() == one.read_text()
    assert given(next(jsonl.read(one))) == given(between[0])
    card = json.loads((tmp_path / "one.jsonl.job.json").read_text())
    assert card["mentions"]["source"] == "predicted"
    assert card["mentions"]["proposer"]["bias"] == 5


def test_gold_mentions_beside_proposed_ones(proposer, documents, tmp_path, capsys):
    (tmp_path / "some.ids").write_text("d0\nd2\n")
    output = tmp_path / "train.jsonl"
    assert propose(proposer, documents, output, "--with-gold", "--ids", tmp_path / "some.ids") == 0
    assert capsys.readouterr().out == ""
    merged = list(jsonl.read(output))
    assert [d.doc_id for d in merged] == ["d0", "d2"]
    assert all({(0, 1), (1, 2), (2, 3)} <= set(given(d).spans) for d in merged)
    with_folder = ["--ids", str(tmp_path / "some.ids"), "--output-dir", str(tmp_path / "out")]
    assert run("propose", "--model", proposer, "--input", documents, *with_folder) != 0
    assert "--ids with --output-dir" in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [False, True])
def test_evaluate_says_which_mentions_were_told(proposer, documents, linker, capsys, as_json):
    evaluate = ["evaluate", "--model", "M", "--quiet", "--corpus", "jsonl", documents]
    options = ["--json"] if as_json else []
    assert run(*evaluate, "--mentions", "gold", *options) == 0
    gold = capsys.readouterr().out
    assert run(*evaluate, "--mentions", documents, *options) == 0
    given_ = capsys.readouterr().out
    if as_json:
        told = json.loads(gold)["mentions_told"]
        assert told == {"from": "gold", "source": "gold", "precision": 1, "recall": 1, "f1": 1}
        assert json.loads(given_)["mentions_told"]["source"] == "given"
        assert json.loads(gold)["mentions"] == {"precision": 1, "recall": 1, "f1": 1}
    else:
        line = "mentions: gold ones were told: precision 100.00, recall 100.00, f1 100.00"
        assert gold.splitlines()[-1] == line
        assert f"given ones were told ({documents}): precision 100.00" in given_
    linker(needs_mentions=False)
    assert run(*evaluate, *options) == 0
    assert "told" not in capsys.readouterr().out
    assert run(*evaluate, "--mentions", "none", *options) == 0
    assert (
        '"source": "none"' if as_json else "mentions: none were told"
    ) in capsys.readouterr().out


def test_raw_text_without_mentions(proposer, linker, tmp_path, capsys):
    """The command says what is missing, and runs once it is there."""
    (tmp_path / "story.txt").write_text("Anna saw it.")
    arguments = ["--input", tmp_path / "story.txt", "--output", tmp_path / "out.jsonl"]
    command = ["predict", "--model", "M", "--quiet", *arguments]
    assert run(*command) != 0
    error = capsys.readouterr().err
    assert "gives none; expected --mentions gold" in error
    assert "t5coref propose" in error
    assert not (tmp_path / "out.jsonl").exists()
    assert run(*command, "--mentions", proposer) == 0
    assert given(next(jsonl.read(tmp_path / "out.jsonl"))).source == "predicted"


def parsed(*argv):
    parser = argparse.ArgumentParser()
    add_mentions_arguments(parser.add_argument)
    return parser.parse_args(argv)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--mentions", "nowhere"],
            "expected gold, none, spacy:PIPELINE, the folder of a proposer",
        ),
        (["--mentions", "gold", "--mention-bias", "1"], "--mention-bias is for proposers"),
        (["--mention-bias", "1"], "--mention-bias is for proposers"),
        (["--mentions", "spacy:no_such_pipeline"], "expected an installed package or a folder"),
        (["--mentions", "spacy:blank"], "expected an installed package or a folder"),
    ],
)
def test_sources_that_are_not_there(argv, message):
    with pytest.raises(ConfigError, match=message):
        mention_source(parsed(*argv))


def test_the_released_model_lends_its_proposer(proposer, tmp_path, monkeypatch):
    """By its name, and with a bias of the user's."""
    shutil.copytree(proposer, tmp_path / "model" / "proposer")
    monkeypatch.setattr(released, "default_model", lambda: tmp_path / "model")
    source = mention_source(parsed("--mentions", "english-small", "--mention-bias", "2"))
    assert isinstance(source, ProposedMentions)
    assert source.identity["proposer"]["bias"] == 2


@pytest.mark.parametrize("name", sorted(linearize.FORMATS))
def test_formats_say_whether_they_are_told(name):
    """A predictor of such a format is asked for mentions, and only such a one."""
    predictor = types.SimpleNamespace(linearization=linearize.FORMATS[name], round_size=2)
    wrapped = isinstance(told(None, predictor), ToldPredictor)
    assert wrapped == (name in linearize.MENTION_GIVEN)


def test_who_needs_mentions_and_who_does_not():
    assert isinstance(told(None, Linker(needs_mentions=False)), Linker)
    with pytest.raises(ConfigError, match="mentions none: the model's format does not find"):
        told(mention_source(parsed("--mentions", "none")), Linker())
    with pytest.raises(ConfigError, match="mentions gold: the model finds its mentions itself"):
        told(mention_source(parsed("--mentions", "gold")), Linker(needs_mentions=False))

"""What a model writes, with the constraint and without it, and what the ledger says of it."""

from __future__ import annotations

import argparse
import json

import pytest

from t5coref.cli import evaluate
from t5coref.core.document import Annotation
from t5coref.core.errors import ConfigError
from t5coref.core.ledger import ALIGNED, PASSED, READ, LedgerScorer
from t5coref.core.transcript import COUNTS, VERDICTS
from t5coref.corpora import jsonl
from t5coref.decode.search import Free
from t5coref.linearize import FORMATS, PLAIN_TEXT, RELATIONS, symbols_of
from t5coref.linearize.audit import audit
from t5coref.linearize.questions import Questions
from t5coref.model import Format, from_scratch
from t5coref.predict import ACTIONS, Predictor
from t5coref.tokenizer import Tokenizer

NAMES = [
    name if name in ("integer-free", "document") else pytest.param(name, marks=pytest.mark.slow)
    for name, format_ in FORMATS.items()
    if not issubclass(format_, Questions) and name not in PLAIN_TEXT
]


@pytest.fixture(scope="session")
def annotated(stories):
    """Some stories, of one window and of two, whose first words are mentions."""
    chosen = [story for story in stories if len(story.words) in (7, 14, 35)]
    return [
        story.with_annotation(Annotation((((0, 1), (2, 4)), ((3, 4), (5, 7)), ((6, 7),))))
        for story in chosen
    ]


def figures(predictor, documents):
    """The ledger of what a predictor finds, and the outputs."""
    predictor.keep_actions = True
    scorer, outputs = LedgerScorer(), []
    for gold, found in zip(documents, predictor.predict(documents), strict=True):
        assert found.annotation is not None
        outputs.append(found.extra[ACTIONS])
        made = audit(predictor.linearization, gold, outputs[-1])
        assert sorted(made.read) == sorted(found.annotation.clusters)
        scorer.add(gold.annotation.clusters, made.read, made.aligned, made.account)
    return scorer.compute(), outputs


@pytest.mark.parametrize("name", NAMES)
def test_a_random_model_is_faithful_under_the_constraint_and_not_without_it(model, annotated, name):
    options = {"window": 48, "max_clusters": 12, "max_depth": 4}
    options |= {"relations": ("a", "b")} if name in RELATIONS else {}
    tokenizer = Tokenizer(model.tokenizer.model, symbols_of(name, options))
    random = from_scratch(model.config, tokenizer, format=Format(name, options), seed=3)
    bound, _ = figures(Predictor(random), annotated)
    assert (bound.exact, bound.exact_normalized, bound.passed) == (1, 1, 1)
    assert bound.passed_mentions in (None, 1)
    assert bound.scores[READ] == bound.scores[ALIGNED] == bound.scores[PASSED]

    free = Predictor(random, search=Free(80))
    found, outputs = figures(free, annotated)
    assert found.passed < 1
    assert any(found.counts[n] for n in COUNTS[1:8] if n != "tail")
    lengths = [len(output) for outputs in outputs for output in outputs]
    assert max(lengths) <= 80
    assert free.identity["search"] == {"name": "free", "budget": 80}


@pytest.fixture
def run(model_folder, annotated, tmp_path, capsys):
    path = tmp_path / "dev.jsonl"
    jsonl.write(annotated, path)

    def go(*options):
        parser = argparse.ArgumentParser()
        evaluate.configure(parser)
        fixed = ["--model", str(model_folder), "--quiet", "--corpus", "jsonl", str(path)]
        status = evaluate.run(parser.parse_args([*fixed, *options]))
        return status, capsys.readouterr().out

    return go


def test_evaluate_shows_the_ledger(run, annotated, tmp_path):
    file = tmp_path / "ledger.jsonl"
    status, out = run("--ledger", "--ledger-output", str(file))
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    at = lines.index(["EM", "EM_norm", "Pass", "Pass_mention", "CoNLL", "CoNLL-SA", "CoNLL-passed"])
    assert lines[at + 1][:4] == ["100.00"] * 4
    assert len(set(lines[at + 1][4:])) == 1
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["doc_id"] for row in rows] == [document.doc_id for document in annotated]
    assert set(rows[0]) == {"doc_id", *VERDICTS, *COUNTS, "divergence"}


def test_evaluate_shows_it_of_free_generation_too(run):
    status, out = run("--free", "--json")
    assert status == 0
    ledger = json.loads(out)["ledger"]
    assert ledger["passed"] < 1
    assert set(ledger["scores"]) == {READ, ALIGNED, PASSED}
    assert ledger["documents"] == 3


def test_a_file_needs_a_ledger_and_a_ledger_needs_outputs(run, monkeypatch):
    with pytest.raises(ConfigError, match="add --ledger or --free"):
        run("--ledger-output", "x.jsonl")
    with pytest.raises(ConfigError, match="leave out --beams"):
        run("--free", "--beams", "2")
    monkeypatch.setattr(evaluate, "load_predictor", lambda args: object())
    with pytest.raises(ConfigError, match="this one writes none"):
        run("--ledger")


def test_help_teaches():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter)
    evaluate.configure(parser)
    text = parser.format_help()
    assert "--free --ledger-output free.jsonl" in text
    assert "so it is optimistic" in text

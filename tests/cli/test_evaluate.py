"""The command `evaluate`: what it prints of relations, whatever predicts them."""

from __future__ import annotations

import argparse
import json

import pytest

from t5coref.cli import evaluate
from t5coref.core.document import Annotation, Document, Relation
from t5coref.core.errors import ConfigError
from t5coref.corpora import docred

CLUSTERS = (((0, 1), (2, 3)), ((3, 4),), ((4, 5),))
OWNS, KNOWS = Relation(0, 1, "P1"), Relation(2, 0, "P2")


class Predictor:
    """Knows the clusters, and one relation in each document, which is right in the first."""

    def predict(self, documents):
        for document in documents:
            yield document.with_annotation(Annotation(CLUSTERS, (OWNS,)))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "load_predictor", lambda args: Predictor())

    def go(*relations, options=()):
        path = tmp_path / "dev.json"
        docred.write(
            (
                Document(doc_id=f"d{i}", words=tuple("abcde"), annotation=Annotation(CLUSTERS, r))
                for i, r in enumerate(relations)
            ),
            path,
        )
        parser = argparse.ArgumentParser()
        evaluate.configure(parser)
        argv = ["--model", "M", "--quiet", "--corpus", "docred", str(path), *options]
        return evaluate.run(parser.parse_args(argv)), path

    return go


def test_relations_are_printed(run, capsys):
    assert run((OWNS,), (KNOWS,))[0] == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[6:] == [
        ["2", "documents,", "singletons", "kept"],
        [],
        ["relations", "precision", "recall", "f1"],
        ["mentions", "100.00", "100.00", "100.00"],
        ["coref", "100.00", "100.00", "100.00"],
        ["re", "50.00", "50.00", "50.00"],
        ["2", "documents,", "1", "right", "of", "2", "predicted", "and", "2", "true"],
    ]


def test_json_has_them_and_ign(run, capsys):
    _, path = run((OWNS,), (KNOWS,))
    capsys.readouterr()
    assert run((OWNS,), (KNOWS,), options=["--json", "--train", str(path)])[0] == 0
    out = json.loads(capsys.readouterr().out)["relations"]
    assert list(out) == ["mentions", "coref", "re", "ign"]
    assert out["re"]["f1"] == 0.5
    assert out["ign"] == {"precision": 0, "recall": 0.5, "f1": 0}


def test_training_documents_must_have_relations(run, tmp_path):
    (tmp_path / "none.json").write_text('[{"title": "t", "sents": [["a"]]}]')
    with pytest.raises(ConfigError, match="has no relations"):
        run((OWNS,), options=["--train", str(tmp_path / "none.json")])


def test_help_teaches():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter)
    evaluate.configure(parser)
    text = parser.format_help()
    assert "--train train_annotated.json" in text
    assert "re_official" in text

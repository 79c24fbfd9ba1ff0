"""Tasks of formats with relations: where their names come from, and scores of relations."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("seqio")

from t5coref import demo, linearize
from t5coref.core.errors import ConfigError
from t5coref.core.relation_metrics import RelationScorer
from t5coref.corpora import jsonl
from t5coref.data.manifest import Manifest
from t5coref.data.metrics import score
from t5coref.data.prepare import prepare
from t5coref.data.settings import settings
from t5coref.data.task import task_linearization, task_vocabulary
from t5coref.data.workers import Job
from t5coref.linearize import RELATIONS, round_trip
from t5coref.tokenizer import MODEL_FILE

LIVES = list(demo.biographies())[:6]
NAMES = linearize.inventory(LIVES[:4])["relations"]
KINDS = linearize.inventory(LIVES[:4])["entity_types"]


@pytest.fixture
def lives(corpus, task):
    """Makes tasks of biographies, without relations that the training documents do not know."""
    known = [
        life.with_annotation(
            replace(
                life.annotation,
                relations=tuple(r for r in life.annotation.relations if r.type in NAMES),
            )
        )
        for life in LIVES
    ]
    jsonl.write(known[:4], corpus / "train.jsonl")
    jsonl.write(known[4:], corpus / "dev.jsonl")
    (corpus / "names.json").write_text(json.dumps(dict.fromkeys(NAMES[::-1], "words")))

    def make(linearization="relation-copy", **changes):
        usual = {"linearization": linearization, "options": {"window": 500}}
        return task("lives", **usual | changes)

    make.documents = known
    return make


def test_names_are_those_of_a_file_of_the_training_documents_or_given(lives):
    lives(relations="names.json")
    found = task_linearization("lives")
    assert found.relations == NAMES[::-1]
    assert found.entity_types == KINDS


def test_without_a_file_they_are_those_of_the_training_documents(lives):
    lives()
    found = task_linearization("lives")
    assert (found.relations, found.entity_types) == (NAMES, KINDS)
    assert task_vocabulary("lives").wrapped.symbols == found.symbols


def test_what_the_options_name_is_not_looked_for(lives, corpus):
    (corpus / "train.jsonl").unlink()
    given = {"relations": NAMES, "entity_types": (*KINDS, "MORE")}
    lives(options={"window": 500} | given, relations="no-such-file")
    assert task_linearization("lives").entity_types == (*KINDS, "MORE")


def test_options_of_the_settings_come_first(lives):
    own = {"relations": ("one", *NAMES)}
    lives(relations="names.json", settings=lambda: settings(options=own))
    assert task_linearization("lives").relations == ("one", *NAMES)


@pytest.mark.parametrize(("file", "missing"), [("names.json", "names"), (None, "train")])
def test_what_is_not_there_is_asked_for(lives, corpus, file, missing):
    for path in corpus.glob(f"{missing}.json*"):
        path.unlink()
    lives(relations=file)
    with pytest.raises(ConfigError, match=rf"'lives'.*no file matches .*{missing}\.json.*DATA"):
        task_linearization("lives")


def scored(task, change=lambda actions: actions):
    """Scores of the gold actions of the development documents, changed."""
    rows = task.source.rows("validation")
    actions = [change(row["targets"]) for row in rows]
    return score(task_linearization(task), rows, actions, remove_singletons=False)


@pytest.mark.parametrize("name", RELATIONS)
def test_gold_actions_reach_the_ceiling_of_relations(lives, name):
    made, expected = lives(name), RelationScorer()
    for document in lives.documents[4:]:
        expected.add(document, round_trip(task_linearization(made), document))
    found = scored(made)
    assert found["re_f1"] == pytest.approx(100 * expected.compute()["re"].f1)
    assert found["re_f1"] > 60  # texts say less than numbers
    assert (found["re_f1"] == 100) == (name != "relation-text")


@pytest.mark.parametrize("name", [n for n in RELATIONS if n != "relation-text"])
def test_a_relation_that_is_missed_costs_recall(lives, name):
    made = lives(name)
    start = task_linearization(made).section.start

    def shorter(actions):
        """Without the last relation."""
        return np.append(actions[: np.flatnonzero(actions == start)[-1]], actions[-1])

    gold, worse = scored(made), scored(made, shorter)
    total = sum(len(set(d.annotation.relations)) for d in lives.documents[4:])
    assert worse["re_precision"] == gold["re_precision"] == 100
    assert worse["re_recall"] == pytest.approx(100 - 100 * 2 / total)
    assert worse["conll_f1"] == gold["conll_f1"] == 100


def test_formats_of_clusters_have_no_such_score(task):
    found = scored(task(options={"window": 300}))
    assert not [name for name in found if name.startswith("re_")]


def test_prepared_data_has_the_names(lives, vocabulary_folder, tmp_path, monkeypatch, corpus):
    made = lives(relations="names.json")
    options = made.recipe.options_with(settings())
    direct = made.source.rows("validation")
    model = (vocabulary_folder / MODEL_FILE).read_bytes()
    folder = tmp_path / "prepared" / "lives"
    job = Job("jsonl", "relation-copy", options, model)
    prepare(str(folder), job, {"train": lives.documents[:4], "validation": lives.documents[4:]})
    assert tuple(Manifest.load(str(folder)).options["relations"]) == NAMES[::-1]
    monkeypatch.setenv("T5COREF_PREPARED", str(tmp_path / "prepared"))
    monkeypatch.setenv("T5COREF_DATA", "/nowhere")
    found = list(made.get_dataset(None, "validation", shuffle=False).as_numpy_iterator())
    assert len(found) == len(direct)
    for row, expected in zip(found, direct, strict=True):
        np.testing.assert_array_equal(row["targets"], expected["targets"])

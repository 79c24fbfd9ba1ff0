"""Prediction: back to words, given entities, two models in a row, and bad documents."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from t5coref.core.document import Annotation, Document, Relation
from t5coref.core.errors import ConfigError
from t5coref.corpora import jsonl
from t5coref.headed import encode
from t5coref.jobs import run
from t5coref.joint_ie import JointPredictor, PipelinePredictor
from t5coref.joint_ie.features import read
from t5coref.predict import Predictor, error_of

ONE = {"devices": jax.devices()[:1]}


@pytest.fixture(scope="module")
def model(make_model):
    return make_model("joint-m")


@pytest.fixture(scope="module")
def bare(documents):
    return [d.with_annotation(None) for d in documents]


def test_same_predictions_in_any_batch(model, bare):
    """Random weights: whatever they find is found in every company."""
    alone = list(JointPredictor(model, batch_size=1, **ONE).predict(bare))
    together = list(JointPredictor(model, batch_size=4, round_size=5, **ONE).predict(bare))
    assert [d.doc_id for d in together] == [d.doc_id for d in bare]
    assert alone == together
    assert any(d.annotation.clusters for d in alone)
    for document in alone:
        for start, end, _ in document.annotation.mentions():
            assert any(a <= start < end <= b for a, b in document.sentences)


def test_devices_share_a_batch(model, bare):
    one = list(JointPredictor(model, batch_size=4, **ONE).predict(bare))
    two = list(JointPredictor(model, batch_size=4, devices=jax.devices()[:2]).predict(bare))
    assert [d.annotation.clusters for d in one] == [d.annotation.clusters for d in two]


def test_bad_documents_do_not_stop_the_others(model, bare):
    long = Document(doc_id="long", words=("a",) * 200)
    empty = Document(doc_id="empty", words=())
    predictor = JointPredictor(model, longest=64, **ONE)
    found = list(predictor.predict([bare[0], long, empty, bare[1]]))
    assert [error_of(d) is None for d in found] == [True, False, True, True]
    assert "'long' has" in found[1].extra["error"]
    assert found[1].annotation == found[2].annotation == Annotation()
    assert [found[0], found[3]] == list(predictor.predict(bare[:2]))


def test_given_entities_stay(make_model, documents):
    clusters = (((4, 6),), ((2, 3), (13, 14), (0, 1)), ((0, 1), (8, 9)))
    given = documents[0].with_annotation(
        Annotation(clusters, (Relation(0, 1, "unheard of"),), types=("a", None, "b"))
    )
    for setting in ("relations", "joint-m"):
        predictor = JointPredictor(make_model(setting), given_entities=True, **ONE)
        (found,) = predictor.predict([given])
        assert found.annotation.clusters == given.annotation.clusters
        assert found.annotation.types == ("a", None, "b")
        for relation in found.annotation.relations:
            assert relation.type in predictor.model.relations
            assert relation.head != relation.tail
    (nothing,) = predictor.predict([documents[0].with_annotation(None)])
    assert nothing.annotation == Annotation()


def test_relations_are_between_the_clusters_they_name(make_model, documents):
    """Weights that always say "lives in": every ordered pair of given clusters has it."""
    model = make_model("joint-m")
    params = jax.tree.map(np.zeros_like, model.params["heads"])
    predictor = JointPredictor(model, given_entities=True, **ONE)
    flat = {"/".join(k.key for k in path): leaf for path, leaf in
            jax.tree_util.tree_leaves_with_path(params)}  # fmt: skip
    biases = [name for name, leaf in flat.items() if leaf.shape == (4,)]
    assert biases, sorted(flat)
    flat[biases[0]][3] = 1.0
    changed = dataclasses.replace(model, params={**model.params, "heads": params})
    (found,) = predictor.predict([documents[0]], changed.params)
    assert {(r.head, r.tail, r.type) for r in found.annotation.relations} == {
        (h, t, "lives in") for h in range(3) for t in range(3) if h != t
    }


def test_pipeline_of_two_models(make_model, bare):
    relations = JointPredictor(make_model("relations"), **ONE)
    coreference = JointPredictor(make_model("coreference"), **ONE)
    pipeline = PipelinePredictor(coreference, relations)
    found = list(pipeline.predict(bare))
    clusters = list(coreference.predict(bare))
    assert [d.annotation.clusters for d in found] == [d.annotation.clusters for d in clusters]
    assert found == list(relations.predict(clusters))
    assert set(pipeline.identity) == {"clusters", "relations", "round_size"}


@pytest.mark.slow
def test_the_first_model_may_write_its_clusters(make_model, base, bare):
    relations = JointPredictor(make_model("relations"), **ONE)
    writing = PipelinePredictor(Predictor(base, **ONE), relations)
    assert [d.doc_id for d in writing.predict(bare)] == [d.doc_id for d in bare]


def test_a_job_goes_on(model, bare, tmp_path):
    predictor = JointPredictor(model, round_size=2, **ONE)
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    assert run(predictor, bare, whole) == 0

    def dying():
        yield from bare[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(predictor, dying(), parts)
    assert run(predictor, bare, parts) == 0
    assert parts.read_bytes() == whole.read_bytes()
    assert list(jsonl.read(whole)) == list(predictor.predict(bare))


def test_segments_are_encoded_independently(make_model, bare):
    """Each segment's states are those of a document that it is all of."""
    model = make_model("joint-m", segment_length=9)
    row = read(bare[0], model.tokenizer, segment_length=9)
    assert set(row.segment.tolist()) == {0, 1, 2}
    run = jax.jit(lambda features: encode(model.config, model.params, features,
                                          enable_dropout=False)[0])  # fmt: skip
    together = run(
        {"encoder_input_tokens": row.source[None], "encoder_segment_ids": row.segment[None]}
    )
    for number in range(3):
        of_segment = row.segment == number
        pieces = row.source[of_segment]
        alone = run({"encoder_input_tokens": np.pad(pieces, (0, 9 - len(pieces)))[None]})
        np.testing.assert_allclose(together[of_segment], alone[: len(pieces)], atol=1e-5)
    assert len(list(JointPredictor(model, **ONE).predict(bare))) == len(bare)


@pytest.mark.parametrize(
    ("setting", "options", "message"),
    [
        ("relations", {"given_entities": False}, "between given entities only"),
        ("coreference", {"given_entities": True}, "finds no relations"),
        ("joint", {"batch_size": 0}, "batch_size 0"),
        ("joint", {"longest": 1}, "longest 1"),
    ],
)
def test_impossible_settings(make_model, setting, options, message):
    with pytest.raises(ConfigError, match=message):
        JointPredictor(make_model(setting), **options, **ONE)

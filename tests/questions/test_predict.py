"""Prediction by questions: probabilities against one decoder call a question, in float64."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import MismatchError
from t5coref.core.given_mentions import GOLD, PREDICTED, given, with_mentions
from t5coref.linearize.questions import SINGLETON, Questions
from t5coref.model import Format, from_scratch
from t5coref.nn.t5 import T5Config
from t5coref.predict import error_of
from t5coref.predictors import predictor_of
from t5coref.questions import QuestionPredictor, QuestionScores, Weights, clusters
from t5coref.tokenizer import Tokenizer

TINY = T5Config(
    vocab_size=1, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1,
    head_dim=8, mlp_dim=32, dropout_rate=0.0,
)  # fmt: skip
OPTIONS = {"window": 40, "max_mentions": 12, "candidates": 3}


def story(name, count):
    """Sentences about Anna and the dog."""
    words = tuple(["Anna", "saw", "the", "dog", "."] * count)
    return Document(
        doc_id=name,
        words=words,
        sentences=tuple((5 * k, 5 * k + 5) for k in range(count)),
        annotation=Annotation(
            (
                tuple((5 * k, 5 * k + 1) for k in range(count)),
                tuple((5 * k + 2, 5 * k + 4) for k in range(count)),
            )
            if count
            else ()
        ),
    )


@pytest.fixture(scope="module")
def model(tokenizer):
    made = Tokenizer(tokenizer.model, Questions.symbols)
    return from_scratch(TINY, made, format=Format("qa", OPTIONS), seed=1)


@pytest.fixture(scope="module")
def predictor(model):
    return QuestionPredictor(model, batch_size=4, devices=jax.devices()[:1])


@pytest.fixture(scope="module")
def logits(model):
    """`[1, 3, V]` behind the tokens of one question, by the network's plain call."""
    network = model.network

    @jax.jit
    def call(source, feeds):
        return network.apply({"params": model.params}, source, feeds, feeds + 1,
                             enable_dropout=False)  # fmt: skip

    return lambda source, feeds: np.asarray(call(source, feeds), np.float64)


def one_by_one(lin, turn, logits):
    """`[Q, A]` log-probabilities, each question on its own."""
    source = np.zeros((1, 64), np.int32)
    source[0, : len(turn.source)] = turn.source
    out = []
    for prompt, legal in zip(lin.prompts(turn), lin.legal(turn), strict=True):
        feeds = np.asarray([[0, *prompt]], np.int32)
        row = logits(source, feeds)[0, -1, list(lin.answers)]
        row = np.where(legal, row, -np.inf)
        out.append(row - np.log(np.exp(row[legal]).sum()))
    return out


def test_probabilities_are_those_of_one_question_at_a_time(predictor, logits):
    document = with_mentions(story("d", 4), [(0, 1), (2, 4), (5, 6), (8, 9), (17, 18)], PREDICTED)
    lin = predictor.linearization
    asked = lin.ask(document)
    assert len(asked.windows) > 1
    expected = QuestionScores.of(asked, [one_by_one(lin, w.turn, logits) for w in asked.windows])
    (found,) = predictor.scores([document])
    assert found.spans == expected.spans
    np.testing.assert_array_equal(found.pairs, expected.pairs)
    for name in ("forward", "backward", "nothing_before", "nothing_behind", "alone", "null"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), atol=1e-5, err_msg=name
        )
    assert (found.null > 0).all()
    answers = np.concatenate([np.exp(one_by_one(lin, w.turn, logits)) for w in asked.windows])
    np.testing.assert_allclose(answers.sum(axis=1), 1)


def test_documents_come_back_with_clusters_of_their_mentions(model, predictor):
    bare = Document(doc_id="x", words=("a",), sentences=((0, 1),))
    proposed = with_mentions(story("p", 2), [(0, 1), (5, 6)], PREDICTED)
    documents = [story("a", 1), bare, story("none", 0), story("b", 5), proposed]
    found = list(predictor.predict(documents))
    assert [d.doc_id for d in found] == [d.doc_id for d in documents]
    assert "gives no mentions" in error_of(found[1])
    for document, before in zip(found, documents, strict=True):
        if document.doc_id == "x":
            continue
        spans = [s for c in document.annotation.clusters for s in c]
        assert len(spans) == len(set(spans))
        assert set(spans) <= set(given(before).spans)
        assert given(document) == given(before)
        assert given(document).source == (PREDICTED if document.doc_id == "p" else GOLD)
    assert sum(len(c) for c in found[3].annotation.clusters) == 10
    # In other batches the same comes out.
    alone = [next(iter(predictor.predict([d]))) for d in (documents[0], documents[3])]
    assert [d.annotation for d in alone] == [found[0].annotation, found[3].annotation]


@pytest.mark.parametrize("task", [0, 1])
def test_weights_come_from_the_format(model, predictor, task):
    document = story("d", 4)
    (scores,) = predictor.scores([document])
    weights = Weights(1.0 - task, 0.0, 0.0)
    format_ = Format("qa", {**OPTIONS, "alpha": 1.0 - task, "gamma": 0.0})
    told = predictor_of(dataclasses.replace(model, format=format_), devices=jax.devices()[:1])
    (found,) = told.predict([document])
    assert found.annotation == clusters(scores, weights)
    assert told.identity["model"] != predictor.identity["model"]


def test_passages_are_scored_alike(model, logits):
    format_ = Format("qa-passage", OPTIONS)
    passages = QuestionPredictor(dataclasses.replace(model, format=format_), batch_size=16,
                                 devices=jax.devices()[:1])  # fmt: skip
    document, lin = story("d", 1), passages.linearization
    (found,) = passages.scores([document])
    asked = lin.ask(document)
    assert len(asked.windows) == 3 * 2
    expected = QuestionScores.of(asked, [one_by_one(lin, w.turn, logits) for w in asked.windows])
    np.testing.assert_allclose(found.forward, expected.forward, atol=1e-5)
    np.testing.assert_allclose(found.backward, expected.backward, atol=1e-5)
    np.testing.assert_allclose(found.alone, expected.alone, atol=1e-5)


def test_without_singleton_questions_nothing_stands_alone(model):
    for tasks, nan in ((("forward",), "backward"), (("backward",), "forward")):
        format_ = Format("qa", {**OPTIONS, "tasks": tasks})
        asked = QuestionPredictor(dataclasses.replace(model, format=format_), batch_size=4,
                                  devices=jax.devices()[:1])  # fmt: skip
        (found,) = asked.scores([story("d", 4)])
        assert np.isnan(getattr(found, nan)).all()
        assert np.isnan(found.alone).all()
        assert not any(SINGLETON in w.turn.asked[:, 0] for w in asked.linearization.ask(
            story("d", 4)).windows)  # fmt: skip
        assert np.isfinite(clusters_evidence(found)).all()


def clusters_evidence(scores):
    from t5coref.questions.inference import Evidence

    return Evidence.of(scores).weighed(Weights())


def test_a_document_that_cannot_be_asked_about_is_an_error(predictor):
    bare = Document(doc_id="x", words=("a",), sentences=((0, 1),))
    with pytest.raises(MismatchError, match="gives no mentions"):
        list(predictor.scores([bare]))


def test_other_formats_are_refused(model, tokenizer):
    from t5coref.linearize import symbols_of

    other = from_scratch(TINY, Tokenizer(tokenizer.model, symbols_of("tagging")),
                         format=Format("tagging", {"window": 40}))  # fmt: skip
    with pytest.raises(MismatchError, match="asks no questions"):
        QuestionPredictor(other)

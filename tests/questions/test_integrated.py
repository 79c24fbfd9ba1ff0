"""Iterative generation with the evidence of questions, against its formula step by step."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.core.given_mentions import PREDICTED, with_mentions
from t5coref.linearize import Answer, drive, symbols_of
from t5coref.model import Format, from_scratch
from t5coref.nn.t5 import T5Config
from t5coref.predict import Predictor, error_of
from t5coref.questions import QuestionPredictor, Weights
from t5coref.questions.inference import Evidence
from t5coref.questions.integrated import IntegratedPredictor
from t5coref.tokenizer import Tokenizer

TINY = T5Config(
    vocab_size=1, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1,
    head_dim=8, mlp_dim=32, dropout_rate=0.0,
)  # fmt: skip
WEIGHTS = Weights(0.4, 0.25, 0.5)
IDS = {"window": 48, "max_clusters": 12, "nulls": True}
ONE = {"devices": jax.devices()[:1], "batch_size": 4}


def story(count):
    words = tuple(["Anna", "saw", "the", "dog", "."] * count)
    spans = [s for k in range(count) for s in ((5 * k, 5 * k + 1), (5 * k + 2, 5 * k + 4))]
    spans += [(2, 5)] if count else []
    document = Document(
        doc_id=f"d{count}",
        words=words,
        sentences=tuple((5 * k, 5 * k + 5) for k in range(count)),
        annotation=Annotation(),
    )
    return with_mentions(document, spans, PREDICTED)


@pytest.fixture(scope="module")
def questions(tokenizer):
    made = Tokenizer(tokenizer.model, symbols_of("qa"))
    options = {"window": 48, "max_mentions": 12, "candidates": 3, **WEIGHTS._asdict()}
    return QuestionPredictor(from_scratch(TINY, made, format=Format("qa", options), seed=1), **ONE)


@pytest.fixture(scope="module")
def ids(tokenizer):
    made = Tokenizer(tokenizer.model, symbols_of("iterative-ids", IDS))
    return from_scratch(TINY, made, format=Format("iterative-ids", IDS), seed=2)


DOCUMENTS = [story(1), story(4), story(0)]


@pytest.mark.parametrize(
    ("name", "carry"),
    [("iterative-handles", True), pytest.param("iterative-ids", False, marks=pytest.mark.slow)],
)
def test_without_weight_it_is_iterative_generation(ids, questions, name, carry):
    format_ = Format(name, {**IDS, "carry": carry})
    model = dataclasses.replace(ids, format=format_)
    plain = list(Predictor(model, **ONE).predict(DOCUMENTS))
    found = list(IntegratedPredictor(model, questions, weight=0.0, **ONE).predict(DOCUMENTS))
    for one, other in zip(found, plain, strict=True):
        assert one.annotation.clusters == other.annotation.clusters
        if one.annotation.clusters:
            sure = [np.asarray([c.link for c in cs]) for cs in one.annotation.confidences]
            same = [np.asarray([c.link for c in cs]) for cs in other.annotation.confidences]
            for x, y in zip(sure, same, strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-4)


@pytest.mark.parametrize("weight", [0.3, 2.0])
def test_every_symbol_is_the_best_by_the_formula(ids, questions, weight):
    document = DOCUMENTS[1]
    integrated = IntegratedPredictor(ids, questions, weight=weight, **ONE)
    (found,) = integrated.predict([document])
    lin, network = integrated.linearization, ids.network
    (scores,) = questions.scores([document])
    evidence = Evidence.of(scores)
    pairs = {
        (scores.spans[i], scores.spans[j]): value
        for (i, j), value in zip(
            evidence.pairs.tolist(), evidence.weighed(WEIGHTS).tolist(), strict=True
        )
    }

    def speaks(mention, other):
        if (other, mention) in pairs:
            return pairs[other, mention]
        if (mention, other) not in pairs:
            return WEIGHTS.tau
        # The other one is within the mention, and says what it refers to.
        rest = [v for (i, j), v in pairs.items() if j == other and i != mention]
        return WEIGHTS.tau + pairs[mention, other] - max([WEIGHTS.tau, *rest])

    marked = {w.turn.index: w for w in lin.marked(document)}

    @jax.jit
    def call(source, feeds):
        return network.apply({"params": ids.params}, source, feeds, feeds + 1,
                             enable_dropout=False)  # fmt: skip

    def answer(turns):
        out = []
        for turn in turns:
            window = marked[turn.index]
            source = np.zeros((1, 64), np.int32)
            source[0, : len(turn.source)] = turn.source
            read, said, members = [0], [], {}
            for slot in window.slots:
                feeds = np.zeros((1, 16), np.int32)
                feeds[0, : len(read)] = read
                logits = np.asarray(call(source, feeds), np.float64)[0, len(read) - 1]
                choices = {lin.new: weight * WEIGHTS.tau, lin.null: weight * WEIGHTS.tau}
                for k, spans in members.items():
                    best = max(speaks(window.spans[slot], span) for span in spans)
                    choices[lin.clusters[k]] = weight * best
                token = max(choices, key=lambda t, c=choices, lg=logits: lg[t] + c[t])
                if token == lin.new:
                    members[len(members)] = []
                    token_read = lin.clusters[len(members) - 1]
                else:
                    token_read = token
                if token_read != lin.null:
                    members[lin.clusters.index(token_read)].append(window.spans[slot])
                said.append(token)
                read.append(token_read)
            out.append(Answer(np.asarray([*said, lin.tokenizer.eos_id], np.int32)))
        return out

    expected = drive(lin, document, answer)
    assert len(marked) > 1
    assert found.annotation.clusters == expected.clusters
    plain = next(iter(Predictor(ids, **ONE).predict([document])))
    if weight > 1:
        assert plain.annotation.clusters != found.annotation.clusters


def test_what_it_refuses(ids, questions, tokenizer):
    with pytest.raises(ConfigError, match="at least"):
        IntegratedPredictor(ids, questions, weight=-1.0, **ONE)
    other = from_scratch(TINY, Tokenizer(tokenizer.model, symbols_of("tagging")),
                         format=Format("tagging", {"window": 40}))  # fmt: skip
    with pytest.raises(MismatchError, match="iterative-ids"):
        IntegratedPredictor(other, questions, **ONE)
    bare = Document(doc_id="x", words=("a",), sentences=((0, 1),))
    (found,) = IntegratedPredictor(ids, questions, **ONE).predict([bare])
    assert "gives no mentions" in error_of(found)
    one = IntegratedPredictor(ids, questions, weight=0.3, **ONE).identity
    assert one["integrated"] == {"weight": 0.3, **WEIGHTS._asdict()}
    assert one != IntegratedPredictor(ids, questions, weight=0.4, **ONE).identity

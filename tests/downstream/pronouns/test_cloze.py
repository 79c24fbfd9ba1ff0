"""Filling gaps: scores are sums over the candidate's pieces, and an example's alone."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.downstream import text
from t5coref.downstream.predict import TextPredictor
from t5coref.downstream.pronouns import cloze
from t5coref.downstream.pronouns.example import Candidate, fillings, with_candidates


@pytest.fixture(scope="module")
def predictor(model):
    return TextPredictor(model, batch_size=4, round_size=5, devices=jax.devices()[:1])


@pytest.fixture(scope="module")
def step(model):
    """log Pr of the next piece `[V]`, unpadded, float64."""

    @jax.jit
    def run(source, feeds):
        return model.network.apply(
            {"params": model.params}, source, feeds, jnp.ones_like(feeds), enable_dropout=False
        )[0]

    def log_probs(source, feeds):
        logits = np.asarray(run(jnp.asarray([source]), jnp.asarray([feeds])), np.float64)
        return logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))

    return log_probs


def by_hand(step, pieces, example, filling):
    """The pieces of a candidate, one after the other behind <extra_id_0>."""
    sentinel = text.sentinel(pieces, 0)
    before, after = example.text[: example.span[0]], example.text[example.span[1] :]
    source = [*pieces.encode(before), sentinel, *pieces.encode(after), pieces.eos_id]
    candidate = pieces.encode(filling)
    found = step(source, [0, sentinel, *candidate])
    return [found[1 + i, piece] for i, piece in enumerate(candidate)]


def test_scores_are_those_of_the_pieces_of_the_candidate(predictor, step, pieces, questions):
    example = questions[3]
    wanted = [by_hand(step, pieces, example, filling) for filling in fillings(example)]
    (summed,) = cloze.predict(predictor, [example])
    (averaged,) = cloze.predict(predictor, [example], of_length=cloze.mean)
    np.testing.assert_allclose(summed.scores, [sum(w) for w in wanted], rtol=1e-4)
    np.testing.assert_allclose(averaged.scores, [np.mean(w) for w in wanted], rtol=1e-4)
    assert (summed.name, summed.error) == (example.name, None)


def test_possessives_are_scored_as_they_are_filled(predictor, step, pieces, questions):
    example = dataclasses.replace(questions[0], possessive=True)
    assert fillings(example)[0] == "Ann's"
    (found,) = cloze.predict(predictor, [example])
    np.testing.assert_allclose(
        found.scores[0], sum(by_hand(step, pieces, example, "Ann's")), rtol=1e-4
    )


def test_examples_do_not_disturb_each_other(predictor, questions):
    several = with_candidates(questions[1], [Candidate(n) for n in ("Ann", "Dan", "Ben Ann", "D")])
    asked = [questions[0], several, *questions[2:9]]
    together = list(cloze.predict(predictor, asked))
    assert [p.name for p in together] == [e.name for e in asked]
    for example, found in zip(asked, together, strict=True):
        (alone,) = cloze.predict(predictor, [example])
        np.testing.assert_allclose(found.scores, alone.scores, rtol=1e-5)
    swapped = with_candidates(several, several.candidates[::-1])
    (found,) = cloze.predict(predictor, [swapped])
    np.testing.assert_allclose(found.scores[::-1], together[1].scores, rtol=1e-5)


def test_candidates_that_are_written_alike_tie_exactly(predictor, questions):
    names = [Candidate("The cat", None, True), Candidate("the cat"), Candidate("Dan")]
    example = with_candidates(questions[0], names)
    (found,) = cloze.predict(predictor, [example])
    assert found.scores[0] == found.scores[1] != found.scores[2]


def test_an_example_that_cannot_be_scored_is_an_error(model, questions):
    predictor = TextPredictor(model, batch_size=4, max_target_length=12, devices=jax.devices()[:1])
    long = with_candidates(questions[1], [Candidate("Ann " * 12), Candidate("Ben")])
    found = list(cloze.predict(predictor, [questions[0], long, questions[2]]))
    assert [p.error is None for p in found] == [True, False, True]
    assert (found[1].scores, found[1].chosen, found[1].best) == ((), None, ())
    assert "max_target_length" in (found[1].error or "")


def test_other_weights(predictor, model, questions):
    params = jax.tree.map(lambda x: 0.5 * x, model.params)
    (own,) = cloze.predict(predictor, questions[:1])
    (other,) = cloze.predict(predictor, questions[:1], params=params)
    assert abs(own.scores[0] - other.scores[0]) > 1e-3


def test_examples_without_candidates_have_no_scores(predictor, questions):
    nobody = with_candidates(questions[1], [])
    found = list(cloze.predict(predictor, [nobody, questions[0], nobody]))
    assert [(p.scores == (), p.error, p.chosen is None) for p in found[::2]] == [
        (True, None, True)
    ] * 2
    assert len(found[1].scores) == 2


def test_a_candidate_without_pieces_is_no_win(predictor, pieces, questions):
    assert pieces.encode("\u200b") == []  # a blank of no width, which SentencePiece drops
    example = with_candidates(questions[1], [Candidate("\u200b"), Candidate("Ben")])
    (found,) = cloze.predict(predictor, [example])
    assert (found.scores, found.error) == ((), "the candidate '\\u200b' has no pieces")

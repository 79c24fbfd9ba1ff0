"""The margin loss against float64 by hand; test_command.py has a tiny T5 that learns by it."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.core.errors import ConfigError
from t5coref.downstream.predict import TextPredictor
from t5coref.downstream.pronouns import cloze
from t5coref.downstream.pronouns.example import Candidate, with_candidates
from t5coref.downstream.pronouns.objective import (
    TARGETS,
    WEIGHTS,
    PronounObjective,
    collate,
    equation_5,
    margin_loss,
    pairs,
)

ONE = {"devices": jax.devices()[:1]}


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    ("alpha", "beta", "positions"), [(10.0, 0.2, 128.0), (5.0, 0.4, 1.0), (20.0, 0.0, 8.0)]
)
def test_equation_5_by_hand(alpha, beta, positions, own):
    log_probs = -np.random.default_rng(int(positions)).gamma(2.0, 10.0, (9, 2))
    settings = {"alpha": alpha, "beta": beta, "positions": positions, "own_wrong": own}
    found, parts = equation_5(jnp.asarray(log_probs, jnp.float32), **settings)
    mean_wrong = sum(-b for _, b in log_probs) / len(log_probs)
    for row, (a, b) in enumerate(log_probs):
        # -log Pr(a) + alpha max(0, log Pr(b) - log Pr(a) + beta), all log Pr over `positions`
        against = b / positions if own else -mean_wrong / positions
        margin = max(0.0, against - a / positions + beta)
        np.testing.assert_allclose(found[row], -a / positions + alpha * margin, rtol=1e-4)
        np.testing.assert_allclose(parts["likelihood"][row], -a / positions, rtol=1e-5)
        np.testing.assert_allclose(parts["margin"][row], margin, rtol=1e-3, atol=1e-5)
        assert float(parts["preferred"][row]) == (a > b)
    if (alpha, positions, own) == (10.0, 128.0, True):
        assert 0 < np.count_nonzero(np.asarray(parts["margin"])) < 9  # both sides of the maximum


def test_the_margin_pushes_until_it_is_kept():
    """d loss / d log Pr: alpha on both sides where the margin is not kept, none where it is."""
    settings = {"alpha": 10.0, "beta": 0.2, "positions": 128.0, "own_wrong": True}
    log_probs = jnp.asarray([[-10.0, -10.0], [-10.0, -40.0], [-40.0, -10.0], [-10.0, -35.0]])
    slope = jax.grad(lambda x: jnp.sum(equation_5(x, **settings)[0]))(log_probs)
    # 25.6 nats apart is far enough.
    pushed, kept = [-11 / 128, 10 / 128], [-1 / 128, 0.0]
    np.testing.assert_allclose(slope, [pushed, kept, pushed, pushed], rtol=1e-5)


def test_the_loss_is_that_of_what_the_command_scores(model, questions, pieces):
    predictor = TextPredictor(model, batch_size=4, **ONE)
    found = cloze.predict(predictor, questions[:4])
    scores = [[p.scores[e.true[0]], p.scores[1 - e.true[0]]]
              for e, p in zip(questions[:4], found, strict=True)]  # fmt: skip
    each, parts = equation_5(
        jnp.asarray(scores, jnp.float32), alpha=10.0, beta=0.2, positions=128.0, own_wrong=True
    )
    features = collate(pairs(questions[:4], pieces)).features
    loss = jax.jit(margin_loss(model.config))
    total, sums = loss(model.params, features, jax.random.key(0))  # nothing has dropout here
    np.testing.assert_allclose(total, jnp.sum(each), rtol=1e-4)
    assert float(sums.weight) == 4.0
    for name, part in parts.items():
        np.testing.assert_allclose(sums.parts[name], jnp.sum(part), rtol=1e-4, err_msg=name)
    assert margin_loss(model.config) is margin_loss(model.config)


def test_pairs(questions, pieces):
    names = [Candidate("Ann", None, True), Candidate("Ben"), Candidate("Dan")]
    three = with_candidates(questions[0], names)
    neither = with_candidates(questions[1], [Candidate("Ann"), Candidate("Ben")])
    made = pairs([three, neither, questions[2]], pieces)
    assert [p.name for p in made] == [three.name, three.name, questions[2].name]
    batch = collate(made)
    assert batch.features["encoder_input_tokens"].shape == (3, 32)
    for row, pair in enumerate(made):
        for side, target in enumerate(pair.targets):
            weights = batch.features[WEIGHTS][row, side]
            scored = batch.features[TARGETS][row, side][weights > 0]
            assert scored.tolist() == target[1:-2].tolist()  # neither sentinels nor </s>
    assert batch.names == (three.name, three.name, questions[2].name)


def test_gap_is_judged_by_its_scorer(model, questions):
    neither = dataclasses.replace(
        with_candidates(questions[1], [Candidate("Ann"), Candidate("Ben")]), name="neither"
    )
    examples = [*questions[:3], neither]
    objective = PronounObjective(
        model=model, train_set=questions, dev_set=examples, eval_batch_size=8, **ONE
    )
    assert objective.score == "f1"
    assert objective.evaluate is not None
    scores = objective.evaluate(model.params)
    right = round(scores["accuracy"] * 3)
    # Of four names said, `right` are true; three should have been.
    assert scores["f1"] == pytest.approx(2 * right / 7)
    assert scores["f1_masculine"] == 0.0


def test_settings_tell_runs_apart(model, questions):
    def settings(**changes):
        given = {"train_set": questions[:2], "dev_set": questions[:1], **changes}
        return PronounObjective(model=model, **given, **ONE).settings

    first = settings()
    assert first == settings()
    changes = [
        {"alpha": 5.0}, {"beta": 0.1}, {"positions": 1.0}, {"own_wrong": False},
        {"train_set": questions[:3]}, {"dev_set": questions[1:2]},
    ]  # fmt: skip
    for change in changes:
        assert settings(**change) != first, change
    with pytest.raises(ConfigError, match="nothing to train on"):
        PronounObjective(model=model, train_set=[with_candidates(questions[0], [Candidate("Ann")])])


def test_batches_are_a_function_of_seed_and_number(model, questions):
    objective = PronounObjective(model=model, train_set=questions)
    names = [objective.batches(5, 3)[i].names for i in range(48)]  # three times 16, sorted together
    assert names == [objective.batches(5, 3)[i].names for i in range(48)]
    assert names != [objective.batches(5, 4)[i].names for i in range(48)]
    seen = list(itertools.chain.from_iterable(names))
    assert [seen.count(q.name) for q in questions] == [20] * 12

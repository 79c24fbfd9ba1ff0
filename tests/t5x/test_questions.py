"""Questions in T5X: answers alone count, and all of a row are answered at once."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from t5coref.core.rules import NUMBER
from t5coref.nn.t5 import T5

adapter = pytest.importorskip("t5coref.t5x_adapter")
coref_task = pytest.importorskip("t5coref.data.task")

TASK = "tiny_qa"
BLOCK = 3


@pytest.fixture(scope="module")
def asked(config, batch_of):
    """The model, its parameters, a batch, and the logits of each question on its own."""
    model = adapter.CorefModel(
        T5(dataclasses.replace(config, vocab_size=1024)),
        None,
        TASK,
        loss_normalizing_factor="NUM_REAL_TARGET_TOKENS",
    )
    batch = batch_of(TASK)
    shapes = {name: feature.shape for name, feature in batch.items()}
    params = model.get_initial_variables(jax.random.key(0), shapes)["params"]
    feeds = np.asarray(batch["decoder_input_tokens"])
    rows, length = feeds.shape
    count = length // BLOCK
    blocks = feeds[:, : count * BLOCK].reshape(rows * count, BLOCK)
    sources = np.repeat(np.asarray(batch["encoder_input_tokens"]), count, axis=0)
    logits = model.module.apply({"params": params}, sources, blocks, blocks + 1,
                                enable_dropout=False)  # fmt: skip
    rules = coref_task.task_linearization(TASK).rules
    behind = np.asarray(logits, np.float64)[:, -1, list(rules.scored_ids)]
    return model, params, batch, behind.reshape(rows, count, -1), rules


def test_loss_is_that_of_the_answers(asked):
    model, params, batch, logits, rules = asked
    loss, _ = model.loss_fn(params, batch, None)
    targets = np.asarray(batch["decoder_target_tokens"])
    answers = targets[:, BLOCK - 1 :: BLOCK][:, : logits.shape[1]]
    column = {token: i for i, token in enumerate(rules.scored_ids)}
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    found = [
        log_probs[row, k, column[token]]
        for row, tokens in enumerate(answers.tolist())
        for k, token in enumerate(tokens)
        if token
    ]
    assert len(found) > 50
    np.testing.assert_allclose(loss, -np.mean(found), rtol=1e-5)


def test_every_question_gets_its_likeliest_answer(asked):
    model, params, batch, logits, rules = asked
    actions, aux = model.predict_batch_with_aux(params, batch)
    targets = np.asarray(batch["decoder_target_tokens"])
    assert actions.shape == targets.shape
    legal = rules.next_mode[NUMBER + 1] >= 0
    best = np.asarray(rules.scored_ids)[np.where(legal, logits, -np.inf).argmax(axis=-1)]
    total = np.zeros(len(targets))
    log_probs = np.where(legal, logits, -np.inf)
    log_probs -= np.log(np.exp(log_probs).sum(axis=-1, keepdims=True))
    for row, wanted in enumerate(targets):
        length = int((wanted > 0).sum()) - 1  # without </s>, which says nothing
        blocks = np.asarray(actions)[row, :length].reshape(-1, BLOCK)
        np.testing.assert_array_equal(blocks[:, :2], wanted[:length].reshape(-1, BLOCK)[:, :2])
        np.testing.assert_array_equal(blocks[:, 2], best[row, : len(blocks)])
        assert not np.asarray(actions)[row, length:].any()
        total[row] = log_probs[row, : len(blocks)].max(axis=-1).sum()
    np.testing.assert_allclose(aux["scores"], total, rtol=1e-4)

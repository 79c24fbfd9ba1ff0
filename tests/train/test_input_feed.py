"""input-feed in the loop: its decoder reads two pieces at each step."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from t5coref import linearize
from t5coref.model import Format, from_scratch
from t5coref.nn.t5 import T5
from t5coref.tokenizer import Tokenizer
from t5coref.train import logbook
from t5coref.train.batches import batches, name, training_examples

S, T = 32, 96
"""Lengths of the `settings`."""


@pytest.fixture(scope="module")
def reader(model):
    """The tiny model with another format."""
    tokenizer = Tokenizer(model.tokenizer.model, linearize.symbols_of("input-feed"))
    return from_scratch(model.config, tokenizer, format=Format("input-feed", model.format.options))


def mean_loss(model, examples):
    """Of gold actions, one example after the other, from the whole vocabulary's logits."""
    scored = model.format.make(model.tokenizer).rules.scored_ids
    apply = jax.jit(
        lambda *tokens: T5(model.config).apply(
            {"params": model.params}, *tokens, enable_dropout=False
        )
    )
    each = []
    for example in examples:
        source, targets = np.zeros((1, S), np.int32), np.zeros((1, T), np.int32)
        read = np.zeros((1, T, 2), np.int32)
        count = len(example.actions)
        source[0, : len(example.turn.source)] = example.turn.source
        targets[0, :count] = example.actions
        read[0, 1:count] = example.feeds[:-1]
        logits = np.asarray(apply(source, read, targets)[0, :count], np.float64)[:, scored]
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        each += [row[scored.index(a)] for row, a in zip(log_probs, example.actions, strict=True)]
    return -np.mean(each)


def test_it_trains_on_the_loss_of_its_actions(reader, stories, run):
    """Over micro-batches; both pieces of a step are read."""
    format_ = reader.format.make(reader.tokenizer)
    examples, _ = training_examples(format_, stories, max_source_length=S, max_target_length=T)
    assert any(len(set(feed)) == 2 for feed in examples[0].feeds.tolist())
    result = run(model=reader, dropout=0.0, steps=4, eval_every=4, batch_size=2, accumulate=2)
    losses = [r["loss"] for r in logbook.read(result.last.parent) if r["kind"] == "train"]
    named = {name(example): example for example in examples}
    first = [named[n] for n in batches(examples, format_.rules, 4, seed=0)[0].names]
    np.testing.assert_allclose(losses[0], mean_loss(reader, first), rtol=1e-4)
    assert losses[-1] < losses[0] - 0.1

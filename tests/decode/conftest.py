"""A tiny network that knows some stories by heart, one for each copying format."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from t5coref import linearize
from t5coref.core.document import Annotation, Document
from t5coref.linearize import FORMATS, PLAIN_TEXT, RELATIONS, Example, Linearization
from t5coref.linearize.relations import relation_symbols
from t5coref.model import from_scratch
from t5coref.nn.losses import token_loss
from t5coref.nn.t5 import T5, T5Config
from t5coref.tokenizer import Tokenizer
from t5coref.train.inputs import demo_stories, vocabulary

TINY = T5Config(
    vocab_size=1, emb_dim=48, num_heads=3, num_encoder_layers=1, num_decoder_layers=1,
    head_dim=16, mlp_dim=96, dropout_rate=0.0,
)  # fmt: skip
COPYING = ["full-copy", "input-feed", "integer-free", "integer-free-end", "tagging"]
RELATED = ("a", "b")
SHORT = 20  # words
STEPS, RATE = 200, 5e-3


@dataclasses.dataclass(frozen=True)
class Learnt:
    """A network, random and trained parameters, and what they were trained on."""

    network: T5
    random: Any
    trained: Any
    formats: dict[str, Linearization]
    examples: dict[str, Example]  # of the story that was learnt in each copying format
    stories: list[Document]


def shortened(story):
    """The first sentences of a story."""
    cut = max(end for _, end in story.sentences if end <= SHORT)
    clusters = [[s for s in c if s[1] <= cut] for c in story.annotation.clusters]
    return dataclasses.replace(
        story,
        words=story.words[:cut],
        sentences=tuple(s for s in story.sentences if s[1] <= cut),
        speakers=None,
        annotation=Annotation(tuple(tuple(c) for c in clusters if c)),
    )


@pytest.fixture(scope="session")
def learnt() -> Learnt:
    stories = [shortened(s) for s in demo_stories(count=12, seed=5)]
    pieces = vocabulary(documents=stories, size=150, numbers=10)
    # All formats have the same ids in one vocabulary, and ten clusters.
    symbols = dict.fromkeys(s for f in FORMATS.values() for s in f.symbols)
    few = [s for s in symbols if not re.search(r"\d\d", s)] + list(relation_symbols(RELATED))
    few += ["<of>", "<in>"]
    tokenizer = Tokenizer(pieces.model, few)
    options = {"window": 64, "max_clusters": 10, "max_depth": 4}
    related = {name: {"relations": RELATED} for name in RELATIONS}
    names = sorted(set(FORMATS) - set(PLAIN_TEXT))
    formats = {n: linearize.get(n, tokenizer, **options, **related.get(n, {})) for n in names}
    examples = {
        name: linearize.examples(formats[name], story)[0]
        for name, story in zip(COPYING, stories, strict=False)
    }
    model = from_scratch(TINY, tokenizer, seed=1)
    trained = by_heart(model.network, model.params, list(examples.values()))
    return Learnt(model.network, model.params, trained, formats, examples, stories)


def by_heart(network, params, examples):
    """The parameters after some steps on the same batch."""
    sources = np.zeros((len(examples), max(len(e.turn.source) for e in examples)), np.int32)
    targets = np.zeros((len(examples), max(len(e.actions) for e in examples)), np.int32)
    feeds = np.zeros((*targets.shape, 2), np.int32)
    for row, e in enumerate(examples):
        sources[row, : len(e.turn.source)] = e.turn.source
        targets[row, : len(e.actions)] = e.actions
        # The mean of twice the same embedding is that embedding.
        pairs = e.feeds if e.feeds.ndim == 2 else np.stack([e.feeds, e.feeds], axis=-1)
        feeds[row, 1 : len(pairs)] = pairs[:-1]
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(RATE))

    def loss(params):
        logits = network.apply({"params": params}, sources, feeds, targets, enable_dropout=False)
        weights = (targets > 0).astype(np.float32)
        total, weight = token_loss(logits, targets, weights, 0.0, 0.0)
        return total / weight

    @jax.jit
    def learn(params, state):
        def step(_, at):
            params, state = at
            with jax.numpy_dtype_promotion("standard"):  # optax counts on it
                updates, state = optimizer.update(jax.grad(loss)(params), state, params)
            return optax.apply_updates(params, updates), state

        params, _ = jax.lax.fori_loop(0, STEPS, step, (params, state))
        return params, loss(params)

    params, last = learn(jax.tree.map(jnp.asarray, params), optimizer.init(params))
    assert last < 0.02, f"the stories were not learnt: {last}"
    return params

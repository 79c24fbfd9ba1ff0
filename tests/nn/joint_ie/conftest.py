"""Two small documents with everything that can be odd, and the compositions with random weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.nn.joint_ie import (
    BilinearCoreference,
    EntityRelations,
    GraphCompatibility,
    GraphPropagation,
    JointIE,
    MentionDetector,
    MentionRelations,
    SpanRepresentation,
)

WIDTH, TYPES, LENGTH, MAX_WIDTH = 6, 3, 17, 4

SPANS = SpanRepresentation(5)
MENTIONS = MentionDetector(max_width=MAX_WIDTH, hidden_dim=7)
COREFERENCE = BilinearCoreference()
PAIRS = MentionRelations(TYPES, hidden_dim=4, max_labels=2)
ENTITIES = EntityRelations(TYPES, projection_dim=6, blocks=2, max_labels=2)
DISTANCE = GraphCompatibility(neighbours=3, weight=0.5)

COMPOSITIONS = {
    "pipeline-coreference": JointIE(SPANS, MENTIONS, COREFERENCE),
    "pipeline-relations": JointIE(SPANS, relations=ENTITIES),
    "joint": JointIE(SPANS, MENTIONS, COREFERENCE, ENTITIES),
    "joint-m": JointIE(SPANS, MENTIONS, COREFERENCE, PAIRS),
    "gp": JointIE(SPANS, MENTIONS, COREFERENCE, PAIRS, propagation=GraphPropagation()),
    "gc": JointIE(SPANS, MENTIONS, COREFERENCE, PAIRS, compatibility=DISTANCE),
}

LEARNING = ("pipeline-relations", "gp", "gc")
"""Compositions whose gradients are computed; each part is in one of them."""

# (start, end) pieces and cluster numbers, as they come; padded with zeros.
MENTIONS_OF = (
    [(9, 10, 7), (1, 1, 3), (0, 1, 7), (12, 13, 20), (5, 6, 3), (2, 8, 20)],
    [(4, 4, 2), (0, 1, 2)],
)
# (head, tail, type); one of an entity with itself, one of an entity without mentions.
RELATIONS_OF = (
    [(7, 3, 1), (7, 3, 3), (20, 7, 2), (3, 3, 1), (7, 9, 2)],
    [(2, 5, 1)],
)
WORDS_OF = (  # sentences of words of so many pieces
    [[1, 1, 1], [2, 2, 2], [2, 1, 2, 2]],
    [[1, 1, 1, 1], [1, 1, 3]],
)


class Batch(NamedTuple):
    """States `[2, 17, 6]` and features."""

    encoded: jax.Array
    features: dict[str, jax.Array]

    def row(self, i: int):
        """One document, in numpy."""
        features = {k: np.asarray(v[i]) for k, v in self.features.items()}
        return np.asarray(self.encoded[i], np.float64), features


def words(sentences, length):
    """Arrays of a document's pieces, `</s>` behind them; without words, of a row of padding."""
    sentence, start, end = (np.zeros(length, int) for _ in range(3))
    at = 0
    for number, sizes in enumerate(sentences, 1):
        for size in sizes:
            sentence[at : at + size], start[at], end[at + size - 1] = number, 1, 1
            at += size
    tokens = (np.arange(length) <= at) & (at > 0)
    return tokens, sentence, start > 0, end > 0


def padded(rows, size, width):
    return np.array([*rows, *[(0,) * width] * (size - len(rows))]).T


def build(documents):
    """Features of (words, mentions, relations)."""
    columns = []
    for sentences, mentions, relations in documents:
        mentions, relations = padded(mentions, 6, 3), padded(relations, 5, 3)
        columns.append([*words(sentences, LENGTH), *mentions, *relations])
    names = [
        "encoder_input_tokens", "sentence", "word_start", "word_end",
        "mention_start", "mention_end", "mention_cluster",
        "relation_head", "relation_tail", "relation_type",
    ]  # fmt: skip
    return {
        name: jnp.asarray(np.stack(rows), jnp.bool_ if name.startswith("word") else jnp.int32)
        for name, *rows in zip(names, *columns, strict=True)
    }


@pytest.fixture(scope="session")
def batch() -> Batch:
    encoded = np.random.default_rng(1).normal(size=(2, LENGTH, WIDTH))
    features = build(zip(WORDS_OF, MENTIONS_OF, RELATIONS_OF, strict=True))
    return Batch(jnp.asarray(encoded, jnp.float32), features)


@pytest.fixture(scope="session")
def empty(batch) -> Batch:
    """A document without mentions, and a row of padding."""
    return Batch(batch.encoded, build([(WORDS_OF[0], [], []), ([], [], [])]))


class Compiled(NamedTuple):
    """A composition with weights, and its programs.

    `losses(params, batch)` -> (losses, gradients of the whole if it is of `LEARNING`);
    `predict(params, batch)`.
    """

    heads: JointIE
    params: dict
    losses: Callable
    predict: Callable


@pytest.fixture(scope="session")
def draw(batch):
    """Weights for a composition, large enough for everything to matter."""

    def build(heads):
        rng = np.random.default_rng(2)
        init = functools.partial(heads.init, deterministic=True)
        variables = jax.eval_shape(init, jax.random.key(0), *batch)
        return jax.tree.map(
            lambda leaf: jnp.asarray(0.5 * rng.standard_normal(leaf.shape), jnp.float32),
            variables["params"],
        )

    return build


@pytest.fixture(scope="session")
def compiled(draw, jit):
    """By name of the composition."""

    @functools.cache
    def build(name: str) -> Compiled:
        heads = COMPOSITIONS[name]

        def loss(params, batch):
            losses = heads.apply({"params": params}, *batch, deterministic=True)
            return losses["loss"], losses

        def losses(params, batch):
            if name not in LEARNING:
                return loss(params, batch)[1], {}
            (_, losses), gradients = jax.value_and_grad(loss, has_aux=True)(params, batch)
            return losses, gradients

        def predict(params, batch):
            given = heads.coreference is None
            return heads.apply(
                {"params": params}, *batch, gold_mentions=given, gold_clusters=given,
                method="predict",
            )  # fmt: skip

        return Compiled(heads, draw(heads), jit(losses), jit(predict))

    return build

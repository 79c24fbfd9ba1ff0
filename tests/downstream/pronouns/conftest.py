"""A tiny T5 that knows the words of a few sentences, and questions about them."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from tiny_checkpoints import drawn

from t5coref.downstream.model import TextModel
from t5coref.downstream.pronouns.example import Candidate, PronounExample
from t5coref.nn.t5 import T5Config
from t5coref.tokenizer import Tokenizer

NAMES = ("Ann", "Ben", "Cleo", "Dan")


def question(i: int, *, true: int = 0) -> PronounExample:
    """The first name has the verb that the pronoun has again, or, for 1, the second one."""
    first, second = NAMES[i % 4], NAMES[(i + 1 + i // 4) % 4]
    verbs = ("sings", "runs")[:: 1 if true == 0 else -1]
    text = f"{first} sings and {second} runs because she {verbs[0]} ."
    start = text.index("she")
    names = (Candidate(first, None, true == 0), Candidate(second, None, true == 1))
    return PronounExample(
        f"q{i}-{true}", text, (start, start + 3), names, groups={"gender": "feminine"}
    )


@pytest.fixture(scope="session")
def questions():
    return [question(i, true=true) for i in range(6) for true in (0, 1)]


@pytest.fixture(scope="session")
def pieces():
    lines = [question(i, true=j).text for i in range(6) for j in (0, 1)]
    names = [f"{a} {b} , {a}'s {b}." for a in NAMES for b in NAMES]
    return Tokenizer.train([*lines, *names, "the cat The owl's"], 90, ())


@pytest.fixture(scope="session")
def model(pieces):
    config = T5Config(
        vocab_size=pieces.size + 4,
        emb_dim=32,
        num_heads=2,
        num_encoder_layers=1,
        num_decoder_layers=1,
        head_dim=16,
        mlp_dim=64,
        dropout_rate=0.0,
    )
    params = jax.tree.map(lambda x: x * np.float32(x.shape[0] ** -0.3), drawn(config))
    return TextModel(config, params, pieces)

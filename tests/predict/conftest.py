"""A tiny random model, saved once."""

from __future__ import annotations

import itertools

import pytest

from t5coref.core.document import Document
from t5coref.model import Format, Model, from_scratch
from t5coref.nn.t5 import T5Config

TEXT = ("the", "dog", "saw", "it", "and", "she", "saw", "him", "near", "the", "house", ".")


@pytest.fixture(scope="session")
def model(tokenizer) -> Model:
    config = T5Config(
        vocab_size=tokenizer.size, emb_dim=16, num_heads=2, num_encoder_layers=1,
        num_decoder_layers=1, head_dim=8, mlp_dim=32,
    )  # fmt: skip
    options = {"window": 48, "max_clusters": 30, "max_depth": 4}
    return from_scratch(config, tokenizer, format=Format("full-copy", options), seed=3)


@pytest.fixture(scope="session")
def model_folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save(folder)
    return folder


@pytest.fixture(scope="session")
def stories() -> list[Document]:
    """Texts of 0 to 60 words: empty ones, one window, several windows."""
    out = []
    for i in range(40):
        n = (i * 7) % 61
        text = tuple(TEXT[(i + k) % len(TEXT)] for k in range(n))
        cuts = [*range(0, n, 9), n] if n else []
        sentences = tuple(itertools.pairwise(cuts))
        out.append(Document(doc_id=f"story-{i}", words=text, sentences=sentences))
    return out

"""A tiny random model, and a model that is none."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="the server is an extra: t5coref[serve]")
pytest.importorskip("uvicorn", reason="the server is an extra: t5coref[serve]")
pytest.importorskip("prometheus_client", reason="the server is an extra: t5coref[serve]")

from servers import Repeats

from t5coref.model import Format, from_scratch
from t5coref.nn.t5 import T5Config


@pytest.fixture(scope="session")
def model_folder(tokenizer, tmp_path_factory):
    config = T5Config(
        vocab_size=tokenizer.size, emb_dim=16, num_heads=2, num_encoder_layers=1,
        num_decoder_layers=1, head_dim=8, mlp_dim=32,
    )  # fmt: skip
    options = {"window": 48, "max_clusters": 30, "max_depth": 4}
    model = from_scratch(config, tokenizer, format=Format("full-copy", options), seed=3)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save(folder)
    return folder


@pytest.fixture
def repeats():
    return Repeats()

"""A T5 of a few thousand parameters and adapters that have learned something."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from t5coref.adapters import Adapters, fingerprint
from t5coref.model import Format, Model, from_scratch
from t5coref.nn.lora import LoRA, Rows, is_trained, split, with_adapters
from t5coref.nn.stack import T5Config
from t5coref.tokenizer import Tokenizer

SHAPE: dict[str, Any] = {
    "vocab_size": 1, "emb_dim": 16, "num_heads": 2, "num_encoder_layers": 2,
    "num_decoder_layers": 2, "head_dim": 6, "mlp_dim": 24,
}  # fmt: skip


def learned(model: Model, lora: LoRA, seed: int = 1) -> Adapters:
    """Adapters with random values."""
    rows = Rows.of(model.tokenizer)
    adapted = with_adapters(lora, model.params, rows, jax.random.key(0))
    trained: Any = flatten_dict(split(adapted)[0])
    rng = np.random.default_rng(seed)
    flat = {
        path: np.float32(0.3) * rng.standard_normal(leaf.shape, np.float32)
        for path, leaf in trained.items()
        if is_trained(path)
    }
    return Adapters(
        lora=lora,
        weights=unflatten_dict(flat),
        rows=rows,
        base=fingerprint(model.params, rows),
        tokenizer=model.tokenizer,
        card=model.card(),
    )


@pytest.fixture(scope="session")
def bases(tokenizer) -> dict[str, Model]:
    """T5s of both versions by their name."""
    format_ = Format("full-copy", {"window": 64, "max_clusters": 8})
    made = Tokenizer(tokenizer.model, format_.symbols)
    # As a published T5, it has more rows than its pieces need.
    shape = SHAPE | {"vocab_size": made.size + 5}
    versions: dict[str, dict[str, Any]] = {
        "1.0": {"mlp_activations": ("relu",), "logits_via_embedding": True},
        "1.1": {"mlp_activations": ("gelu", "linear"), "logits_via_embedding": False},
    }
    return {
        name: from_scratch(T5Config(**shape | version), made, format=format_)
        for name, version in versions.items()
    }


@pytest.fixture(scope="session")
def base(bases) -> Model:
    return bases["1.1"]


@pytest.fixture(scope="session")
def adapters(base) -> Adapters:
    return learned(base, LoRA(rank=3, alpha=5.0))


@pytest.fixture(scope="session")
def make_adapters():
    return learned

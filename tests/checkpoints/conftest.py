"""Tiny T5s of both versions with random weights, as Hugging Face folders."""

from __future__ import annotations

import jax
import pytest
from tiny_checkpoints import SHAPE, VERSIONS, drawn

from t5coref.nn import T5Config, save_hf


@pytest.fixture(params=list(VERSIONS))
def config(request) -> T5Config:
    return T5Config(**SHAPE, **VERSIONS[request.param])


@pytest.fixture
def params(config) -> dict:
    return drawn(config)


@pytest.fixture
def folder(config, params, tmp_path):
    """A Hugging Face checkpoint of them, in two shards."""
    path = tmp_path / "hf"
    total = 4 * sum(leaf.size for leaf in jax.tree.leaves(params))
    save_hf(path, config, params, max_shard_bytes=total // 2 + 4000)
    return path

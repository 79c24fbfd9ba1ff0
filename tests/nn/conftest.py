"""Tiny models of both versions, in transformers and here, with the same random weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_checkpoints import SHAPE, VERSIONS

from t5coref.nn import T5, T5Config, load_hf, token_loss

TINY = SHAPE | {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 20}


class Batch(NamedTuple):
    """Three padded rows: source `[3, 24]`, feeds and targets `[3, 22]`."""

    source: jax.Array
    feeds: jax.Array
    targets: jax.Array


class Compiled(NamedTuple):
    """The programs of one model."""

    logits: Callable
    loss_and_gradients: Callable


class Twin(NamedTuple):
    """One model twice: ours with its parameters, and the folder and module of transformers."""

    config: T5Config
    model: T5
    params: dict
    folder: str
    torch_model: object


@pytest.fixture(scope="session")
def jit():
    """`jax.jit` for programs that run once: LLVM's optimisation would take most of the time."""
    return functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="session")
def tiny():
    """Builds a tiny T5Config of a version."""

    def build(version: str = "1.1", **changes) -> T5Config:
        return T5Config(**{**TINY, **VERSIONS[version], **changes})

    return build


@pytest.fixture(scope="session")
def batch() -> Batch:
    rng = np.random.default_rng(0)

    def rows(length, lengths):
        tokens = rng.integers(1, TINY["vocab_size"], (len(lengths), length))
        tokens[np.arange(length)[None, :] >= np.array(lengths)[:, None]] = 0
        return tokens.astype(np.int32)

    targets = rows(22, [22, 15, 3])
    feeds = np.pad(targets[:, :-1], ((0, 0), (1, 0)))
    return Batch(*map(jnp.asarray, (rows(24, [24, 9, 17]), feeds, targets)))


@pytest.fixture(scope="session")
def make(batch):
    """A model and parameters of its shapes, drawn here: compiling the real init takes seconds."""

    @functools.cache
    def build(config: T5Config):
        rng = np.random.default_rng(0)

        def draw(leaf):
            scale = 1.0 if leaf.ndim == 1 else leaf.shape[0] ** -0.5
            return jnp.asarray(scale * rng.standard_normal(leaf.shape, np.float32))

        model = T5(config)
        init = functools.partial(model.init, enable_dropout=False)
        variables = jax.eval_shape(init, jax.random.key(0), *batch)
        return model, {**variables, "params": jax.tree.map(draw, variables["params"])}

    return build


@pytest.fixture(scope="session")
def compiled(jit):
    """The two programs of a model: params, batch, rng, symbols -> logits; params, batch -> loss."""

    @functools.cache
    def build(model):
        def logits(params, batch, rng=None, symbols=None):
            return model.apply(
                {"params": params},
                *batch,
                enable_dropout=rng is not None,
                rngs=None if rng is None else {"dropout": rng},
                logit_symbols=symbols,
            )

        def loss(params, batch):
            real = batch.targets > 0
            total, weight = token_loss(logits(params, batch), batch.targets, real)
            return total / weight

        return Compiled(jit(logits), jit(jax.value_and_grad(loss)))

    return build


@pytest.fixture(scope="session", params=list(VERSIONS))
def twin(request, tmp_path_factory) -> Twin:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    safetensors_torch = pytest.importorskip("safetensors.torch")
    version = VERSIONS[request.param]
    tied = version["logits_via_embedding"]
    hf_config = transformers.T5Config(
        vocab_size=TINY["vocab_size"],
        d_model=TINY["emb_dim"],
        d_kv=TINY["head_dim"],
        d_ff=TINY["mlp_dim"],
        num_layers=TINY["num_encoder_layers"],
        num_decoder_layers=TINY["num_decoder_layers"],
        num_heads=TINY["num_heads"],
        relative_attention_num_buckets=TINY["relative_attention_num_buckets"],
        relative_attention_max_distance=TINY["relative_attention_max_distance"],
        feed_forward_proj="relu" if tied else "gated-gelu",
        tie_word_embeddings=tied,
        decoder_start_token_id=0,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    model = transformers.T5ForConditionalGeneration(hf_config).eval()
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(torch.randn(TINY["vocab_size"], TINY["emb_dim"]))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.normal_(1.0, 0.2)
            elif "relative" in name:
                weight.normal_(0.0, 1.0)
    folder = tmp_path_factory.mktemp("t5")
    tensors = {n: w.contiguous() for n, w in model.state_dict().items() if "embed_tokens" not in n}
    if tied:
        del tensors["lm_head.weight"]
    safetensors_torch.save_file(tensors, str(folder / "model.safetensors"))
    hf_config.save_pretrained(str(folder))
    config, params = load_hf(folder)
    return Twin(config, T5(config), jax.tree.map(jnp.asarray, params), str(folder), model)

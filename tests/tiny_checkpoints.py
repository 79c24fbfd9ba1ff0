"""Tiny T5s with random weights, and what is in the files that hold them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import load_file

from t5coref.nn import T5, T5Config
from t5coref.nn.checkpoint import hf_tensors, our_shapes

SHAPE = {
    "vocab_size": 40,
    "emb_dim": 16,
    "num_heads": 2,
    "num_encoder_layers": 2,
    "num_decoder_layers": 3,
    "head_dim": 6,
    "mlp_dim": 24,
}
VERSIONS = {
    "1.0": {"mlp_activations": ("relu",), "logits_via_embedding": True},
    "1.1": {"mlp_activations": ("gelu", "linear"), "logits_via_embedding": False},
}


def drawn(config: T5Config, seed: int = 0) -> dict:
    """Random parameters."""
    rng = np.random.default_rng(seed)
    shapes = our_shapes(hf_tensors(config))
    flat = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    return unflatten_dict(flat, sep="/")


def scanned_shapes(config: T5Config) -> dict:
    """Names and shapes of the parameters that the network itself makes."""
    token = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    variables = jax.eval_shape(
        lambda *tokens: T5(config).init(jax.random.key(0), *tokens, enable_dropout=False),
        *(token,) * 3,
    )
    return {name: leaf.shape for name, leaf in flatten_dict(variables["params"], sep="/").items()}


def tensors_of(folder) -> dict[str, np.ndarray]:
    """Everything in the safetensors of a folder, read by the library of that name."""
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


def assert_same_bits(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    assert got.keys() == want.keys()
    for name, values in want.items():
        assert got[name].dtype == values.dtype, name
        assert got[name].shape == values.shape, name
        assert got[name].tobytes() == values.tobytes(), name

"""The loss of the heads on an encoder, alone or beside a decoder that learns a linearization.

B rows, T pieces.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from t5coref.headed import HEADS, encode
from t5coref.nn.joint_ie import JointIE
from t5coref.nn.losses import projected_loss
from t5coref.nn.t5 import T5, T5Config, head_kernel
from t5coref.train.objective import Loss, Sums

TARGETS_PER_ROW = "targets_per_row"
"""Feature float32 `[B]`, the same number for all rows of a step: its target symbols over its rows.
It turns a mean over documents into one that the weight of the symbols can divide."""


@functools.lru_cache(maxsize=8)
def heads_loss(config: T5Config, heads: JointIE) -> Loss:
    """The weighted losses of the heads; the weight is the number of documents.

    For the same arguments it is the same function.

    Args:
      config: of the encoder; its layers are scanned or not, as in the parameters.
      heads: the parts.
    """

    def loss(params, features, key):
        of_encoder, of_heads = jax.random.split(key)
        encoded: Any = encode(
            config, params, features, enable_dropout=True, rngs={"dropout": of_encoder}
        )
        found = _losses(heads, params, encoded, features, of_heads)
        rows = jnp.asarray(encoded.shape[0], jnp.float32)
        parts = {name: rows * value for name, value in found.items() if name != "loss"}
        return rows * found["loss"], Sums(rows, parts)

    return loss


@functools.lru_cache(maxsize=8)
def auxiliary_loss(
    config: T5Config,
    heads: JointIE,
    symbols: tuple[int, ...] | None,
    *,
    w_aux: float,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
) -> Loss:
    """The loss of a linearization's actions, plus `w_aux` times that of the heads.

    One is a mean over target symbols, the other over documents, both over all micro-batches of a
    step; one encoding serves both. For the same arguments it is the same function.

    Args:
      config: of the T5.
      heads: the parts.
      symbols: vocabulary ids that the first loss is over; None = the whole vocabulary.
      w_aux: weight of the heads; 0 leaves them out.
      z_loss: see `token_loss`.
      label_smoothing: see `token_loss`.
    """
    network = T5(config)
    columns = None if symbols is None else jnp.asarray(symbols, jnp.int32)

    def both(module: T5, features):
        encoded = module.encode(features["encoder_input_tokens"], None, True)
        names = ("encoder_input_tokens", "decoder_input_tokens", "decoder_target_tokens")
        return encoded, module.hidden_of(encoded, *(features[name] for name in names))

    def loss(params, features, key):
        of_network, of_heads = jax.random.split(key)
        states: Any = network.apply(
            {"params": params}, features, rngs={"dropout": of_network}, method=both
        )
        encoded, hidden = states
        written, weight = projected_loss(
            hidden,
            head_kernel(config, params, columns),
            features["decoder_target_actions"],
            features["decoder_loss_weights"],
            z_loss,
            label_smoothing,
        )
        if not w_aux:
            return written, Sums(weight, {"sequence": written})
        share = jnp.sum(features[TARGETS_PER_ROW])
        found = {
            name: share * value
            for name, value in _losses(heads, params, encoded, features, of_heads).items()
        }
        total = written + w_aux * found["loss"]
        found["heads"] = found.pop("loss")
        return total, Sums(weight, {"sequence": written, **found})

    return loss


def _losses(heads: JointIE, params: Any, encoded: Any, features: Any, key: jax.Array) -> Any:
    return heads.apply(
        {"params": params[HEADS]},
        encoded,
        features,
        deterministic=False,
        rngs={"dropout": key},
    )

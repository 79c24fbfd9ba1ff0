"""The loss of mention reference prediction beside that of the hidden pieces.

B rows, T target pieces, V vocabulary.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from t5coref.mrp.features import SHARES
from t5coref.mrp.masking import Masking, States
from t5coref.nn.losses import projected_loss
from t5coref.nn.mrp import MRPHead, MRPResult
from t5coref.nn.t5 import T5, T5Config
from t5coref.train.objective import Loss, Sums

HEAD = "mrp"
"""Name of the head among the parameters; the others are those of the T5."""

_ARGUMENTS = (
    "cand_mask", "q_start", "q_end", "q_mask", "q_single", "ref_start", "ref_end", "ref_mask",
)  # fmt: skip

LOGITS = 2**23
"""See `projected_loss`: the targets of 512 pieces are short enough to be scored at once, and then
their logits are not computed again for the gradient."""

Measure = Callable[[Any, Mapping[str, jax.Array]], dict[str, jax.Array]]
"""(parameters, features of a batch) -> sums over it, float32[] each."""


@functools.lru_cache(maxsize=8)
def mrp_loss(
    config: T5Config,
    masking: Masking,
    head: MRPHead,
    *,
    w_mrp: float,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
) -> Loss:
    """The loss of the hidden pieces, plus `w_mrp` times that of the hidden mentions.

    One is a mean over target pieces, the other is divided as `Normalization` says, both over all
    micro-batches of a step; one encoding serves both. For the same arguments it is the same
    function.

    Args:
      config: of the T5; its layers are scanned or not, as in the parameters.
      masking: how the pieces are hidden.
      head: which points.
      w_mrp: weight of the mentions; at 0 there is no head, and features need none of its.
      z_loss: see `token_loss`.
      label_smoothing: see `token_loss`.
    """

    def loss(params, features, key):
        states = _states(config, masking, params, features, key)
        written, weight = projected_loss(
            states.hidden,
            masking.kernel(config, params),
            states.targets,
            states.weights,
            z_loss,
            label_smoothing,
            logits=LOGITS,
        )
        if not w_mrp:
            return written, Sums(weight, {})
        found = point(head, params, states.encoded, features)
        per_loss, per_word = features[SHARES][0, 0], features[SHARES][0, 1]
        mentions = per_loss * found.loss_sum
        right = found.copy_accuracy * found.n_words
        parts = {"pieces": written, "mrp": mentions, "copy_accuracy": per_word * right}
        return written + w_mrp * mentions, Sums(weight, parts)

    return loss


@functools.lru_cache(maxsize=8)
def measure(config: T5Config, masking: Masking, head: MRPHead | None) -> Measure:
    """What of a batch is predicted, without dropout; the sums divide into means over all batches.

    `loss` over the target pieces and `right`, how many of them are the likeliest, with their number
    `pieces`; with a head also `mrp` over the mentions, `copied`, how many point at a referent, and
    their number `mentions`.
    """

    def sums(params, features):
        states = _states(config, masking, params, features, None)
        kernel = masking.kernel(config, params)

        def of_row(row):
            hidden, targets, weights = row
            logits = jnp.dot(hidden.astype(jnp.float32), kernel)
            at = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
            losses = jax.nn.logsumexp(logits, axis=-1) - at
            right = jnp.argmax(logits, axis=-1) == targets
            return jnp.sum(losses * weights), jnp.sum(weights * right.astype(jnp.float32))

        # A row at a time: the logits of all, `[B, T, V]`, never exist.
        losses, right = jax.lax.map(of_row, (states.hidden, states.targets, states.weights))
        found = {
            "loss": jnp.sum(losses),
            "right": jnp.sum(right),
            "pieces": jnp.sum(states.weights),
        }
        if head is None:
            return found
        pointed = point(head, params, states.encoded, features)
        return found | {
            "mrp": pointed.loss_sum,
            "copied": pointed.copy_accuracy * pointed.n_words,
            "mentions": pointed.n_words,
        }

    return jax.jit(sums)


def point(
    head: MRPHead, params: Any, encoded: jax.Array, features: Mapping[str, jax.Array]
) -> MRPResult:
    """Applies the head to the states of a batch and the features `mrp_...`."""
    given: dict[str, Any] = {name: features[f"mrp_{name}"] for name in _ARGUMENTS}
    found: Any = head.apply({"params": params[HEAD]}, encoded, **given)
    return found


def _states(
    config: T5Config,
    masking: Masking,
    params: Any,
    features: Mapping[str, jax.Array],
    key: jax.Array | None,
) -> States:
    """With dropout if there is a key."""
    found: Any = T5(config).apply(
        {"params": {name: tree for name, tree in params.items() if name != HEAD}},
        features,
        enable_dropout=key is not None,
        rngs=None if key is None else {"dropout": key},
        method=lambda network, features, enable_dropout: masking.states(
            network, features, enable_dropout
        ),
    )
    return found

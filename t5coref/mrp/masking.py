"""The two ways in which rows hide pieces, and how the hidden ones are predicted.

B rows, S input pieces, T target pieces, M masked pieces, d model width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from t5coref.core.errors import ConfigError
from t5coref.mrp.rows import NOT_MASKED, MRPRow
from t5coref.nn.t5 import T5, T5Config, head_kernel
from t5coref.tokenizer import SENTINELS, Tokenizer

Features = dict[str, np.ndarray]


class States(NamedTuple):
    """What a network makes of a batch.

    Attributes:
      encoded: `[B, S, d]`, of the encoder.
      hidden: `[B, T, d]`, what the pieces are predicted from.
      targets: int32 `[B, T]`, the pieces.
      weights: float32 `[B, T]`, zero where padded.
    """

    encoded: jax.Array
    hidden: jax.Array
    targets: jax.Array
    weights: jax.Array


class Masking(Protocol):
    """How rows hide what is to be predicted; hashable."""

    def count(self, row: MRPRow) -> int:
        """How many target pieces a row has.

        Raises:
          ConfigError: the row is of another kind.
        """
        ...

    def hidden(self, row: MRPRow, tokenizer: Tokenizer) -> np.ndarray:
        """Which places of the inputs do not show what stood there, bool `[S]`."""
        ...

    def features(self, rows: Sequence[MRPRow], length: int) -> Features:
        """The target pieces of rows, padded."""
        ...

    def states(
        self, network: T5, features: Mapping[str, jax.Array], enable_dropout: bool
    ) -> States:
        """What a bound network makes of `features`."""
        ...

    def kernel(self, config: T5Config, params: Mapping[str, Any]) -> jax.Array:
        """float32 `[d, V]` from `States.hidden` to logits."""
        ...


@dataclass(frozen=True)
class SentinelSpan:
    """Each hidden span is one sentinel; the decoder writes what was there (`sentinel_span`)."""

    def count(self, row: MRPRow) -> int:
        """Pieces that the decoder writes."""
        if np.any(row.targets == NOT_MASKED):
            raise ConfigError(
                f"row {row.name!r} is masked in place; expected sentinels and a decoder's targets: "
                "bind MRPObjective.masking = @Inplace(), or prepare rows in mode sentinel_span"
            )
        return len(row.targets)

    def hidden(self, row: MRPRow, tokenizer: Tokenizer) -> np.ndarray:
        """The sentinels."""
        return is_sentinel(row.inputs, tokenizer.size - len(tokenizer.symbols))

    def features(self, rows: Sequence[MRPRow], length: int) -> Features:
        """Targets `[B, T]` as a `T5` and `sequence_loss` take them."""
        targets = padded([row.targets for row in rows], length)
        # What stands behind the last target is never read.
        read = np.pad(targets[:, :-1], ((0, 0), (1, 0))) * (targets > 0)
        return {
            "decoder_input_tokens": read,
            "decoder_target_tokens": targets,
            "decoder_target_actions": targets,
            "decoder_loss_weights": _up_to([len(row.targets) for row in rows], length),
        }

    def states(
        self, network: T5, features: Mapping[str, jax.Array], enable_dropout: bool
    ) -> States:
        """Those of the decoder are predicted from."""
        encoded = network.encode(features["encoder_input_tokens"], None, enable_dropout)
        names = ("encoder_input_tokens", "decoder_input_tokens", "decoder_target_tokens")
        hidden = network.hidden_of(
            encoded, *(features[name] for name in names), enable_dropout=enable_dropout
        )
        return States(
            encoded,
            hidden,
            features["decoder_target_actions"],
            features["decoder_loss_weights"],
        )

    def kernel(self, config: T5Config, params: Mapping[str, Any]) -> jax.Array:
        """The decoder's head."""
        return head_kernel(config, params)


@dataclass(frozen=True)
class Inplace:
    """Each hidden piece stays one piece; the encoder predicts it, as BERT does (`inplace`).

    The decoder learns nothing.
    """

    def count(self, row: MRPRow) -> int:
        """Masked pieces."""
        if row.targets.shape != row.inputs.shape:
            raise ConfigError(
                f"row {row.name!r} has {len(row.targets)} targets for {len(row.inputs)} inputs; "
                "expected one for each, masked in place: bind MRPObjective.masking = "
                "@SentinelSpan(), or prepare rows in mode inplace"
            )
        return int(np.sum(row.targets != NOT_MASKED))

    def hidden(self, row: MRPRow, tokenizer: Tokenizer) -> np.ndarray:
        """The masked pieces, whatever stands there now."""
        del tokenizer
        return row.targets != NOT_MASKED

    def features(self, rows: Sequence[MRPRow], length: int) -> Features:
        """Where the masked pieces are, what they were, and which of them there are, `[B, M]`."""
        places = [np.flatnonzero(row.targets != NOT_MASKED) for row in rows]
        pieces = [row.targets[at] for row, at in zip(rows, places, strict=True)]
        return {
            "masked_places": padded(places, length),
            "masked_pieces": padded(pieces, length),
            "masked_weights": _up_to([len(at) for at in places], length),
        }

    def states(
        self, network: T5, features: Mapping[str, jax.Array], enable_dropout: bool
    ) -> States:
        """Those of the encoder at the masked places are predicted from."""
        encoded = network.encode(features["encoder_input_tokens"], None, enable_dropout)
        hidden = jnp.take_along_axis(encoded, features["masked_places"][:, :, None], axis=1)
        return States(encoded, hidden, features["masked_pieces"], features["masked_weights"])

    def kernel(self, config: T5Config, params: Mapping[str, Any]) -> jax.Array:
        """The input embedding, scaled where it is the decoder's head as well."""
        scale = config.emb_dim**-0.5 if config.logits_via_embedding else 1.0
        return params["token_embedder"]["embedding"].T * scale


def is_sentinel(tokens: Any, end: int) -> Any:
    """Which tokens, of numpy or jax, are T5's `<extra_id_...>`; `end` is the id behind them."""
    return (tokens >= end - SENTINELS) & (tokens < end)


def padded(rows: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Arrays of one axis as int32 `[B, length]`, zero behind them."""
    out = np.zeros((len(rows), length), np.int32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def _up_to(counts: Sequence[int], length: int) -> np.ndarray:
    return (np.arange(length)[None, :] < np.asarray(counts)[:, None]).astype(np.float32)

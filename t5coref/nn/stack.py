"""Configuration, layers and stacks of T5; `t5coref.nn.t5` is the model that users see.

Letters as in `t5coref.nn.t5`. Parameter names are those of `t5x.examples.t5.network`; scanned,
the layers of a stack share one entry `layers` whose parameters carry the layer on axis
`PARAM_SCAN_AXIS` and whose cache carries it on axis 0, as in `t5x.examples.scalable_t5`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen import partitioning
from flax.typing import In

from t5coref.nn.attention import MASKED, Attention, Sight, blocks_of
from t5coref.nn.layers import (
    ACTIVATIONS,
    Dense,
    Embed,
    LayerNorm,
    Mlp,
    RelativePositionBias,
    hidden_dropout,
)
from t5coref.nn.partition import constrain, for_each_row

PARAM_SCAN_AXIS = 1
HIDDEN = ("batch", "length", "embed")
WHOLE = ("batch", None, "embed")
"""`HIDDEN` where a layer reads all positions."""


@dataclass(frozen=True)
class T5Config:
    """The shape of a T5.

    Attributes:
        mlp_activations: `("relu",)` in version 1.0, `("gelu", "linear")` in 1.1.
        logits_via_embedding: the head is the token table and its input is scaled by
            `emb_dim ** -0.5` (1.0); otherwise the head has its own kernel and no scale (1.1).
        dtype: of the computation; parameters, attention logits, norms and logits are float32.
        scan_layers: one stacked parameter per kind instead of one per layer (see `scan_params`).
        remat: recompute each layer for the gradient instead of keeping its activations.
        attention_block: so many queries look at once, None = all (see `attention.attend`): less
            memory for long texts, the same result. It does not concern the steps over a cache.
    """

    vocab_size: int
    emb_dim: int
    num_heads: int
    num_encoder_layers: int
    num_decoder_layers: int
    head_dim: int
    mlp_dim: int
    mlp_activations: tuple[str, ...] = ("gelu", "linear")
    dropout_rate: float = 0.1
    logits_via_embedding: bool = False
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    dtype: str = "float32"
    scan_layers: bool = False
    remat: bool = False
    attention_block: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mlp_activations", tuple(self.mlp_activations))
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"expected dtype 'float32' or 'bfloat16', got {self.dtype!r}")
        unknown = set(self.mlp_activations) - set(ACTIVATIONS)
        if unknown or not self.mlp_activations:
            raise ValueError(
                f"expected mlp_activations among {sorted(ACTIVATIONS)}, "
                f"got {list(self.mlp_activations)}"
            )
        if self.attention_block is not None and self.attention_block < 1:
            raise ValueError(
                f"expected attention_block to be None or at least 1, got {self.attention_block}"
            )


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward block, each normed before and added after."""

    config: T5Config
    deterministic: bool

    @nn.compact
    def __call__(self, inputs: jax.Array, segments: jax.Array, bias: jax.Array):
        """Maps `[B, S, D]` to (`[B, S, D]`, None), the pair that a scan over layers wants."""
        cfg, drop = self.config, hidden_dropout(self.config.dropout_rate, self.deterministic)
        inputs = constrain(inputs, HIDDEN)
        x = constrain(_norm(cfg, "pre_attention_layer_norm")(inputs), WHOLE)
        sight = Sight(segments, segments)
        x = _attention(cfg, "attention")(x, x, sight, bias, deterministic=self.deterministic)
        x = drop(constrain(x, HIDDEN)) + inputs
        y = constrain(_norm(cfg, "pre_mlp_layer_norm")(x), WHOLE)
        y = drop(constrain(_mlp(cfg)(y, self.deterministic), HIDDEN)) + x
        return constrain(y, HIDDEN), None


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention and feed-forward block."""

    config: T5Config
    deterministic: bool
    keep_source: bool
    answer_length: int | None = None

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        encoded: jax.Array | None,
        target_segments: jax.Array | None,
        source_segments: jax.Array | None,
        bias: jax.Array,
        slots: tuple[jax.Array, jax.Array] | None,
    ):
        """Maps `[B, T, D]` to (`[B, T, D]`, None); over the cache with `slots`.

        Those are the first slot int32[B] that each row writes and the first int32[] that none
        looks at.
        """
        cfg, drop = self.config, hidden_dropout(self.config.dropout_rate, self.deterministic)
        inputs = constrain(inputs, HIDDEN)
        self_attention = _attention(cfg, "self_attention")
        cross_attention = _attention(cfg, "encoder_decoder_attention")

        x = constrain(_norm(cfg, "pre_self_attention_layer_norm")(inputs), WHOLE)
        if slots is not None:
            x = self_attention.extend(x, *slots, bias)
        elif target_segments is not None:
            segments = _divided(target_segments, self.answer_length)
            sight = Sight(segments, segments, causal=True)
            each = _divided(x, self.answer_length)
            each = self_attention(each, each, sight, bias, deterministic=self.deterministic)
            x = each.reshape(x.shape)
        else:
            raise ValueError("expected target_segments when there are no slots")
        x = drop(constrain(x, HIDDEN)) + inputs

        y = constrain(_norm(cfg, "pre_cross_attention_layer_norm")(x), WHOLE)
        if slots is not None:
            y = cross_attention.recall(y, encoded, source_segments, keep=self.keep_source)
        elif encoded is not None and target_segments is not None and source_segments is not None:
            sight = Sight(target_segments, source_segments)
            y = cross_attention(y, encoded, sight, deterministic=self.deterministic)
        else:
            raise ValueError("expected encoded and source_segments when there are no slots")
        y = drop(constrain(y, HIDDEN)) + x

        z = constrain(_norm(cfg, "pre_mlp_layer_norm")(y), WHOLE)
        z = drop(constrain(_mlp(cfg)(z, self.deterministic), HIDDEN)) + y
        return constrain(z, HIDDEN), None


class Encoder(nn.Module):
    """The encoder stack."""

    config: T5Config

    @nn.compact
    def __call__(
        self, embedded: jax.Array, segments: jax.Array, *, deterministic: bool
    ) -> jax.Array:
        """Maps `[B, S, D]` to `[B, S, D]`; positions see those of their segment int32 `[B, S]`.

        Segment 0 is padding.
        """
        cfg = self.config
        bias = _block_bias(cfg, _relative_bias(cfg, bidirectional=True), embedded)
        x = hidden_dropout(cfg.dropout_rate, deterministic)(embedded)
        fields = {"config": cfg, "deterministic": deterministic}
        x = _stack(self, EncoderLayer, cfg.num_encoder_layers, fields, cfg.remat)(x, segments, bias)
        x = _norm(cfg, "encoder_norm")(x)
        x = nn.Dropout(cfg.dropout_rate, deterministic=deterministic)(x)
        return constrain(x, HIDDEN)


class Decoder(nn.Module):
    """The decoder stack and the head."""

    config: T5Config
    shared_embedding: Embed

    @nn.compact
    def __call__(
        self,
        embedded: jax.Array,
        encoded: jax.Array | None,
        source_segments: jax.Array | None,
        target_segments: jax.Array | None = None,
        positions: jax.Array | None = None,
        visible: jax.Array | None = None,
        *,
        deterministic: bool,
        cache_length: int | None = None,
        keep_source: bool = False,
        logit_symbols: jax.Array | None = None,
        score: bool = True,
        answer_length: int | None = None,
    ) -> jax.Array:
        """Maps embedded feeds `[B, T, D]` to float32 logits `[B, T, A]`.

        Without `score` it stops before the head, at `[B, T, D]`. Segments are int32 `[B, S]` and
        `[B, T]`, 0 where padded; the targets' are needed without a cache.

        With `answer_length`, the feeds are outputs of so many tokens each, side by side: none sees
        another, and all see the source.

        With `positions` int32[B], the first position of each row, the step reads and writes the
        cache, whose length L is `cache_length` or that of the cache there is. With `visible`
        bool `[B, k, K, L]`, the feeds are those of K beams at each of k positions, T = k * K.
        """
        cfg = self.config
        relative_bias = _relative_bias(cfg, bidirectional=False)
        length = embedded.shape[1]
        slots = None
        if positions is None:
            if answer_length is not None:
                rest = -length % answer_length
                embedded = jnp.pad(embedded, ((0, 0), (0, rest), (0, 0)))
                if target_segments is not None:
                    target_segments = jnp.pad(target_segments, ((0, 0), (0, rest)))
            bias = _block_bias(cfg, relative_bias, _divided(embedded, answer_length))
        else:
            every = jnp.arange(cache_length or self._cache_length(), dtype=jnp.int32)
            # [B, T]: the position of each query.
            beams = 1 if visible is None else visible.shape[2]
            steps = positions[:, None] + jnp.arange(length, dtype=jnp.int32)[None, :] // beams
            if visible is None:
                visible = steps[:, :, None] >= every[None, None, :]
            else:
                wanted = (len(embedded), length // beams, beams, every.shape[0])
                if visible.shape != wanted or length % beams:
                    raise ValueError(
                        f"expected visible to be {[*wanted]} for {length} tokens a row and this "
                        f"cache, got {[*visible.shape]}"
                    )
                visible = visible.reshape(len(embedded), length, -1)
            bias = relative_bias.at(steps, every // beams).astype(jnp.float32)
            bias = jnp.where(visible.transpose(0, 2, 1)[:, None], bias, MASKED)
            start = positions * beams
            slots = (start, jnp.max(start) + length)
        y = hidden_dropout(cfg.dropout_rate, deterministic)(embedded)
        fields = {
            "config": cfg,
            "deterministic": deterministic,
            "keep_source": keep_source,
            "answer_length": answer_length,
        }
        remat = cfg.remat and slots is None
        y = _stack(self, DecoderLayer, cfg.num_decoder_layers, fields, remat)(
            y, encoded, target_segments, source_segments, bias, slots
        )
        y = _norm(cfg, "decoder_norm")(y)
        y = constrain(hidden_dropout(cfg.dropout_rate, deterministic)(y)[:, :length], HIDDEN)
        if not score:
            return y
        if cfg.logits_via_embedding:
            y = y.astype(jnp.float32) * cfg.emb_dim**-0.5
            return self.shared_embedding.attend(y, logit_symbols)
        head = Dense(cfg.vocab_size, ("embed", "vocab"), jnp.dtype("float32"), name="logits_dense")
        return head(y, logit_symbols)

    def _cache_length(self) -> int:
        first = "layers" if self.config.scan_layers else "layers_0"
        cache = self.variables.get("cache", {})
        if first not in cache:
            raise ValueError(
                "expected a key/value cache, got none; call init_cache first and pass its "
                "result as the variables' 'cache'"
            )
        return cache[first]["self_attention"]["cached_key"].shape[-2]


def _norm(cfg: T5Config, name: str) -> LayerNorm:
    return LayerNorm(cfg.layer_norm_epsilon, jnp.dtype(cfg.dtype), name=name)


def _attention(cfg: T5Config, name: str) -> Attention:
    return Attention(
        cfg.num_heads,
        cfg.head_dim,
        cfg.emb_dim,
        cfg.dropout_rate,
        jnp.dtype(cfg.dtype),
        cfg.attention_block,
        name=name,
    )


def _mlp(cfg: T5Config) -> Mlp:
    dtype = jnp.dtype(cfg.dtype)
    return Mlp(cfg.mlp_dim, cfg.mlp_activations, cfg.dropout_rate, dtype, name="mlp")


def _relative_bias(cfg: T5Config, *, bidirectional: bool) -> RelativePositionBias:
    return RelativePositionBias(
        cfg.num_heads,
        cfg.relative_attention_num_buckets,
        cfg.relative_attention_max_distance,
        bidirectional,
        jnp.dtype(cfg.dtype),
        name="relpos_bias",
    )


def _block_bias(cfg: T5Config, bias: RelativePositionBias, hidden: jax.Array) -> jax.Array:
    """The bias that `attention.attend` wants for self-attention of `[B, T, D]`."""
    rows, length, _ = hidden.shape
    count, size = blocks_of(length, cfg.attention_block)
    first = (count - 1) * size
    return for_each_row(bias(size, first + length, first), rows, ("batch", "heads", None, None))


def _divided(x: jax.Array, length: int | None) -> jax.Array:
    """`[B, T, ...]` as rows of so many positions each, `[B * T / length, length, ...]`."""
    return x if length is None else x.reshape(-1, length, *x.shape[2:])


def _stack(parent: nn.Module, layer: Any, length: int, fields: dict[str, Any], remat: bool):
    """The function that runs `length` layers of one kind over (hidden, *broadcast arguments)."""
    scanned = fields["config"].scan_layers
    if remat:
        # Inside a scan, XLA has no chance to merge the recomputation with the original.
        layer = nn.remat(layer, prevent_cse=not scanned)

    def run_each(hidden, *args):
        for i in range(length):
            hidden, _ = layer(**fields, name=f"layers_{i}")(hidden, *args)
        return hidden

    def run_scanned(hidden, *args):
        axis = PARAM_SCAN_AXIS
        initializing = parent.is_mutable_collection("params")
        broadcast: Any = (nn.broadcast,) * len(args)
        scan = partitioning.scan_with_axes(
            layer,
            variable_axes={
                "params": axis if initializing else In(axis),
                "cache": 0,
            },
            split_rngs={"params": True, "dropout": True},
            in_axes=broadcast,
            length=length,
            axis_name="layers",
        )
        return scan(**fields, name="layers")(hidden, *args)[0]

    return run_scanned if scanned else run_each

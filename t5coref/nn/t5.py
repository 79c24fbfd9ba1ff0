"""T5 1.0 and 1.1 in Flax linen, with the names and call signatures of `t5x.examples.t5.network`.

Raffel et al. 2020 (1.0); Shazeer 2020, "GLU variants improve Transformer" (1.1). Token 0 is
padding. Letters: B documents, S source length, T target length, D model width, A symbols, K beams,
L slots of the cache, H heads, d head width.

Decoding, all of it inside one jit and without a host round trip:

    model = T5(config)
    encoded = model.apply({"params": p}, source, enable_dropout=False, method="encode")
    _, state = model.apply(
        {"params": p}, encoded, source, steps, method="init_cache", mutable=["cache"])
    logits, state = model.apply(
        {"params": p, **state}, tokens, positions, method="decode_step", mutable=["cache"])

The caller owns the positions: a step over k tokens may be undone by stepping again from a smaller
position, row by row. Beams of a document share its row: each step writes one slot per beam, and a
mask tells each beam which slots are its own past, so that nothing cached ever moves.

Every leaf of the cache has its rows on axis 0; with `scan_layers` the layers are axis 0 and the
rows axis 1. Scanned layers copy the cache at each step, so decode unscanned (`unscan_params` is
exact).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from t5coref.nn.layers import Embed
from t5coref.nn.stack import Decoder, Encoder, T5Config

__all__ = ["T5", "T5Config", "for_decoding", "head_kernel"]


class T5(nn.Module):
    """Encoder-decoder transformer; drop-in for T5X's `Transformer`, plus `decode_step`."""

    config: T5Config

    def setup(self) -> None:
        """Declares the table and the two stacks."""
        cfg = self.config
        dtype = jnp.dtype(cfg.dtype)
        self.token_embedder = Embed(cfg.vocab_size, cfg.emb_dim, dtype)
        self.encoder = Encoder(cfg)
        self.decoder = Decoder(cfg, shared_embedding=self.token_embedder)

    @property
    def scan_layers(self) -> bool:
        """Whether rows are axis 1 of the cache; T5X asks for it under this name."""
        return self.config.scan_layers

    def embed(self, tokens: jax.Array) -> jax.Array:
        """Embeds int `[B, T]`, or the means of int `[B, T, M]` over M, as `[B, T, D]`."""
        return self.token_embedder(tokens)

    def encode(
        self,
        encoder_input_tokens: jax.Array,
        encoder_segment_ids: jax.Array | None = None,
        enable_dropout: bool = True,
    ) -> jax.Array:
        """Encodes int `[B, S]` as `[B, S, D]`; packed documents see only their own segment."""
        segments = _segments(encoder_input_tokens, encoder_segment_ids)
        embedded = self.embed(encoder_input_tokens)
        return self.encoder(embedded, segments, deterministic=not enable_dropout)

    def decode(
        self,
        encoded: jax.Array,
        encoder_input_tokens: jax.Array,
        decoder_input_tokens: jax.Array,
        decoder_target_tokens: jax.Array,
        encoder_segment_ids: jax.Array | None = None,
        decoder_segment_ids: jax.Array | None = None,
        decoder_positions: jax.Array | None = None,
        enable_dropout: bool = True,
        decode: bool = False,
        max_decode_length: int | None = None,
        *,
        logit_symbols: jax.Array | None = None,
        answer_length: int | None = None,
    ) -> jax.Array:
        """Scores the targets given the feeds, or decodes by T5X's convention.

        Args:
            encoded: `[B, S, D]`.
            encoder_input_tokens: int `[B, S]`, for its padding.
            decoder_input_tokens: int `[B, T]`, what the decoder reads, or `[B, T, M]`, to read the
                mean of M embeddings at each step.
            decoder_target_tokens: int `[B, T]`, for its padding.
            encoder_segment_ids: int `[B, S]` of packed documents.
            decoder_segment_ids: int `[B, T]` of packed documents.
            decoder_positions: unused, as in T5X: positions are relative.
            enable_dropout: needs the rng "dropout".
            decode: the first call allocates a cache for `max_decode_length` (default T) tokens
                and a common `cache_index`; each later call appends its tokens at that index. A
                cache made by `init_cache` plus `cache_index` also works and is faster, because
                cross-attention then reuses its projections.
            max_decode_length: see `decode`.
            logit_symbols: int32[A]; score these rows of the head only.
            answer_length: the feeds are outputs of so many tokens each, side by side; none sees
                another, and all see the source. Not with `decode`.

        Returns:
            float32 logits `[B, T, V]`, or `[B, T, A]`.

        Raises:
            ValueError: `decode` with packed documents, or segments of one side only.
        """
        del decoder_positions
        if not decode:
            return self._decode_all(
                encoded,
                encoder_input_tokens,
                decoder_input_tokens,
                decoder_target_tokens,
                (encoder_segment_ids, decoder_segment_ids),
                deterministic=not enable_dropout,
                logit_symbols=logit_symbols,
                answer_length=answer_length,
            )
        if encoder_segment_ids is not None or decoder_segment_ids is not None:
            raise ValueError(
                "expected one document per row when decoding, got segment ids; "
                "unpack the batch first"
            )
        return self._decode_at_index(
            self.embed(decoder_input_tokens),
            encoded,
            _segments(encoder_input_tokens, None),
            max_decode_length,
            logit_symbols,
        )

    def hidden(
        self,
        encoder_input_tokens: jax.Array,
        decoder_input_tokens: jax.Array,
        decoder_target_tokens: jax.Array,
        *,
        enable_dropout: bool = True,
        answer_length: int | None = None,
    ) -> jax.Array:
        """What the head scores, `[B, T, D]`: `hidden @ head_kernel(...)` are the logits.

        `answer_length` as in `decode`.
        """
        encoded = self.encode(encoder_input_tokens, None, enable_dropout)
        return self.hidden_of(
            encoded,
            encoder_input_tokens,
            decoder_input_tokens,
            decoder_target_tokens,
            enable_dropout=enable_dropout,
            answer_length=answer_length,
        )

    def hidden_of(
        self,
        encoded: jax.Array,
        encoder_input_tokens: jax.Array,
        decoder_input_tokens: jax.Array,
        decoder_target_tokens: jax.Array,
        *,
        enable_dropout: bool = True,
        answer_length: int | None = None,
    ) -> jax.Array:
        """`hidden` for a source that is encoded already, `[B, S, D]`."""
        return self._decode_all(
            encoded,
            encoder_input_tokens,
            decoder_input_tokens,
            decoder_target_tokens,
            (None, None),
            deterministic=not enable_dropout,
            score=False,
            answer_length=answer_length,
        )

    def __call__(
        self,
        encoder_input_tokens: jax.Array,
        decoder_input_tokens: jax.Array,
        decoder_target_tokens: jax.Array,
        encoder_segment_ids: jax.Array | None = None,
        decoder_segment_ids: jax.Array | None = None,
        encoder_positions: jax.Array | None = None,
        decoder_positions: jax.Array | None = None,
        *,
        enable_dropout: bool = True,
        decode: bool = False,
        logit_symbols: jax.Array | None = None,
        answer_length: int | None = None,
    ) -> jax.Array:
        """Encodes and decodes; see `encode` and `decode`. Positions are unused, as in T5X."""
        del encoder_positions
        encoded = self.encode(encoder_input_tokens, encoder_segment_ids, enable_dropout)
        return self.decode(
            encoded,
            encoder_input_tokens,
            decoder_input_tokens,
            decoder_target_tokens,
            encoder_segment_ids,
            decoder_segment_ids,
            decoder_positions,
            enable_dropout,
            decode,
            logit_symbols=logit_symbols,
            answer_length=answer_length,
        )

    def init_cache(
        self,
        encoded: jax.Array,
        encoder_input_tokens: jax.Array,
        max_decode_length: int,
        beams: int = 1,
    ) -> None:
        """Fills the 'cache' collection: keys and values of the source, empty slots for targets.

        Args:
            encoded: `[B, S, D]`.
            encoder_input_tokens: int `[B, S]`, for its padding.
            max_decode_length: the steps to come. There are L = max_decode_length * beams slots;
                slot s belongs to step s // beams.
            beams: K, the hypotheses of each document that every step extends.
        """
        rows = encoded.shape[0]
        # A step of no tokens: it projects the source and allocates, and computes nothing else.
        self.decoder(
            self.embed(jnp.zeros((rows, 0), jnp.int32)),
            encoded,
            _segments(encoder_input_tokens, None),
            positions=jnp.zeros((rows,), jnp.int32),
            deterministic=True,
            cache_length=max_decode_length * beams,
            keep_source=True,
        )

    def decode_step(
        self,
        tokens: jax.Array,
        positions: jax.Array,
        *,
        visible: jax.Array | None = None,
        logit_symbols: jax.Array | None = None,
    ) -> jax.Array:
        """Feeds tokens to each row at its own position and scores what follows each of them.

        Without `visible`, the k tokens of a row follow each other: they are written to slots
        `positions[b] .. positions[b] + k - 1` and look at slots up to their own. With it, a row has
        k tokens of each of K beams, those of one step side by side: they are written to slots
        `positions[b] * K .. positions[b] * K + k * K - 1`, and token i of beam j looks exactly at
        `visible[b, i, j]`, its ancestors and itself; no slot of a later step may be visible.

        Slots from a row's next position on may hold anything finite. A token beyond the last slot
        is not kept, and its logits mean nothing.

        Args:
            tokens: int `[B, k]`, or `[B, k, M]` to read means of M embeddings.
            positions: int32[B], the position of each row's first token.
            visible: bool `[B, k, K, L]`.
            logit_symbols: int32[A]; score these rows of the head only.

        Returns:
            float32 logits `[B, k, V]`, or `[B, k, A]`.

        Raises:
            ValueError: there is no cache, or one of other rows or slots.
        """
        return self.decoder(
            self.embed(tokens),
            None,
            None,
            positions=positions,
            visible=visible,
            deterministic=True,
            logit_symbols=logit_symbols,
        )

    def _decode_all(self, encoded, sources, feeds, targets, segment_ids, **options):
        if (segment_ids[0] is None) != (segment_ids[1] is None):
            raise ValueError(
                "expected segment ids of encoder and decoder, or none, got them of one side"
            )
        return self.decoder(
            self.embed(feeds),
            encoded,
            _segments(sources, segment_ids[0]),
            _segments(targets, segment_ids[1]),
            **options,
        )

    def _decode_at_index(self, embedded, encoded, sources, max_decode_length, logit_symbols):
        rows, length, _ = embedded.shape
        fresh = not self.has_variable("cache", "cache_index")
        index = jnp.zeros((), jnp.int32) if fresh else self.get_variable("cache", "cache_index")
        logits = self.decoder(
            embedded[:, :0] if fresh else embedded,
            encoded,
            sources,
            positions=jnp.broadcast_to(index, (rows,)),
            deterministic=True,
            cache_length=(max_decode_length or length) if fresh else None,
            logit_symbols=logit_symbols,
        )
        self.put_variable("cache", "cache_index", index if fresh else index + length)
        # The allocating call is made for the cache alone; T5X ignores its logits.
        return jnp.zeros((rows, length, logits.shape[-1])) if fresh else logits


def for_decoding(params: Mapping[str, Any]) -> dict[str, Any]:
    """The unscanned parameters with the decoder's kernels transposed: same model, faster steps.

    On CPUs, a `decode_step` of a few tokens is bound by reading these kernels, and reads them in
    this order at twice the speed. Make it once, outside the loop; nothing else takes such a tree.

    Raises:
        ValueError: the layers are scanned.
    """
    if "layers" in params["decoder"]:
        raise ValueError("expected unscanned parameters, got scanned ones; use unscan_params")
    flat: Any = flatten_dict(params)
    prepared = {}
    for path, leaf in flat.items():
        if path[0] == "decoder" and path[1] != "logits_dense" and path[-1] == "kernel":
            path, leaf = (*path[:-1], "transposed"), leaf.T
        prepared[path] = leaf
    return unflatten_dict(prepared)


def head_kernel(
    config: T5Config, params: Mapping[str, Any], symbols: jax.Array | None = None
) -> jax.Array:
    """The float32 matrix `[D, A]` from `T5.hidden` to the logits of `symbols` int32[A], or all."""
    if config.logits_via_embedding:
        table = params["token_embedder"]["embedding"]
        rows = table if symbols is None else jnp.take(table, symbols, axis=0)
        return rows.T * config.emb_dim**-0.5
    kernel = params["decoder"]["logits_dense"]["kernel"]
    return kernel if symbols is None else jnp.take(kernel, symbols, axis=1)


def _segments(tokens: jax.Array, ids: jax.Array | None) -> jax.Array:
    """int32 `[B, T]`: 0 for padding, else which of the row's documents a token is of, from 1 on."""
    present = (tokens > 0).astype(jnp.int32)
    return present if ids is None else present * (ids.astype(jnp.int32) + 1)

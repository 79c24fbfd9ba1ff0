"""Marks of mentions in a source: which opening one belongs to which closing one. S pieces."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def opened(pieces: Array, openings: Array, closing: int) -> Array:
    """`int32[S]`: the pieces, but in place of each closing mark the opening one that it closes.

    A closing mark that closes nothing stays. Among the marks of one depth, opening and closing ones
    take turns, so that of neighbors in the order of depths one closes the other.

    Args:
      pieces: `int32[S]` of a source.
      openings: `int32[N]` opening marks.
      closing: the closing mark.
    """
    opens, closes = jnp.isin(pieces, openings), pieces == closing
    depth = jnp.cumsum(opens.astype(jnp.int32) - closes.astype(jnp.int32), dtype=jnp.int32)
    outside = jnp.where(opens, depth - 1, depth)  # of an opening mark and of the one that closes it
    depths = jnp.where(opens | closes, outside, jnp.int32(pieces.shape[0]))
    order = jnp.argsort(depths, stable=True)
    before = jnp.roll(order, 1)
    pairs = closes[order] & opens[before] & (depths[order] == depths[before])
    return pieces.at[order].set(jnp.where(pairs, pieces[before], pieces[order]))


def in_closing_order(pieces: Array, openings: Array, closing: int, end: int) -> Array:
    """`int32[S]`: the opening marks of the mentions as they are closed, and `end` behind them."""
    closes = pieces == closing
    order = jnp.argsort(~closes, stable=True)
    return jnp.where(closes[order], opened(pieces, openings, closing)[order], jnp.int32(end))

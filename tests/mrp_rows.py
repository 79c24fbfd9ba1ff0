"""Rows of mention reference prediction made by chance, for a vocabulary of a hundred pieces."""

from __future__ import annotations

import numpy as np

from t5coref.mrp.rows import NOT_MASKED, MRPRow
from t5coref.tokenizer import SENTINELS

EOS = 1


def sentinel_row(seed: int, pieces: int, *, queries: int = 2, length: int = 20) -> MRPRow:
    """Words of one piece; the hidden ones stand at two other places as well.

    Before each hidden word stands a piece that tells which one it is.
    """
    r = np.random.default_rng(seed)
    text = r.integers(3, pieces, length)
    places = r.permutation(np.arange(1, length, 2))[: 3 * queries].reshape(queries, 3)
    places = places[np.argsort(places[:, 0])]
    hidden = r.permutation(np.arange(3, pieces))[:queries]
    for at, piece in zip(places, hidden, strict=True):
        text[at] = piece
        text[at - 1] = (piece - 3 + 7) % (pieces - 3) + 3
    sentinels = pieces + SENTINELS - 1 - np.arange(queries + 1)
    inputs, targets = np.append(text, EOS), []
    inputs[places[:, 0]] = sentinels[:queries]
    for sentinel, piece in zip(sentinels, hidden, strict=False):
        targets += [sentinel, piece]
    targets += [sentinels[queries], EOS]
    return MRPRow(
        name=f"text {seed}",
        inputs=inputs.astype(np.int32),
        targets=np.asarray(targets, np.int32),
        query_start=places[:, 0].astype(np.int32),
        query_end=places[:, 0].astype(np.int32),
        query_single=np.ones(queries, bool),
        ref_start=places[:, 1:].astype(np.int32),
        ref_end=places[:, 1:].astype(np.int32),
        ref_mask=np.ones((queries, 2), bool),
    )


def inplace_row(seed: int, pieces: int, *, queries: int = 2, length: int = 20) -> MRPRow:
    """The same, hidden behind the last sentinel, and a masked word without referents."""
    other = sentinel_row(seed, pieces, queries=queries, length=length)
    inputs, targets = other.inputs.copy(), np.full(len(other.inputs), NOT_MASKED, np.int32)
    targets[other.query_start] = other.targets[1 : 2 * queries : 2]
    there = np.setdiff1d(np.arange(0, length, 2), other.query_start - 1)[0]
    targets[there], inputs[other.query_start] = inputs[there], pieces
    inputs[there] = pieces
    fields = {name: getattr(other, name) for name in ("query_start", "query_end", "query_single")}
    refs = {name: getattr(other, name) for name in ("ref_start", "ref_end", "ref_mask")}
    return MRPRow(name=other.name, inputs=inputs, targets=targets, **fields, **refs)


def without_queries(row: MRPRow) -> MRPRow:
    """The same text, of which nothing is asked."""
    none, empty = np.zeros(0, np.int32), np.zeros((0, 0), np.int32)
    return MRPRow(
        row.name, row.inputs, row.targets, none, none, none.astype(bool), empty, empty,
        empty.astype(bool),
    )  # fmt: skip

"""The configuration of a T5 from the shapes of its parameters alone.

T5X keeps no description of a model in its checkpoints: it is in the gin files of the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from t5coref.nn.checkpoint import HEAD, TABLE
from t5coref.nn.stack import T5Config
from t5coref.nn.weight_files import CheckpointError

_BIAS = "encoder/relpos_bias/rel_embedding"
_QUERY = "encoder/layers_0/attention/query/kernel"
_MLP = "encoder/layers_0/mlp"
_BIAS_OF_A_LAYER = re.compile(r"/(encoder|layers_\d+)/relpos_bias/")


def config_of(
    place: object, shapes: Mapping[str, tuple[int, ...]], *, dtype: str = "float32"
) -> T5Config:
    """The T5Config that parameters have these shapes by, named as those of unscanned layers.

    What no shape tells is that of every published T5: `gelu` and `linear` where the feed-forward
    block is gated, `relu` where it is not; dropout 0.1, position distance 128, epsilon 1e-6.

    Args:
        place: where they are from, for errors.
        shapes: of all parameters.
        dtype: of the computation.

    Raises:
        CheckpointError: these are not the parameters of a T5.
    """
    absent = [name for name in (TABLE, _BIAS, _QUERY) if name not in shapes]
    gated = {f"{_MLP}/wi_0/kernel", f"{_MLP}/wi_1/kernel"} <= shapes.keys()
    inner = f"{_MLP}/wi_0/kernel" if gated else f"{_MLP}/wi/kernel"
    absent += [inner] if inner not in shapes else []
    if absent:
        hint = "check that it is a T5 of t5x.examples.t5 or of this library"
        if any(map(_BIAS_OF_A_LAYER.search, shapes)):
            hint = (
                "it looks like one of t5x.examples.scalable_t5, whose layers each have position "
                "biases of their own; T5 has one for a stack"
            )
        raise CheckpointError(
            f"{place}: expected a T5 with {absent}, got {sorted(shapes)[:4]} and "
            f"{max(0, len(shapes) - 4)} others; {hint}"
        )
    wrong = [f"{n}: {shapes[n]}" for n in (TABLE, _BIAS, _QUERY, inner) if len(shapes[n]) != 2]
    if wrong:
        raise CheckpointError(f"{place}: expected matrices, got {wrong}; check that it is a T5")
    heads, width = shapes[_BIAS][0], shapes[_QUERY][1]
    if width % heads:
        raise CheckpointError(
            f"{place}: expected queries for {heads} heads, as {_BIAS} has them, got {_QUERY} of "
            f"{shapes[_QUERY]}; check that it is a T5"
        )
    vocab_size, emb_dim = shapes[TABLE]
    return T5Config(
        vocab_size=vocab_size,
        emb_dim=emb_dim,
        num_heads=heads,
        num_encoder_layers=_depth(shapes, "encoder"),
        num_decoder_layers=_depth(shapes, "decoder"),
        head_dim=width // heads,
        mlp_dim=shapes[inner][1],
        mlp_activations=("gelu", "linear") if gated else ("relu",),
        logits_via_embedding=HEAD not in shapes,
        relative_attention_num_buckets=shapes[_BIAS][1],
        dtype=dtype,
    )


def _depth(shapes: Mapping[str, tuple[int, ...]], stack: str) -> int:
    layers = re.compile(rf"{stack}/layers_(\d+)/")
    return max((int(found[1]) + 1 for found in map(layers.match, shapes) if found), default=0)

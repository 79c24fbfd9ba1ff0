"""Checkpoints: Hugging Face tensors <-> our parameters <-> scanned parameters.

`NAMES` is the whole conversion. For a given config it is written out layer by layer, so whatever
is missing, left over or of the wrong shape is known by name, in both directions. Parameters are
float32 host arrays (numpy), read and converted one tensor at a time; place them with
`jax.device_put`. Other layouts, and conversion without holding a model in memory, are in
`t5coref.checkpoints`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from t5coref.nn.scan import scan_params, unscan_params
from t5coref.nn.shards import SHARD_BYTES, Shards, Spec
from t5coref.nn.stack import T5Config
from t5coref.nn.t5 import T5
from t5coref.nn.weight_files import (
    CONFIG,
    INDEX,
    WEIGHTS,
    CheckpointError,
    Stored,
    find,
    open_tensors,
    read_json,
)

__all__ = [
    "CheckpointError",
    "alike",
    "averaged",
    "config_from_hf",
    "config_to_hf",
    "grow_vocab",
    "grown",
    "hf_tensors",
    "load_hf",
    "open_hf",
    "our_shapes",
    "parameters",
    "refuse_misfits",
    "save_hf",
    "scan_params",
    "unscan_params",
]

Params = dict[str, Any]

ENCODER_ALONE = ("T5EncoderModel", "MT5EncoderModel")
"""Architectures without a decoder: our config then has no decoder layers."""

KEEP, TRANSPOSE = False, True
NAMES: tuple[tuple[str, str, bool], ...] = (
    # {i} is a layer, {p} an attention projection, {w} a feed-forward matrix.
    ("shared.weight", "token_embedder/embedding", KEEP),
    ("lm_head.weight", "decoder/logits_dense/kernel", TRANSPOSE),
    ("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
     "encoder/relpos_bias/rel_embedding", TRANSPOSE),
    ("encoder.block.{i}.layer.0.SelfAttention.{p}.weight",
     "encoder/layers_{i}/attention/{p}/kernel", TRANSPOSE),
    ("encoder.block.{i}.layer.0.layer_norm.weight",
     "encoder/layers_{i}/pre_attention_layer_norm/scale", KEEP),
    ("encoder.block.{i}.layer.1.DenseReluDense.{w}.weight",
     "encoder/layers_{i}/mlp/{w}/kernel", TRANSPOSE),
    ("encoder.block.{i}.layer.1.layer_norm.weight",
     "encoder/layers_{i}/pre_mlp_layer_norm/scale", KEEP),
    ("encoder.final_layer_norm.weight", "encoder/encoder_norm/scale", KEEP),
    ("decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
     "decoder/relpos_bias/rel_embedding", TRANSPOSE),
    ("decoder.block.{i}.layer.0.SelfAttention.{p}.weight",
     "decoder/layers_{i}/self_attention/{p}/kernel", TRANSPOSE),
    ("decoder.block.{i}.layer.0.layer_norm.weight",
     "decoder/layers_{i}/pre_self_attention_layer_norm/scale", KEEP),
    ("decoder.block.{i}.layer.1.EncDecAttention.{p}.weight",
     "decoder/layers_{i}/encoder_decoder_attention/{p}/kernel", TRANSPOSE),
    ("decoder.block.{i}.layer.1.layer_norm.weight",
     "decoder/layers_{i}/pre_cross_attention_layer_norm/scale", KEEP),
    ("decoder.block.{i}.layer.2.DenseReluDense.{w}.weight",
     "decoder/layers_{i}/mlp/{w}/kernel", TRANSPOSE),
    ("decoder.block.{i}.layer.2.layer_norm.weight",
     "decoder/layers_{i}/pre_mlp_layer_norm/scale", KEEP),
    ("decoder.final_layer_norm.weight", "decoder/decoder_norm/scale", KEEP),
)  # fmt: skip
PROJECTIONS = {"q": "query", "k": "key", "v": "value", "o": "out"}
MATRICES = ("wi", "wi_0", "wi_1", "wo")

TABLE, HEAD = "token_embedder/embedding", "decoder/logits_dense/kernel"
AXES = {TABLE: 0, HEAD: 1}
"""Which axis of them is the vocabulary."""

TABLE_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
"""Copies of `shared.weight` in older files; so is `lm_head.weight` where the head is tied. They
are accepted when equal to it, and the first stands in for it when it is absent."""

NEVER_USED = ("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",)
"""In files converted before 2020: cross-attention has no position bias, the values are unused."""

FEED_FORWARD = {"relu": ("relu",), "gated-gelu": ("gelu", "linear")}
"""Hugging Face's `feed_forward_proj` (its gelu is the tanh form) <-> our `mlp_activations`."""


class Tensor(NamedTuple):
    """Where a Hugging Face tensor belongs: our path, its shape in the file, whether transposed."""

    path: str
    shape: tuple[int, ...]
    transpose: bool


def config_from_hf(config_json: Mapping[str, Any], *, dtype: str = "float32") -> T5Config:
    """The T5Config of a Hugging Face `config.json`; `dtype` is that of our computation.

    Raises:
        CheckpointError: not a T5 (or mT5), sizes are missing, or an unknown feed-forward block.
    """
    kind = config_json.get("model_type", "t5")
    if kind not in ("t5", "mt5"):
        raise CheckpointError(f"expected model_type 't5' or 'mt5', got {kind!r}; use a T5 model")
    sizes = ("vocab_size", "d_model", "num_heads", "num_layers", "d_kv", "d_ff")
    absent = [name for name in sizes if name not in config_json]
    if absent:
        raise CheckpointError(f"expected {list(sizes)} in config.json, {absent} are missing")
    wrong = {n: config_json[n] for n in sizes if type(config_json[n]) is not int}
    if wrong:
        raise CheckpointError(f"expected numbers in config.json, got {wrong}")
    proj = config_json.get("feed_forward_proj", "relu")
    if proj not in FEED_FORWARD:
        raise CheckpointError(f"expected feed_forward_proj in {sorted(FEED_FORWARD)}, got {proj!r}")
    # Since transformers 5, `tie_word_embeddings` is always true and another key tells 1.1 from 1.0.
    tied = config_json.get("scale_decoder_outputs", config_json.get("tie_word_embeddings", True))
    tied = tied and kind != "mt5"  # transformers 5 says otherwise of every mT5
    alone = not set(ENCODER_ALONE).isdisjoint(config_json.get("architectures") or ())
    decoder_layers = config_json.get("num_decoder_layers") or config_json["num_layers"]
    return T5Config(
        vocab_size=config_json["vocab_size"],
        emb_dim=config_json["d_model"],
        num_heads=config_json["num_heads"],
        num_encoder_layers=config_json["num_layers"],
        num_decoder_layers=0 if alone else decoder_layers,
        head_dim=config_json["d_kv"],
        mlp_dim=config_json["d_ff"],
        mlp_activations=FEED_FORWARD[proj],
        dropout_rate=config_json.get("dropout_rate", 0.1),
        logits_via_embedding=bool(tied),
        relative_attention_num_buckets=config_json.get("relative_attention_num_buckets", 32),
        relative_attention_max_distance=config_json.get("relative_attention_max_distance", 128),
        layer_norm_epsilon=config_json.get("layer_norm_epsilon", 1e-6),
        dtype=dtype,
    )


def config_to_hf(config: T5Config) -> dict[str, Any]:
    """The `config.json` that makes transformers (4 or 5) build the same model.

    Raises:
        CheckpointError: transformers has no such feed-forward block.
    """
    proj = {ours: theirs for theirs, ours in FEED_FORWARD.items()}.get(config.mlp_activations)
    if proj is None:
        raise CheckpointError(
            f"expected mlp_activations in {list(FEED_FORWARD.values())}, "
            f"got {config.mlp_activations}; transformers' T5 has no other"
        )
    alone = not config.num_decoder_layers
    return {
        "architectures": [ENCODER_ALONE[0] if alone else "T5ForConditionalGeneration"],
        "model_type": "t5",
        "is_encoder_decoder": not alone,
        "vocab_size": config.vocab_size,
        "d_model": config.emb_dim,
        "d_kv": config.head_dim,
        "d_ff": config.mlp_dim,
        "num_heads": config.num_heads,
        "num_layers": config.num_encoder_layers,
        "num_decoder_layers": config.num_decoder_layers or config.num_encoder_layers,
        "feed_forward_proj": proj,
        "dropout_rate": config.dropout_rate,
        "tie_word_embeddings": config.logits_via_embedding,
        "relative_attention_num_buckets": config.relative_attention_num_buckets,
        "relative_attention_max_distance": config.relative_attention_max_distance,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }


def load_hf(
    folder_or_hub_name: str | os.PathLike[str],
    *,
    vocab_size: int | None = None,
    dtype: str = "float32",
) -> tuple[T5Config, Params]:
    """Loads T5, T0 or Flan-T5 from a folder or from the Hugging Face hub; layers are unscanned.

    Args:
        folder_or_hub_name: has `config.json` and `model.safetensors` or `pytorch_model.bin` (for
            which torch must be installed), or shards of either and their index.
        vocab_size: grow the table and the head to so many rows (see `grow_vocab`).
        dtype: of the computation; the parameters are float32 whatever the file has.

    Raises:
        CheckpointError: no such folder or name, or tensors that are missing, left over, of the
            wrong shape, or copies that differ; all are named.
    """
    config, tensors = open_hf(find(folder_or_hub_name), dtype=dtype)
    params = parameters(tensors)
    return (config, params) if vocab_size is None else grow_vocab(config, params, vocab_size)


def open_hf(folder: Path, *, dtype: str = "float32") -> tuple[T5Config, dict[str, Stored]]:
    """The tensors of a Hugging Face folder by our paths and in our orientation, none of them read.

    Raises:
        CheckpointError: as `load_hf`; copies of the table are compared when the table is read.
    """
    config = config_from_hf(read_json(folder / CONFIG), dtype=dtype)
    wanted = hf_tensors(config)
    found = open_tensors(folder)
    table_copies = [*TABLE_COPIES, *["lm_head.weight"] * config.logits_via_embedding]
    copies = {name: found.pop(name) for name in table_copies if name in found}
    if copies:
        found.setdefault("shared.weight", next(iter(copies.values())))
    for name in NEVER_USED:
        found.pop(name, None)
    shapes = {name: stored.shape for name, stored in found.items()}
    refuse_misfits(folder, {name: tensor.shape for name, tensor in wanted.items()}, shapes)

    def read_table() -> np.ndarray:
        values = found["shared.weight"].read()
        for name, copy in copies.items():
            if not np.array_equal(copy.read(), values):
                raise CheckpointError(
                    f"{folder}: expected {name} to equal the shared table, it differs; if the "
                    "head is its own, set tie_word_embeddings to false in config.json"
                )
        return values

    tensors = {
        tensor.path: _turned(found[name]) if tensor.transpose else found[name]
        for name, tensor in wanted.items()
    }
    tensors[TABLE] = tensors[TABLE]._replace(read=read_table)
    return config, tensors


def parameters(tensors: Mapping[str, Stored]) -> Params:
    """Reads tensors into a tree of float32 arrays."""
    flat = {path: np.ascontiguousarray(t.read(), np.float32) for path, t in tensors.items()}
    return unflatten_dict(flat, sep="/")


def _turned(stored: Stored) -> Stored:
    return Stored(stored.shape[::-1], stored.dtype, lambda: stored.read().T)


def save_hf(
    folder: str | os.PathLike[str],
    config: T5Config,
    params: Mapping[str, Any],
    *,
    max_shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes float32 `model.safetensors` (or shards and index) and `config.json` for transformers.

    Raises:
        CheckpointError: `params`, scanned as `config` says, are not those of the config.
    """
    description = json.dumps(config_to_hf(config), indent=2) + "\n"
    flat = _flat(unscan_params(params) if config.scan_layers else params)
    wanted = hf_tensors(config)
    refuse_misfits("params", our_shapes(wanted), {p: np.shape(leaf) for p, leaf in flat.items()})
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (WEIGHTS, INDEX):
        (folder / stale).unlink(missing_ok=True)
    float32 = np.dtype(np.float32)
    specs = {name: Spec(tensor.shape, float32) for name, tensor in wanted.items()}
    shards = Shards(folder, specs, max_shard_bytes=max_shard_bytes)
    for name, tensor in wanted.items():
        values = np.asarray(flat[tensor.path])
        shards.write(name, values.T if tensor.transpose else values)
    shards.close()
    (folder / CONFIG).write_text(description)


def hf_tensors(config: T5Config) -> dict[str, Tensor]:
    """Every tensor of a Hugging Face checkpoint of this model, by its name there.

    A config without decoder layers is that of an encoder alone.
    """
    # All layers of a stack are alike: the shapes of a model with one layer say them all.
    shapes = _shapes(
        dataclasses.replace(
            config, num_encoder_layers=1, num_decoder_layers=1, scan_layers=False, remat=False
        )
    )
    layers = {"encoder": config.num_encoder_layers, "decoder": config.num_decoder_layers}
    tensors = {}
    for theirs, ours, transpose in NAMES:
        if ours.startswith("decoder/") and not config.num_decoder_layers:
            continue
        depth = layers[ours.split("/")[0]] if "{i}" in ours else 1
        places = PROJECTIONS.items() if "{p}" in ours else [("", "")]
        for i in range(depth):
            for p, projection in places:
                for w in MATRICES if "{w}" in ours else [""]:
                    shape = shapes.get(ours.format(i=0, p=projection, w=w))
                    if shape is not None:  # else a matrix of the other version of T5
                        path = ours.format(i=i, p=projection, w=w)
                        shape = shape[::-1] if transpose else shape
                        tensors[theirs.format(i=i, p=p, w=w)] = Tensor(path, shape, transpose)
    return tensors


@functools.lru_cache(maxsize=8)
def _shapes(config: T5Config) -> Mapping[str, tuple[int, ...]]:
    """The shapes of the network's parameters by their paths; tracing it takes a while."""
    token = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    variables = jax.eval_shape(
        lambda *tokens: T5(config).init(jax.random.key(0), *tokens, enable_dropout=False),
        *(token,) * 3,
    )
    return {path: leaf.shape for path, leaf in _flat(variables["params"]).items()}


def our_shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shapes of `hf_tensors` by our paths and in our orientation."""
    return {t.path: t.shape[::-1] if t.transpose else t.shape for t in tensors.values()}


def grow_vocab(
    config: T5Config, params: Mapping[str, Any], vocab_size: int, *, seed: int = 0
) -> tuple[T5Config, Params]:
    """Adds rows to the table, and columns to an untied head, until there are `vocab_size`.

    New rows are drawn from a normal with the mean and deviation that the old rows have in each
    feature, so that a new symbol starts about as likely as an average token (Hewitt 2021). The
    draw depends on `seed` and on the row only, not on how many are added.

    Raises:
        CheckpointError: the model has more rows than that.
    """
    if vocab_size < config.vocab_size:
        raise CheckpointError(
            f"expected vocab_size of at least the model's {config.vocab_size}, got {vocab_size}; "
            "rows are added, never dropped"
        )
    flat = _flat(params)
    for path in (TABLE, HEAD):
        if path in flat:
            flat[path] = grown(path, np.asarray(flat[path], np.float32), vocab_size, seed=seed)
    return dataclasses.replace(config, vocab_size=vocab_size), unflatten_dict(flat, sep="/")


def alike(params: Mapping[str, Any], rows: Mapping[int, Sequence[int]]) -> Params:
    """Makes rows of the table, and columns of an untied head, the means of others.

    Args:
        params: unscanned or scanned.
        rows: by the row to be made, those to take the mean of.
    """
    flat = _flat(params)
    made = {path: averaged(path, np.asarray(flat[path]), rows) for path in AXES if path in flat}
    return unflatten_dict({**flat, **made}, sep="/")


def averaged(path: str, old: np.ndarray, rows: Mapping[int, Sequence[int]]) -> np.ndarray:
    """The table or the head, whichever `path` names, with such rows or columns (see above)."""
    axis = AXES[path]
    new = np.moveaxis(np.array(old), axis, 0)  # a copy
    wide = np.moveaxis(old, axis, 0)
    for row, others in rows.items():
        new[row] = wide[list(others)].astype(np.float32).mean(axis=0)
    return np.ascontiguousarray(np.moveaxis(new, 0, axis))


def grown(path: str, old: np.ndarray, vocab_size: int, *, seed: int = 0) -> np.ndarray:
    """The table or the head, whichever `path` names, with as many rows or columns (see above)."""
    axis = AXES[path]
    rows = np.ascontiguousarray(np.moveaxis(old, axis, 0))  # sums depend on the layout
    wide = rows.astype(np.float32, copy=False)
    rng = np.random.default_rng((seed, axis))
    new = rng.standard_normal((vocab_size - len(rows), rows.shape[1]), np.float32)
    new = wide.mean(axis=0, keepdims=True) + wide.std(axis=0, keepdims=True) * new
    del wide
    both = np.empty((vocab_size, rows.shape[1]), rows.dtype)
    both[: len(rows)], both[len(rows) :] = rows, new
    return np.ascontiguousarray(np.moveaxis(both, 0, axis))


def _flat(params: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves by path, the parts joined by slashes."""
    return dict(flatten_dict(dict(params), sep="/"))


def refuse_misfits(
    place: object, wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> None:
    """Compares the shapes that were `found` with those `wanted`, both by name.

    Raises:
        CheckpointError: names or shapes differ; all are named.
    """
    missing = sorted(wanted.keys() - found.keys())
    unused = sorted(found.keys() - wanted.keys())
    wrong = [
        f"{name}: expected {tuple(shape)}, got {tuple(found[name])}"
        for name, shape in wanted.items()
        if name in found and tuple(found[name]) != tuple(shape)
    ]
    problems = [
        f"{what}: {names}"
        for what, names in (("missing", missing), ("unmapped", unused), ("wrong shape", wrong))
        if names
    ]
    if problems:
        raise CheckpointError(
            f"{place} does not fit the config; {'; '.join(problems)}; "
            "check that config and tensors come from one T5 model"
        )

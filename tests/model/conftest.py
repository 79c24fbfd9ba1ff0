"""Tiny checkpoints that are laid out as the published training code leaves them."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest

from t5coref.linearize import named
from t5coref.tokenizer import Tokenizer


def published_config(rows: int, architecture: str | None, **changes) -> dict:
    """A config.json as transformers 4.24 writes it for T0 (or for T5 1.0 where tied)."""
    return {
        "_name_or_path": "bigscience/T0_3B",
        "architectures": [architecture] if architecture else None,
        "d_ff": 32,
        "d_kv": 8,
        "d_model": 16,
        "decoder_start_token_id": 0,
        "dropout_rate": 0.1,
        "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": True,
        "layer_norm_epsilon": 1e-06,
        "model_type": "t5",
        "num_decoder_layers": 1,
        "num_heads": 2,
        "num_layers": 1,
        "output_past": True,
        "pad_token_id": 0,
        "relative_attention_num_buckets": 32,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "transformers_version": "4.24.0",
        "use_cache": True,
        "vocab_size": rows,
    } | changes


@pytest.fixture(scope="session")
def torch_tensors() -> Callable[..., dict]:
    """The state of transformers' T5 of a config, with random weights."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    def build(config: dict) -> dict:
        keys = ("d_ff", "d_kv", "d_model", "num_decoder_layers", "num_heads", "num_layers",
                "vocab_size", "tie_word_embeddings", "feed_forward_proj")  # fmt: skip
        torch.manual_seed(0)
        model = transformers.T5ForConditionalGeneration(
            transformers.T5Config(**{key: config[key] for key in keys})
        )
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.normal_(1.0 if "norm" in name else 0.0, 0.3)
        return {name: weight.clone() for name, weight in model.state_dict().items()}

    return build


def write_weights(folder: pathlib.Path, tensors: dict, layout: str) -> None:
    """Writes `bin`, `bin-shards`, `safetensors` or `safetensors-shards`."""
    import torch
    from safetensors.torch import save_file

    names = sorted(tensors)
    shards = [names[i::3] for i in range(3)] if layout.endswith("shards") else [names]
    stem, ending = (
        ("pytorch_model", "bin") if layout.startswith("bin") else ("model", "safetensors")
    )
    weight_map = {}
    for i, shard in enumerate(shards):
        number = f"-{i + 1:05d}-of-{len(shards):05d}" if len(shards) > 1 else ""
        file = f"{stem}{number}.{ending}"
        chosen = {name: tensors[name] for name in shard}
        if ending == "bin":
            torch.save(chosen, folder / file)
        else:
            save_file(chosen, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, file)
    if len(shards) > 1:
        index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
        (folder / f"{stem}.{ending}.index.json").write_text(json.dumps(index))


def write_tokenizer(
    folder: pathlib.Path, tokenizer: Tokenizer, symbols: tuple[str, ...], where: str
) -> None:
    """Writes the SentencePiece model, and the added symbols where versions of transformers do."""
    tokenizer.save(folder)
    first = Tokenizer(tokenizer.model, ()).size
    ids = {symbol: first + i for i, symbol in enumerate(symbols)}
    sentinels = {f"<extra_id_{i}>": first - 1 - i for i in range(100)}
    if where == "added_tokens.json":
        (folder / where).write_text(json.dumps(ids))
    elif where == "tokenizer.json":
        every = sorted((sentinels | ids).items(), key=lambda item: item[1])
        added = [{"id": i, "content": symbol, "special": False} for symbol, i in every]
        (folder / where).write_text(json.dumps({"added_tokens": added, "model": {}}))
    elif where == "tokenizer_config.json":
        decoder = {str(i): {"content": symbol} for symbol, i in (sentinels | ids).items()}
        (folder / where).write_text(json.dumps({"added_tokens_decoder": decoder}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": "</s>"}))


@pytest.fixture
def checkpoint(tokenizer, torch_tensors):
    """Writes a checkpoint trained for a linearization into a folder."""

    def write(
        folder: pathlib.Path,
        linearization: str,
        *,
        rows: int = 192,
        architecture: str | None = "ConstrainedT5",
        layout: str = "bin",
        where: str | None = "added_tokens.json",
        dtype: str = "float32",
        **changes,
    ) -> dict:
        folder.mkdir(parents=True)
        config = published_config(rows, architecture, torch_dtype=dtype, **changes)
        (folder / "config.json").write_text(json.dumps(config))
        tensors = torch_tensors(config)
        if layout.startswith("safetensors"):  # it refuses tensors that share memory; ours do not
            tensors = {n: t for n, t in tensors.items() if "embed_tokens" not in n}
        if dtype == "bfloat16":
            tensors = {name: tensor.bfloat16() for name, tensor in tensors.items()}
        write_weights(folder, tensors, layout)
        symbols = named(linearization).symbols
        write_tokenizer(folder, tokenizer, symbols if where else (), where or "none")
        return tensors

    return write

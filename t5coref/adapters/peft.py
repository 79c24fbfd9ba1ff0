"""Adapters in the files of the PEFT library, for T5 in transformers.

FOLDER/adapter_model.safetensors    base_model.model.MODULE.lora_A.weight [rank, in], lora_B.weight
FOLDER/adapter_config.json          rank, alpha, dropout, and which modules have adapters
FOLDER/base                         where rows of symbols were trained: the T5 that has them

PEFT 0.21.2 has no place for rows of an untied head: with `trainable_token_indices` the head gets
the rows of the table, and a table in `modules_to_save` is not the one that the encoder reads. So
the rows are in the T5 that the adapters are put beside.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

from t5coref.adapters.folder import Adapters, fingerprint
from t5coref.checkpoints.folders import appearing
from t5coref.core.errors import ConfigError
from t5coref.model import Model
from t5coref.nn import lora as low_rank
from t5coref.nn.checkpoint import MATRICES, NAMES, PROJECTIONS, save_hf
from t5coref.nn.layers import LORA_A, LORA_B
from t5coref.nn.lora import PARTS, SYMBOLS, T5_PARTS, LoRA, Rows
from t5coref.nn.stack import T5Config
from t5coref.nn.weight_files import write_tensors

WEIGHTS, SETTINGS, BASE = "adapter_model.safetensors", "adapter_config.json", "base"

PREFIX = "base_model.model."
FACTORS = {LORA_A: ".lora_A.weight", LORA_B: ".lora_B.weight"}

REFUSED = {
    "use_dora": False, "bias": "none", "fan_in_fan_out": False, "rank_pattern": {},
    "alpha_pattern": {}, "modules_to_save": None, "trainable_token_indices": None,
    "lora_bias": False, "target_parameters": None, "layer_replication": None,
}  # fmt: skip
"""Settings of PEFT that change what is computed or trained, with the only values we know."""


def save_peft(
    folder: str | os.PathLike[str],
    adapters: Adapters,
    model: Model,
    *,
    base: str | None = None,
) -> None:
    """Writes adapters for `peft.PeftModel.from_pretrained`; the folder appears whole or not at all.

    Args:
      folder: to make.
      adapters: without heads, for which PEFT has no place.
      model: the T5 that they were trained beside.
      base: what transformers is to load it from, as a path or a name; where rows of symbols were
        trained, it is the folder `base` that is written, with them.

    Raises:
      ConfigError: there are heads among them.
      MismatchError: the model is another one.
    """
    flat: Any = flatten_dict(dict(adapters.weights))
    heads = sorted({path[0] for path in flat} - {*T5_PARTS})
    if heads:
        raise ConfigError(
            f"expected adapters of a T5 alone, got {heads} beside them; merge them instead "
            "(`t5coref adapters ... --to model`)"
        )
    modules = _modules(model.config)
    tensors = {
        PREFIX + modules["/".join(path[:-1])] + FACTORS[path[-1]]: np.ascontiguousarray(leaf.T)
        for path, leaf in flat.items()
        if path[-1] in FACTORS
    }
    rows = unflatten_dict({path: leaf for path, leaf in flat.items() if path[-1] == SYMBOLS})
    lora = adapters.lora
    settings = {
        "peft_type": "LORA",
        "task_type": "SEQ_2_SEQ_LM" if model.config.num_decoder_layers else "FEATURE_EXTRACTION",
        "base_model_name_or_path": str(pathlib.Path(folder, BASE)) if rows else base,
        "inference_mode": True,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "use_rslora": False,
        **REFUSED,
        "target_modules": sorted(
            modules["/".join(path[:-1])] for path in flat if path[-1] == LORA_A
        ),
    }
    adapters.check(model)
    with appearing(pathlib.Path(folder), overwrite=True, foreign=_foreign) as fresh:
        write_tensors(fresh / WEIGHTS, tensors, {"format": "pt"})
        (fresh / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
        if rows:
            both = low_rank.joined(model.params, rows)
            save_hf(fresh / BASE, model.config, low_rank.merged(lora, both, adapters.rows))


def from_peft(folder: str | os.PathLike[str], model: Model) -> Adapters:
    """Reads adapters that PEFT has written.

    Args:
      folder: with `adapter_config.json` and `adapter_model.safetensors`.
      model: the T5 that they were trained beside, with the tokenizer and the format that they were
        trained for, and with the rows of its symbols as they are to be.

    Raises:
      ConfigError: there are no such files, PEFT was used in a way that we do not know, or the
        adapters do not fit the model.
    """
    place = pathlib.Path(folder)
    for name in (SETTINGS, WEIGHTS):
        if not (place / name).is_file():
            raise ConfigError(f"{folder} holds no adapters of PEFT: expected {name} in it")
    settings = json.loads((place / SETTINGS).read_text("utf-8"))
    _refuse_unknown(place, settings)
    rank, alpha = settings["r"], float(settings["lora_alpha"])
    if settings.get("use_rslora"):  # alpha / sqrt(rank) instead of alpha / rank
        alpha *= math.sqrt(rank)
    owners = {name: path for path, name in _modules(model.config).items()}
    flat, unknown = {}, []
    for name, tensor in safetensors.numpy.load_file(place / WEIGHTS).items():
        for ours, theirs in FACTORS.items():
            module = name.removeprefix(PREFIX).removesuffix(theirs)
            if name.endswith(theirs) and module in owners:
                flat[*owners[module].split("/"), ours] = np.ascontiguousarray(
                    tensor.T.astype(np.float32)
                )
                break
        else:
            unknown.append(name)
    _refuse_misfits(place, model, rank, flat, unknown)
    kernels = [(*path[:-1], "kernel") for path in flat if path[-1] == LORA_A]
    lora = LoRA(
        rank=rank,
        alpha=alpha,
        dropout=settings.get("lora_dropout", 0.0),
        targets=tuple(dict.fromkeys(path[-2] for path in kernels)),
        parts=tuple(part for part in PARTS if any(low_rank.part_of(p) == part for p in kernels)),
    )
    rows = Rows.of(model.tokenizer)
    return Adapters(
        lora=lora,
        weights=unflatten_dict(flat),
        rows=rows,
        base=fingerprint(model.params, rows),
        tokenizer=model.tokenizer,
        card=model.card(),
    )


def _modules(config: T5Config) -> dict[str, str]:
    """The paths of all matrices that may have adapters -> their modules in transformers."""
    layers = {"encoder": config.num_encoder_layers, "decoder": config.num_decoder_layers}
    found = {}
    for theirs, ours, _ in NAMES:
        if "{p}" not in ours and "{w}" not in ours:
            continue
        module, path = theirs.removesuffix(".weight"), ours.removesuffix("/kernel")
        for i in range(layers[ours.split("/")[0]]):
            for p, projection in PROJECTIONS.items() if "{p}" in ours else [("", "")]:
                for w in MATRICES if "{w}" in ours else [""]:
                    found[path.format(i=i, p=projection, w=w)] = module.format(i=i, p=p, w=w)
    return found


def _refuse_unknown(place: pathlib.Path, settings: Mapping[str, Any]) -> None:
    wrong = {
        name: settings[name]
        for name, known in REFUSED.items()
        if settings.get(name, known) not in (known, None)
    }
    if settings.get("peft_type") != "LORA" or wrong:
        raise ConfigError(
            f"{place}: expected peft_type LORA with plain matrices, got "
            f"{settings.get('peft_type')} with {wrong}; merge them with PEFT "
            "(merge_and_unload) and convert the model with `t5coref convert`"
        )


def _refuse_misfits(
    place: pathlib.Path,
    model: Model,
    rank: int,
    flat: Mapping[low_rank.Path, np.ndarray],
    unknown: list[str],
) -> None:
    """Compares the factors with each other and with the kernels beside them."""
    params: Any = flatten_dict(dict(model.params))
    wrong = list(unknown)
    for path in sorted({path[:-1] for path in flat}):
        kernel = params.get((*path, "kernel"), np.empty((0, 0)))
        sizes = {LORA_A: (kernel.shape[0], rank), LORA_B: (rank, kernel.shape[1])}
        there = {name: flat[*path, name].shape for name in sizes if (*path, name) in flat}
        if there != sizes:
            wrong.append("/".join(path))
    if wrong or not flat:
        raise ConfigError(
            f"{place}: expected two factors of rank {rank} for matrices of this T5 and nothing "
            f"else, {len(wrong)} do not fit: {wrong[:4]}; give the T5 that they were trained beside"
        )


def _foreign(names: Any) -> list[str]:
    """What in a folder is not of adapters, and must not be replaced by them."""
    return [name for name in names if name not in (WEIGHTS, SETTINGS, BASE)]

"""PEFT's files, read and written as torch would: W + alpha / r B A in transformers' T5.

The oracle knows nothing of our names: it walks the modules of transformers.
"""

from __future__ import annotations

import json
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from t5coref import cli
from t5coref.adapters import Adapters, from_peft, save_peft
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.model import Model
from t5coref.nn.checkpoint import save_hf
from t5coref.nn.lora import LoRA

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors_torch = pytest.importorskip("safetensors.torch")

SOURCE = [[5, 9, 33, 7, 21, 1]]
TARGET = [[12, 30, 4, 1]]
NAMES = ("q", "k", "v", "o", "wi", "wi_0", "wi_1", "wo")


def torch_model(folder):
    loaded = transformers.T5ForConditionalGeneration.from_pretrained(
        folder, attn_implementation="eager"
    )
    return loaded.eval()


def matrices(model):
    """(name, module) of all that may have adapters."""
    return [(n, m) for n, m in model.named_modules() if n.rpartition(".")[2] in NAMES]


def with_product(model, tensors, scale):
    """Adds scale B A to each matrix that has the two factors in PEFT's file."""
    left = dict(tensors)
    with torch.no_grad():
        for name, module in matrices(model):
            a, b = (left.pop(f"base_model.model.{name}.lora_{x}.weight", None) for x in ("A", "B"))
            if a is not None and b is not None:
                module.weight += scale * (b.double() @ a.double()).float()
    assert not left
    return model


def torch_logits(model, source, target):
    with torch.no_grad():
        feeds = torch.tensor([[0, *target[0][:-1]]])
        return model(input_ids=torch.tensor(source), decoder_input_ids=feeds).logits.numpy()


def our_logits(model, source, target) -> Any:
    feeds = jnp.asarray([[0, *target[0][:-1]]], jnp.int32)
    return model.network.apply(
        {"params": model.params},
        jnp.asarray(source, jnp.int32),
        feeds,
        jnp.asarray(target, jnp.int32),
        enable_dropout=False,
    )


def texts(model):
    """A source and a target with symbols among the pieces."""
    first, last = model.tokenizer.size - len(model.tokenizer.symbols), model.tokenizer.size - 1
    return [[*SOURCE[0][:-1], first, 1]], [[last, *TARGET[0]]]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_export(bases, make_adapters, tmp_path, version):
    base = bases[version]
    adapters = make_adapters(base, LoRA(rank=3, alpha=5.0))
    save_peft(tmp_path / "peft", adapters, base)
    settings = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert (settings["peft_type"], settings["r"], settings["lora_alpha"]) == ("LORA", 3, 5.0)
    place = settings["base_model_name_or_path"]
    assert place == str(tmp_path / "peft" / "base")
    model = torch_model(place)
    modules = [name for name, _ in matrices(model)]
    assert sorted(settings["target_modules"]) == sorted(modules)
    tensors = safetensors_torch.load_file(tmp_path / "peft" / "adapter_model.safetensors")
    assert len(tensors) == 2 * len(modules)
    source, target = texts(base)
    want = torch_logits(with_product(model, tensors, 5.0 / 3.0), source, target)
    got = our_logits(adapters.merge(base), source, target)
    np.testing.assert_allclose(got, want, atol=2e-4, rtol=2e-4)
    assert np.abs(want - our_logits(base, source, target)).max() > 0.1


def test_export_without_symbols_needs_no_copy_of_the_base(base, adapters, tmp_path):
    weights = {
        part: {k: v for k, v in tree.items() if k != "logits_dense"}
        for part, tree in adapters.weights.items()
        if part != "token_embedder"
    }
    bare = Adapters(**{**vars(adapters), "weights": weights})
    save_peft(tmp_path / "peft", bare, base, base="google/t5-v1_1-small")
    assert not (tmp_path / "peft" / "base").exists()
    settings = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "google/t5-v1_1-small"


@pytest.mark.parametrize(("rslora", "names"), [(False, NAMES), (True, ("q", "wo"))])
def test_import(base, tmp_path, rslora, names):
    save_hf(tmp_path / "base", base.config, base.params)
    model = torch_model(tmp_path / "base")
    torch.manual_seed(3)
    tensors = {}
    for name, module in matrices(model):
        if name.rpartition(".")[2] in names:
            for x, shape in (("A", (4, module.in_features)), ("B", (module.out_features, 4))):
                tensors[f"base_model.model.{name}.lora_{x}.weight"] = 0.3 * torch.randn(shape)
    safetensors_torch.save_file(tensors, tmp_path / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 6, "lora_dropout": 0.1, "bias": "none",
                "use_rslora": rslora, "rank_pattern": {}, "alpha_pattern": {}}  # fmt: skip
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    found = from_peft(tmp_path, base)
    assert (found.lora.rank, found.lora.dropout) == (4, 0.1)
    scale = 6 / math.sqrt(4) if rslora else 6 / 4
    assert found.lora.scale == pytest.approx(scale)
    source, target = texts(base)
    want = torch_logits(with_product(model, tensors, scale), source, target)
    np.testing.assert_allclose(
        our_logits(found.merge(base), source, target), want, atol=2e-4, rtol=2e-4
    )


def test_there_and_back(base, adapters, tmp_path, capsys):
    """By the command; the rows of the symbols come back with the base that has them."""
    adapters.save(tmp_path / "a")
    base.save(tmp_path / "base")
    peft, start, back = (str(tmp_path / name) for name in ("peft", "start", "back"))
    assert cli.main(["adapters", str(tmp_path / "a"), peft, "--to", "peft", "--base",
                     str(tmp_path / "base")]) == 0  # fmt: skip
    # What PEFT's user has: the base with the rows, made a model folder.
    (tmp_path / "base" / "spiece.model").rename(tmp_path / "peft" / "base" / "spiece.model")
    assert cli.main(["convert", f"{peft}/base", start, "--to", "t5coref", "--format", "full-copy",
                     "--tokenizer", f"{peft}/base/spiece.model"]) == 0  # fmt: skip
    assert cli.main(["adapters", peft, back, "--to", "adapters", "--base", start]) == 0
    assert "rank 3, alpha 5" in capsys.readouterr().out
    found = Adapters.load(back)
    factors = {p: x for p, x in flatten_dict(adapters.weights).items() if p[-1] != "symbols"}
    theirs = flatten_dict(found.weights)
    assert theirs.keys() == factors.keys()
    for path, leaf in factors.items():
        np.testing.assert_array_equal(theirs[path], leaf)
    source, target = texts(base)
    np.testing.assert_allclose(
        our_logits(found.merge(Model.load(start)), source, target),
        our_logits(adapters.merge(base), source, target),
        atol=1e-5,
    )


def test_what_peft_has_no_place_for(base, adapters, tmp_path):
    heads = {"heads": {"kernel": np.ones((16, 2), np.float32)}}
    both = Adapters(**{**vars(adapters), "weights": {**adapters.weights, **heads}})
    with pytest.raises(ConfigError, match=r"got \['heads'\]"):
        save_peft(tmp_path / "x", both, base)
    other = Adapters(**{**vars(adapters), "base": "0123"})
    with pytest.raises(MismatchError, match="fingerprint 0123"):
        save_peft(tmp_path / "x", other, base)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("changes", "name", "shape", "message"),
    [
        ({"use_dora": True}, "q", (4, 16), "use_dora"),
        ({"bias": "all"}, "q", (4, 16), "'bias': 'all'"),
        ({"peft_type": "IA3"}, "q", (4, 16), "expected peft_type LORA"),
        ({"rank_pattern": {"q": 8}}, "q", (4, 16), "rank_pattern"),
        ({}, "q", (2, 16), "factors of rank 4.*attention/query"),
        ({}, "gate", (4, 16), r"gate\.lora_A"),
    ],
)
def test_what_is_refused(base, tmp_path, changes, name, shape, message):
    module = f"base_model.model.encoder.block.0.layer.0.SelfAttention.{name}"
    tensors = {f"{module}.lora_A.weight": torch.zeros(shape),
               f"{module}.lora_B.weight": torch.zeros((12, shape[0]))}  # fmt: skip
    safetensors_torch.save_file(tensors, tmp_path / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 4, **changes}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=message):
        from_peft(tmp_path, base)


def test_no_files(base, tmp_path):
    with pytest.raises(ConfigError, match=r"holds no adapters of PEFT: expected adapter_config"):
        from_peft(tmp_path, base)

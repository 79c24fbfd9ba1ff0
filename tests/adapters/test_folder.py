"""The folder of adapters: what it holds, which T5 it fits, and the model that comes of both."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import load_file

from t5coref import cli
from t5coref.adapters import Adapters, fingerprint
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.model import Model, pretrained
from t5coref.nn.checkpoint import save_hf
from t5coref.nn.lora import LoRA
from t5coref.tokenizer import Tokenizer


def flat(params) -> dict[tuple[str, ...], Any]:
    return dict(flatten_dict(params))


def changed(model, path, index, by=1e-3):
    """The model with one number of its weights changed."""
    leaves = {p: np.array(leaf) for p, leaf in flat(model.params).items()}
    leaves[path][index] += by
    return dataclasses.replace(model, params=unflatten_dict(leaves))


def assert_same(one, other, atol=0.0):
    assert flat(one).keys() == flat(other).keys()
    for path, leaf in flat(one).items():
        np.testing.assert_allclose(leaf, flat(other)[path], atol=atol, rtol=0)


def test_round_trip(adapters, tmp_path):
    adapters.save(tmp_path / "a")
    found = Adapters.load(tmp_path / "a")
    assert_same(found.weights, adapters.weights)
    for name in ("lora", "rows", "base", "card"):
        assert getattr(found, name) == getattr(adapters, name)
    assert found.tokenizer.fingerprint == adapters.tokenizer.fingerprint
    names = load_file(tmp_path / "a" / "adapters.safetensors").keys()
    assert {"encoder/layers_1/attention/query/lora_a", "token_embedder/symbols"} <= names
    found.save(tmp_path / "a")  # over itself
    assert {p.name for p in (tmp_path / "a").iterdir()} == {
        "adapters.json", "adapters.safetensors", "spiece.model",
    }  # fmt: skip


def test_merged_by_hand(adapters, base):
    merged = adapters.merge(base)
    assert (merged.config, merged.format) == (base.config, base.format)
    learned, before, after = (flat(x) for x in (adapters.weights, base.params, merged.params))
    first, count = adapters.rows
    for path, leaf in after.items():
        want = np.array(before[path], np.float64)
        a, b = (learned.get((*path[:-1], name)) for name in ("lora_a", "lora_b"))
        if a is not None and b is not None:
            want += 5.0 / 3.0 * a.astype(np.float64) @ b.astype(np.float64)
        rows = learned.get((*path[:-1], "symbols"))
        if rows is not None and path[-1] == "embedding":
            want[first : first + count] += rows
        elif rows is not None:
            want[:, first : first + count] += rows
        np.testing.assert_allclose(leaf, want, atol=1e-6, err_msg="/".join(path))
        assert isinstance(leaf, np.ndarray)


@pytest.mark.parametrize(
    ("path", "index"),
    [
        (("encoder", "layers_1", "mlp", "wo", "kernel"), (0, 0)),
        (("decoder", "decoder_norm", "scale"), 15),
        (("token_embedder", "embedding"), (0, 3)),
        (("decoder", "logits_dense", "kernel"), (3, 1)),
    ],
)
def test_another_base_is_refused(adapters, base, path, index):
    with pytest.raises(MismatchError, match=f"fingerprint {adapters.base}, this one has"):
        adapters.merge(changed(base, path, index))


def test_rows_behind_the_symbols_do_not_matter(adapters, base):
    """They belong to no id: files have more or fewer of them."""
    first, count = adapters.rows
    head = ("decoder", "logits_dense", "kernel")
    other = changed(base, head, (3, first + count))
    assert fingerprint(other.params, adapters.rows) == adapters.base
    other = changed(base, head, (3, first + count - 1))
    assert fingerprint(other.params, adapters.rows) != adapters.base
    leaves = flat(base.params)
    leaves |= {head: leaves[head][:, : first + count]}
    assert fingerprint(unflatten_dict(leaves), adapters.rows) == adapters.base


def test_another_tokenizer_is_refused(adapters, base):
    other = Tokenizer(base.tokenizer.model, base.tokenizer.symbols[:-1])
    with pytest.raises(MismatchError, match="trained with tokenizer"):
        adapters.merge(dataclasses.replace(base, tokenizer=other))


def test_heads_that_are_missing_are_named(adapters, base):
    heads = {"heads": {"kernel": np.ones((16, 2), np.float32)}}
    both = dataclasses.replace(adapters, weights={**adapters.weights, **heads})
    with pytest.raises(MismatchError, match=r"trained with \['heads'\]"):
        both.merge(base)
    old = {"heads": {"kernel": np.zeros((16, 2), np.float32)}}
    merged = both.merge(dataclasses.replace(base, params={**base.params, **old}))
    np.testing.assert_array_equal(merged.params["heads"]["kernel"], heads["heads"]["kernel"])


def test_broken_folders(adapters, base, tmp_path):
    base.save(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"holds no adapters: expected adapters\.json"):
        Adapters.load(tmp_path / "model")
    adapters.save(tmp_path / "a")
    file = tmp_path / "a" / "adapters.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(MismatchError, match=r"is not the one that adapters\.json"):
        Adapters.load(tmp_path / "a")


def test_command_merges_into_a_model_folder(adapters, base, tmp_path, capsys):
    base.save(tmp_path / "base")
    adapters.save(tmp_path / "a")
    command = ["adapters", str(tmp_path / "a"), str(tmp_path / "out"), "--to", "model"]
    assert cli.main([*command, "--base", str(tmp_path / "base")]) == 0
    assert "rank 3, alpha 5" in capsys.readouterr().out
    assert_same(Model.load(tmp_path / "out").params, adapters.merge(base).params)
    assert cli.main([*command, "--base", str(tmp_path / "base")]) == 2
    assert "give another folder, or --overwrite" in capsys.readouterr().err
    wrong = changed(base, ("decoder", "decoder_norm", "scale"), 0)
    wrong.save(tmp_path / "wrong")
    assert cli.main([*command, "--base", str(tmp_path / "wrong"), "--overwrite"]) == 2
    assert "trained beside a T5 with fingerprint" in capsys.readouterr().err


def test_command_merges_into_a_published_t5(make_adapters, base, tmp_path):
    """Which has neither the tokenizer nor rows for symbols: they are drawn as for training."""
    first = base.tokenizer.size - len(base.tokenizer.symbols)
    leaves = flat(base.params)
    table = ("token_embedder", "embedding"), ("decoder", "logits_dense", "kernel")
    leaves |= {table[0]: leaves[table[0]][:first], table[1]: leaves[table[1]][:, :first]}
    config = dataclasses.replace(base.config, vocab_size=first)
    save_hf(tmp_path / "published", config, unflatten_dict(leaves))
    base.tokenizer.save(tmp_path)
    start = pretrained(
        str(tmp_path / "published"), tokenizer=str(tmp_path / "spiece.model"), format=base.format
    )
    adapters = make_adapters(start, LoRA(rank=2))
    adapters.save(tmp_path / "a")
    out = tmp_path / "out"
    assert cli.main(["adapters", str(tmp_path / "a"), str(out), "--to", "model", "--quiet",
                     "--base", str(tmp_path / "published")]) == 0  # fmt: skip
    found = Model.load(out)
    assert (found.format, found.tokenizer.fingerprint) == (base.format, base.tokenizer.fingerprint)
    assert_same(found.params, adapters.merge(start).params)


def test_command_names_what_is_missing(tmp_path, capsys, base):
    (tmp_path / "empty").mkdir()
    command = ["adapters", str(tmp_path / "empty"), str(tmp_path / "x"), "--to", "model", "--base"]
    assert cli.main([*command, str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "expected adapters.json or adapter_config.json" in message
    assert "--alpha" in message
    base.save(tmp_path / "base")
    assert cli.main([*command, str(tmp_path / "base"), "--alpha", "2"]) == 2
    assert "expected a checkpoint of T5X" in capsys.readouterr().err


def test_settings_are_plain_json(adapters, tmp_path):
    adapters.save(tmp_path)
    found = json.loads((tmp_path / "adapters.json").read_text())
    assert found["lora"]["rank"] == 3
    assert found["rows"] == {"first": adapters.rows.first, "count": adapters.rows.count}
    assert jax.tree.leaves(found["model"]["tokenizer"]["fingerprint"]) == [
        adapters.tokenizer.fingerprint
    ]

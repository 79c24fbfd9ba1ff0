"""Adapters of models whose weights were all trained."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import load_file

from t5coref import cli
from t5coref.adapters import Adapters, extracted
from t5coref.core.errors import MismatchError
from t5coref.downstream.head_model import HeadModel, head_model
from t5coref.nn.downstream import TaggingHead
from t5coref.nn.lora import LoRA
from t5coref.tokenizer import Tokenizer


def flat(params: Any) -> dict[tuple[str, ...], Any]:
    return dict(flatten_dict(dict(params)))


def trained(model, seed=2):
    """The model with all of its numbers changed a little."""
    rng = np.random.default_rng(seed)
    leaves = {
        path: np.asarray(leaf) + np.float32(0.1) * rng.standard_normal(leaf.shape, np.float32)
        for path, leaf in flat(model.params).items()
    }
    return dataclasses.replace(model, params=unflatten_dict(leaves))


def test_what_adapters_have_done_they_can_do(adapters, base):
    """Of the same rank, the extracted ones are as good, whatever their alpha."""
    merged = adapters.merge(base)
    found, kept = extracted(base, merged, LoRA(rank=3, alpha=7.0))
    assert kept == pytest.approx(1)
    again = found.merge(base)
    for path, leaf in flat(merged.params).items():
        np.testing.assert_allclose(flat(again.params)[path], leaf, atol=1e-5, err_msg=str(path))


@pytest.mark.parametrize("rank", [1, 4, 64])
def test_nothing_of_that_rank_comes_nearer(base, rank):
    """The squares of what is missing are those of the singular values behind the rank."""
    tuned = trained(base)
    found, kept = extracted(base, tuned, LoRA(rank=rank, alpha=2.0, targets=("query", "wo")))
    merged = flat(found.merge(base).params)
    missing = whole = 0.0
    for path, leaf in flat(tuned.params).items():
        before = np.asarray(flat(base.params)[path], np.float64)
        if path[-2] in ("query", "wo"):
            values = np.linalg.svd(np.asarray(leaf, np.float64) - before, compute_uv=False)
            error = np.square(np.asarray(leaf) - merged[path]).sum()
            assert error == pytest.approx(np.square(values[rank:]).sum(), abs=1e-6)
            missing, whole = missing + error, whole + np.square(values).sum()
        elif path[-1] == "embedding" or path[-2] == "logits_dense":
            new = slice(found.rows.first, found.rows.first + found.rows.count)
            axis = 0 if path[-1] == "embedding" else 1
            mine, theirs, old = (np.moveaxis(x, axis, 0) for x in (merged[path], leaf, before))
            np.testing.assert_allclose(mine[new], theirs[new], atol=1e-6)
            np.testing.assert_array_equal(mine[: new.start], old[: new.start].astype(np.float32))
        else:
            np.testing.assert_array_equal(merged[path], before.astype(np.float32))
    assert kept == pytest.approx(1 - missing / whole, abs=1e-6)


def test_an_encoder_with_a_head_from_the_command_line(base, tmp_path, capsys):
    """The T5 has a decoder and symbols, the model with a head has not."""
    tuned = trained(head_model(base=base, head=TaggingHead(4, 8), task="x", data={"a": 1}))
    base.save(tmp_path / "base")
    tuned.save(tmp_path / "tuned")
    command = ["adapters", str(tmp_path / "tuned"), str(tmp_path / "out"), "--to", "adapters",
               "--base", str(tmp_path / "base"), "--rank", "24", "--eight-bits"]  # fmt: skip
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "rank 24, alpha 24" in out
    assert "they hold 100.0% of what changed in the matrices" in out
    stored = load_file(tmp_path / "out" / "adapters.safetensors")
    matrices = {name for name, values in stored.items() if values.ndim == 2}
    assert {stored[name].dtype.name for name in matrices} == {"int8"}
    assert {f"{name}.scale" for name in matrices} <= stored.keys()
    found = HeadModel.adapted(tmp_path / "out", base)
    assert (found.task, found.head, found.data) == ("x", TaggingHead(4, 8), {"a": 1})
    for path, leaf in flat(tuned.params).items():
        want = leaf if path[-1] == "kernel" or path[0] == "heads" else flat(base.params)[path]
        np.testing.assert_allclose(flat(found.params)[path], want, atol=8e-3, err_msg=str(path))
    loaded = flat(Adapters.load(tmp_path / "out").weights)
    assert {leaf.dtype.name for leaf in loaded.values()} == {"float32"}


def test_what_does_not_belong_together(base, bases, tmp_path, capsys):
    others = (
        bases["1.0"],
        dataclasses.replace(base, tokenizer=Tokenizer(base.tokenizer.model, ("<other>",))),
    )
    for other in others:
        with pytest.raises(MismatchError, match="give the T5 that its training began with"):
            extracted(other, base, LoRA())
    base.save(tmp_path / "base")
    command = ["adapters", str(tmp_path / "base"), str(tmp_path / "x"), "--base",
               str(tmp_path / "base"), "--to"]  # fmt: skip
    assert cli.main([*command, "model"]) == 2
    assert "expected --to adapters, got --to model" in capsys.readouterr().err
    assert cli.main([*command, "adapters", "--rank", "0"]) == 2
    assert "--rank is 0; expected at least 1" in capsys.readouterr().err
    assert cli.main([*command, "peft", "--eight-bits"]) == 2
    assert "--eight-bits is for --to adapters" in capsys.readouterr().err

"""Programs for slices: lowered for eight CPU devices, compiled for TPUs where libtpu is."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import jax
import numpy as np
import pytest

from t5coref.cli import main
from t5coref.core.errors import ConfigError
from t5coref.nn import T5Config
from t5coref.plan import Slice, Work, plan, report, smallest
from t5coref.plan.program import Compiled, Memory, TooLargeError, compile_for

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason='the TPU compiler is not installed (pip install "t5coref[tpu]")',
)

LEAN = T5Config(
    vocab_size=256,
    emb_dim=128,
    num_heads=4,
    num_encoder_layers=2,
    num_decoder_layers=2,
    head_dim=16,
    mlp_dim=128,
    scan_layers=True,
    remat=True,
    attention_block=32,
)


def tiny(config: T5Config = LEAN, **fields) -> Work:
    return Work(config, **{"batch": 8, "source": 64, "target": 128, **fields})


def meshed(data: int, model: int):
    devices = np.asarray(jax.devices()[: data * model]).reshape(data, model)
    return jax.sharding.Mesh(devices, ("data", "model"))


@pytest.fixture(scope="module")
def divided() -> Memory:
    """A step on 4 x 2 devices, in two parts."""
    return compile_for(tiny(), meshed(4, 2)).memory


def test_training_divides_its_memory(divided):
    alone = compile_for(tiny(accumulate=2), meshed(1, 1)).memory
    assert divided.arguments < 0.2 * alone.arguments
    assert divided.temporaries < 0.5 * alone.temporaries


def test_attention_in_blocks_and_recomputation_take_less_memory(divided):
    rich = dataclasses.replace(LEAN, remat=False, attention_block=None)
    assert divided.temporaries < 0.8 * compile_for(tiny(rich), meshed(4, 2)).memory.temporaries


def test_decoder_is_lowered_for_a_mesh():
    config = dataclasses.replace(
        LEAN, scan_layers=False, remat=False, num_encoder_layers=1, num_decoder_layers=1
    )
    work = tiny(config, decode=True, source=8, target=16)
    alone, divided = (
        compile_for(work, meshed(*shape)).memory.arguments for shape in ((1, 1), (4, 2))
    )
    # Each matrix is divided by two; the rules and what guesses are made from are everywhere.
    assert alone - divided > 0.45 * 4 * report.parameter_count(work)


@pytest.fixture
def compiler(monkeypatch):
    """A compiler that takes so many bytes a chip as the parameters need eight times over."""
    compiled = []

    def fake(work, mesh):
        compiled.append((mesh.shape["data"], mesh.shape["model"]))
        each = 8 * 4 * report.parameter_count(work) / mesh.size
        if each > 15.75 * 2**30:
            raise TooLargeError("too large", each, 15.75 * 2**30)
        return Compiled(Memory(int(each), int(each), 0, 0), 1.0)

    def devices(slice_):
        return slice_

    def make_mesh(devices, shape, names):
        return jax.sharding.AbstractMesh(shape, names)

    monkeypatch.setattr(report, "compile_for", fake)
    monkeypatch.setattr(Slice, "topology", devices)
    monkeypatch.setattr("jax.experimental.topologies.make_mesh", make_mesh)
    return compiled


def test_sweep_finds_the_smallest_slice(compiler):
    work = Work.of_size("xl", batch=16, source=512, target=512)
    slices = [Slice.parse(f"v5e:{shape}") for shape in ("1x1", "2x2", "2x4", "4x4")]
    heard = []
    found = smallest(slices, work, heard.append)
    assert str(found.slice) == "v5e:2x4"
    assert heard[-1] is found
    assert not any(r.fits for r in heard[:-1])
    # Parameters and gradients of 2.8 billion do not fit on one chip: it is not even compiled.
    assert {str(r.slice) for r in heard} == {"v5e:2x2", "v5e:2x4"}


def test_sweep_says_when_nothing_fits(compiler):
    work = Work.of_size("xxl", batch=16, source=512, target=512)
    with pytest.raises(ConfigError, match=r"nothing fits: no mesh of v5e:2x2 holds"):
        smallest([Slice.parse("v5e:2x2")], work)
    assert compiler == []


ARGUMENTS = ["plan", "--model", "xl", "--batch", "16", "--source", "512", "--target", "512"]


def test_command_prints_what_fits(compiler, capsys):
    assert main([*ARGUMENTS, "--topology", "v5e:2x4", "--model-parallel", "4"]) == 0
    shown = capsys.readouterr().out
    for part in ("v5e:2x4, 8 chips", "data 2 x model 4", "2.85 billion", "it fits", "at least"):
        assert part in shown


def test_command_as_json_and_its_status(compiler, capsys):
    assert main([*ARGUMENTS, "--topology", "v5e:2x2", "--model-parallel", "4", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["fits"] is False
    assert found["mesh"] == {"data": 1, "model": 4}
    assert found["refused_at"] > found["usable_hbm"]
    assert set(found["bound_seconds"]) == {"compute", "memory", "links"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--topology", "v5e:3x3"], "expected one of v5e:1x1"),
        (["--topology", "v5e"], "expected one of v5e:1x1"),
        (["--topology", "v5e:4x8", "--model-parallel", "16"], "one of 1, 4, 8, 32"),
        (["--topology", "v5e:2x4", "--accumulate", "5"], "expected a larger slice or another"),
        (["--topology", "v5e:1x1"], "no mesh of v5e:1x1 can hold"),
        (["--topology", "v5e", "--sweep", "--model-parallel", "2"], "leave out --model-parallel"),
    ],
)
def test_command_refuses(compiler, capsys, arguments, message):
    assert main([*ARGUMENTS, *arguments]) == 2
    assert message in capsys.readouterr().err


BFLOAT = dataclasses.replace(LEAN, dtype="bfloat16")


@needs_libtpu
def test_training_compiles_for_a_slice():
    found = plan(Slice.parse("v5e:2x2"), 2, tiny(BFLOAT))
    assert found.compiled is not None
    assert 2**20 < found.compiled.memory.total < 2**30


@needs_libtpu
def test_what_does_not_fit_says_how_much_it_wants():
    work = tiny(dataclasses.replace(BFLOAT, mlp_dim=2**24), accumulate=1)
    found = plan(Slice.parse("v5e:2x2"), 2, work)
    assert not found.fits
    assert found.needed is not None
    assert found.needed > found.slice.chip.usable

"""Checkpoints of a training run that were damaged: named, left as they are, and a way on."""

from __future__ import annotations

import random
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from t5coref.core.errors import FormatError
from t5coref.train.run_folder import RunFolder

pytestmark = pytest.mark.filterwarnings(  # coroutines that orbax leaves behind when one has failed
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

IDENTITY = {"model": {"format": "full-copy"}, "settings": {"seed": 1}, "start": [0.5, -1.5]}
HISTORY = [{"kind": "dev", "step": 2, "conll": 0.75}]
PLACE = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def state_after(step):
    chance = np.random.default_rng(step)
    draw = {name: chance.normal(size=shape) for name, shape in (("a", (64, 8)), ("b", (3,)))}
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), draw)
    return {"step": jnp.asarray(step, jnp.int32), "params": params}


def opened(path):
    return RunFolder(path, identity=IDENTITY, score="conll", keep=2, resume=True)


def resumed(path):
    """The step, the numbers and the evaluations that a run would go on from."""
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=PLACE), state_after(0)
    )
    with opened(path) as folder:
        return folder.step, folder.restore(like) if folder.step else None, folder.meta["history"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with checkpoints of the steps 2 and 3."""
    path = tmp_path_factory.mktemp("whole")
    with opened(path) as folder:
        for step in (2, 3):
            folder.save(step, state_after(step), history=HISTORY, finished=False)
        folder.wait()
    return path


@pytest.fixture
def run(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def assert_goes_on(found, step):
    assert found[0] == step
    for a, b in zip(jax.tree.leaves(found[1]), jax.tree.leaves(state_after(step)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert found[2] == HISTORY


def files(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_a_whole_one_goes_on(run):
    assert_goes_on(resumed(run), 3)


def lose(path, chance):
    path.unlink()


def cut(path, chance):
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def garble(path, chance):
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [lose, cut, garble])
def test_damage_is_named_or_does_no_harm(run, damage):
    """Whatever happens to whichever file: the numbers that were saved, or an error of ours."""
    chance, messages = random.Random(0), []
    for path in files(run / "checkpoints" / "3"):
        content = path.read_bytes()
        damage(path, chance)
        try:
            assert_goes_on(resumed(run), 3)
        except FormatError as error:
            messages.append(str(error))
        path.write_bytes(content)
    assert len(messages) > 2
    for message in messages:
        assert message.startswith(f"{run / 'checkpoints' / '3'} cannot be read: ")
        assert "; move it elsewhere to go on after step 2, or start over" in message


def test_the_way_that_is_named_is_one(run):
    latest = run / "checkpoints" / "3"
    shutil.rmtree(latest / "state")
    with pytest.raises(FormatError, match=r"move it elsewhere to go on after step 2"):
        resumed(run)
    assert latest.is_dir()
    latest.rename(run / "damaged")
    assert_goes_on(resumed(run), 2)


def test_the_only_one(run):
    shutil.rmtree(run / "checkpoints" / "2")
    largest = max(files(run / "checkpoints" / "3" / "state"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    expected = re.escape(str(run / "checkpoints" / "3")) + r" cannot be read: .*; start over with"
    with pytest.raises(FormatError, match=expected):
        resumed(run)


def test_checkpoints_without_digests_go_on(tmp_path):
    """As they were written before there were any."""
    meta = {"identity": IDENTITY, "history": HISTORY, "finished": False}
    args = ocp.args.Composite(
        state=ocp.args.StandardSave(state_after(5)), meta=ocp.args.JsonSave(meta)
    )
    with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
        manager.save(5, args=args)
    assert_goes_on(resumed(tmp_path), 5)

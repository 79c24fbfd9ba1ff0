"""Where a conversion goes, what it may replace, and what remains of one that was interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from t5coref.checkpoints import HUGGING_FACE, T5X, T5X_LEGACY, load, open_checkpoint, transfer
from t5coref.nn.weight_files import CheckpointError

pytestmark = pytest.mark.parametrize("config", ["1.1"], indirect=True)


@pytest.mark.parametrize("layout", [HUGGING_FACE, T5X, T5X_LEGACY])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_conversion_leaves_nothing(folder, layout, error, tmp_path):
    def interrupt(name, done, total):
        if done > total / 2:
            raise error

    before = sorted(tmp_path.iterdir())
    with pytest.raises(error):
        transfer(open_checkpoint(folder), tmp_path / "out", layout, advanced=interrupt)
    assert sorted(tmp_path.iterdir()) == before
    # The old one stays where a new one was to replace it.
    transfer(open_checkpoint(folder), tmp_path / "out", layout)
    _, kept = load(tmp_path / "out")
    with pytest.raises(error):
        transfer(
            open_checkpoint(folder), tmp_path / "out", layout, advanced=interrupt, overwrite=True,
            dtype="bfloat16",
        )  # fmt: skip
    jax.tree.map(np.testing.assert_array_equal, load(tmp_path / "out")[1], kept)
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "out"])


KILLED = """
import os, signal, sys
from t5coref.checkpoints import T5X, open_checkpoint, transfer
def stop(name, done, total):
    if done > total / 2:
        os.kill(os.getpid(), signal.SIGKILL)
transfer(open_checkpoint(sys.argv[1]), __import__("pathlib").Path(sys.argv[2]), T5X, advanced=stop)
"""


def test_a_killed_conversion_leaves_nothing_that_looks_complete(folder, params, tmp_path):
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, os.fspath(folder), os.fspath(out)])
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    (left,) = (path for path in tmp_path.iterdir() if path != folder)
    assert left.name == ".out.unfinished"
    with pytest.raises(CheckpointError):
        open_checkpoint(left)
    with pytest.raises(CheckpointError):
        open_checkpoint(left / "new")
    transfer(open_checkpoint(folder), out, T5X)
    jax.tree.map(np.testing.assert_array_equal, load(out)[1], params)
    assert not left.exists()


def test_what_may_be_replaced(folder, tmp_path):
    source, out = open_checkpoint(folder), tmp_path / "out"
    out.mkdir()
    transfer(source, out, T5X)  # an empty folder is as good as none
    with pytest.raises(CheckpointError, match="not empty; give another folder, or --overwrite"):
        transfer(source, out, HUGGING_FACE)
    transfer(source, out, HUGGING_FACE, overwrite=True)
    assert not (out / "checkpoint_0").exists()
    transfer(source, out, T5X, overwrite=True, step=1)
    assert not list(out.glob("*.safetensors"))
    (out / "config.gin").touch()
    with pytest.raises(CheckpointError, match=r"one checkpoint to replace, found \['config.gin'\]"):
        transfer(source, out, T5X, overwrite=True)
    (out / "config.gin").unlink()
    (out / "checkpoint_2").mkdir()
    with pytest.raises(CheckpointError, match=r"found \['checkpoint_2'\]"):
        transfer(source, out, T5X, overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="expected a folder or nothing, there is a file"):
        transfer(source, tmp_path / "file", T5X)
    with pytest.raises(CheckpointError, match="contains the source"):
        transfer(source, tmp_path, T5X, overwrite=True)


def test_a_checkpoint_may_replace_itself(folder, params):
    transfer(open_checkpoint(folder), folder, T5X, overwrite=True, scan=True)
    jax.tree.map(np.testing.assert_array_equal, load(folder)[1], params)
    transfer(open_checkpoint(folder), folder, HUGGING_FACE, overwrite=True)
    jax.tree.map(np.testing.assert_array_equal, load(folder)[1], params)


def test_options_that_a_layout_does_not_have(folder, tmp_path):
    for options, word in (({"scan": True}, "scanned layers"), ({"step": 3}, "a step")):
        with pytest.raises(CheckpointError, match=f"Hugging Face has no {word}"):
            transfer(open_checkpoint(folder), tmp_path / "out", HUGGING_FACE, **options)
    with pytest.raises(CheckpointError, match="expected a step from 0 on, got -1"):
        transfer(open_checkpoint(folder), tmp_path / "out", T5X, step=-1)

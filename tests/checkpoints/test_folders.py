"""Folders that appear whole or not at all."""

from __future__ import annotations

import pytest

from t5coref.checkpoints.folders import appearing
from t5coref.nn.weight_files import CheckpointError


def nothing_foreign(names):
    return []


def test_a_folder_that_was_moved_away_comes_back(tmp_path):
    """A process that ended between moving the old folder and the new one."""
    hidden = tmp_path / ".out.unfinished"
    (hidden / "old").mkdir(parents=True)
    (hidden / "old/model.safetensors").write_text("old")
    (hidden / "new").mkdir()
    with (
        pytest.raises(CheckpointError, match="exists and is not empty"),
        appearing(tmp_path / "out", overwrite=False, foreign=nothing_foreign),
    ):
        pass
    assert (tmp_path / "out/model.safetensors").read_text() == "old"
    assert not hidden.exists()


def test_one_writer_at_a_time(tmp_path):
    with appearing(tmp_path / "out", overwrite=False, foreign=nothing_foreign) as fresh:
        (fresh / "a").touch()
        with (
            pytest.raises(CheckpointError, match="another process is writing"),
            appearing(tmp_path / "out", overwrite=False, foreign=nothing_foreign),
        ):
            pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]

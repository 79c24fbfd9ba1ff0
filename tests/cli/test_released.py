"""What is released beside the code."""

from __future__ import annotations

import pytest

from t5coref import released
from t5coref.core.errors import ConfigError
from t5coref.model import pretrained


def test_gin_files_are_found():
    assert (released.folder_with("gin/runs") / "gin/runs/train.gin").is_file()
    with pytest.raises(ConfigError, match="no gin/none in"):
        released.folder_with("gin/none")


def test_names_of_models(monkeypatch, tmp_path):
    """A folder of that name is the user's own; what is no name of ours is left as it is."""
    monkeypatch.setattr(released, "default_model", lambda: tmp_path / "ours")
    monkeypatch.chdir(tmp_path)
    assert released.named(None) == released.named("english-small") == tmp_path / "ours"
    assert released.named("someone/t5") == "someone/t5"
    (tmp_path / "english-small").mkdir()
    assert released.named("english-small") == "english-small"
    assert released.named(None) == tmp_path / "ours"


def test_training_begins_with_a_name_too(monkeypatch, tmp_path):
    """Of the released model, as everywhere."""
    monkeypatch.setattr(released, "default_model", lambda: tmp_path / "ours")
    with pytest.raises(ConfigError, match=r"got '.*ours', which is not a folder"):
        pretrained("english-small")


def test_an_installation_without_a_model_says_so(monkeypatch):
    monkeypatch.setattr(released, "MODEL", "models/none")
    with pytest.raises(ConfigError, match=r"comes without a model \(models/none\); expected"):
        released.default_model()

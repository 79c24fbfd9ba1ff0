"""What is released beside the code."""

from __future__ import annotations

import pytest

from t5coref import released
from t5coref.core.errors import ConfigError


def test_gin_files_are_found():
    assert (released.folder_with("gin/runs") / "gin/runs/train.gin").is_file()
    with pytest.raises(ConfigError, match="no gin/none in"):
        released.folder_with("gin/none")


def test_an_installation_without_a_model_says_so(monkeypatch):
    monkeypatch.setattr(released, "MODEL", "models/none")
    with pytest.raises(ConfigError, match=r"comes without a model \(models/none\); expected"):
        released.default_model()

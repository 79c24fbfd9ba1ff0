"""What an installation holds: the wheel's files, the command, and gin/ found from anywhere."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

pytest.importorskip("setuptools", reason="the wheel is built with setuptools")

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked_wheel(tmp_path_factory):
    """The wheel of this source tree, unpacked; built from a copy, which leaves no trace here."""
    source = tmp_path_factory.mktemp("source") / "t5coref"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    for name in ("t5coref", "gin", "models"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run([*build, "-w", out, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("*.whl")
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def test_wheel_holds_all_sources_and_gin_files(unpacked_wheel):
    files = (
        ("t5coref", "*.py"),
        ("t5coref/demo", "*.jsonl"),
        ("t5coref/demo", "*.txt"),
        ("t5coref/view", "page.*"),
        ("t5coref/report", "report.*"),
    )
    for folder, pattern in files:
        for path in (ROOT / folder).rglob(pattern):
            assert (unpacked_wheel / path.relative_to(ROOT)).is_file(), path
    model = (path for path in (ROOT / "models").rglob("*") if path.is_file())
    for path in (*(ROOT / "gin").rglob("*.gin"), *model):
        assert (unpacked_wheel / "t5coref" / path.relative_to(ROOT)).is_file(), path
    top = {p.name for p in unpacked_wheel.iterdir() if not p.name.endswith(".dist-info")}
    assert top == {"t5coref"}  # no gin/ at the top: it would shadow gin-config
    (licence,) = unpacked_wheel.rglob("LICENSE")
    assert "dist-info" in str(licence)
    (entries,) = unpacked_wheel.rglob("entry_points.txt")
    assert "t5coref = t5coref.api.spacy_component:make_component" in entries.read_text("utf-8")


@pytest.mark.parametrize("kind", ["checkout", "wheel"])
def test_gin_root_and_gin_config_work_together(unpacked_wheel, tmp_path, kind):
    root = {"checkout": ROOT, "wheel": unpacked_wheel}[kind]
    code = (
        "import gin, t5coref; from t5coref.cli import main; main(['gin-root']);"
        "gin.parse_config; print(t5coref.__file__)"
    )
    # From the root of the checkout, where gin/ lies beside us, and from elsewhere.
    for folder in (ROOT, tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found, package = map(pathlib.Path, done.stdout.split("\n")[:2])
        assert (found / "gin/runs/train.gin").is_file()
        assert package.is_relative_to(root)
        if kind == "wheel":
            assert found == root / "t5coref"


def test_running_from_the_checkout_finds_the_real_gin(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import gin; print(gin.parse_config.__module__)"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "gin.config", done.stderr

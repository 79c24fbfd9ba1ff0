"""Compiled programs are kept from one command to the next, wherever that is possible."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from t5coref.cli import compile_cache, main

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def no_variable(monkeypatch, tmp_path):
    monkeypatch.delenv(compile_cache.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def updates(monkeypatch):
    import jax

    seen = {}
    monkeypatch.setattr(jax.config, "update", seen.__setitem__)
    return seen


def test_the_users_cache_folder_is_the_default(no_variable, updates, tmp_path, monkeypatch):
    folder = compile_cache.keep_compiled_programs()
    assert folder.is_dir()
    assert folder.parent == tmp_path / "cache/t5coref/jax"
    assert updates["jax_compilation_cache_dir"] == str(folder)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert compile_cache.keep_compiled_programs().parent == tmp_path / ".cache/t5coref/jax"


@pytest.mark.parametrize("value", ["/somewhere", ""])
def test_the_variable_wins(updates, monkeypatch, value):
    monkeypatch.setenv(compile_cache.VARIABLE, value)
    assert compile_cache.keep_compiled_programs() is None
    assert updates == {}


def test_a_folder_that_cannot_be_made_does_no_harm(no_variable, updates, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert compile_cache.keep_compiled_programs() is None
    assert updates == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_does_no_harm(no_variable, updates, tmp_path):
    compile_cache.keep_compiled_programs().chmod(0o500)
    updates.clear()
    assert compile_cache.keep_compiled_programs() is None
    assert updates == {}


@pytest.mark.parametrize("command", ["predict", "evaluate", "train"])
def test_help_says_so(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert compile_cache.VARIABLE in capsys.readouterr().out


def test_a_second_process_compiles_nothing(tmp_path):
    """What the first one compiled, the second one finds."""
    code = """
import jax, jax.numpy as jnp
from t5coref.cli import compile_cache
compile_cache.MIN_SECONDS = 0
folder = compile_cache.keep_compiled_programs()
before = len(list(folder.glob("*-cache")))
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((7, 7)))
print(before, len(list(folder.glob("*-cache"))))
"""
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_PERSISTENT")}
    del env[compile_cache.VARIABLE]
    env |= {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def run():
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return tuple(map(int, done.stdout.split()))

    first, second = run(), run()
    assert first[0] == 0
    assert first[1] > 0
    assert second == (first[1], first[1])

"""Strict numerics, eight CPU devices, a compilation cache and the shared data folder."""

from __future__ import annotations

import gc
import os
import pathlib
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
    + " --xla_backend_optimization_level=0"  # compiling takes longer than running tiny models
)
os.environ.setdefault("JAX_NUMPY_DTYPE_PROMOTION", "strict")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".jax_cache")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import pytest
from hypothesis import HealthCheck, settings

# How fast a machine is, and how busy, decides no test.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

NEEDS_T5X = tuple(pathlib.Path(__file__).parent / name for name in ("data", "gin", "t5x", "tasks"))


def _as_required(path: pathlib.Path, report):
    """With REQUIRE_T5X=1, a test that lacks a module has failed: a broken T5X is not hidden.

    Beam may be missing: it is an extra of SeqIO's that T5X does not need (docs/seqio.md).
    """
    if report.skipped and os.environ.get("REQUIRE_T5X") == "1":
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        lacking = "could not import" in str(reason) and "apache_beam" not in str(reason)
        if lacking and any(path.is_relative_to(p) for p in NEEDS_T5X):
            report.outcome, report.longrepr = "failed", f"REQUIRE_T5X=1, but {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _as_required(getattr(collector, "path", pathlib.Path()), (yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return _as_required(item.path, (yield))


@pytest.fixture(autouse=True, scope="module")
def _programs_are_let_go():
    """Drops what a module compiled: at 65,530 mapped pieces of memory (Linux) JAX crashes.

    Each compiled program holds some; the cache on disk still has them.
    """
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder with real data; tests that need it skip, with the reason, where it is absent."""
    default = pathlib.Path(__file__).parents[2] / "shared"
    path = pathlib.Path(os.environ.get("T5COREF_SHARED", default))
    if not (path / "data").is_dir():
        pytest.skip(f"no data folder at {path}/data; set T5COREF_SHARED to run this test")
    return path


@pytest.fixture(scope="session")
def tokenizer():
    """A tokenizer of 64 pieces."""
    from t5coref.tokenizer import Tokenizer

    text = ["the dog saw it and she saw him near the old house", "Anna gave Ben 's cat to her ."]
    return Tokenizer.train(text, 64)

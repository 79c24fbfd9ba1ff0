"""A network of a few thousand parameters, stories to train it on, and runs that take a second."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

from t5coref.model import Format, from_scratch
from t5coref.nn.stack import T5Config
from t5coref.train import train
from t5coref.train.inputs import demo_stories, vocabulary
from t5coref.train.listener import Listener
from t5coref.train.optimizers import adamw

TINY = T5Config(
    vocab_size=1,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=8,
    mlp_dim=32,
)


@pytest.fixture(scope="session")
def stories():
    return demo_stories(count=12, seed=5)


@pytest.fixture(scope="session")
def model(stories):
    tokenizer = vocabulary(documents=stories, size=120)
    options = {"window": 64, "max_clusters": 8, "max_depth": 4}
    return from_scratch(TINY, tokenizer, format=Format("full-copy", options))


def pseudo_scores(params) -> dict[str, float]:
    """Scores that jump about and depend on every bit of the parameters."""
    total = sum(float(np.asarray(leaf, np.float64).sum()) for leaf in jax.tree.leaves(params))
    return {"conll": abs(np.sin(1e3 * total)), "muc": 0.5}


@pytest.fixture(scope="session")
def settings(model, stories):
    """Six steps, an evaluation after every second one."""
    return {
        "model": model,
        "train_set": stories,
        "steps": 6,
        "batch_size": 4,
        "eval_every": 2,
        "evaluate": pseudo_scores,
        "optimizer": fast,
        "max_source_length": 32,
        "max_target_length": 96,
        "fixed_lengths": True,
        "devices": jax.devices()[:1],
    }


@pytest.fixture
def run(settings, tmp_path):
    """Trains with some settings changed, in `tmp_path/NAME`."""

    def start(name="run", **changes):
        return train(**settings | {"output_dir": tmp_path / name} | changes)

    return start


@functools.cache
def fast(total_steps):
    """One object for all runs, so that they share a program."""
    return adamw(total_steps, peak=1e-2)


class Recorder(Listener):
    """Keeps all events; `die_at` ends the run as a crash would, `step` after which event."""

    def __init__(self, die_at: int | None = None, event: str = "stepped"):
        self.events: list[tuple] = []
        self.die_at, self.event = die_at, event

    def _heard(self, event, step, *rest):
        self.events.append((event, step, *rest))
        if event == self.event and step == self.die_at:
            raise CrashError(f"{event} {step}")

    def started(self, plan):
        self.plan = plan
        self._heard("started", plan.done)

    def stepped(self, row):
        self._heard("stepped", row["step"])

    def evaluating(self, step):
        self._heard("evaluating", step)

    def evaluated(self, row, best):
        self._heard("evaluated", row["step"], best)

    def saved(self, step):
        self._heard("saved", step)

    def finished(self, result):
        self._heard("finished", result.steps)


class CrashError(Exception):
    """The end of a process, as far as the run can tell."""


@pytest.fixture
def recorder():
    return Recorder


@pytest.fixture(scope="session")
def crash():
    return CrashError

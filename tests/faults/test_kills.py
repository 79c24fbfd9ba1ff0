"""kill -9 at random moments, again and again: nothing is lost, nothing doubled, nothing left over.

Training and prediction with a real model are killed in tests/train/test_command.py and
tests/predict/test_processes.py, preparing TFRecord data in tests/data/test_faults.py.
"""

from __future__ import annotations

import random

import pytest
from jobs_to_kill import JOBS, content, killed
from tiny_checkpoints import SHAPE, VERSIONS, drawn

from t5coref.mrp.nouns import TaggedText
from t5coref.mrp.tagged import to_json
from t5coref.nn import T5Config, save_hf


@pytest.fixture
def folders(tmp_path, tokenizer):
    """Two folders with the same inputs."""
    both = tmp_path / "whole", tmp_path / "killed"
    rng = random.Random(0)
    words = [[rng.choice(("dog", "house", "cat")) for _ in range(120)] for _ in range(9)]
    texts = "".join(
        to_json(TaggedText(f"t{n}", text, ["NN"] * len(text), [])) for n, text in enumerate(words)
    )
    config = T5Config(**SHAPE, **VERSIONS["1.1"])
    for folder in both:
        (folder / "texts").mkdir(parents=True)
        (folder / "texts" / "a.jsonl").write_text(texts)
        (folder / "model").write_bytes(tokenizer.model)
        save_hf(folder / "hf", config, drawn(config))
    return both


@pytest.mark.parametrize("name", JOBS)
def test_killed_at_random(folders, name):
    whole, victim = folders
    JOBS[name](whole)
    kills = killed(name, victim, seed=0)
    assert kills
    assert content(victim) == content(whole)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
@pytest.mark.parametrize("name", JOBS)
def test_killed_at_random_more_often(folders, name, seed):
    whole, victim = folders
    JOBS[name](whole)
    killed(name, victim, seed)
    assert content(victim) == content(whole)

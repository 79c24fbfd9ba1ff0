"""The benchmark of joint extraction, and how much memory its largest step takes."""

from __future__ import annotations

import joint_ie
import numpy as np
import pytest


def test_documents():
    """Mentions are distinct spans of real pieces; relations are between different entities."""
    features = joint_ie.documents(batch=2, pieces=64, types=5, vocabulary=100)
    for i in range(2):
        row = {name: value[i] for name, value in features.items()}
        assert len(set(row["mention_start"])) == 8
        assert (row["sentence"][row["mention_start"]] > 0).all()
        assert set(row["relation_head"]) | set(row["relation_tail"]) <= set(row["mention_cluster"])
        assert (row["relation_head"] != row["relation_tail"]).all()
        assert set(row["relation_type"]) <= set(range(1, 6))
    assert features["sentence"][:, -1].tolist() == [0, 0]


def test_tables():
    found = {"Joint": ([1.0, 3.0, 2.0], 10**6), "Joint-M": ([4.0], 25 * 10**6)}
    lines = joint_ie.times_table(found).splitlines()
    assert lines[2:] == [
        "| Joint | 2.00 | 1.00 to 3.00 | 0.500 | 1.00 |",
        "| Joint-M | 4.00 | 4.00 to 4.00 | 1.00 | 25.0 |",
    ]
    times = {
        "biaffine": {"scores": [2.0], "with gradients": [4.0]},
        "einsum": {"scores": [3.0], "with gradients": [4.0]},
    }
    lines = joint_ie.biaffine_table(times).splitlines()
    assert lines[2:] == [
        "| scores | 2.00 | 3.00 | 1.50 |",
        "| with gradients | 4.00 | 4.00 | 1.00 |",
    ]
    assert "| 4 | 6.00 | 50 % |" in joint_ie.memory_table([(4, 6 * 10**9)])


def test_both_ways_give_the_same_scores():
    """Which the benchmark checks itself."""
    found = joint_ie.biaffine_times(mentions=5, width=4, types=3, steps=1)
    assert {len(times) for side in found.values() for times in side.values()} == {1}


@pytest.mark.slow
def test_a_step_of_every_setting():
    config = joint_ie.dataclasses.replace(
        joint_ie.encoder_config("small"),
        vocab_size=64, emb_dim=16, num_heads=2, num_encoder_layers=2, head_dim=8, mlp_dim=32,
    )  # fmt: skip
    features = joint_ie.documents(batch=2, pieces=40, types=3, vocabulary=64)
    found = joint_ie.step_times(config, features, types=3, steps=1)
    assert list(found) == ["Pipeline", "Joint", "Joint-M", "+GP", "+GC"]
    assert all(np.isfinite(times).all() for times, _ in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 4])
def test_a_step_of_graph_compatibility_takes_less_than_12_gb(batch):
    """T5-base, 1,024 pieces, 96 relation types, AdamW; by what the compiler allots."""
    assert 1e9 < joint_ie.memory(batch=batch) < joint_ie.LIMIT

"""SeqIO's Beam job caches our tasks: the cached rows are the task's own."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("seqio")
pytest.importorskip("apache_beam")

import apache_beam as beam
import seqio
from absl import flags
from seqio.scripts import cache_tasks_main


@pytest.mark.parametrize("linearization", ["full-copy", "input-feed"])
def test_cached_rows_are_the_tasks_own(task, tmp_path, monkeypatch, linearization):
    made = task("cached", linearization=linearization)
    flags.FLAGS.mark_as_parsed()
    with beam.Pipeline(runner="DirectRunner") as pipeline:
        cache_tasks_main.run_pipeline(pipeline, ["cached"], str(tmp_path))
    monkeypatch.setattr(seqio.utils, "_GLOBAL_CACHE_DIRECTORIES", [str(tmp_path)])

    def rows(split, use_cached):
        dataset = made.get_dataset(None, split, shuffle=False, use_cached=use_cached)
        found = dataset.as_numpy_iterator()
        return {(row["doc_id"], int(row["turn"])): row for row in found}

    for split in ("train", "validation"):
        cached, own = rows(split, True), rows(split, False)
        assert cached.keys() == own.keys()
        for key, row in cached.items():
            for field, value in row.items():
                np.testing.assert_array_equal(value, own[key][field])
    assert made.get_cached_stats("train")["examples"] == made.num_input_examples("train")

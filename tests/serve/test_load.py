"""The load benchmark: what it sends and counts, and a short run of it."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import random
import subprocess
import sys

import pytest
import serve_load

BENCHMARK = pathlib.Path(__file__).parents[2] / "benchmarks" / "serve_load.py"


def test_percentiles_are_values_that_were_seen():
    values = [float(v) for v in range(100, 0, -1)]
    assert [serve_load.percentile(values, s) for s in (0.5, 0.95, 0.99, 1)] == [50, 95, 99, 100]
    assert serve_load.percentile([3.0], 0.5) == 3
    assert serve_load.percentile([], 0.5) is None


def test_a_line_counts_refused_lost_and_wrong_answers_apart():
    def answers(n, status, right=False):
        return [{"status": status, "seconds": 0.25, "right": right}] * n

    seen = [*answers(6, 200, True), *answers(2, 200), *answers(3, 429), *answers(1, 0)]
    results = {"sent": 13, "seconds": 4.0, "answers": seen}
    line = dict(zip(serve_load.HEADER, serve_load.row(results, 800.0, 2.5, 2.0), strict=True))
    assert line["offered/s"] == "6.50"
    assert line["answered/s"] == "2.00"
    assert line["words/s"] == "200"
    assert line["p95 ms"] == "250"
    assert line["statuses"] == "200: 8, 429: 3"
    assert (line["lost"], line["wrong"]) == ("2", "2")  # one without a status, one not even seen


def test_requests_know_what_is_to_come_back():
    inputs = [{"doc_id": str(i), "tokens": ["a"] * i} for i in range(9)]
    records = [{**value, "clusters": []} for value in inputs]
    requests = serve_load.requests_of(records, inputs, random.Random(0))
    sizes = [len(request["body"]["documents"]) for request in requests]
    assert set(sizes) == {1, 2, 3, 4}
    for request in requests:
        names = [d["doc_id"] for d in request["body"]["documents"]]
        assert names == [d["doc_id"] for d in request["wanted"]]


def test_documents_go_without_their_gold():
    documents = serve_load.documents_of([], 20, 30)
    assert len(documents) == 20
    assert all(0 < len(d.words) <= 30 and d.annotation is None for d in documents)
    with pytest.raises(SystemExit, match="no document of 1 to 1 words"):
        serve_load.documents_of([], 20, 1)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="locust is not installed")
def test_under_load_nothing_is_lost_and_nothing_wrong(model_folder):
    flags = "--xla_backend_optimization_level=0"
    done = subprocess.run(
        [sys.executable, BENCHMARK, "--model", model_folder, "--rate", "10", "--seconds", "5",
         "--documents", "20", "--max-words", "60", "--batch-size", "4"],
        capture_output=True, text=True, env={**os.environ, "XLA_FLAGS": flags},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = {x for x in done.stdout.splitlines() if x.startswith("| 1") or x.startswith("| 9")}
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[-3].startswith("200: ")
    assert cells[-2:] == ["0", "0"]
    assert "ended with status 0" in done.stdout

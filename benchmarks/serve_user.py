"""What locust runs for benchmarks/serve_load.py: requests at a rate, every answer checked.

The times of requests are drawn beforehand and kept to, whether or not earlier requests have been
answered, so that a slow server gets no less to do and its waiting is measured.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import time

import gevent
from locust import FastHttpUser, constant, task

PLAN = json.loads(pathlib.Path(os.environ["SERVE_LOAD_PLAN"]).read_text("utf-8"))
"""`rate`, `seconds`, `seed`, `requests` (each with `body` and `wanted` records), `results`."""


class Client(FastHttpUser):
    """Sends all requests of the plan; there is one of it."""

    wait_time = constant(0)
    network_timeout = connection_timeout = 600.0
    max_retries = 0
    concurrency = 10_000

    @task
    def run_plan(self) -> None:
        """Once, then it ends the run."""
        rng = random.Random(PLAN["seed"])
        seen: list[dict] = []
        pending = []
        began = due = time.perf_counter()
        while (due := due + rng.expovariate(PLAN["rate"])) < began + PLAN["seconds"]:
            request = rng.choice(PLAN["requests"])
            gevent.sleep(max(0.0, due - time.perf_counter()))
            pending.append(gevent.spawn(self.ask, request, due, seen))
        gevent.joinall(pending)
        results = {"sent": len(pending), "seconds": time.perf_counter() - began, "answers": seen}
        pathlib.Path(PLAN["results"]).write_text(json.dumps(results), encoding="utf-8")
        self.environment.runner.quit()

    def ask(self, request: dict, due: float, seen: list[dict]) -> None:
        """One request: status (0: no answer), seconds since it was due, whether it is right."""
        with self.client.post("/predict", json=request["body"], catch_response=True) as answer:
            status, seconds = answer.status_code, time.perf_counter() - due
            right = status == 200 and same(answer.json(), request["wanted"])
            if status == 200 and not right:
                answer.failure("another answer than that of t5coref predict")
        seen.append({"status": status, "seconds": seconds, "right": right})


def same(answer: dict, wanted: list[dict]) -> bool:
    """Whether an answer is the records of `t5coref predict`, but for the texts of clusters."""
    found = answer["documents"]
    for record in found:
        record.pop("cluster_texts")
    return found == wanted

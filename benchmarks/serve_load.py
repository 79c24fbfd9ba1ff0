"""`t5coref serve` under load, every answer checked against `t5coref predict`.

    pip install -c constraints.txt locust
    python benchmarks/serve_load.py --model RUN/best --rate 1 2 4 --seconds 60

`t5coref predict` predicts the documents first. Then the server is started with the same arguments,
and locust sends requests at the stated rates: at random times (a Poisson process) that do not
depend on its answers, one document a request, or two to four in one of five. The load generator
runs on the same cores as the server. One line a rate:

  offered     requests sent per second
  answered    requests answered with 200 per second, until the last answer
  words/s     of documents that were answered
  p50 p95 p99 ms  from the time at which a request was due to its whole answer, of those with 200
  batch       documents of a batch, on average
  statuses    how many answers had which
  lost        requests without any answer
  wrong       answers that are not, to the last bit, the record that `t5coref predict` writes

Locust, because its requests are Python functions that can compare answers, it measures on its own
connections (gevent) and PyPI has it. wrk, hey and oha count bytes and statuses alone; k6 could
compare, but is no package of PyPI, Debian or npm.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence

import report

from t5coref import corpora, demo
from t5coref.corpora import jsonl

HEADER = ("offered/s", "answered/s", "words/s", "p50 ms", "p95 ms", "p99 ms", "batch", "statuses",
          "lost", "wrong")  # fmt: skip
REQUESTS = 200
"""Different ones, of which locust draws."""


def documents_of(paths: Sequence[str], limit: int, max_words: int) -> list:
    """The documents, without gold; stories that come with t5coref where no file is named."""
    if paths:
        read = (document for path in paths for document in corpora.read(path))
    else:
        read = (*demo.stories(), *demo.generate(limit, seed=7))
    fitting = (d for d in read if 0 < len(d.words) <= max_words)
    bare = [d.with_annotation(None) for d, _ in zip(fitting, range(limit), strict=False)]
    if not bare:
        raise SystemExit(f"no document of 1 to {max_words} words; expected one at least")
    return bare


def requests_of(records: Sequence[dict], inputs: Sequence[dict], rng: random.Random) -> list[dict]:
    """Requests with the records that are to come back."""
    out = []
    for _ in range(REQUESTS):
        count = rng.randint(2, 4) if rng.random() < 0.2 else 1
        chosen = [rng.randrange(len(inputs)) for _ in range(count)]
        body = {"documents": [inputs[i] for i in chosen]}
        out.append({"body": body, "wanted": [records[i] for i in chosen]})
    return out


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that so many are not above; None of nothing."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


def row(results: dict, words: float, batch: float | None, seconds_offered: float) -> list[str]:
    """A line of the table."""
    answers = results["answers"]
    good = [1000 * a["seconds"] for a in answers if a["status"] == 200]
    statuses = collections.Counter(a["status"] for a in answers if a["status"])
    return [
        report.number(results["sent"] / seconds_offered),
        report.number(len(good) / results["seconds"]),
        report.number(words / results["seconds"]),
        *(report.number(percentile(good, share)) for share in (0.5, 0.95, 0.99)),
        report.number(batch, 2),
        ", ".join(f"{status}: {n}" for status, n in sorted(statuses.items())) or "-",
        str(results["sent"] - sum(statuses.values())),
        str(sum(a["status"] == 200 and not a["right"] for a in answers)),
    ]


class Server:
    """`t5coref serve` on a free port, until the end of a `with`."""

    def __init__(self, options: Sequence[str]):
        command = [sys.executable, "-m", "t5coref", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> Server:
        assert self.process.stderr is not None
        self.url = ""
        for line in self.process.stderr:
            print(line, end="", flush=True)
            if match := re.search(r"serving at (\S+)", line):
                self.url = match[1]
            if line.startswith("t5coref: ready"):
                return self
        raise SystemExit(f"the server has ended with status {self.process.wait()}")

    def __exit__(self, *exc: object) -> None:
        self.process.terminate()
        _, said = self.process.communicate()
        print(said, end="")
        print(f"the server has ended with status {self.process.returncode}")

    def counts(self) -> dict[str, float]:
        """Its metrics."""
        with urllib.request.urlopen(self.url + "/metrics") as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def loaded(self, plan: dict, folder: pathlib.Path) -> list[str]:
        """A line of the table: what came of the plan."""
        path = folder / "plan.json"
        path.write_text(json.dumps(plan), encoding="utf-8")
        user = pathlib.Path(__file__).with_name("serve_user.py")
        command = [sys.executable, "-m", "locust", "-f", str(user), "--headless", "-u", "1",
                   "--host", self.url, "--only-summary", "--loglevel", "WARNING"]  # fmt: skip
        before = self.counts()
        environment = {**os.environ, "SERVE_LOAD_PLAN": str(path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        results = pathlib.Path(plan["results"])
        if not results.exists():
            raise SystemExit(f"locust has ended with status {done.returncode}:\n{done.stderr}")
        after = self.counts()

        def grown(name: str) -> float:
            return after[name] - before[name]

        batches = grown("t5coref_batch_documents_count")
        batch = grown("t5coref_batch_documents_sum") / batches if batches else None
        found = json.loads(results.read_text("utf-8"))
        results.unlink()
        return row(found, grown("t5coref_words_total"), batch, plan["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", required=True, metavar="DIR")
    add("--input", nargs="*", default=[], metavar="FILE",
        help="documents (default: stories that come with t5coref)")  # fmt: skip
    add("--documents", type=int, default=60, metavar="N", help="at most (default: 60)")
    add("--max-words", type=int, default=1000, metavar="N",
        help="longer documents are left out (default: 1000)")  # fmt: skip
    add("--rate", nargs="+", type=float, default=[1, 2, 4], metavar="R",
        help="requests per second (default: 1 2 4)")  # fmt: skip
    add("--seconds", type=float, default=60, metavar="S", help="of each rate (default: 60)")
    add("--seed", type=int, default=0, metavar="N")
    add("--batch-size", type=int, default=8, metavar="N", help="of both (default: 8)")
    add("--serve", nargs=argparse.REMAINDER, default=[], metavar="...",
        help="the rest: further arguments of t5coref serve")  # fmt: skip
    args = parser.parse_args()

    model = ["--model", args.model, "--batch-size", str(args.batch_size)]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        documents = documents_of(args.input, args.documents, args.max_words)
        jsonl.write(documents, folder / "input.jsonl")
        files = ["--input", str(folder / "input.jsonl"), "--output", str(folder / "wanted.jsonl")]
        command = [sys.executable, "-m", "t5coref", "predict", *model, *files, "--quiet"]
        subprocess.run(command, check=True)
        inputs, records = (
            [json.loads(line) for line in (folder / file).open(encoding="utf-8")]
            for file in ("input.jsonl", "wanted.jsonl")
        )
        for record in records:  # their last digits depend on the batch
            record.pop("confidences", None)
        words = [len(d.words) for d in documents]
        print(f"{len(documents)} documents of {min(words)} to {max(words)} words")
        requests = requests_of(records, inputs, random.Random(args.seed))
        rows = []
        limits = ["--max-words", str(4 * args.max_words)]
        with Server([*model, *limits, *args.serve]) as server:
            for rate in args.rate:
                plan = {"rate": rate, "seconds": args.seconds, "seed": args.seed,
                        "requests": requests, "results": str(folder / "results.json")}  # fmt: skip
                rows.append(server.loaded(plan, folder))
                print(report.table(HEADER, rows[-1:]), flush=True)
    print(report.table(HEADER, rows))
    print(report.machine("jax", "locust", "uvicorn"))


if __name__ == "__main__":
    main()

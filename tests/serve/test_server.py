"""The command as a process of its own, with a tiny model: answers, stopping, refusals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from servers import story

from t5coref import cli
from t5coref.corpora import jsonl

STORIES = [story(i, (i * 7) % 61) for i in range(16)]
RAW = "The dog saw it and she saw him. She saw the old house."
ENVIRONMENT = {**os.environ, "XLA_FLAGS": "--xla_backend_optimization_level=0"}


@pytest.fixture(scope="module")
def wanted(model_folder, tmp_path_factory):
    """What `t5coref predict` writes: a record for each document."""
    folder = tmp_path_factory.mktemp("wanted")
    jsonl.write(STORIES, folder / "stories.jsonl")
    (folder / "text.txt").write_text(RAW, encoding="utf-8")
    paths = [str(folder / name) for name in ("stories.jsonl", "text.txt")]
    done = subprocess.run(
        [sys.executable, "-m", "t5coref", "predict", "--model", model_folder, "--batch-size", "4",
         "--quiet", "--input", *paths, "--output", folder / "out.jsonl"],
        capture_output=True, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = (folder / "out.jsonl").read_text("utf-8").splitlines()
    return {record["doc_id"]: record for record in map(json.loads, lines)}


class Process:
    """`t5coref serve` on a port of its own."""

    def __init__(self, *options: str):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "t5coref", "serve", "--port", "0", *options],
            stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
        )  # fmt: skip
        self.lines: list[str] = []
        self._heard = threading.Condition()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self.url = self.wait_for(r"serving at (http://127\.0\.0\.1:\d+)")

    def _listen(self):
        for line in self.process.stderr:
            with self._heard:
                self.lines.append(line)
                self._heard.notify_all()

    def wait_for(self, pattern: str) -> str:
        """What the pattern's group matches in what the process says."""
        end = time.monotonic() + 120
        with self._heard:
            while True:
                if match := re.search(pattern, "".join(self.lines)):
                    return match[1] if match.re.groups else match[0]
                assert self.process.poll() is None, self.lines
                assert self._heard.wait(end - time.monotonic()), self.lines

    def get(self, path: str):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.status, answer.read().decode()

    def post(self, value):
        """Status and JSON; None if the connection was refused or closed without an answer."""
        request = urllib.request.Request(
            self.url + "/predict", json.dumps(value).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except (urllib.error.URLError, ConnectionError):
            return None

    def end(self) -> int:
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(60)
        self._listener.join()
        self.process.stderr.close()
        return status


@pytest.fixture(scope="module")
def server(model_folder):
    process = Process("--model", str(model_folder), "--batch-size", "4", "--max-wait-ms", "20")
    process.wait_for("ready after")
    yield process
    if process.process.poll() is None:
        assert process.end() == 0


def payload(document):
    value = jsonl.to_json(document)
    return json.loads(json.dumps(value))


def assert_same(found, wanted, *, confidences=False):
    """The same record, bit for bit; the last digits of confidences depend on the batch."""
    found, wanted = dict(found), dict(wanted)
    texts = found.pop("cluster_texts")
    assert [len(c) for c in texts] == [len(c) for c in wanted["clusters"]]
    sure, known = found.pop("confidences", None), wanted.pop("confidences", None)
    assert json.dumps(found, sort_keys=True) == json.dumps(wanted, sort_keys=True)
    if confidences and known is not None:
        flat = [[p for cluster in side for pair in cluster for p in pair] for side in (sure, known)]
        assert flat[0] == pytest.approx(flat[1], abs=1e-5)
    else:
        assert sure is None


def test_answers_are_those_of_predict_whatever_else_is_in_the_batch(server, wanted):
    assert server.get("/ready") == (200, '{"ready": true}\n')
    answers = {}

    def client(k):
        for i in range(k, len(STORIES), 8):
            answers[i] = server.post({"documents": [payload(STORIES[i])]})
        name = f"raw-{k}"
        answers[name] = server.post({"text": RAW, "doc_id": "text"})

    threads = [threading.Thread(target=client, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(record["clusters"]) for record in wanted.values()) > 0
    for i, story_ in enumerate(STORIES):
        status, value = answers[i]
        assert status == 200
        assert_same(value["documents"][0], wanted[story_.doc_id])
    for k in range(8):
        status, record = answers[f"raw-{k}"]
        assert status == 200
        assert_same(record, wanted["text"])


def test_all_at_once_and_with_confidences(server, wanted):
    value = {"documents": [payload(d) for d in STORIES], "confidences": True}
    status, answer = server.post(value)
    assert status == 200
    for record in answer["documents"]:
        assert_same(record, wanted[record["doc_id"]], confidences=True)
    _, metrics = server.get("/metrics")
    assert 't5coref_requests_total{path="/predict",status="200"}' in metrics


def depth(server) -> float:
    return float(re.search(r"^t5coref_queue_documents (\S+)", server.get("/metrics")[1], re.M)[1])


def test_refusals_before_anything_is_loaded(model_folder, capsys, monkeypatch, tmp_path):
    model = ["serve", "--model", str(model_folder)]

    def refused(*argv: str) -> str:
        assert cli.main([*argv]) == 2
        return capsys.readouterr().err

    assert "timeout is 0.0; expected" in refused(*model, "--timeout", "0")
    assert "--warm-up-words is -1" in refused(*model, "--warm-up-words", "-1")
    assert "spaCy has a tokenizer for" in refused(*model, "--language", "tlh")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "a free port; --port 0 takes any" in refused(*model, "--port", str(port))
    assert "expected an address" in refused(*model, "--host", "192.0.2.1")
    assert "--port 70000" in refused(*model, "--port", "70000")
    assert "t5coref: error" in refused("serve", "--model", str(tmp_path), "--port", "0")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert 'pip install "t5coref[serve]"' in refused(*model)


def test_the_command_needs_its_packages_only_when_it_runs():
    blocked = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("starlette", "uvicorn", "prometheus_client", "jax"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocker())
import t5coref, t5coref.cli.serve, t5coref.cli
t5coref.cli.main(["serve", "--help"])
"""
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--max-queue" in done.stdout


def test_a_stopped_server_has_answered_what_it_had_taken(server, wanted):
    """SIGTERM under load: every request is answered rightly, or was never taken."""
    answers, lock = [], threading.Lock()

    def client():
        answer = server.post({"documents": [payload(story_) for story_ in STORIES[1:]]})
        with lock:
            answers.append(answer)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    while not answers and not depth(server):
        time.sleep(0.005)
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert server.wait() == 0
    assert "none is left" in server.lines[-1]
    taken = [answer for answer in answers if answer is not None]
    assert taken
    for status, value in taken:
        assert status == 200
        for record in value["documents"]:
            assert_same(record, wanted[record["doc_id"]])
    assert server.post({"text": "a"}) is None

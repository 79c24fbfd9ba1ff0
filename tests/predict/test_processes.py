"""Real processes that share a job, killed and started again, write what one process writes."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

import pytest

from t5coref.corpora import jsonl

ROOT = pathlib.Path(__file__).parents[2]
ENV = {
    **os.environ,
    # Compiling takes longer than running; with a row for each device there is one program.
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=4",
    "PYTHONPATH": str(ROOT),
}
FILES, REPEATS = 4, 3


@pytest.fixture(scope="module")
def command(model_folder, stories, tmp_path_factory):
    """Starts `t5coref predict` on files large enough to be killed in."""
    docs = tmp_path_factory.mktemp("inputs") / "docs"
    docs.mkdir()
    for i in range(FILES):
        jsonl.write([d for _ in range(REPEATS) for d in stories], docs / f"{i}.jsonl")

    def start(output, *options):
        line = [sys.executable, "-m", "t5coref", "predict", "--model", str(model_folder),
                "--input", f"{docs}/*.jsonl", "--output-dir", str(output), "--batch-size", "4",
                *options]  # fmt: skip
        return subprocess.Popen(
            line, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start


@pytest.fixture
def started():
    """Processes that are ended with the test."""
    processes: list[subprocess.Popen] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """What one process writes."""
    output = tmp_path_factory.mktemp("whole") / "out"
    process = command(output)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out == f"{FILES * REPEATS * 40} documents in {FILES} files: {output}\n"
    return tree(output)


def tree(folder):
    return {
        f.relative_to(folder).as_posix(): f.read_bytes()
        for f in pathlib.Path(folder).rglob("*")
        if f.is_file()
    }


def until_at_work(output, shard, process):
    """Returns when a round of a shard is written, and what was known after it."""
    memory = output / f"_job/work/{shard}.memory.npz"
    while not memory.exists():
        assert process.poll() is None, f"ended before it could be killed: {process.communicate()}"
        time.sleep(0.005)


def ended(process):
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def test_one_of_two_processes_is_killed(command, whole, started, tmp_path):
    """Processes that know nothing of each other: the other one does its part and ends."""
    output = tmp_path / "out"
    numbers = [("--num-processes", "2", "--process-id", str(i)) for i in range(2)]
    started += (command(output, *options) for options in numbers)
    until_at_work(output, "2.jsonl", started[1])
    started[1].send_signal(signal.SIGKILL)
    started[1].wait()
    assert ended(started[0]) == ""
    assert (output / "0.jsonl").exists()
    assert not (output / "2.jsonl").exists()
    assert not (output / "_SUCCESS").exists()
    started.append(command(output, *numbers[1]))
    out, err = started[2].communicate()
    assert started[2].returncode == 0, err
    assert "process 1 of 2: going on after" in err
    assert out == f"{FILES * REPEATS * 40} documents in {FILES} files: {output}\n"
    assert tree(output) == whole


def test_processes_that_jax_knows_of(command, whole, started, tmp_path):
    """One of two is killed, the other ended as JAX or a supervisor would; both start again."""
    output = tmp_path / "out"

    def both():
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        options = ("--coordinator", address, "--num-processes", "2", "--process-id")
        return [command(output, *options, str(i)) for i in range(2)]

    started += both()
    until_at_work(output, "2.jsonl", started[1])
    started[1].send_signal(signal.SIGKILL)
    started[0].send_signal(signal.SIGTERM)  # JAX's own handler would live through it
    assert started[0].wait() == -signal.SIGTERM
    started += both()
    # One merged summary, from process 0; the other waits for it, so that both end together.
    assert ended(started[2]) == f"{FILES * REPEATS * 40} documents in {FILES} files: {output}\n"
    assert ended(started[3]) == ""
    assert tree(output) == whole


def test_nothing_says_which_host_this_is(command, started, tmp_path):
    started.append(command(tmp_path / "out", "--multihost"))
    out, err = started[0].communicate()
    assert (started[0].returncode, out) == (2, "")
    assert "t5coref: error: found no TPU slice, Slurm, Open MPI or Kubernetes job to join" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_killed_at_random_again_and_again(command, whole, started, tmp_path):
    output = tmp_path / "out"
    moments = random.Random(4)
    kills = 0
    numbers = [("--num-processes", "2", "--process-id", str(i)) for i in range(2)]
    running = [command(output, *options) for options in numbers]
    started += running
    while not (output / "_SUCCESS").exists():
        time.sleep(moments.uniform(3, 9))
        victim = moments.randrange(2)
        if kills < 5 and running[victim].poll() is None:
            running[victim].send_signal(signal.SIGKILL)
            running[victim].wait()
            kills += 1
        for i in range(2):
            if running[i].poll() is not None and not (output / "_SUCCESS").exists():
                running[i] = command(output, *numbers[i])
                started.append(running[i])
    assert kills
    for process in running:
        process.communicate()
    assert tree(output) == whole

"""Runs a job again and again in processes that are killed at random, until it is done.

    PYTHONPATH=.:tests python tests/faults/victims.py JOB FOLDER SEED

JOB is named in `jobs_to_kill`. Imports once and forks: a kill costs milliseconds. Prints how many
processes were killed.
"""

from __future__ import annotations

import os
import pathlib
import random
import signal
import sys
import time

from jobs_to_kill import JOBS, WITH_TENSORFLOW

if __name__ == "__main__":
    name, folder, seed = sys.argv[1:]
    if name in WITH_TENSORFLOW:
        import tensorflow  # noqa: F401
    job, chance, kills = {**JOBS, **WITH_TENSORFLOW}[name], random.Random(int(seed)), 0
    longest = 0.02
    while True:
        child = os.fork()
        if child == 0:
            job(pathlib.Path(folder))
            os._exit(0)
        time.sleep(chance.uniform(0, longest))
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
            longest *= 1.25  # it must get through some day
            continue
        assert status == 0, status
        break
    print(kills)

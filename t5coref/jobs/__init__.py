"""Prediction jobs: files in, files out, resumable after a kill at any moment.

`run` writes one file; `run_shards` a folder of them, one for each input, on any number of hosts.
"""

from t5coref.jobs.hosts import Host, join, join_detected
from t5coref.jobs.inputs import read_inputs
from t5coref.jobs.records import Listener, run
from t5coref.jobs.shards import Shard
from t5coref.jobs.work import ShardListener, Summary, find_inputs, run_shards

__all__ = [
    "Host",
    "Listener",
    "Shard",
    "ShardListener",
    "Summary",
    "find_inputs",
    "join",
    "join_detected",
    "read_inputs",
    "run",
    "run_shards",
]

"""A checkpoint is converted in less memory than it takes, tensor by tensor."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open

from t5coref.nn import T5Config
from t5coref.nn.checkpoint import hf_tensors
from t5coref.nn.shards import Shards, Spec

LARGEST, SHARD = 8 << 20, 24 << 20

# The limit is put on a process that has loaded all libraries and has converted something already;
# what it may take from then on is a fraction of the checkpoint.
CONVERT = """
import json, pathlib, resource, sys
from t5coref.checkpoints import HUGGING_FACE, T5X, T5X_LEGACY, load, open_checkpoint, transfer

def status(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) << 10

tiny, source, place, budget = *map(pathlib.Path, sys.argv[1:4]), int(sys.argv[4])
ROUTE = [(T5X, {"scan": True}), (T5X_LEGACY, {"scan": False}), (T5X, {}), (HUGGING_FACE, {})]

def route(folder, place):
    for i, (layout, options) in enumerate(ROUTE):
        transfer(open_checkpoint(folder), place / str(i), layout, **options)
        folder = place / str(i)

route(tiny, place / "tiny")
before = max(status("VmHWM"), status("VmRSS"))
limit = status("VmSize") + budget
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
route(source, place / "large")
peak = status("VmHWM") - before
try:
    load(source)
except MemoryError:
    refused = True
else:
    refused = False
print(json.dumps({"peak": peak, "refused": refused}))
"""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A tiny one, and one of shards that is many times its largest tensor."""
    place = tmp_path_factory.mktemp("checkpoints")
    large = T5Config(
        vocab_size=4096, emb_dim=512, num_heads=8, num_encoder_layers=6, num_decoder_layers=6,
        head_dim=64, mlp_dim=2048,
    )  # fmt: skip
    tiny = T5Config(
        vocab_size=64, emb_dim=16, num_heads=2, num_encoder_layers=2, num_decoder_layers=2,
        head_dim=8, mlp_dim=32,
    )  # fmt: skip
    return [write(place / name, config) for name, config in (("tiny", tiny), ("large", large))]


def write(folder, config):
    from t5coref.nn.checkpoint import config_to_hf

    folder.mkdir()
    float32 = np.dtype(np.float32)
    tensors = {name: Spec(t.shape, float32) for name, t in hf_tensors(config).items()}
    shards = Shards(folder, tensors, max_shard_bytes=SHARD)
    rng = np.random.default_rng(0)
    for name, spec in tensors.items():
        shards.write(name, rng.standard_normal(spec.shape, np.float32))
    shards.close()
    (folder / "config.json").write_text(json.dumps(config_to_hf(config)))
    return folder


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /proc and limits")
def test_memory_is_that_of_a_few_tensors(checkpoints, tmp_path):
    tiny, large = checkpoints
    total = sum(file.stat().st_size for file in large.glob("*.safetensors"))
    budget = total // 3
    assert len(list(large.glob("*.safetensors"))) > 8
    assert total > 20 * LARGEST

    environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "XLA_FLAGS": ""}
    done = subprocess.run(
        # Threads reserve their stacks, used or not: small ones.
        ["bash", "-c", 'ulimit -S -s 2048 && exec "$@"', "bash", sys.executable, "-W", "error",
         "-c", CONVERT, tiny, large, tmp_path, str(budget)],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["refused"], "the limit did not bind: the whole checkpoint could be loaded"
    assert found["peak"] < budget, f"{found['peak'] / LARGEST:.1f} times the largest tensor"
    with_shards = {f.name: f for f in large.glob("*.safetensors")}
    back = tmp_path / "large/3/model.safetensors"
    with safe_open(back, "np") as got:
        for path in with_shards.values():
            with safe_open(path, "np") as want:
                for name in want.keys():  # noqa: SIM118
                    np.testing.assert_array_equal(got.get_tensor(name), want.get_tensor(name))

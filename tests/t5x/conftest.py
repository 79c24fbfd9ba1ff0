"""Real T5X on the CPU: tasks of generated stories, a tiny network, and T5X's programs."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import logging
import os
import pathlib
import subprocess
import sys
import time

import jax
import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
FAST_COMPILER = "--xla_backend_optimization_level=0"
PLAIN = {"jax_numpy_dtype_promotion": "standard", "jax_numpy_rank_promotion": "allow"}
"""T5X counts on jax's defaults."""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            # T5X and what it imports warn of their own affairs.
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="module", autouse=True)
def plain_numerics():
    logging.getLogger("absl").setLevel(logging.ERROR)
    before = {name: getattr(jax.config, name) for name in PLAIN}
    for name, value in PLAIN.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="session")
def stories(tmp_path_factory):
    """A folder with train.jsonl, validation.jsonl, test.jsonl and spiece.model."""
    from t5coref.corpora import jsonl
    from t5coref.train.inputs import demo_stories, vocabulary

    folder = tmp_path_factory.mktemp("stories")
    documents = demo_stories(count=48, seed=5)
    parts = {"train": documents[:32], "validation": documents[32:40], "test": documents[40:]}
    for name, part in parts.items():
        lines = "".join(jsonl.dumps(document) + "\n" for document in part)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "spiece.model").write_bytes(vocabulary(documents=documents, size=120).model)
    return folder


@pytest.fixture(scope="session")
def tiny_tasks(stories):
    """The module that registers the tasks, imported under the name that gin files use."""
    os.environ["TINY_TASKS"] = str(stories)
    sys.path.insert(0, str(HERE))
    yield importlib.import_module("tiny_tasks")
    sys.path.remove(str(HERE))


@pytest.fixture(scope="session")
def batch_of(tiny_tasks):
    """Gives the model features of the first 8 training rows of a task, in its order."""
    import seqio

    from t5coref.data.features import CorefFeatureConverter

    def make(task):
        dataset = seqio.get_dataset(
            mixture_or_task_name=task,
            task_feature_lengths={"inputs": 48, "targets": 112, "feeds": 112},
            dataset_split="train",
            shuffle=False,
            feature_converter=CorefFeatureConverter(),
        )
        return next(dataset.batch(8).as_numpy_iterator())

    return make


@pytest.fixture(scope="session")
def config():
    from t5coref.nn.stack import T5Config

    return T5Config(
        vocab_size=256,
        emb_dim=16,
        num_heads=2,
        num_encoder_layers=2,
        num_decoder_layers=2,
        head_dim=8,
        mlp_dim=32,
        dropout_rate=0.0,
    )


@pytest.fixture(scope="session")
def make_model(tiny_tasks, config):
    """Makes a `CorefModel` of a tiny network, with other settings as given."""
    from t5x import adafactor

    from t5coref.nn.t5 import T5
    from t5coref.t5x_adapter import CorefModel

    def make(task="tiny_full_copy", *, scan_layers=False, vocab_size=256, **options):
        rules = adafactor.standard_logical_factor_rules()
        options.setdefault("optimizer_def", adafactor.Adafactor(logical_factor_rules=rules))
        network = T5(dataclasses.replace(config, scan_layers=scan_layers, vocab_size=vocab_size))
        return CorefModel(module=network, task=task, **options)

    return make


@pytest.fixture(scope="session")
def trainer_of():
    """Makes T5X's trainer of a model that begins with given parameters, on a mesh as asked."""
    import flax
    from jax.sharding import NamedSharding
    from t5x import partitioning, trainer, utils

    def make(model, batch, params, rate, *, kind=trainer.Trainer, microbatches=None, **mesh):
        partitioner = partitioning.PjitPartitioner(**mesh)
        shapes = {name: feature.shape for name, feature in batch.items()}
        initializer = utils.TrainStateInitializer(
            model.optimizer_def, model.get_initial_variables, shapes, partitioner
        )
        axes = initializer.train_state_axes
        placed = jax.tree.map(
            lambda leaf, spec: jax.device_put(leaf, NamedSharding(partitioner.mesh, spec)),
            flax.core.freeze(params),
            axes.params,
        )
        key = jax.random.PRNGKey(0)
        state = initializer.from_scratch(key).replace_params(placed)
        return kind(
            model, state, partitioner, [], None, axes, key,
            learning_rate_fn=rate, num_microbatches=microbatches,
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def metrics_of():
    """Makes a step on a batch, and gives its metrics without times."""

    def step(trainer, batch):
        found = trainer.train(iter([batch]), 1).result()
        return {k: float(v.value) for k, v in found.items() if not k.startswith("timing")}

    return step


@pytest.fixture(scope="session")
def t5x(stories, tmp_path_factory):
    """Runs one of T5X's programs as users do; returns what it said."""
    logs = tmp_path_factory.mktemp("logs")
    count = itertools.count()

    def start(program, *flags, devices=1, until=None):
        """`until` is called again and again, and the program killed when it is true."""
        command = [sys.executable, "-m", "t5coref", "t5x", program, *flags]
        given = os.environ | {
            "JAX_NUMPY_DTYPE_PROMOTION": "standard",
            "JAX_NUMPY_RANK_PROMOTION": "allow",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {FAST_COMPILER}",
            "PYTHONPATH": str(HERE),
            "TINY_TASKS": str(stories),
        }
        log = logs / f"{next(count)}-{program}.txt"
        with log.open("wb") as said:
            process = subprocess.Popen(
                command, cwd=ROOT, env=given, stdout=said, stderr=subprocess.STDOUT
            )
            try:
                while process.poll() is None and not (until and until()):
                    time.sleep(0.01)
            finally:
                killed = process.poll() is None
                process.kill()
                process.wait()
        text = log.read_text("utf-8", "replace")
        assert killed if until else process.returncode == 0, text[-6000:]
        return text

    return start

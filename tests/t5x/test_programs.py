"""T5X's train, eval and infer, started as users start them."""

from __future__ import annotations

import json
import math
import pathlib

import numpy as np
import pytest

pytest.importorskip("t5coref.t5x_adapter")
coref_metrics = pytest.importorskip("t5coref.data.metrics")
coref_task = pytest.importorskip("t5coref.data.task")
seqio = pytest.importorskip("seqio")
tf = pytest.importorskip("tensorflow")

HERE = pathlib.Path(__file__).parent
LENGTHS = "{'inputs': 48, 'targets': 112, 'feeds': 112}"
MODEL = f"--gin_file={HERE / 'tiny.gin'}"
STEPS, PERIOD = 60, 10


def train_flags(folder, *more, steps=STEPS):
    return (
        "--gin_file=gin/decode/greedy.gin",
        "--gin_file=gin/runs/finetune.gin",
        MODEL,
        f"--gin.TASK_FEATURE_LENGTHS={LENGTHS}",
        f"--gin.TRAIN_STEPS={steps}",
        f"--gin.MODEL_DIR={folder}",
        "--gin.INITIAL_CHECKPOINT_PATH=None",  # random weights
        f"--gin.CHECKPOINT_PERIOD={PERIOD}",
        "--gin.KEEP_CHECKPOINTS=None",
        "--gin.BATCH_SIZE=8",
        "--gin.EVAL_STEPS=1",
        f"--gin.EVAL_PERIOD={STEPS}",
        "--gin.train.stats_period=1",
        *more,
    )


def losses(folder):
    """step -> loss, of the last run that made the step."""
    found: dict[int, tuple[float, float]] = {}
    for file in folder.glob("train/events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.tag == "loss":
                    made = event.wall_time, float(tf.make_ndarray(value.tensor))
                    found[event.step] = max(found.get(event.step, made), made)
    return {step: loss for step, (_, loss) in sorted(found.items())}


@pytest.fixture(scope="module")
def trained(t5x, tmp_path_factory):
    """A run without interruption, on one device."""
    folder = tmp_path_factory.mktemp("trained")
    t5x("train", *train_flags(folder))
    return folder


def test_training_learns_and_evaluates(trained):
    found = losses(trained)
    assert list(found) == list(range(1, STEPS + 1))
    assert found[STEPS] < 0.8 * found[1]
    assert all(math.isfinite(loss) for loss in found.values())
    assert {path.name for path in trained.glob("checkpoint_*")} >= {
        f"checkpoint_{step}" for step in (PERIOD, STEPS)
    }
    lines = (trained / "inference_eval" / "tiny_full_copy-metrics.jsonl").read_text().splitlines()
    scores = json.loads(lines[-1])
    assert 0 <= scores["conll_f1"] <= 100
    assert scores["documents"] == 8


def test_a_killed_run_goes_on_with_the_same_losses(trained, t5x, tmp_path):
    t5x("train", *train_flags(tmp_path), until=(tmp_path / "checkpoint_20").exists)
    first = losses(tmp_path)
    assert len(first) < STEPS
    said = t5x("train", *train_flags(tmp_path))
    assert "checkpoint_20" in said
    wanted, found = losses(trained), losses(tmp_path)
    # A killed process may have lost rows of its log, those before the checkpoint.
    resumed = range(21, STEPS + 1)
    assert set(found) >= set(resumed)
    for step in found:
        assert found[step] == pytest.approx(wanted[step], abs=1e-5), step


def test_two_way_model_parallelism_has_the_same_losses(trained, t5x, tmp_path):
    flags = (
        "--gin.NUM_PARTITIONS=None",
        "--gin.MODEL_PARALLEL_SUBMESH=(1, 2)",
    )
    t5x("train", *train_flags(tmp_path, *flags, steps=5), devices=8)
    wanted, found = losses(trained), losses(tmp_path)
    assert list(found) == [1, 2, 3, 4, 5]
    for step in found:
        assert found[step] == pytest.approx(wanted[step], abs=1e-4), step


def test_inference_and_evaluation(trained, t5x, tmp_path, tiny_tasks):
    """The n best of each turn with scores; the best ones have the score that eval reports."""
    checkpoint = f"--gin.CHECKPOINT_PATH={trained / f'checkpoint_{STEPS}'}"
    beams = "--gin_file=gin/decode/beam.gin", "--gin.NUM_DECODES=3", "--gin.BATCH_SIZE=4"
    lengths = f"--gin.TASK_FEATURE_LENGTHS={LENGTHS}"
    t5x(
        "infer", *beams, "--gin_file=gin/runs/infer.gin", MODEL, lengths, checkpoint,
        "--gin.CHUNK=1", f"--gin.INFER_OUTPUT_DIR={tmp_path / 'infer'}",
    )  # fmt: skip
    t5x(
        "eval", *beams, "--gin_file=gin/runs/eval.gin", MODEL, lengths, checkpoint,
        f"--gin.EVAL_OUTPUT_DIR={tmp_path / 'eval'}",
    )  # fmt: skip
    (file,) = (tmp_path / "infer").glob("*predict_with_aux.jsonl-00000-of-00001")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    rows = list(
        seqio.get_mixture_or_task("tiny_full_copy")
        .get_dataset(None, "test", shuffle=False)
        .as_numpy_iterator()
    )
    assert len(lines) == len(rows) == 8
    for line, row in zip(lines, rows, strict=True):
        assert line["inputs"] == {"doc_id": row["doc_id"].decode(), "turn": int(row["turn"])}
        scores = line["aux"]["scores"]
        assert len(scores) == len(line["prediction"]) == len(line["prediction_tokens"]) == 3
        assert scores == sorted(scores)
        assert len({tuple(tokens) for tokens in line["prediction_tokens"]}) == 3
        # Every hypothesis is whole: it copies the source.
        assert all(text.count("<copy>") == len(row["inputs"]) for text in line["prediction"])
    best = [np.asarray(line["prediction_tokens"][-1], np.int32) for line in lines]
    wanted = coref_metrics.score(
        coref_task.task_linearization("tiny_full_copy"), rows, best, remove_singletons=False
    )
    (metrics,) = (tmp_path / "eval" / "inference_eval").glob("*-metrics.jsonl")
    reported = json.loads(metrics.read_text().splitlines()[-1])
    for name, value in wanted.items():
        assert reported[name] == pytest.approx(value), name

"""LitBank with T5X from a Flan-T5-small, the whole way: convert, train, evaluate, infer, and back.

Set T5COREF_FLAN to a Flan-T5-small in Hugging Face layout.
"""

from __future__ import annotations

import json
import os
import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from t5coref import cli, corpora
from t5coref.model import Format, Model
from t5coref.predict import Predictor, error_of

pytest.importorskip("t5coref.t5x_adapter")
tf = pytest.importorskip("tensorflow")

TASK = "litbank_fold2_full_copy"
PARTS = {"train": 4, "dev": 1, "test": 1}
SENTENCES = 20
FORMAT = Format("full-copy", {"window": 128})
LENGTHS = "{'inputs': 128, 'targets': 320, 'feeds': 320}"


@pytest.fixture(scope="module")
def flan():
    folder = os.environ.get("T5COREF_FLAN", "")
    if not pathlib.Path(folder, "spiece.model").is_file():
        pytest.skip("set T5COREF_FLAN to the folder of a Flan-T5-small to run this test")
    return pathlib.Path(folder)


@pytest.fixture
def data(shared, tmp_path):
    """A few short documents of LitBank under the names that the task knows."""
    source = shared / "data" / "litbank"
    target = tmp_path / "data" / "litbank"
    (target / "conll").mkdir(parents=True)
    (target / "splits" / "2").mkdir(parents=True)
    for part, count in PARTS.items():
        names = (source / "splits" / "2" / f"{part}.ids").read_text().split()[:count]
        (target / "splits" / "2" / f"{part}.ids").write_text("\n".join(names) + "\n")
        for name in names:
            text = (source / "conll" / f"{name}.conll").read_text("utf-8")
            short = "\n\n".join(text.split("\n\n")[:SENTENCES]) + "\n\n#end document\n"
            (target / "conll" / f"{name}.conll").write_text(short, encoding="utf-8")
    return tmp_path / "data"


@pytest.mark.slow
def test_litbank(flan, data, t5x, tmp_path):
    start, run = tmp_path / "flan", tmp_path / "run"
    assert cli.main(["convert", str(flan), str(start), "--to", "t5x", "--format", "full-copy",
                     "--quiet"]) == 0  # fmt: skip
    common = (
        "--gin_file=gin/models/sizes/small.gin",
        "--gin_file=gin/decode/beam.gin",
        "--gin.NUM_DECODES=2",
        f"--gin.MIXTURE_OR_TASK_NAME={TASK}",
        f"--gin.TASK_FEATURE_LENGTHS={LENGTHS}",
        f"--gin.tasks.settings.options={FORMAT.options}",
        f"--gin.TOKENIZER={flan / 'spiece.model'}",
        f"--gin.DATA={data}",
        "--gin.DTYPE='float32'",
        "--gin.BATCH_SIZE=4",
    )
    t5x(
        "train",
        *common,
        "--gin_file=gin/runs/finetune.gin",
        f"--gin.INITIAL_CHECKPOINT_PATH={start / 'checkpoint_0'}",
        f"--gin.MODEL_DIR={run}",
        "--gin.TRAIN_STEPS=6",
        "--gin.EVAL_PERIOD=6",
        "--gin.EVAL_STEPS=1",
        "--gin.CHECKPOINT_PERIOD=6",
        "--gin.train.stats_period=1",
    )
    read = ocp.PyTreeCheckpointer().restore
    losses = [
        float(tf.make_ndarray(value.tensor))
        for file in (run / "train").glob("events*")
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
        if value.tag == "loss"
    ]
    assert len(losses) == 6
    assert losses[-1] < 0.75 * losses[0]
    # It began with the weights of Flan-T5, bit for bit.
    given, begun = (read(folder / "checkpoint_0" / "state")["target"] for folder in (start, run))
    jax.tree.map(np.testing.assert_array_equal, given, begun)

    checkpoint = f"--gin.CHECKPOINT_PATH={run / 'checkpoint_6'}"
    t5x("eval", *common, "--gin_file=gin/runs/eval.gin", checkpoint,
        f"--gin.EVAL_OUTPUT_DIR={tmp_path / 'eval'}")  # fmt: skip
    (metrics,) = (tmp_path / "eval" / "inference_eval").glob("*-metrics.jsonl")
    scores = json.loads(metrics.read_text().splitlines()[-1])
    assert scores["documents"] == 1
    assert 0 <= scores["conll_f1"] <= 100

    t5x("infer", *common, "--gin_file=gin/runs/infer.gin", checkpoint,
        f"--gin.INFER_OUTPUT_DIR={tmp_path / 'infer'}")  # fmt: skip
    (file,) = (tmp_path / "infer").glob(f"{TASK}-predict_with_aux.jsonl-*-of-00001")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) > 1
    assert all(len(line["aux"]["scores"]) == 2 for line in lines)

    # What T5X trained, as a model of ours.
    model = tmp_path / "model"
    back = ["--to", "t5coref", "--format", "full-copy", "--tokenizer", str(flan), "--quiet"]
    assert cli.main(["convert", str(run / "checkpoint_6"), str(model), *back]) == 0
    documents = list(corpora.read(data / "litbank" / "conll", "litbank"))
    (predicted, *_) = Predictor(Model.load(model, format=FORMAT)).predict(documents[:1])
    assert error_of(predicted) is None

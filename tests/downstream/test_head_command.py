"""`t5coref train` with the gin files of heads, and what is predicted with the model."""

from __future__ import annotations

import json
import pathlib

import pytest

from t5coref import cli
from t5coref.cli import gin_files
from t5coref.core.errors import MismatchError
from t5coref.downstream import fever
from t5coref.downstream.fever_head import verify
from t5coref.downstream.glue_head import classify
from t5coref.downstream.head_model import HeadModel
from t5coref.model import from_scratch
from t5coref.nn.stack import T5Config

TINY = T5Config(
    vocab_size=1, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1, head_dim=8,
    mlp_dim=32, dropout_rate=0.0,
)  # fmt: skip
ROOT = pathlib.Path(__file__).parents[2]
GIVEN = {
    "glue": {"TASK": "rte", "TRAIN_FILE": "train.tsv", "RATE": "1e-4"},
    "fever": {"TRAIN_FILE": "train.jsonl"},
    "docred": {"TRAIN_FILES": "train.json", "DEV_FILES": "dev.json"},
}


@pytest.mark.parametrize("name", list(GIVEN))
def test_gin_files_are_whole(name):
    given = {**GIVEN[name], "MODEL": "model", "OUTPUT": "run"}
    path = f"gin/downstream/{name}.gin"
    text = (ROOT / path).read_text()
    gin_files.load([path], [gin_files.binding(f"{k}={v}") for k, v in given.items()])
    assert f"t5coref train --gin_file {path} " in text
    for macro in given:
        assert f"--gin.{macro}=" in text, f"the command lacks {macro}"


def claims(count, label):
    """Claims whose second sentence tells their label."""
    told = {"SUPPORTS": "she saw him", "REFUTES": "the old house"}[label]
    return [
        {
            "id": f"{label}{i}", "claim": "the dog saw it", "label": label,
            "evidence": [["Anna", i, "near the house", 0.9], ["Ben_-LRB-dog-RRB-", 1, told, 0.1]],
        }
        for i in range(count)
    ]  # fmt: skip


def write(path, values):
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values))
    return path


@pytest.mark.slow
def test_fever(tokenizer, tmp_path, capsys):
    everything = [*claims(6, "SUPPORTS"), *claims(6, "REFUTES")]
    train = write(tmp_path / "train.jsonl", [*everything, {"id": "x"}])
    gold = [
        {**c, "evidence": [[[0, 0, "Ben_-LRB-dog-RRB-", 1]], [[0, 0, "Zoe", 3]]]}
        for c in everything
    ]
    from_scratch(TINY, tokenizer).save(tmp_path / "model")
    settings = {
        "MODEL": tmp_path / "model", "OUTPUT": tmp_path / "run", "TRAIN_FILE": train,
        "DEV_FILE": train, "GOLD_FILE": write(tmp_path / "gold.jsonl", gold),
        "EPOCHS": None, "STEPS": 30, "BATCH_SIZE": 4, "RATE": 1e-2, "CLIP": None, "EVAL_EVERY": 15,
        "HeadObjective.eval_batch_size": 4, "FeverVerification.kernel_count": 3,
        "FeverVerification.hidden_dim": 8,
    }  # fmt: skip
    arguments = [f"--gin.{name}={value}" for name, value in settings.items()]
    command = ["train", "--gin_file", "gin/downstream/fever.gin", "--quiet", *arguments]
    assert cli.main(command) == 0
    assert "100.00 on the dev documents" in capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    best = max((row for row in rows if row["kind"] == "dev"), key=lambda row: row["fever"])
    assert (best["fever"], best["accuracy"]) == (1.0, 1.0)
    assert (best["evidence_precision"], best["evidence_recall"]) == (0.5, 1.0)

    model = HeadModel.load(tmp_path / "run" / "best")
    read = fever.read(str(train), fever.Mistakes())
    verdicts = verify(model, [*read, fever.Claim("new", "the dog saw it", None)], batch_size=4)
    assert [v.label for v in verdicts[:12]] == [c.label for c in read]
    assert verdicts[0].evidence == [("Anna", 0), ("Ben_-LRB-dog-RRB-", 1)]
    assert verdicts[12].label in fever.LABELS
    with pytest.raises(MismatchError, match="one for fever; expected one for a GLUE task"):
        classify(model, [])

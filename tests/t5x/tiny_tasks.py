"""Tasks of generated stories whose files are in the folder $TINY_TASKS."""

import os

from t5coref.data.joint_ie import joint_task
from t5coref.data.mrp import mrp_task
from t5coref.data.settings import Settings
from t5coref.data.task import coref_task

FOLDER = os.environ["TINY_TASKS"]
FILES = {name: os.path.join(FOLDER, f"{name}.jsonl") for name in ("train", "validation", "test")}
OPTIONS = {"window": 48, "max_clusters": 8, "max_depth": 4}
FORMATS = {
    "tiny_full_copy": "full-copy",
    "tiny_full_token": "full-token",
    "tiny_input_feed": "input-feed",
    "tiny_iterative_text": "iterative-text",
    "tiny_qa": "qa",
}
OWN_OPTIONS = {
    "tiny_iterative_text": {"text_weight": 0.1},
    "tiny_qa": {"tasks": ("forward", "backward")},
}

for _name, _format in FORMATS.items():
    coref_task(
        _name,
        linearization=_format,
        options=OPTIONS | OWN_OPTIONS.get(_name, {}),
        corpus="jsonl",
        files=FILES,
        tokenizer=os.path.join(FOLDER, "spiece.model"),
    )

joint_task(
    "tiny_relations",
    corpus="jsonl",
    files=dict.fromkeys(("train", "validation"), os.path.join(FOLDER, "relations.jsonl")),
    settings=lambda: Settings(tokenizer=os.path.join(FOLDER, "spiece.model"), data=FOLDER),
)

mrp_task(
    "tiny_pointing",
    folders=dict.fromkeys(("train", "validation"), os.path.join(FOLDER, "mrp")),
    settings=lambda: Settings(tokenizer=os.path.join(FOLDER, "spiece.model"), data=FOLDER),
)

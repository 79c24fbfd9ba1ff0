"""QUOREF (Dasigi et al. 2019): questions whose answers, one or several spans, need coreference."""

from t5coref.data.text import text_task
from t5coref.downstream import quoref
from tasks.configuration import settings

text_task(
    "quoref",
    reader=quoref.read,
    files={
        "train": "quoref/quoref-train-v0.1.json",
        "validation": "quoref/quoref-dev-v0.1.json",
        "test": "quoref/quoref-test-v0.1.json",
    },
    metrics=[quoref.quoref_metric],
    settings=settings,
)

"""GLUE (Wang et al. 2019) as T5 writes it: nine tasks and the diagnostic set.

The files are those of gluebenchmark.com, below `glue/`; test files have no labels.
"""

from collections.abc import Mapping

from t5coref.data.text import text_task
from t5coref.downstream.glue import TASKS, GlueReader, GlueTask
from t5coref.downstream.glue_metrics import GlueMetric
from tasks.configuration import settings


def files(task: GlueTask) -> Mapping[str, str]:
    """The files of each split."""
    folder = f"glue/{task.folder}"
    if task.name == "ax":
        return {"test": f"{folder}/AX.tsv"}
    if task.name == "mnli":
        kinds = {"": "_matched", "_mismatched": "_mismatched"}
        return {"train": f"{folder}/train.tsv"} | {
            f"{split}{kind}": f"{folder}/{part}{suffix}.tsv"
            for split, part in (("validation", "dev"), ("test", "test"))
            for kind, suffix in kinds.items()
        }
    parts = {"train": "train", "validation": "dev", "test": "test"}
    return {split: f"{folder}/{part}.tsv" for split, part in parts.items()}


for task in TASKS.values():
    text_task(
        f"glue_{task.name}",
        reader=GlueReader(task.name),
        files=files(task),
        metrics=[GlueMetric(task.name)],
        settings=settings,
    )

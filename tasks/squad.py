"""SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018): questions with one answer in a text, or none."""

from t5coref.data.text import text_task
from t5coref.downstream import squad
from tasks.configuration import settings

for name, version, metric in (
    ("squad", "v1.1", squad.squad_metric),
    ("squad2", "v2.0", squad.squad2_metric),
):
    text_task(
        name,
        reader=squad.read,
        files={
            "train": f"squad/train-{version}.json",
            "validation": f"squad/dev-{version}.json",
        },
        metrics=[metric],
        settings=settings,
    )

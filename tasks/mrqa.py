"""MRQA 2019 (Fisch et al. 2019): the six sets that one trains on.

Validation and test are the halves of a set's dev file, as CorefBERT divides it; `dev` is all of it.
"""

from t5coref.data.text import text_task
from t5coref.downstream import mrqa, squad
from tasks.configuration import settings

READERS = {
    "train": mrqa.read,
    "validation": mrqa.read_first_half,
    "test": mrqa.read_second_half,
    "dev": mrqa.read,
}

for name in mrqa.SETS:
    text_task(
        f"mrqa_{name.lower()}",
        reader=READERS,
        files={
            split: f"mrqa/{'train' if split == 'train' else 'dev'}/{name}.jsonl.gz"
            for split in READERS
        },
        metrics=[squad.squad_metric],
        settings=settings,
    )

"""Sets of ambiguous pronouns: the name is written for a marked pronoun, or into a gap (`_cloze`).

docs/pronouns.md says where each set comes from.
"""

from t5coref.data.text import text_task
from t5coref.downstream.pronouns.texts import GapReader, MarkedReader, choice_accuracy, gap_f1
from tasks.configuration import settings

FILES = {
    "gap": {
        "train": "gap/gap-development.tsv",
        "validation": "gap/gap-validation.tsv",
        "test": "gap/gap-test.tsv",
    },
    "dpr": {
        "train": "dpr/dpr_train_small.txt",
        "validation": "dpr/dpr_dev_small.txt",
        "test": "dpr/test.c.txt",
        "train_all": "dpr/train.c.txt",
    },
    "wikicrem": {
        "train": "wikicrem/WikiCREM_train.txt",
        "validation": "wikicrem/WikiCREM_dev.txt",
    },
    "wsc273": {"test": "wsc273/wsc273.txt"},
    "pdp": {"test": "pdp/PDP.txt"},
    "winogender": {"test": "winogender/data/all_sentences.tsv"},
    "winobias": {
        "validation": "winobias/data/*_stereotyped_type*.txt.dev",
        "test": "winobias/data/*_stereotyped_type*.txt.test",
    },
}

for name, files in FILES.items():
    metric = gap_f1 if name == "gap" else choice_accuracy
    text_task(name, reader=MarkedReader(name), files=files, metrics=[metric], settings=settings)
    text_task(
        f"{name}_cloze",
        reader=GapReader(name),
        files=files,
        metrics=[choice_accuracy],
        settings=settings,
    )

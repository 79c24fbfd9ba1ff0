"""FEVER (Thorne et al. 2018) with the sentences that KGAT retrieved, and FEVER-Symmetric."""

from t5coref.data.text import text_task
from t5coref.downstream import fever
from t5coref.downstream.fever_metrics import text_accuracy
from tasks.configuration import settings

FILES = {
    "fever": {
        "train": "fever/train.jsonl",
        "validation": "fever/dev.jsonl",
        "test": "fever/test.jsonl",
    },
    "fever_symmetric": {
        "validation": "fever_symmetric/symmetric_v0.2/fever_symmetric_dev.jsonl",
        "test": "fever_symmetric/symmetric_v0.2/fever_symmetric_test.jsonl",
    },
}

for name, files in FILES.items():
    text_task(name, reader=fever.texts, files=files, metrics=[text_accuracy], settings=settings)

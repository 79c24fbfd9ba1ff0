"""PreCo (Chen et al. 2018): many short school texts, with singletons."""

from tasks.configuration import every_format

every_format(
    "preco",
    corpus="preco",
    files={
        "train": "preco/train.jsonl",
        "validation": "preco/dev.jsonl",
        "test": "preco/test.jsonl",
    },
)

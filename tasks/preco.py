"""PreCo (Chen et al. 2018): many short school texts, with singletons."""

from tasks.configuration import every_format

NAME = "preco"

every_format(
    NAME,
    corpus="preco",
    files={
        "train": "preco/train.jsonl",
        "validation": "preco/dev.jsonl",
        "test": "preco/test.jsonl",
    },
)

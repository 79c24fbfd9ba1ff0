"""GUM (Zeldes 2017): many genres, with singletons."""

from tasks.configuration import every_format

every_format(
    "gum",
    corpus="gum",
    files={
        "train": "gum/train/*.conllu",
        "validation": "gum/dev/*.conllu",
        "test": "gum/test/*.conllu",
    },
)

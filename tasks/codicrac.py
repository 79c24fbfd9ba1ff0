"""CODI/CRAC shared tasks (Khosla et al. 2021, Yu et al. 2022): dialogue, with singletons."""

from tasks.configuration import every_format

every_format(
    "codicrac",
    corpus="codicrac",
    files={
        "train": "codicrac/train/*.CONLLUA",
        "validation": "codicrac/dev/*.CONLLUA",
        "test": "codicrac/test/*.CONLLUA",
    },
)

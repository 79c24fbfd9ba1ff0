"""OntoGUM (Zhu et al. 2021): GUM under the rules of OntoNotes, without singletons."""

from tasks.configuration import every_format

every_format(
    "ontogum",
    corpus="ontogum",
    files={
        "train": "ontogum/train/*.conllu",
        "validation": "ontogum/dev/*.conllu",
        "test": "ontogum/test/*.conllu",
    },
)

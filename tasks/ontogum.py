"""OntoGUM (Zhu et al. 2021): GUM under the rules of OntoNotes, without singletons."""

from tasks.configuration import every_format, every_mention_given_format

FILES = {
    "train": "ontogum/train/*.conllu",
    "validation": "ontogum/dev/*.conllu",
    "test": "ontogum/test/*.conllu",
}

every_format("ontogum", corpus="ontogum", files=FILES)
every_mention_given_format("ontogum", corpus="ontogum", files=FILES)

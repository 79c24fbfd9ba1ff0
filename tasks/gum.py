"""GUM (Zeldes 2017): many genres, with singletons."""

from tasks.configuration import every_format, every_mention_given_format

FILES = {
    "train": "gum/train/*.conllu",
    "validation": "gum/dev/*.conllu",
    "test": "gum/test/*.conllu",
}

every_format("gum", corpus="gum", files=FILES)
every_mention_given_format("gum", corpus="gum", files=FILES)

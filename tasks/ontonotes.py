"""OntoNotes 5 (CoNLL-2012), from the LDC: without singletons."""

from tasks.configuration import every_format

NAME = "ontonotes"

every_format(
    NAME,
    corpus="ontonotes",
    files={
        "train": ("ontonotes/train*conll", "ontonotes/train/**/*conll"),
        "validation": ("ontonotes/dev*conll", "ontonotes/dev/**/*conll"),
        "test": ("ontonotes/test*conll", "ontonotes/test/**/*conll"),
    },
)

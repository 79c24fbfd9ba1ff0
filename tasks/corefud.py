"""CorefUD (Nedoluzhko et al. 2022): many languages in one scheme, with singletons."""

from tasks.configuration import every_format

every_format(
    "corefud",
    corpus="corefud",
    files={
        "train": "corefud/**/*-corefud-train.conllu",
        "validation": "corefud/**/*-corefud-dev.conllu",
        "test": "corefud/**/*-corefud-test.conllu",
    },
)

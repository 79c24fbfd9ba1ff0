"""Every task and mixture of t5coref, registered with SeqIO on import: docs/seqio.md.

A run file says `import tasks` and may bind `tasks.settings.tokenizer`, `.data`, `.prepared`,
`.options` and `.skip_long`; importing needs neither tokenizer nor data.
"""

from tasks import (
    codicrac,
    corefud,
    dwie,
    fever,
    glue,
    gum,
    litbank,
    mixtures,
    mrp,
    mrqa,
    ontogum,
    ontonotes,
    preco,
    pronouns,
    quoref,
    redocred,
    squad,
)
from tasks.configuration import settings

__all__ = [
    "codicrac",
    "corefud",
    "dwie",
    "fever",
    "glue",
    "gum",
    "litbank",
    "mixtures",
    "mrp",
    "mrqa",
    "ontogum",
    "ontonotes",
    "preco",
    "pronouns",
    "quoref",
    "redocred",
    "settings",
    "squad",
]

"""Tables of formats whose answers are text: stretches of the source, and pieces of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from t5coref.core.rules import DONE, PIECE, TEXT, Cell, Due, Effect, Guard, Rules
from t5coref.core.symbols import Inventory
from t5coref.linearize.base import PieceEncoder

COPY, FIRST = range(2)
"""Actions that the table of `stretches` begins with; the pieces of the format from FIRST on."""


def stretches(tokenizer: PieceEncoder, pieces: Iterable[int]) -> Rules:
    """Stretches of the source, `pieces` anywhere between them, and `</s>` at any time."""
    ids = (PIECE, *sorted(set(pieces)), tokenizer.eos_id)
    last = len(ids) - 1
    return quoting(
        tokenizer,
        ids,
        [Effect.ADVANCE, *[Effect.SPREADS] * (last - FIRST), Effect.PASSES],
        [
            Cell(TEXT, COPY, TEXT, Guard.MORE, 1),
            *(Cell(TEXT, action, TEXT, cost=1) for action in range(FIRST, last)),
            Cell(TEXT, last, DONE),
        ],
    )


def quoting(
    tokenizer: PieceEncoder, ids: Sequence[int], effects: Sequence[Effect], cells: Iterable[Cell]
) -> Rules:
    """The rules of answers that quote the source from any place on, again and again.

    Args:
      tokenizer: says how the source ends.
      ids: of the actions; PIECE, a piece of the source, is the first one.
      effects: what the actions do.
      cells: the table.
    """
    return Rules.compile(
        Inventory(tuple(ids), ("<piece>", *map(tokenizer.piece, ids[1:]))),
        effects,
        cells,
        copy=COPY,
        marks=(tokenizer.eos_id,),
        due=Due(piece=0, mark=1),
        twinned=False,
        max_depth=0,
        max_clusters=1,
        spread=True,
        literal=True,
        anywhere=True,
    )

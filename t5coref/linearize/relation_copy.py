"""relation-copy: full-copy, then the relations between the clusters, as numbers.

For "Anna left Rome" with the relation from Anna to Rome:
`<m> <copy> | 0 </m> <copy> <m> <copy> | 1 </m> <rel> 0 1 <rel:left> </s>`. Where there are entity
types, one stands behind each number: `| 0 <type:PER> </m>`.
"""

from __future__ import annotations

import numpy as np

from t5coref.core.rules import OPENED, TEXT, Cell, Effect, Guard, Rules
from t5coref.core.symbols import INTEGER_SYMBOLS
from t5coref.linearize.base import Actions, Turn
from t5coref.linearize.full import WholeText
from t5coref.linearize.integers import COPY, SHUTS, Integers
from t5coref.linearize.mentions import Mention
from t5coref.linearize.related import Part, Related
from t5coref.linearize.relations import START
from t5coref.linearize.windowed import Written


class RelationCopy(Related, WholeText):
    """As full-copy; behind the text, relations as numbers of clusters and a type."""

    name = "relation-copy"
    symbols = (*INTEGER_SYMBOLS, START)

    def make_rules(self) -> Rules:
        """See `Windows.make_rules`."""
        self.integers = integers = Integers(self.tokenizer, self.max_clusters, self.kinds.named)
        ids = integers.inventory(self.copy_id).ids
        types = self.types_behind(ids)
        effects = integers.effects(shuts=Effect(0)) if types else integers.effects()
        at_least = integers.at_least
        return self.compile(
            Part(
                ids,
                effects,
                [
                    *(Cell(mode, COPY, TEXT, Guard.MORE) for mode in (TEXT, OPENED)),
                    *integers.tag_cells(0, types),
                ],
                # The mode behind a type spells no number.
                np.pad(at_least, ((0, bool(types)), (0, 0)), constant_values=self.max_clusters),
            ),
            integers.spelling,
            SHUTS,
            copy=COPY,
            first_pledge=integers.first_pledge,
            twin_pledge=integers.twin_pledge,
        )

    def copies(self, turn: Turn) -> Actions:
        """`<copy>` for every piece but `</s>`."""
        return np.append(np.full_like(turn.source[1:], self.copy_id), turn.source[-1:])

    def write(self, turn: Turn, closings: list[tuple[Mention, int]]) -> list[Written]:
        """See `Windowed.write`; without relations."""
        script = super().write(turn, closings)
        return self.typed(script, closings, (self.integers.close,), before=True)

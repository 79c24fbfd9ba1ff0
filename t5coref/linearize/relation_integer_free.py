"""relation-integer-free: integer-free, then the relations, with the symbols of the clusters.

For "Anna left Rome" with the relation from Anna to Rome:
`<m> <copy> </new> <copy> <m> <copy> </new> <rel> </m0> </m1> <rel:left> </s>`. Where there are
entity types, one stands behind each closing symbol: `</new> <type:PER>`.
"""

from __future__ import annotations

import numpy as np

from t5coref.core.rules import NUMBER, TEXT, Cell, Effect, Guard, Rules
from t5coref.linearize.base import Turn
from t5coref.linearize.integer_free import IntegerFree
from t5coref.linearize.mentions import Mention
from t5coref.linearize.related import Part, Related
from t5coref.linearize.relations import START
from t5coref.linearize.symbols import COPY, NEW_CLUSTER, OPEN, SHUTS
from t5coref.linearize.windowed import Written


class RelationIntegerFree(Related, IntegerFree):
    """As integer-free; behind the text, relations as symbols of clusters and a type."""

    name = "relation-integer-free"
    symbols = (*IntegerFree.symbols, START)

    def make_rules(self) -> Rules:
        """See `Windows.make_rules`."""
        ids, self.types = self.look_up(), self.kinds.named
        types = self.types_behind(ids)
        cells = [self._adapted(cell, bool(types)) for cell in self.cells(reference=False)]
        cells += [Cell(NUMBER, action, TEXT) for action in types]
        modes = NUMBER + bool(types)
        return self.compile(
            Part(
                ids,
                [Effect.ADVANCE, Effect.OPENS, *[SHUTS] * (len(ids) - NEW_CLUSTER)],
                cells,
                np.full((modes, self.max_clusters + 1), self.max_clusters, np.int32),
            ),
            [(token,) for token in self._clusters],
            Effect(0),
            copy=COPY,
            number_ids=tuple(self._clusters),
        )

    def _adapted(self, cell: Cell, typed: bool) -> Cell:
        """`</s>` is not copied; a closing symbol leads to the type, which its mention has paid."""
        if cell.action == COPY:
            return cell._replace(guard=Guard.MORE)
        if cell.action == OPEN:
            return cell._replace(cost=cell.cost + typed)
        return cell._replace(to=NUMBER) if typed else cell

    def write(self, turn: Turn, closings: list[tuple[Mention, int]]) -> list[Written]:
        """See `Windowed.write`; without relations."""
        *script, end = super().write(turn, closings)
        script.append(end._replace(action=self.tokenizer.eos_id))
        return self.typed(script, closings, {self._new, *self._clusters}, before=False)

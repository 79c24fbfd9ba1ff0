"""integer-free-end: as integer-free, but `</m>` ends a mention before its cluster is chosen.

Zhang, Wiseman, Stratos (EMNLP 2023): `<m> <copy> <copy> </m> </new> <copy> <m> <copy> </m> <c0>`.
"""

from __future__ import annotations

from t5coref.core.rules import NUMBER, TEXT, Cell, Guard
from t5coref.linearize.symbols import LIMIT, ClusterSymbols
from t5coref.linearize.windowed import REFERENCE

CLUSTERS = tuple(f"<c{k}>" for k in range(LIMIT))


class IntegerFreeEnd(ClusterSymbols):
    """As integer-free, with an end tag before the symbol of the cluster."""

    name = "integer-free-end"
    symbols = ("<speaker>", "</speaker>", "<m>", "</m>", "<copy>", "</new>", *CLUSTERS)
    cluster_symbols = CLUSTERS
    end_symbol = "</m>"

    @property
    def choosing(self) -> int:
        """Behind `</m>`."""
        return NUMBER

    def end_cells(self, end: int) -> list[Cell]:
        """`</m>` ends a mention that has text."""
        more = Guard.MORE if self.constraint == REFERENCE else Guard(0)
        return [Cell(TEXT, end, NUMBER, Guard.INSIDE | more)]

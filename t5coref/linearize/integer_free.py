"""integer-free: one closing symbol a mention says its cluster.

Zhang, Wiseman, Stratos (EMNLP 2023): `<m> <copy> <copy> </new> <copy> <m> <copy> </m0>`. A
cluster's first mention is closed by `</new>`; the decoder then reads the symbol `</mK>` of the
cluster that began.
"""

from __future__ import annotations

from t5coref.core.rules import Cell
from t5coref.linearize.symbols import LIMIT, ClusterSymbols

CLOSINGS = tuple(f"</m{k}>" for k in range(LIMIT))


class IntegerFree(ClusterSymbols):
    """As full-copy, but one closing symbol says a mention's cluster."""

    name = "integer-free"
    symbols = ("<speaker>", "</speaker>", "<m>", "<copy>", "</new>", *CLOSINGS)
    cluster_symbols = CLOSINGS

    def end_cells(self, end: int) -> list[Cell]:
        """None: the cluster's symbol ends the mention."""
        del end
        return []

"""What a window is told of clusters that it does not show: a line at its beginning.

`<c0> Anna Karenina <c1> her dog <known> ...`: each is named by its longest mention, so that
mentions of the window can go on with it. Clusters of more mentions come first, of equally many the
ones that were mentioned last.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from t5coref.core.document import Annotation, Span
from t5coref.core.segment import INSERTED, Pieces
from t5coref.linearize.base import Turn

LONGEST = 8
"""Pieces that a name has at most."""


@dataclass(frozen=True, eq=False, kw_only=True)
class KnowingTurn(Turn):
    """A window with a line of known clusters.

    Attributes:
      pieces: of the document.
      known: the mention that names each of the clusters, by their numbers; half-open words.
    """

    pieces: Pieces
    known: tuple[Span, ...] = ()

    @classmethod
    def of(cls, turn: Turn, pieces: Pieces) -> KnowingTurn:
        """A window without a line."""
        return cls(**{f.name: getattr(turn, f.name) for f in fields(Turn)}, pieces=pieces)


def known(turn: Turn) -> tuple[Span, ...]:
    """The mentions that name the clusters of the line, if there is one."""
    return turn.known if isinstance(turn, KnowingTurn) else ()


def with_line(
    turn: KnowingTurn,
    found: Annotation,
    shown: Collection[int],
    symbols: Sequence[int],
    end: int,
    room: int,
) -> KnowingTurn:
    """The window with a line of clusters before it.

    Args:
      turn: the window.
      found: the clusters so far.
      shown: those that the window shows, which the line leaves out.
      symbols: of the clusters' numbers.
      end: the symbol behind the line.
      room: pieces of the line at most.
    """
    left = [cluster for i, cluster in enumerate(found.clusters) if i not in shown]
    line: list[int] = []
    names: list[Span] = []
    for cluster in sorted(left, key=lambda c: (-len(c), -c[-1][1])):
        name = max(cluster, key=lambda span: span[1] - span[0])
        words = turn.pieces.word
        ids = turn.pieces.ids[(words >= name[0]) & (words < name[1])][:LONGEST].tolist()
        if len(line) + len(ids) + 2 > room:
            break
        line += [symbols[len(names)], *ids]
        names.append(name)
    if not names:
        return turn
    line.append(end)
    return replace(
        turn,
        source=np.concatenate([np.asarray(line, np.int32), turn.source]),
        word=np.concatenate([np.full(len(line), INSERTED, np.int32), turn.word]),
        known=tuple(names),
    )

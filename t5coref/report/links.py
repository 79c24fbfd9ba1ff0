"""Where links are lost and where they are wrong: MUC's sums, taken apart by type and distance.

An *anaphor* of one side is a mention with an earlier one in its cluster; the nearest earlier one
is its antecedent there. An anaphor is resolved if the other side has it in one cluster with *some*
earlier mention of its own cluster. Over the key's anaphors, resolved / all is the recall of MUC;
over the response's, its precision: a cluster of n mentions has n - 1 anaphors, and of the m that
two clusters share all but the first are resolved.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from t5coref.core.document import Span
from t5coref.report.english import English, MentionType

DISTANCES = (4, 8, 16, 32, 64, 128, 256, 512)
"""Upper ends of the bins of distance but the last, in words."""


class Outcome(StrEnum):
    """What became of an anaphor on the other side."""

    RESOLVED = "resolved"
    WRONG_LINK = "linked with others"
    FIRST = "first of its cluster"
    WRONG_SPAN = "wrong span"
    ABSENT = "not a mention"


@dataclass(frozen=True, slots=True)
class Link:
    """An anaphor and what became of it.

    Attributes:
      span: the anaphor.
      type: its type.
      distance: words from the beginning of its antecedent to its own.
      outcome: on the other side.
    """

    span: Span
    type: MentionType
    distance: int
    outcome: Outcome


def links(
    own: Sequence[Sequence[Span]],
    other: Sequence[Sequence[Span]],
    misplaced: Collection[Span],
    english: English,
) -> list[Link]:
    """What the other side makes of the anaphors of this one.

    Args:
      own: clusters without shared spans.
      other: likewise.
      misplaced: spans of `own` that stand in `other` with wrong bounds.
      english: types of mentions.
    """
    there = {span: r for r, cluster in enumerate(other) for span in cluster}
    firsts = {min(cluster) for cluster in other}
    out = []
    for cluster in own:
        ordered = sorted(cluster)
        seen = {there.get(ordered[0])}
        for before, span in pairwise(ordered):
            r = there.get(span)
            if r is None:
                outcome = Outcome.WRONG_SPAN if span in misplaced else Outcome.ABSENT
            elif r in seen:
                outcome = Outcome.RESOLVED
            else:
                outcome = Outcome.FIRST if span in firsts else Outcome.WRONG_LINK
            seen.add(r)
            out.append(Link(span, english.type(span), span[0] - before[0], outcome))
    return out


def distance_bin(distance: int) -> int:
    """Which bin a distance falls into, counted from 0."""
    return next((b for b, end in enumerate(DISTANCES) if distance < end), len(DISTANCES))


def bin_names() -> list[str]:
    """The bins in words: `0-3`, `4-7`, ..., `512 and more`."""
    starts = (0, *DISTANCES)
    named = [f"{a}-{b - 1}" for a, b in zip(starts, DISTANCES, strict=False)]
    return [*named, f"{starts[-1]} and more"]

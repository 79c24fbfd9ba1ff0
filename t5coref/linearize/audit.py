"""What is wrong with the outputs of a document, from its stored actions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import NamedTuple, Protocol

from t5coref.core.document import Document, Span
from t5coref.core.segment import merge
from t5coref.core.transcript import Account, Placed, Transcript, account
from t5coref.linearize.base import Actions, Answer, Linearization, Turn, replayed


class Audited(Linearization, Protocol):
    """A format whose outputs have transcripts."""

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """The answer of one turn as it is, without repair; any sequence has a transcript."""
        ...


class Audit(NamedTuple):
    """What came of the outputs of one document.

    Attributes:
      account: what is wrong with them.
      read: the clusters that the format reads.
      aligned: the clusters of the mentions that source alignment can place.
    """

    account: Account
    read: tuple[tuple[Span, ...], ...]
    aligned: tuple[tuple[Span, ...], ...]


def audit(linearization: Audited, doc: Document, actions: Sequence[Actions]) -> Audit:
    """Reads stored outputs of a document, one array a turn, strictly and with source alignment.

    Raises:
      MismatchError: there are more or fewer answers than turns.
    """
    annotation, said = replayed(linearization, doc, actions)
    transcripts = [linearization.transcript(turn, answer) for turn, answer in said]
    accounts, parts, marked = [], [], True
    for transcript in transcripts:
        made, placed = account(transcript)
        accounts.append(made)
        parts.append(_clusters(transcript, placed))
        marked &= transcript.marked
    aligned = annotation.clusters
    if marked:
        aligned = merge(parts, getattr(linearization, "min_mentions", 1)).clusters
    return Audit(reduce(add, accounts, Account()), annotation.clusters, aligned)


def _clusters(transcript: Transcript, placed: Sequence[Placed]) -> list[list[Span]]:
    """Mentions of a window as clusters of half-open word spans; those without a word are none."""
    found: dict[int, list[Span]] = {}
    for mention in placed:
        words = transcript.word[mention.start : mention.end]
        words = words[words >= 0]
        if len(words):
            span = int(words[0]), int(words[-1]) + 1
            found.setdefault(mention.number, []).append(span)
    return [found[number] for number in sorted(found)]

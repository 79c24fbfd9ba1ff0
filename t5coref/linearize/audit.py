"""What is wrong with the outputs of a document, from its stored actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

from t5coref.core.document import Document, Span
from t5coref.core.errors import ConfigError
from t5coref.core.segment import merge
from t5coref.core.transcript import Account, Placed, Transcript, account
from t5coref.linearize.base import Actions, Answer, Linearization, Turn, replayed


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


def audit(
    linearization: Linearization, doc: Document, actions: Sequence[Actions | Sequence[int]]
) -> Audit:
    """Reads stored outputs of a document, one sequence a turn, strictly and with source alignment.

    Args:
      linearization: the format, which has a method `transcript(turn, answer) -> Transcript`.
      doc: as it was when it was predicted.
      actions: of its turns, in order.

    Raises:
      ConfigError: the format keeps no ledger.
      MismatchError: there are more or fewer answers than turns.
    """
    transcribe: Callable[[Turn, Answer], Transcript] | None
    transcribe = getattr(linearization, "transcript", None)
    if transcribe is None:
        raise ConfigError(
            f"the linearization {linearization.name!r} keeps no ledger; expected one with a method "
            "`transcript` (docs/ledger.md)"
        )
    annotation, said = replayed(linearization, doc, actions)
    accounts, parts, marked = [], [], True
    for turn, answer in said:
        transcript = transcribe(turn, answer)
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

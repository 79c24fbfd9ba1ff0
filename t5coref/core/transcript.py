"""What an output says, laid along its source, and what is wrong with it.

A `Transcript` is an output of any format, read without repair: text and pairs of marks. `account`
aligns it with the source, maps its mentions, and counts what is not as it should be. Nothing here
raises because of what an output says.

Notation: S pieces of source text, O pieces of output text; `</s>` belongs to neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from t5coref.core.align import UNALIGNED, common_prefix, source_alignment
from t5coref.core.document import Span

SHARE = 0.8
"""A pair of marks is mapped if so much of what it encloses, in output and source, is the same."""


class Pair(NamedTuple):
    """An opening and a closing mark of an output.

    Attributes:
      start: position in the output's text.
      end: likewise, behind the last piece.
      number: of the cluster; None = none that can be read, or the answer that it is no mention.
      legal: whether the number, or that answer, was one of those that might be given there.
    """

    start: int
    end: int
    number: int | None
    legal: bool


class Placed(NamedTuple):
    """A mention of an output in the source: half-open pieces, and its cluster's number."""

    start: int
    end: int
    number: int


@dataclass(frozen=True, eq=False)
class Transcript:
    """One output as it is.

    Attributes:
      source: `int32[S]` the text that an output has to repeat.
      word: `int32[S]` the document's word of each piece, below 0 for insertions.
      output: `int32[O]` the text that it has.
      pairs: its marks, in the order in which they close.
      given: half-open spans of the source that are to get a number each; None = mentions are found.
      stray: symbols that belong to no pair.
      outside: numbers that might not be given, beside those of pairs.
      unclosed: opening marks without a closing one.
      ended: whether `</s>` came.
      texts: source and output as strings; None = they are equal if the pieces are.
      required: `bool[S]` what an output has to have beside the text of its mentions; None = all.
      places: `int32[O]` where the output lies in the source, UNALIGNED where it does not; None = it
        is to be aligned.
      marked: whether mentions have marks; where they have none, they are what the format reads.
    """

    source: np.ndarray
    word: np.ndarray
    output: np.ndarray
    pairs: tuple[Pair, ...]
    given: tuple[Span, ...] | None = None
    stray: int = 0
    outside: int = 0
    unclosed: int = 0
    ended: bool = True
    texts: tuple[str, str] | None = None
    required: np.ndarray | None = None
    places: np.ndarray | None = None
    marked: bool = True


@dataclass(frozen=True)
class Account:
    """What is right and wrong with the outputs of a document; counts of windows add up.

    Attributes:
      exact: the text is that of the source.
      exact_normalized: it is, once runs of blanks are one blank.
      passed: every mention has its number and nothing else is wrong with the marks; where mentions
        are found and not given, the text is exact, too.
      source: pieces of source text.
      inserted: pieces of output that stand for none of the source, `tail` included.
      deleted: pieces of the source that are missing.
      substituted: pieces that stand in the place of others.
      tail: pieces behind the last one of the source, which are cut off.
      extra_marks: pairs that mark nothing in the source, or what has that number already, or no
        given mention; and symbols that belong to no pair.
      missing_marks: opening marks that are never closed; given mentions without a number.
      outside_ids: numbers that might not be given where they were.
      mentions: given ones; or pairs, closed or not.
      answered: those that got a number that might be given.
      unended: windows without `</s>`.
      unaligned: windows that were given up because aligning them would take too wide a band.
      divergence: the first word at which text differs from the source; None = it does not. The
        number of words where nothing but the end is wrong.
    """

    exact: bool = True
    exact_normalized: bool = True
    passed: bool = True
    source: int = 0
    inserted: int = 0
    deleted: int = 0
    substituted: int = 0
    tail: int = 0
    extra_marks: int = 0
    missing_marks: int = 0
    outside_ids: int = 0
    mentions: int = 0
    answered: int = 0
    unended: int = 0
    unaligned: int = 0
    divergence: int | None = None

    def __add__(self, other: Account) -> Account:
        verdicts = {name: getattr(self, name) and getattr(other, name) for name in VERDICTS}
        counts = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        found = [d for d in (self.divergence, other.divergence) if d is not None]
        return Account(**verdicts, **counts, divergence=min(found, default=None))


VERDICTS: tuple[str, ...] = ("exact", "exact_normalized", "passed")
COUNTS: tuple[str, ...] = (
    "source", "inserted", "deleted", "substituted", "tail", "extra_marks", "missing_marks",
    "outside_ids", "mentions", "answered", "unended", "unaligned",
)  # fmt: skip
"""The numbers among the attributes of `Account`, which add up."""


@dataclass
class _Marks:
    """The marks of an output on their way into the source."""

    placed: list[Placed] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    extra: int = 0
    missing: int = 0
    answered: int = 0


def account(transcript: Transcript) -> tuple[Account, list[Placed]]:
    """What is wrong with an output, and the mentions that can be placed in the source.

    An output whose alignment would take too wide a band is given up: all of it is wrong.
    """
    t = transcript
    places = source_alignment(t.source, t.output) if t.places is None else t.places
    unaligned = places is None
    if places is None:
        places = np.full(len(t.output), UNALIGNED, np.int32)
    there = places != UNALIGNED
    same = np.zeros(len(t.output), bool)
    same[there] = t.source[places[there]] == t.output[there]
    marks = _found(t, places, same) if t.given is None else _answers(t, places, same, t.given)

    wanted = np.ones(len(t.source), bool) if t.required is None else t.required.copy()
    for start, end in marks.spans:
        wanted[start:end] = True
    lacking = wanted.copy()
    lacking[places[there]] = False
    inserted, deleted = int((~there).sum()), int(lacking.sum())
    substituted = int((there & ~same).sum())
    exact = not (inserted or deleted or substituted)
    outside = t.outside + sum(not pair.legal for pair in t.pairs)
    extra = marks.extra + t.stray
    passed = not (extra or marks.missing or outside or unaligned)
    made = Account(
        exact=exact,
        exact_normalized=exact or _alike(t.texts),
        passed=passed and (exact or t.given is not None),
        source=len(t.source),
        inserted=inserted,
        deleted=deleted,
        substituted=substituted,
        tail=_tail(t, places),
        extra_marks=extra,
        missing_marks=marks.missing,
        outside_ids=outside,
        mentions=len(t.pairs) + t.unclosed if t.given is None else len(t.given),
        answered=marks.answered,
        unended=int(not t.ended),
        unaligned=int(unaligned),
        divergence=None if exact else _divergence(t, places, same, lacking),
    )
    return made, marks.placed


def _found(t: Transcript, places: np.ndarray, same: np.ndarray) -> _Marks:
    """The pairs of an output that finds its mentions; one without a place in the source is extra.

    So is one that says of a span what has been said before.
    """
    marks, seen = _Marks(missing=t.unclosed), set()
    for pair in t.pairs:
        span = _place(pair, places, same)
        if span is None or (span, pair.number) in seen:
            marks.extra += 1
            continue
        seen.add((span, pair.number))
        _keep(marks, span, pair)
    return marks


def _answers(
    t: Transcript, places: np.ndarray, same: np.ndarray, given: tuple[Span, ...]
) -> _Marks:
    """The pairs of an output that is given its mentions: each goes to one of equal span."""
    marks, unanswered = _Marks(), list(given)
    for pair in t.pairs:
        span = _place(pair, places, same)
        if span not in unanswered:
            marks.extra += 1
            continue
        unanswered.remove(span)
        _keep(marks, span, pair)
    marks.missing = len(unanswered)
    return marks


def _keep(marks: _Marks, span: Span, pair: Pair) -> None:
    marks.spans.append(span)
    marks.answered += pair.legal
    if pair.number is not None:
        marks.placed.append(Placed(*span, pair.number))


def _place(pair: Pair, places: np.ndarray, same: np.ndarray) -> Span | None:
    """The pieces of the source that a pair encloses, if both of its ends and `SHARE` lie there."""
    if pair.start >= pair.end:
        return None
    start, last = int(places[pair.start]), int(places[pair.end - 1])
    if UNALIGNED in (start, last):
        return None
    enclosed = max(pair.end - pair.start, last + 1 - start)
    alike = int(same[pair.start : pair.end].sum())
    return (start, last + 1) if alike >= SHARE * enclosed else None


def _tail(t: Transcript, places: np.ndarray) -> int:
    """How many pieces of output follow the one that stands for the last piece of the source."""
    if t.required is not None:  # an excerpt has no end of its own
        return 0
    if not len(t.source):
        return len(t.output)
    last = np.flatnonzero(places == len(t.source) - 1)
    return len(t.output) - 1 - int(last[-1]) if len(last) else 0


def _divergence(t: Transcript, places: np.ndarray, same: np.ndarray, lacking: np.ndarray) -> int:
    """The word at which the output first differs from the source."""
    if t.required is None:
        position = common_prefix(t.source, t.output)
    else:
        wrong = np.flatnonzero(~same)
        before = places[: wrong[0]] if len(wrong) else t.source[:0]
        at = [int(before.max(initial=-1)) + 1] if len(wrong) else []
        position = min([*at, *np.flatnonzero(lacking)[:1].tolist()])
    behind = t.word[position:]
    if (behind >= 0).any():
        return int(behind[behind >= 0][0])
    return int(t.word.max(initial=-1)) + 1


def _alike(texts: tuple[str, str] | None) -> bool:
    """Whether two strings are equal once runs of blanks are one blank."""
    return texts is not None and texts[0].split() == texts[1].split()

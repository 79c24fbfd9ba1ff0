"""Nested mentions as one tag a word, and the best tags that are the tags of nested mentions.

A tag says how many mentions open before a word and how many close behind it, the innermost first
(PUSH and POP of a stack: Straka 2023, CorPipe). Tags of words and sets of mentions correspond one
to one: a stack that knows which of its mentions begin together tells whether two of them would be
the same span. So there are no more than 4 D tags for a depth of D, and no tag is ever unknown.

N words, K tags, S states, A arcs, B documents.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from t5coref.core.document import Document, Span
from t5coref.core.errors import ConfigError
from t5coref.linearize.mentions import Mention, nested

NOTHING = 0
"""The tag of a word where nothing opens or closes."""

DEEPEST = 8
"""There are 2^depth states."""


AT_ONCE = 1 << 17
"""Words whose best tags are looked for side by side, padding included: bounds the memory."""


class Tag(NamedTuple):
    """What happens at a word.

    Attributes:
      opens: mentions that begin with it.
      closes: mentions that end with it.
    """

    opens: int
    closes: int


Stack = tuple[int, ...]
"""The open mentions, outermost first: how many begin at one word, at the next one, and so on."""


@functools.cache
def tags(max_depth: int) -> tuple[Tag, ...]:
    """All tags of mentions that are nested at most so deep; the first one is `NOTHING`.

    Raises:
      ConfigError: the depth is out of range.
    """
    if not 1 <= max_depth <= DEEPEST:
        raise ConfigError(f"max_depth is {max_depth}; expected 1 to {DEEPEST}")
    counts = range(max_depth + 1)
    every = itertools.starmap(Tag, itertools.product(counts, counts))
    # Of several mentions that begin with a word, only the innermost can end with it.
    return tuple(tag for tag in every if min(tag.opens, 2) + min(tag.closes, 2) < 4)


def after(stack: Stack, tag: Tag, max_depth: int) -> Stack | None:
    """The stack behind a word; None where its tag is impossible there."""
    groups = [*stack, tag.opens] if tag.opens else list(stack)
    if sum(groups) > max_depth:
        return None
    for left in reversed(range(tag.closes)):
        if not groups:
            return None
        groups[-1] -= 1
        if not groups[-1]:
            groups.pop()
        elif left:  # two that begin together would end together
            return None
    return tuple(groups)


class Tagged(NamedTuple):
    """Mentions as tags.

    Attributes:
      tags: `int32[N]` positions in `tags(max_depth)`.
      kept: the mentions that they stand for.
    """

    tags: np.ndarray
    kept: tuple[Span, ...]


def tagged(spans: Iterable[Span], words: int, max_depth: int) -> Tagged:
    """The tags of a document's words; crossing and too deep mentions are left out.

    Of two crossing mentions the later one goes (order: start ascending, end descending).

    Args:
      spans: half-open words; repeats count once.
      words: N.
      max_depth: mentions that are open at once.
    """
    kept = nested([Mention(start, end, 0) for start, end in set(spans)], max_depth)
    opens, closes = np.zeros(words, int), np.zeros(words, int)
    for mention in kept:
        opens[mention.start] += 1
        closes[mention.end - 1] += 1
    number = {tag: k for k, tag in enumerate(tags(max_depth))}
    found = [number[Tag(*both)] for both in zip(opens.tolist(), closes.tolist(), strict=True)]
    return Tagged(np.asarray(found, np.int32), tuple((m.start, m.end) for m in kept))


def spans_of(found: Iterable[int], max_depth: int) -> list[Span]:
    """The mentions that possible tags stand for, in reading order."""
    inventory = tags(max_depth)
    open_: list[int] = []
    spans = []
    for word, number in enumerate(found):
        tag = inventory[number]
        open_ += [word] * tag.opens
        spans += [(open_.pop(), word + 1) for _ in range(tag.closes)]
    return sorted(spans, key=lambda span: (span[0], -span[1]))


@dataclass(frozen=True, eq=False)
class Arcs:
    """Which stack follows which: one arc for each stack and tag that is possible there.

    Attributes:
      stacks: `[S]`, the empty one first.
      source: `int[A]` the state that an arc leaves.
      tag: `int[A]`.
      first: `int[S]` the first arc that leads to each state; arcs are sorted by where they lead.
      into: `int[I, S]` all arcs that lead to each state, some of them twice.
    """

    stacks: tuple[Stack, ...]
    source: np.ndarray
    tag: np.ndarray
    first: np.ndarray
    into: np.ndarray


@functools.cache
def arcs(max_depth: int) -> Arcs:
    """The arcs of mentions that are nested at most so deep."""
    inventory = tags(max_depth)
    number: dict[Stack, int] = {(): 0}
    known: list[Stack] = [()]
    found = []
    for stack in known:  # grows while it is gone through
        for k, tag in enumerate(inventory):
            behind = after(stack, tag, max_depth)
            if behind is None:
                continue
            if behind not in number:
                number[behind] = len(number)
                known.append(behind)
            found.append((number[behind], number[stack], k))
    target, source, tag_ = np.asarray(sorted(found)).T
    states = np.arange(len(number))
    first, end = np.searchsorted(target, states), np.searchsorted(target, states, "right")
    into = np.minimum(first + np.arange((end - first).max())[:, None], end - 1)
    return Arcs(tuple(number), source, tag_, first, into)


def best_tags(scores: Sequence[np.ndarray], max_depth: int, bias: float = 0.0) -> list[np.ndarray]:
    """The possible tags with the highest sum of scores, for each document: exact (Viterbi).

    Args:
      scores: of each document, float `[N, K]`; -inf = not possible, but `NOTHING` always is.
      max_depth: mentions that are open at once.
      bias: added for each mention: more of them are found with a higher one.

    Returns:
      `int32[N]` each.
    """
    gain = bias * np.asarray([tag.opens for tag in tags(max_depth)])
    found: list[np.ndarray] = [np.zeros(0, np.int32)] * len(scores)
    order = sorted(range(len(scores)), key=lambda i: -len(scores[i]))
    while order:
        count = max(1, AT_ONCE // max(len(scores[order[0]]), 1))
        members, order = order[:count], order[count:]
        chosen = _best_of_some([scores[i] + gain for i in members], arcs(max_depth))
        for i, of_document in zip(members, chosen, strict=True):
            found[i] = of_document
    return found


def best_in_sentences(
    documents: Sequence[Document],
    scores: Sequence[np.ndarray],
    max_depth: int,
    bias: float = 0.0,
) -> list[np.ndarray]:
    """As `best_tags`, without mentions that go on behind the end of their sentence.

    LitBank and GUM have none.
    """
    ends = [sorted({end for _, end in d.sentences} - {len(d.words)}) for d in documents]
    parts = [np.split(of_one, cuts) for of_one, cuts in zip(scores, ends, strict=True)]
    found = iter(best_tags([part for of_one in parts for part in of_one], max_depth, bias))
    return [np.concatenate([next(found) for _ in of_one]) for of_one in parts]


def _best_of_some(scores: Sequence[np.ndarray], table: Arcs) -> list[np.ndarray]:
    """The tags of documents side by side, the longest one first."""
    length, columns = len(scores[0]), np.arange(len(scores))
    padded = np.full((length, scores[0].shape[1], len(scores)), -np.inf)
    padded[:, NOTHING] = 0.0
    for i, of_document in enumerate(scores):
        padded[: len(of_document), :, i] = of_document
    best = np.full((length + 1, len(table.stacks), len(scores)), -np.inf)
    best[0, 0] = 0.0
    for n in range(length):
        reached = best[n][table.source] + padded[n][table.tag]
        np.maximum.reduceat(reached, table.first, axis=0, out=best[n + 1])
    found = np.zeros((length, len(scores)), np.int32)
    state = np.zeros(len(scores), int)  # no mention is open at the end
    for n in reversed(range(length)):
        reach = table.into[:, state]
        reached = best[n][table.source[reach], columns] + padded[n][table.tag[reach], columns]
        arc = reach[reached.argmax(axis=0), columns]
        found[n], state = table.tag[arc], table.source[arc]
    return [found[: len(of_document), i] for i, of_document in enumerate(scores)]

"""Which words of a sequence are masked, and how: pure functions of words and a random generator.

Budgets and the choice of mentions follow Ye et al. 2020 (CorefBERT, section 3 and its data script).
There are two ways to mask: `sentinel_span`, in which a decoder writes what is missing as T5's does,
and `inplace`, in which the encoder keeps the length, as BERT's does.
"""

from __future__ import annotations

import bisect
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from t5coref.mrp.pieces import Ids, Words
from t5coref.mrp.rows import NOT_MASKED, MRPRow
from t5coref.tokenizer import SENTINELS

SHORTEST = 62
"""Pieces; what is shorter is left out."""

SHORT_SHARE, SHORT_FROM = 0.1, 64
"""So many sequences are of a random length, from so many pieces on."""

MASKED_SHARE, MENTION_SHARE, MOST_MENTION_PIECES = 0.15, 0.2, 15

MOST_REFERENTS = 32

MEAN_SPAN = 3.0
"""Pieces of a span that is no mention (Raffel et al. 2020)."""

MASK, RANDOM = 0.8, 0.1
"""Of the pieces that are masked in place; the others stay what they are."""


@dataclass(frozen=True)
class Sample:
    """A masked sequence and what was masked.

    Attributes:
      row: the example.
      words: of the sequence.
      pieces: of the sequence, without `</s>`.
      masked: pieces.
      mentions: pieces of them that belong to masked mentions.
      cut_referents: referents beyond the most that a row may have.
    """

    row: MRPRow
    words: int
    pieces: int
    masked: int
    mentions: int
    cut_referents: int


Sampler = Callable[[Words, random.Random, Ids], Sample]


def sequences(words: Words, rng: random.Random, length: int) -> Iterator[Words]:
    """Cuts a text into sequences of whole words that fill `length` with `</s>`.

    One in ten is given less room. What stays shorter than `SHORTEST` is left out, and so is a word
    that fits into no sequence.
    """
    most, first, starts = length - 1, 0, words.starts
    while first < len(words):
        room = rng.randint(SHORT_FROM, most) if rng.random() < SHORT_SHARE else most
        end = bisect.bisect_right(starts, starts[first] + room) - 1
        if starts[end] - starts[first] >= SHORTEST:
            yield words.part(first, end)
        if end > first:
            first = end
        elif starts[first + 1] - starts[first] > most:
            first += 1


def budgets(length: int) -> tuple[int, int]:
    """Pieces to mask in a sequence of so many, and how many of them in mentions at most."""
    masked = max(1, round(MASKED_SHARE * length))
    return masked, min(MOST_MENTION_PIECES, max(1, round(MENTION_SHARE * masked)))


def choose_mentions(
    words: Words, most: int, rng: random.Random, *, apart: bool
) -> dict[int, list[int]]:
    """Mentions to mask, at most one of a group, and the other mentions of its group.

    Args:
      words: a sequence.
      most: pieces that they may have together.
      rng: where the choice comes from.
      apart: no two of them may be neighbors.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for i, key in enumerate(words.nouns):
        if key is not None:
            groups[key].append(i)
    usable = [members for members in groups.values() if len(members) > 1]
    rng.shuffle(usable)
    chosen: dict[int, list[int]] = {}
    for members in usable:
        if not most:
            break
        word = rng.choice(members)
        size = words.starts[word + 1] - words.starts[word]
        if size > most or (apart and (word - 1 in chosen or word + 1 in chosen)):
            continue
        chosen[word] = [i for i in members if i != word]
        most -= size
    return chosen


def sentinel_span(words: Words, rng: random.Random, ids: Ids) -> Sample:
    """Masked mentions and other spans become sentinels; the decoder writes what they stand for.

    Spans are whole words, of three pieces on average; none touches another, covers a referent, or
    has a piece that is unknown.
    """
    starts, pieces = words.starts, words.pieces
    budget, most = budgets(len(pieces) + 1)
    chosen = choose_mentions(words, most, rng, apart=True)
    spans = {word: word + 1 for word in chosen}
    mentions = _pieces_in(words, spans)
    spans |= _other_spans(words, chosen, budget - mentions, rng)
    inputs: list[int] = []
    targets: list[int] = []
    begins = sorted(spans)
    shifts = [0]  # of what stands behind so many spans
    seen = 0
    for number, begin in enumerate(begins):
        start, end = starts[begin], starts[spans[begin]]
        inputs += pieces[seen:start]
        inputs.append(ids.sentinel(number))
        targets.append(ids.sentinel(number))
        targets += pieces[start:end]
        shifts.append(shifts[-1] + 1 - (end - start))
        seen = end
    inputs += (*pieces[seen:], ids.eos)
    targets += (ids.sentinel(len(begins)), ids.eos)

    def place(word: int) -> tuple[int, int]:
        shift = shifts[bisect.bisect_left(begins, word)]
        if word in chosen:
            return starts[word] + shift, starts[word] + shift
        return starts[word] + shift, starts[word + 1] - 1 + shift

    row, cut = _row(words, inputs, targets, chosen, place)
    return Sample(row, len(words), len(pieces), _pieces_in(words, spans), mentions, cut)


def inplace(
    words: Words, rng: random.Random, ids: Ids, *, keep_masked_referents: bool = False
) -> Sample:
    """Masked pieces become one sentinel, another piece, or stay; every other piece stays.

    Whole words are masked until the budget is used. Referents may be masked like any word; they
    are then no referents, and a mention without any is none.

    Args:
      words: a sequence.
      rng: where the choice comes from.
      ids: of the vocabulary.
      keep_masked_referents: masked referents stay referents, as in the published code.
    """
    starts, pieces = words.starts, words.pieces
    left, most = budgets(len(pieces) + 1)
    chosen = choose_mentions(words, most, rng, apart=False)
    masked = {word: word + 1 for word in chosen}
    mentions = _pieces_in(words, masked)
    left -= mentions
    for word in rng.sample(range(len(words)), len(words)):
        size = starts[word + 1] - starts[word]
        if size <= left and words.maskable[word] and word not in masked:
            masked[word] = word + 1
            left -= size
            if not left:
                break
    inputs = [*pieces, ids.eos]
    targets = [NOT_MASKED] * len(inputs)
    for word in sorted(masked):
        for i in range(starts[word], starts[word + 1]):
            targets[i] = pieces[i]
            draw = rng.random()
            if draw < MASK:
                inputs[i] = ids.mask
            elif draw < MASK + RANDOM:
                inputs[i] = rng.choice(ids.pieces)
    if not keep_masked_referents:
        chosen = {word: [r for r in others if r not in masked] for word, others in chosen.items()}
        chosen = {word: others for word, others in chosen.items() if others}
    row, cut = _row(words, inputs, targets, chosen, lambda w: (starts[w], starts[w + 1] - 1))
    return Sample(row, len(words), len(pieces), _pieces_in(words, masked), mentions, cut)


SAMPLERS: Mapping[str, Sampler] = {"sentinel_span": sentinel_span, "inplace": inplace}
"""The ways to mask, by name."""


def _other_spans(
    words: Words, chosen: Mapping[int, Sequence[int]], left: int, rng: random.Random
) -> dict[int, int]:
    """Spans that are no mentions, first word to the word behind, of `left` pieces or a few less."""
    free = list(words.maskable)

    def block(first: int, end: int) -> None:
        for word in range(max(first, 0), min(end, len(free))):
            free[word] = False

    for word, others in chosen.items():
        block(word - 1, word + 2)
        for other in others:
            free[other] = False
    spans: dict[int, int] = {}
    most = SENTINELS - 1 - len(chosen)  # the last sentinel ends the target
    for first in rng.sample(range(len(words)), len(words)):
        if not left or len(spans) == most:
            break
        aim = min(_geometric(rng), left)
        end = first
        while end < len(words) and free[end]:
            size = words.starts[end] - words.starts[first]
            longer = words.starts[end + 1] - words.starts[first]
            # As near to the aim as whole words allow.
            if longer > left or (end > first and longer - aim > aim - size):
                break
            end += 1
        if end > first:
            spans[first] = end
            left -= words.starts[end] - words.starts[first]
            block(first - 1, end + 1)
    return spans


def _geometric(rng: random.Random) -> int:
    """A length from 1 on, `MEAN_SPAN` on average."""
    return 1 + int(math.log(1.0 - rng.random()) / math.log(1.0 - 1.0 / MEAN_SPAN))


def _pieces_in(words: Words, spans: Mapping[int, int]) -> int:
    return sum(words.starts[end] - words.starts[first] for first, end in spans.items())


def _row(
    words: Words,
    inputs: Sequence[int],
    targets: Sequence[int],
    chosen: Mapping[int, Sequence[int]],
    place: Callable[[int], tuple[int, int]],
) -> tuple[MRPRow, int]:
    """The example, and how many referents are too many: the nearest ones are kept."""
    queries = sorted(chosen)
    kept = [
        sorted(sorted(chosen[q], key=lambda other, q=q: abs(other - q))[:MOST_REFERENTS])
        for q in queries
    ]
    width = max(map(len, kept), default=0)
    referents = np.zeros((2, len(queries), width), np.int32)
    there = np.zeros((len(queries), width), bool)
    for k, others in enumerate(kept):
        there[k, : len(others)] = True
        referents[:, k, : len(others)] = np.transpose([place(other) for other in others])
    bounds = np.array([place(q) for q in queries], np.int32).reshape(-1, 2)
    single = [words.starts[q + 1] - words.starts[q] == 1 for q in queries]
    row = MRPRow(
        name=words.name,
        inputs=np.array(inputs, np.int32),
        targets=np.array(targets, np.int32),
        query_start=bounds[:, 0],
        query_end=bounds[:, 1],
        query_single=np.array(single, bool),
        ref_start=referents[0],
        ref_end=referents[1],
        ref_mask=there,
    )
    return row, sum(map(len, chosen.values())) - sum(map(len, kept))

"""Texts in chunks for heads that choose spans, and their logits back to answers.

Ye et al. 2020 (CorefBERT), its released code for QUOREF and MRQA; BERT's for SQuAD. A chunk reads
`question: ... context: ...`; its first piece takes the place of BERT's `[CLS]`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from t5coref.core.errors import ConfigError
from t5coref.downstream.text import TextExample
from t5coref.tokenizer import Tokenizer

_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Chunking:
    """How long texts are divided.

    Attributes:
      max_length: pieces of a chunk, question and `</s>` included.
      max_question: pieces of a question; what is behind them is cut.
      stride: the next chunk begins so many pieces later, or behind the next full stop from there.
    """

    max_length: int = 512
    max_question: int = 64
    stride: int = 128

    def __post_init__(self) -> None:
        if self.stride < 1 or self.max_length <= self.max_question + 8:
            raise ConfigError(f"{self}; expected a stride from 1 on, and room for a text")


@dataclass(frozen=True, eq=False)
class Chunk:
    """A question with a part of its text.

    Attributes:
      name: of the question, for messages.
      ids: int32[T] pieces, `</s>` included.
      first: the position in `ids` of the part's first piece.
      places: int32[n, 2], half-open character spans of the part's n pieces in the text.
      central: bool[n], whether no other chunk has more text around a piece ("max context").
      answers: int32[A, 2], first and last position in `ids` of the gold answers inside the part.
    """

    name: str
    ids: np.ndarray
    first: int
    places: np.ndarray
    central: np.ndarray
    answers: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


class Logits(NamedTuple):
    """Of one chunk, on the host: `start`, `end` `[T]` and, perhaps, `count` `[3]`."""

    start: np.ndarray
    end: np.ndarray
    count: np.ndarray | None = None


def chunks(example: TextExample, tokenizer: Tokenizer, chunking: Chunking) -> list[Chunk]:
    """The chunks of a question (`t5coref.downstream.questions`) over its whole text, in order."""
    question = tokenizer.encode(example.data["question"])[: chunking.max_question]
    before = [*tokenizer.encode("question:"), *question, *tokenizer.encode("context:")]
    ids, places = pieces_of(tokenizer, example.data["context"])
    answers = [_pieces_at(places, span) for span in example.data["answers"]]
    room = chunking.max_length - len(before) - 1
    stops = [tokenizer.piece(piece) in (".", "▁.") for piece in ids]
    starts = _starts(len(ids), room, chunking.stride, stops)
    sizes = [min(room, len(ids) - start) for start in starts]
    central = _central(starts, sizes, len(ids))
    made = []
    for number, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        end, offset = start + size, len(before) - start
        inside = [
            (first + offset, last + offset)
            for first, last in answers
            if start <= first and last < end
        ]
        made.append(
            Chunk(
                name=example.name,
                ids=np.asarray([*before, *ids[start:end], tokenizer.eos_id], np.int32),
                first=len(before),
                places=places[start:end],
                central=central[start:end] == number,
                answers=np.asarray(inside, np.int32).reshape(-1, 2),
            )
        )
    return made


def pieces_of(tokenizer: Tokenizer, context: str) -> tuple[list[int], np.ndarray]:
    """The pieces of a text and their half-open character spans, `[n, 2]`.

    Where SentencePiece writes a word in other characters than the text has, or cannot, all pieces
    of the word have the span of the word.
    """
    ids: list[int] = []
    places: list[tuple[int, int]] = []
    for word in _WORD.finditer(context):
        pieces = tokenizer.encode(word[0])
        spelt = [tokenizer.piece(piece).replace("▁", "") for piece in pieces]
        ids += pieces
        if "".join(spelt) != word[0]:
            places += [word.span()] * len(pieces)
            continue
        at = word.start()
        for letters in spelt:
            places.append((at, at + len(letters)))
            at += len(letters)
    return ids, np.asarray(places, np.int32).reshape(-1, 2)


def answers(
    context: str,
    found: Sequence[tuple[Chunk, Logits]],
    *,
    n_best: int = 20,
    max_pieces: int = 30,
    may_be_empty: bool = False,
) -> list[str]:
    """The texts of the best spans of a question's chunks, the best first.

    There are two answers if any chunk says so (`count`: two is likelier than one), else one.
    Candidates are the pairs of the `n_best` likeliest first and last pieces of each chunk, within
    the text, where the chunk is central to the first. They are taken by the sum of their logits;
    one that overlaps a chosen one is left out, and so is one whose text contains the other's.

    Args:
      context: the text.
      found: the chunks and what was said of each.
      n_best: see above.
      max_pieces: longest span.
      may_be_empty: there may be no answer (SQuAD 2.0): there is none if the first piece of each
        chunk has a higher sum than the best span.
    """
    candidates: list[tuple[float, int, int]] = []
    for chunk, logits in found:
        for start in _likeliest(logits.start[: len(chunk)], n_best):
            for end in _likeliest(logits.end[: len(chunk)], n_best):
                left, right = start - chunk.first, end - chunk.first
                behind = min(len(chunk.places), left + max_pieces)
                if 0 <= left <= right < behind and chunk.central[left]:
                    score = float(logits.start[start]) + float(logits.end[end])
                    place = int(chunk.places[left, 0]), int(chunk.places[right, 1])
                    candidates.append((score, *place))
    candidates.sort(key=lambda candidate: -candidate[0])  # stable: ties in the order of the text
    if may_be_empty and found:
        nothing = min(float(logits.start[0]) + float(logits.end[0]) for _, logits in found)
        if not candidates or nothing > candidates[0][0]:
            return []
    counts = [logits.count for _, logits in found if logits.count is not None]
    wanted = 2 if any(count[2] > count[1] for count in counts) else 1
    chosen: list[tuple[int, int]] = []
    for _, start, end in candidates:
        if len(chosen) == wanted:
            break
        if not any(_alike(context, (start, end), other) for other in chosen):
            chosen.append((start, end))
    return [context[start:end] for start, end in chosen]


def _alike(context: str, one: tuple[int, int], other: tuple[int, int]) -> bool:
    text, another = context[slice(*one)], context[slice(*other)]
    overlap = max(one[0], other[0]) < min(one[1], other[1])
    return overlap or text in another or another in text


def _likeliest(logits: np.ndarray, count: int) -> list[int]:
    return np.argsort(-logits, kind="stable")[:count].tolist()


def _starts(length: int, room: int, stride: int, stops: Sequence[bool]) -> list[int]:
    """Where chunks begin: behind a full stop if there is one before the last chunk ends.

    The released code goes on to the end of the text for a full stop, and loses what it passes over.
    """
    starts = [0]
    while starts[-1] + room < length:
        last = starts[-1]
        begin = last + min(room, stride)
        behind = next((i for i in range(begin, last + room + 1) if stops[i - 1]), begin)
        starts.append(behind)
    return starts


def _central(starts: Sequence[int], sizes: Sequence[int], length: int) -> np.ndarray:
    """int32[length]: which chunk has the most text around a piece, on its shorter side.

    Longer chunks win by a hundredth of their length, as in BERT's code; the first of equals wins.
    """
    best = np.full(length, -np.inf)
    chunk = np.zeros(length, np.int32)
    for number, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        place = np.arange(size)
        around = np.minimum(place, size - 1 - place) + 0.01 * size
        part = slice(start, start + size)
        better = around > best[part]
        best[part] = np.where(better, around, best[part])
        chunk[part] = np.where(better, number, chunk[part])
    return chunk


def _pieces_at(places: np.ndarray, span: Sequence[int]) -> tuple[int, int]:
    """The first and the last piece that a character span touches."""
    touched = np.flatnonzero((places[:, 1] > span[0]) & (places[:, 0] < span[1]))
    # A span of blanks touches nothing: it is in no chunk.
    return (int(touched[0]), int(touched[-1])) if len(touched) else (-1, -1)

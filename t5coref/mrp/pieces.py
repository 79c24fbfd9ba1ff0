"""Tagged words as SentencePiece pieces of the text that they stand in."""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from t5coref.mrp.nouns import TaggedText, noun_key
from t5coref.tokenizer import SENTINELS, Tokenizer

_WORD_MARK = "▁"
_CACHED = 1 << 17  # words of the text; those of a novel are a tenth of it


@dataclass(frozen=True)
class Words:
    """A stretch of text as pieces, and the words that they make up.

    Attributes:
      name: of the text.
      pieces: `[N]` ids.
      starts: `[W + 1]` where each word begins in `pieces`, and where the last one ends.
      nouns: `[W]` the key of the group that a noun is in; None for other words.
      maskable: `[W]` whether the pieces say what the word was: not where one is unknown.
    """

    name: str
    pieces: Sequence[int]
    starts: Sequence[int]
    nouns: Sequence[str | None]
    maskable: Sequence[bool]

    def __len__(self) -> int:
        return len(self.nouns)

    def part(self, first: int, end: int) -> Words:
        """Words from `first` to before `end`."""
        begin = self.starts[first]
        return Words(
            self.name,
            self.pieces[begin : self.starts[end]],
            [start - begin for start in self.starts[first : end + 1]],
            self.nouns[first:end],
            self.maskable[first:end],
        )


@dataclass(frozen=True)
class Ids:
    """The ids of a vocabulary that masking writes.

    Attributes:
      eos: `</s>`.
      first_sentinel: `<extra_id_0>`; the others count down from it.
      pieces: the ids of pieces that are no special symbols.
    """

    eos: int
    first_sentinel: int
    pieces: range

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Ids:
        """Those of a tokenizer."""
        end = tokenizer.size - len(tokenizer.symbols) - SENTINELS
        lowest = max(tokenizer.pad_id, tokenizer.eos_id, tokenizer.unk_id) + 1
        return cls(tokenizer.eos_id, end + SENTINELS - 1, range(lowest, end))

    def sentinel(self, number: int) -> int:
        """`<extra_id_{number}>`."""
        return self.first_sentinel - number

    @property
    def mask(self) -> int:
        """`<extra_id_99>`, for masking that keeps the length."""
        return self.sentinel(SENTINELS - 1)


class Speller:
    """Spells texts with a tokenizer.

    A T5 vocabulary has no piece across a blank, so that what stands between two blanks is spelled
    once and remembered. Tagged words in it that a piece goes across become one word, no noun.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._spelled = functools.lru_cache(_CACHED)(self._spell)

    def words(self, text: TaggedText) -> Words:
        """The pieces of a text; words that the vocabulary normalizes away are left out."""
        pieces: list[int] = []
        starts = [0]
        nouns: list[str | None] = []
        maskable: list[bool] = []
        glued = set(text.glued)
        bounds = [i for i in range(len(text.words)) if i == 0 or i not in glued]
        for first, end in itertools.pairwise([*bounds, len(text.words)]):
            for ids, known, member in self._spelled(tuple(text.words[first:end])):
                pieces += ids
                starts.append(len(pieces))
                i = first + member
                noun = member >= 0 and known
                nouns.append(noun_key(text.words[i], text.tags[i]) if noun else None)
                maskable.append(known)
        return Words(text.name, pieces, starts, nouns, maskable)

    def _spell(self, words: tuple[str, ...]) -> list[tuple[list[int], bool, int]]:
        """Pieces, whether they are all known, and which word they are, -1 where they are several.

        Pieces are counted against the words in compatibility form, which the vocabulary normalizes
        to; where that does not add up, nothing is known about words inside.
        """
        ids = self._tokenizer.encode("".join(words))
        if not ids:
            return []
        known = self._tokenizer.unk_id not in ids
        if len(words) == 1:
            return [(ids, known, 0)]
        widths = [len(self._tokenizer.piece(i).removeprefix(_WORD_MARK)) for i in ids]
        lengths = [len(unicodedata.normalize("NFKC", word)) for word in words]
        if not known or sum(widths) != sum(lengths):
            return [(ids, known, -1)]
        ends = {end: i + 1 for i, end in enumerate(itertools.accumulate(widths))}
        found: list[tuple[list[int], bool, int]] = []
        begin = first = 0
        for i, end in enumerate(itertools.accumulate(lengths)):
            if (place := ends.get(end)) is not None:
                found.append((ids[begin:place], True, i if first == i else -1))
                begin, first = place, i + 1
        return found

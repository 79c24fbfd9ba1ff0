"""Problems in blocks of five lines: DPR (Rahman and Ng 2012), WSC273, PDP60 and WikiCREM.

    The bee landed on the flower because it had pollen.
    it
    The bee,the flower
    the flower
    <blank>

The second line is the pronoun, or `[MASK]` where the text has that instead of it. The files do not
say which of several like pronouns is meant; it is the first one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from t5coref.core.errors import FormatError, T5CorefError
from t5coref.corpora.files import PathLike, display_name, lines, stem
from t5coref.downstream.pronouns.example import (
    MASK,
    Candidate,
    PronounExample,
    find_pronoun,
    gender_of,
    is_possessive,
)
from t5coref.downstream.text import Mistakes

_BEFORE_MASK = re.compile(r"\s{2,}(?=\[MASK\])")
_AFTER_MASK = re.compile(r"(?<=\[MASK\])\s+(?=[.,;:!?]|'s\b)")
_BLANKS_AFTER_MASK = re.compile(r"(?<=\[MASK\])\s{2,}")


def read(path: PathLike, mistakes: Mistakes | None = None) -> Iterator[PronounExample]:
    """Reads a file block by block; a block ends at a blank line.

    Blanks that the masking left around `[MASK]` are made one, or none before a full stop. A block
    that is malformed, or has no such pronoun in its text, is an error, see `Mistakes`.

    Raises:
      FormatError: something is wrong and nobody collects it.
    """
    for index, (number, block) in enumerate(_blocks(path), start=1):
        name = f"{stem(path)}-{index}"
        try:
            example = _example(name, block)
        except T5CorefError as error:
            Mistakes.report(mistakes, f"{display_name(path)}:{number}: {error}")
        else:
            yield example


def _blocks(path: PathLike) -> Iterator[tuple[int, list[str]]]:
    """The lines of each block, and the number of its first one."""
    block: list[str] = []
    first = 0
    for number, line in lines(path):
        if line.strip():
            first = first if block else number
            block.append(line.strip())
        elif block:
            yield first, block
            block = []
    if block:
        yield first, block


def _example(name: str, block: list[str]) -> PronounExample:
    if len(block) != 4:
        raise FormatError(
            f"problem {name!r} has {len(block)} lines; expected text, pronoun, candidates joined "
            "by commas, the right one, and a blank line"
        )
    given, pronoun, listed, right = block
    spaced = f" {pronoun} " in given
    text = given
    if pronoun == MASK:
        text = _AFTER_MASK.sub("", _BEFORE_MASK.sub(" ", given))
        text = _BLANKS_AFTER_MASK.sub(" ", text)
    span = find_pronoun(name, text, pronoun)
    named = [part.strip() for part in listed.split(",")]
    candidates = _candidates(name, named, right)
    groups: Mapping[str, str] = {} if pronoun == MASK else {"gender": gender_of(pronoun)}
    return PronounExample(
        name,
        text,
        span,
        candidates,
        possessive=is_possessive(text, span),
        spaced=spaced,
        groups=groups,
    )


def _candidates(name: str, named: list[str], right: str) -> tuple[Candidate, ...]:
    """Those of a list, the right one marked; case does not matter."""
    true = [text.casefold() == right.casefold() for text in named]
    if len(named) < 2 or sum(true) != 1:
        raise FormatError(
            f"problem {name!r} has the candidates {named} and the answer {right!r}; expected at "
            "least two, one of them the answer"
        )
    return tuple(Candidate(text, None, t) for text, t in zip(named, true, strict=True))

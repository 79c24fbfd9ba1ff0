"""A text with one ambiguous pronoun and the names that it may stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from t5coref.core.errors import DocumentError
from t5coref.downstream.text import TextExample

MASK = "[MASK]"
"""What some files have where a pronoun was."""

SENTINEL, CLOSE = "<extra_id_0>", "<extra_id_1>"
"""T5's marks of a gap and of what follows its filling (Raffel et al. 2020, section 3.1.4)."""

FEMININE = frozenset({"she", "her", "hers", "herself"})
MASCULINE = frozenset({"he", "his", "him", "himself"})
_POSSESSIVE = frozenset({
    "his", "its", "their", "hers", "theirs", "my", "your", "our", "mine", "yours", "ours", "whose",
})  # fmt: skip
_DETERMINERS = frozenset({
    "the", "a", "an", "this", "that", "these", "those", "my", "your", "his", "her", "its", "our",
    "their", "some", "any", "all", "both", "each", "every", "no", "one", "two", "three", "many",
    "several", "another", "someone", "everyone",
})  # fmt: skip
# Words that may follow the object "her", but not the "her" of a noun.
_AFTER_OBJECT = frozenset({
    "a", "about", "after", "again", "against", "all", "along", "also", "an", "and", "any", "around",
    "as", "at", "away", "back", "because", "before", "but", "by", "down", "during", "every", "for",
    "from", "how", "if", "in", "into", "is", "it", "like", "near", "not", "of", "off", "on", "or",
    "out", "over", "s", "she", "since", "so", "some", "than", "that", "the", "then", "there",
    "this", "through", "to", "too", "under", "until", "up", "upon", "was", "well", "were", "what",
    "when", "where", "which", "while", "who", "whom", "with", "within", "without",
})  # fmt: skip
_NEXT_WORD = re.compile(r"\s+([^\W\d_]+)|\s+[\"“'‘]?\w")
_SENTENCE_END = re.compile(r"(?:^|[.!?:]|\n)[\s\"“”'‘’()\[\]]*$")


@dataclass(frozen=True)
class Candidate:
    """One of the names.

    Attributes:
      text: as the file writes it.
      span: half-open character offsets, where the file has them.
      true: whether the pronoun stands for it.
    """

    text: str
    span: tuple[int, int] | None = None
    true: bool = False


@dataclass(frozen=True)
class PronounExample:
    """One question: which candidates does the pronoun stand for?

    Attributes:
      name: unique in its file.
      text: the snippet.
      span: the pronoun's half-open character offsets; the text there may be `[MASK]`.
      candidates: in the order of the file.
      possessive: whether a candidate in the pronoun's place needs "'s".
      spaced: whether blanks are on both sides of the pronoun in the file; published scorers replace
        no other pronoun (docs/pronouns.md).
      groups: what scores are broken down by: `gender`, `stereotype`, `answer`, ...

    Raises:
      DocumentError: offsets and texts disagree; the message names the example.
    """

    name: str
    text: str
    span: tuple[int, int]
    candidates: tuple[Candidate, ...]
    possessive: bool = False
    spaced: bool = True
    groups: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        start, end = self.span
        if not 0 <= start < end <= len(self.text):
            raise DocumentError(
                f"example {self.name!r}: the pronoun is at {self.span} of a text of "
                f"{len(self.text)} characters; expected half-open offsets inside of it"
            )
        if "<extra_id_" in self.text:
            raise DocumentError(
                f"example {self.name!r}: the text has one of T5's sentinels; expected plain text"
            )
        for candidate in self.candidates:
            if not candidate.text.strip():
                raise DocumentError(f"example {self.name!r}: a candidate is empty; expected a name")
            if candidate.span is None:
                continue
            found = self.text[slice(*candidate.span)]
            if found != candidate.text:
                raise DocumentError(
                    f"example {self.name!r}: offsets {candidate.span} are those of {found!r}; "
                    f"expected {candidate.text!r}"
                )

    @property
    def pronoun(self) -> str:
        """The pronoun, or `[MASK]` where the file does not say it."""
        return self.text[slice(*self.span)]

    @property
    def true(self) -> tuple[int, ...]:
        """Which candidates the pronoun stands for."""
        return tuple(i for i, c in enumerate(self.candidates) if c.true)

    def at_start(self) -> bool:
        """Whether the pronoun begins a sentence; one that is masked does after a full stop."""
        if self.pronoun != MASK:
            return self.pronoun[0].isupper() and self.pronoun != "I"
        return _SENTENCE_END.search(self.text[: self.span[0]]) is not None


def pronoun_span(name: str, text: str, pronoun: str, start: int) -> tuple[int, int]:
    """Offsets of a pronoun that the file has both as text and as a place.

    Raises:
      DocumentError: the text there is another one.
    """
    found = text[start : start + len(pronoun)] if start >= 0 else ""
    if not pronoun or found != pronoun:
        raise DocumentError(
            f"example {name!r}: the pronoun at offset {start} is {found!r}; expected {pronoun!r}"
        )
    return start, start + len(pronoun)


def find_pronoun(name: str, text: str, pronoun: str) -> tuple[int, int]:
    """Offsets of the first place where a word or `[MASK]` stands by itself, in the same case.

    Raises:
      DocumentError: there is none.
    """
    mark = re.search(rf"(?<!\w){re.escape(pronoun)}(?!\w)", text) if pronoun else None
    if mark is None:
        raise DocumentError(
            f"example {name!r}: there is no {pronoun!r} in {text!r}; expected the pronoun as a "
            "word of its own"
        )
    return mark.span()


def is_possessive(text: str, span: tuple[int, int]) -> bool:
    """Whether a pronoun is one of a noun ("his hat"), so that a name there needs "'s".

    Only "her" depends on what follows: it is the object where a full stop, a comma or one of the
    words follows that cannot begin a noun phrase after a possessive.
    """
    pronoun = text[slice(*span)].lower()
    if pronoun != "her":
        return pronoun in _POSSESSIVE
    following = _NEXT_WORD.match(text, span[1])
    return following is not None and (following[1] or "").lower() not in _AFTER_OBJECT


def gender_of(pronoun: str) -> str:
    """`feminine`, `masculine` or `neutral`."""
    word = pronoun.lower()
    return "feminine" if word in FEMININE else "masculine" if word in MASCULINE else "neutral"


def cloze_input(example: PronounExample) -> str:
    """The text with T5's first sentinel in the pronoun's place."""
    start, end = example.span
    return example.text[:start] + SENTINEL + example.text[end:]


def fillings(example: PronounExample) -> tuple[str, ...]:
    """How each candidate is written in the pronoun's place.

    At the start of a sentence its first letter is a capital, elsewhere its article is not; "'s" is
    added for a possessive pronoun. Names stay as they are.
    """
    start = example.at_start()
    filled = (_cased(" ".join(c.text.split()), start) for c in example.candidates)
    return tuple(f"{text}'s" if example.possessive else text for text in filled)


def _cased(text: str, start: bool) -> str:
    if start:
        return text[0].upper() + text[1:]
    first = text.split()[0]
    return first.lower() + text[len(first) :] if first.lower() in _DETERMINERS else text


def cloze_text(example: PronounExample) -> TextExample:
    """The gap as a text-to-text task: `<extra_id_0> the name <extra_id_1>` is to be written.

    Where the pronoun stands for no candidate, there is nothing to write.
    """
    filled = fillings(example)
    right = [filled[i] for i in example.true]
    return TextExample(
        name=example.name,
        inputs=cloze_input(example),
        targets=f"{SENTINEL} {right[0]} {CLOSE}" if right else "",
        references=tuple(right),
        data=_data(example, filled),
    )


MARK = "*"
NEITHER = "neither"


def marked_text(example: PronounExample, prefix: str = "pronoun") -> TextExample:
    """The question as T5 was taught it (Raffel et al. 2020, section 2.4): the pronoun between
    asterisks; the name is to be written, or `neither`.
    """
    start, end = example.span
    marked = f"{MARK}{example.pronoun}{MARK}"
    right = [example.candidates[i].text for i in example.true] or [NEITHER]
    return TextExample(
        name=example.name,
        inputs=f"{prefix}: {example.text[:start]}{marked}{example.text[end:]}",
        targets=right[0],
        references=tuple(right),
        data=_data(example, [c.text for c in example.candidates]),
    )


def _data(example: PronounExample, candidates: Sequence[str]) -> dict[str, object]:
    return {
        "candidates": list(candidates),
        "true": list(example.true),
        "groups": dict(example.groups),
    }


def with_candidates(example: PronounExample, candidates: Sequence[Candidate]) -> PronounExample:
    """The same question about other names."""
    return replace(example, candidates=tuple(candidates))

"""WinoBias (Zhao et al. 2018): two occupations, and a pronoun that fits the usual gender of one.

    1 [The developer] argued with the designer because [she] did not like the design.

The brackets are around the pronoun and the occupation that it stands for; the other candidates are
the other occupations of the sentence. Of several pronouns in brackets the first one is asked for.
CoNLL files of the same sentences are read by the same name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from t5coref.core.errors import FormatError, T5CorefError
from t5coref.corpora import conll2012
from t5coref.corpora.files import PathLike, display_name, lines, stem
from t5coref.downstream.pronouns.example import (
    FEMININE,
    MASCULINE,
    Candidate,
    PronounExample,
    gender_of,
    is_possessive,
)
from t5coref.downstream.text import Mistakes

OCCUPATIONS = (
    "CEO", "accountant", "analyst", "assistant", "attendant", "auditor", "baker", "carpenter",
    "cashier", "chief", "cleaner", "clerk", "construction worker", "cook", "counselor", "designer",
    "developer", "driver", "editor", "farmer", "guard", "hairdresser", "housekeeper", "janitor",
    "laborer", "lawyer", "librarian", "manager", "mechanic", "mover", "nurse", "physician",
    "receptionist", "salesperson", "secretary", "sheriff", "supervisor", "tailor", "teacher",
    "writer",
)  # fmt: skip
"""The 40 that the sentences are made with (section 3.1)."""

_PRONOUNS = FEMININE | MASCULINE
_LINE = re.compile(r"(\d+)\s+(\S.*)")
_BRACKETS = re.compile(r"\[\s*([^\[\]]*?)\s*\]")
_PHRASE = re.compile(
    rf"\b(?:(?:the|an?)\s+)?({'|'.join(sorted(OCCUPATIONS, key=len, reverse=True))})\b",
    re.IGNORECASE,
)
_FILE = re.compile(r"(pro|anti)[_-]stereotype")
_TYPE = re.compile(r"type(\d)")
_SPLIT = re.compile(r"(?:^|[.])(dev|test)(?:[._]|$)")

Span = tuple[int, int]


def read(path: PathLike, mistakes: Mistakes | None = None) -> Iterator[PronounExample]:
    """Reads a file of bracketed sentences, or a CoNLL file (`*conll`, `.gz` or not).

    Groups: `gender`; `stereotype` (pro or anti), `type` (1 or 2) and `split` where the file's name
    says them; `pair`, the same for the sentences that only differ in the pronoun's gender.

    Raises:
      FormatError: something is wrong and nobody collects it.
    """
    name = display_name(path).rsplit("/", 1)[-1].removesuffix(".gz")
    made = _conll(path) if name.endswith("conll") else _bracketed(path)
    groups = _groups(name)
    for where, number, prepare in made:
        try:
            text, spans, title = prepare()
            example = _example(title, text, spans, {**groups, "pair": _pair(groups, number)})
        except T5CorefError as error:
            Mistakes.report(mistakes, f"{where}: {error}")
        else:
            yield example


def _bracketed(path: PathLike):
    name = display_name(path)
    file = name.rsplit("/", 1)[-1]
    for number, line in lines(path):
        if not line.strip():
            continue
        where = f"{name}:{number}"

        def prepare(line: str = line) -> tuple[str, list[Span], str]:
            found = _LINE.fullmatch(line.strip())
            if found is None:
                raise FormatError(f"the line is {line!r}; expected a number and a sentence")
            text, spans = _plain(found[2])
            return text, spans, f"{file}-{found[1]}"

        yield where, line.split(maxsplit=1)[0], prepare


def _conll(path: PathLike):
    for document in conll2012.read(path):
        offsets, length = [], 0
        for word in document.words:
            offsets.append((length, length + len(word)))
            length += len(word) + 1
        annotation = document.annotation
        mentions = sorted(m for c in annotation.clusters for m in c) if annotation else []

        def prepare(document=document, offsets=offsets, mentions=mentions):
            spans = [(offsets[start][0], offsets[end - 1][1]) for start, end in mentions]
            return " ".join(document.words), spans, f"{stem(path)}-{document.doc_id}"

        number = document.doc_id.split("//")[-1].split("#")[0]
        yield f"{display_name(path)}: {document.doc_id}", number, prepare


def _plain(marked: str) -> tuple[str, list[Span]]:
    """A sentence without its brackets, and where they were."""
    text, spans, end = "", [], 0
    for bracket in _BRACKETS.finditer(marked):
        text += marked[end : bracket.start()]
        spans.append((len(text), len(text) + len(bracket[1])))
        text += bracket[1]
        end = bracket.end()
    return text + marked[end:], spans


def _example(name: str, text: str, spans: Sequence[Span], groups: dict[str, str]) -> PronounExample:
    pronouns = [s for s in spans if text[slice(*s)].lower() in _PRONOUNS]
    entities = [s for s in spans if s not in pronouns]
    if not pronouns or len(entities) != 1:
        raise FormatError(
            f"sentence {name!r} has {len(pronouns)} marked pronouns and {len(entities)} marked "
            "occupations; expected one occupation and at least one pronoun"
        )
    right = text[slice(*entities[0])]
    found = {_occupation(right): (entities[0], True)}
    for phrase in _PHRASE.finditer(text):
        found.setdefault(phrase[1].lower(), (phrase.span(), False))
    if len(found) < 2:
        raise FormatError(
            f"sentence {name!r} has no other occupation than {right!r}; expected one of "
            f"{', '.join(OCCUPATIONS)}"
        )
    ordered = sorted(found.values())
    return PronounExample(
        name,
        text,
        pronouns[0],
        tuple(Candidate(text[slice(*span)], span, true) for span, true in ordered),
        possessive=is_possessive(text, pronouns[0]),
        groups={**groups, "gender": gender_of(text[slice(*pronouns[0])])},
    )


def _occupation(phrase: str) -> str:
    """Which occupation a noun phrase names, or else its words."""
    named = _PHRASE.search(phrase)
    return named[1].lower() if named else phrase.lower()


def _groups(name: str) -> dict[str, str]:
    patterns = {"stereotype": _FILE, "type": _TYPE, "split": _SPLIT}
    found = {key: pattern.search(name) for key, pattern in patterns.items()}
    return {key: match[1] for key, match in found.items() if match}


def _pair(groups: dict[str, str], number: str) -> str:
    return ".".join([*(groups[key] for key in ("split", "type") if key in groups), number])

"""FEVER: claims, and sentences of Wikipedia that support or refute them.

Thorne et al. 2018, "FEVER: a large-scale dataset for fact extraction and verification". Read are
its own files, which name sentences only; the files of KGAT (Liu et al. 2020), which have the texts
of the sentences that were retrieved; and FEVER-Symmetric (Schuster et al. 2019), one sentence a
claim. All are JSON lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t5coref.core.errors import FormatError
from t5coref.corpora.files import display_name, lines
from t5coref.downstream.text import Mistakes, TextExample

LABELS = ("SUPPORTS", "REFUTES", "NOT ENOUGH INFO")
"""The classes, in KGAT's order."""

UNKNOWN = LABELS[2]

EVIDENCE = 5
"""Sentences that are retrieved for a claim, and that count in FEVER's score."""

_ESCAPED = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"-?\bLSB\b-?.*?-?\bRSB\b-?", " "),
        (r"-?\bLRB\b-?\s*-?\bRRB\b-?", " "),
        (r"-?\bLRB\b-?\s?", "("),
        (r"\s?-?\bRRB\b-?", ")"),
        ("``|''", '"'),
        ("--", "-"),
    )
)
_COLON = re.compile(r"-?\bCOLON\b-?")

Place = tuple[str, int]
"""Title of a page, as Wikipedia's addresses have it, and number of a sentence."""


@dataclass(frozen=True)
class Evidence:
    """A sentence that was found for a claim.

    Attributes:
      title: of its page; empty where it is not known.
      line: its number on the page; None where it is not known.
      text: the sentence.
    """

    title: str
    line: int | None
    text: str


@dataclass(frozen=True)
class Claim:
    """A claim and what is known about it.

    Attributes:
      name: its id.
      claim: the sentence.
      label: one of `LABELS`; None in test files.
      evidence: sentences with their texts, the best first.
      groups: gold evidence of FEVER's own files: any group is enough, all of its sentences are
        needed; empty where the file names none.
    """

    name: str
    claim: str
    label: str | None
    evidence: tuple[Evidence, ...] = ()
    groups: tuple[tuple[Place, ...], ...] = ()


def read(path: str, mistakes: Mistakes | None = None) -> list[Claim]:
    """The claims of a file, of whichever of the three forms.

    Args:
      path: of JSON lines.
      mistakes: collects lines that cannot be read, which are left out; None = the first is raised.

    Raises:
      FormatError: a line cannot be read, or there is none.
    """
    name = display_name(path)
    found: dict[str, Claim] = {}
    empty = True
    for number, line in lines(path):
        if not line.strip():
            continue
        empty = False
        try:
            claim = _claim(json.loads(line))
        except (ValueError, RecursionError) as error:  # json's own are among them
            Mistakes.report(mistakes, f"{name}:{number}: {error}")
            continue
        if claim.name in found:
            Mistakes.report(mistakes, f"{name}:{number}: the id {claim.name} stands there twice")
            continue
        found[claim.name] = claim
    if empty:
        raise FormatError(f"{name}: the file is empty; expected a claim a line, as JSON")
    return list(found.values())


def with_groups(claims: Iterable[Claim], gold: Iterable[Claim]) -> list[Claim]:
    """Claims with the labels and gold evidence that FEVER's own file has for them.

    Raises:
      FormatError: the file lacks a claim.
    """
    known = {claim.name: claim for claim in gold}
    out = []
    for claim in claims:
        if claim.name not in known:
            raise FormatError(f"the gold file has no claim {claim.name}; expected all of them")
        own = known[claim.name]
        out.append(Claim(claim.name, claim.claim, own.label, claim.evidence, own.groups))
    return out


def plain(text: str) -> str:
    """A sentence as people write it: brackets, quotes and dashes that the Penn Treebank escapes.

    What stands in square brackets, mostly how a name is pronounced, goes; so do empty brackets.
    KGAT's files have the escapes with and without their hyphens.
    """
    for pattern, instead in _ESCAPED:
        text = pattern.sub(instead, text)
    return " ".join(text.split())


def plain_title(title: str) -> str:
    """The title of a page as people write it."""
    return plain(_COLON.sub(":", title.replace("_", " ")))


def texts(path: str, mistakes: Mistakes | None = None) -> list[TextExample]:
    """The claims of a file as text-to-text examples; a `Reader`.

    The text form is ours: T5 was not published on FEVER.
    """
    return [text_example(claim) for claim in read(path, mistakes)]


def text_example(claim: Claim) -> TextExample:
    """A claim, its evidence and, as the target, its label in lower case."""
    evidence = (
        f"{plain_title(e.title)}: {plain(e.text)}" if e.title else plain(e.text)
        for e in claim.evidence[:EVIDENCE]
    )
    target = claim.label.lower() if claim.label else ""
    return TextExample(
        name=f"fever-{claim.name}",
        inputs=" ".join(["fever claim:", plain(claim.claim), "evidence:", *evidence]),
        targets=target,
        references=(target,) if target else (),
        data={
            "label": claim.label,
            "evidence": [[e.title, e.line] for e in claim.evidence[:EVIDENCE]],
            "groups": [[list(place) for place in group] for group in claim.groups],
        },
    )


def label_of(text: str) -> str:
    """The label that a model has written; empty where it is none."""
    label = text.strip().upper()
    return label if label in LABELS else ""


def _claim(value: Any) -> Claim:
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {json.dumps(value)[:60]}")
    number, claim = value.get("id"), value.get("claim")
    if not isinstance(number, (int, str)) or not isinstance(claim, str) or not claim.strip():
        raise ValueError(
            f'expected an "id" and a "claim", found {", ".join(value)[:80] or "nothing"}'
        )
    label = value.get("label")
    if label is not None and (not isinstance(label, str) or label.upper() not in LABELS):
        raise ValueError(f"claim {number}: label {label!r}; expected {', '.join(LABELS)}")
    evidence, groups = _evidence(number, value)
    return Claim(str(number), claim, label and label.upper(), evidence, groups)


def _evidence(
    number: int | str, value: Mapping[str, Any]
) -> tuple[tuple[Evidence, ...], tuple[tuple[Place, ...], ...]]:
    """Sentences with texts, or groups of places."""
    given = value.get("evidence", value.get("evidence_sentence", []))
    if isinstance(given, str):  # FEVER-Symmetric
        return (Evidence("", None, given),), ()
    try:
        if all(item and isinstance(item[0], str) for item in given):  # KGAT
            return tuple(_retrieved(given)), ()
        return (), tuple(_groups(given))
    except (TypeError, ValueError, OverflowError, IndexError, KeyError):
        raise ValueError(
            f"claim {number}: evidence {json.dumps(given)[:80]}; expected a sentence, a list of "
            "[title, line, sentence] or FEVER's groups of [annotation, evidence, title, line]"
        ) from None


def _retrieved(given: Sequence[Any]) -> Iterator[Evidence]:
    for title, line, text, *_ in given:
        if not isinstance(text, str):
            raise TypeError
        yield Evidence(title, int(line), text)


def _groups(given: Sequence[Any]) -> Iterator[tuple[Place, ...]]:
    for group in given:
        places = [(title, line) for _, _, title, line in group]
        if all(title is None and line is None for title, line in places):
            continue  # of claims for which there is not enough information
        yield tuple((str(title), int(line)) for title, line in places)

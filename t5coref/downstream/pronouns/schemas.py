"""Winograd schemas as XML: `WSCollection.xml` (Levesque et al. 2012) and the PDP files of 2016.

A `<schema>` has `<text>` with `<txt1>`, `<pron>` and `<txt2>`, `<answers>`, and the letter of the
right one in `<correctAnswer>`. WSC273 is the first 273 schemas of the collection.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

from t5coref.core.errors import FormatError, T5CorefError
from t5coref.corpora.files import PathLike, display_name, open_bytes, stem
from t5coref.downstream.pronouns.example import (
    Candidate,
    PronounExample,
    gender_of,
    is_possessive,
)
from t5coref.downstream.text import Mistakes

_ATTACHED = (".", ",", ";", ":", "!", "?", "'", ")")


def read(path: PathLike, mistakes: Mistakes | None = None) -> Iterator[PronounExample]:
    """Reads a collection schema by schema.

    Raises:
      FormatError: the file is no XML, or a schema is wrong and nobody collects mistakes.
    """
    try:
        with open_bytes(path) as file:
            root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # an unknown encoding, too
        raise FormatError(
            f"{display_name(path)}: no well-formed XML ({error}); expected a collection of "
            "<schema> elements"
        ) from None
    schemas = list(root.iter("schema"))
    if not schemas:
        raise FormatError(f"{display_name(path)} has no <schema>; expected Winograd schemas")
    for number, schema in enumerate(schemas, start=1):
        name = f"{stem(path)}-{number}"
        try:
            example = _example(name, schema)
        except T5CorefError as error:
            Mistakes.report(mistakes, f"{display_name(path)}: {error}")
        else:
            yield example


def _example(name: str, schema: ElementTree.Element) -> PronounExample:
    before = _content(schema, "text/txt1")
    pronoun = _content(schema, "text/pron")
    after = _content(schema, "text/txt2")
    if not pronoun:
        raise FormatError(f"schema {name!r} has no <pron>; expected the pronoun in <text>")
    start = len(before) + 1 if before else 0
    span = start, start + len(pronoun)
    glue = "" if not after or after.startswith(_ATTACHED) else " "
    text = f"{before} {pronoun}".strip() + glue + after
    answers = [" ".join("".join(a.itertext()).split()) for a in schema.iterfind("answers/answer")]
    letter = _content(schema, "correctAnswer").rstrip(".").upper()
    right = ord(letter) - ord("A") if len(letter) == 1 else -1
    if len(answers) < 2 or not 0 <= right < len(answers):
        raise FormatError(
            f"schema {name!r} has {len(answers)} answers and the right one is {letter!r}; expected "
            "at least two, and the letter of one"
        )
    return PronounExample(
        name,
        text,
        span,
        tuple(Candidate(answer, None, i == right) for i, answer in enumerate(answers)),
        possessive=is_possessive(text, span),
        groups={"gender": gender_of(pronoun)},
    )


def _content(schema: ElementTree.Element, path: str) -> str:
    found = schema.find(path)
    return "" if found is None else " ".join("".join(found.itertext()).split())

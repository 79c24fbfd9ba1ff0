"""GAP (Webster et al. 2018): snippets of Wikipedia, a pronoun and two names.

The official files are tab-separated with a header: ID, Text, Pronoun, Pronoun-offset, A, A-offset,
A-coref, B, B-offset, B-coref, URL. A pronoun stands for A, for B or for neither. What systems
predict is a file of three columns without a header: ID, A-coref, B-coref.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from t5coref.core.errors import FormatError, T5CorefError
from t5coref.corpora.files import PathLike, Target, display_name, lines, write_all
from t5coref.downstream.pronouns.example import (
    Candidate,
    PronounExample,
    gender_of,
    is_possessive,
    pronoun_span,
)
from t5coref.downstream.text import Mistakes

COLUMNS = (
    "ID", "Text", "Pronoun", "Pronoun-offset", "A", "A-offset", "A-coref", "B", "B-offset",
    "B-coref", "URL",
)  # fmt: skip

Labels = tuple[bool, bool]
"""Whether the pronoun stands for A, and for B."""

_TRUTH = {"true": True, "false": False}
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


def read(path: PathLike, mistakes: Mistakes | None = None) -> Iterator[PronounExample]:
    """Reads an official file; every offset is checked against its text.

    Args:
      path: `gap-validation.tsv` and its like.
      mistakes: collects what is wrong; the examples concerned are left out.

    Raises:
      FormatError: something is wrong and nobody collects it, or the file is no GAP file.
    """
    seen: set[str] = set()
    for where, row in _rows(path, mistakes):
        try:
            if row["ID"] in seen:
                raise FormatError(f"example {row['ID']!r} is there twice; the first one counts")
            seen.add(row["ID"])
            example = _example(row)
        except T5CorefError as error:
            Mistakes.report(mistakes, f"{where}: {error}")
        else:
            yield example


def read_labels(path: PathLike, mistakes: Mistakes | None = None) -> dict[str, tuple[str, Labels]]:
    """Pronoun and labels of every example by name: all that the official scorer reads.

    Raises:
      FormatError: something is wrong and nobody collects it, or the file is no GAP file.
    """
    found: dict[str, tuple[str, Labels]] = {}
    for where, row in _rows(path, mistakes):
        try:
            labels = _label(row["A-coref"]), _label(row["B-coref"])
        except FormatError as error:
            Mistakes.report(mistakes, f"{where}: {error}")
        else:
            found.setdefault(row["ID"], (row["Pronoun"], labels))
    return found


def read_predictions(path: PathLike) -> dict[str, Labels]:
    """What a system predicts, by name, from an official prediction file.

    Raises:
      FormatError: a line is malformed or an example there twice.
    """
    found: dict[str, Labels] = {}
    for number, line in lines(path):
        where = f"{display_name(path)}:{number}"
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != 3:
            raise FormatError(
                f"{where}: {len(cells)} columns; expected ID, A-coref, B-coref, divided by tabs"
            )
        if cells[0] in found:
            raise FormatError(f"{where}: example {cells[0]!r} is there twice; expected it once")
        try:
            found[cells[0]] = _label(cells[1]), _label(cells[2])
        except FormatError as error:
            raise FormatError(f"{where}: {error}") from None
    return found


def write_predictions(predictions: Mapping[str, Labels], target: Target) -> None:
    """Writes the official prediction file, in the order of the mapping."""
    write_all(
        (f"{name}\t{str(a).upper()}\t{str(b).upper()}\n" for name, (a, b) in predictions.items()),
        target,
    )


def _rows(path: PathLike, mistakes: Mistakes | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Where a row is, and its columns by name."""
    name = display_name(path)
    header: tuple[str, ...] | None = None
    for number, line in lines(path):
        if not line.strip():
            continue
        cells = line.split("\t")
        where = f"{name}:{number}"
        if header is None:
            header = tuple(cells)
            if header != COLUMNS:
                raise FormatError(
                    f"{where}: the columns are {', '.join(header[:12])!r}; expected those of GAP, "
                    f"{', '.join(COLUMNS)}"
                )
        elif len(cells) != len(COLUMNS):
            message = f"{len(cells)} columns in {cells[0]!r}; expected {len(COLUMNS)}"
            Mistakes.report(mistakes, f"{where}: {message}")
        else:
            yield where, dict(zip(COLUMNS, cells, strict=True))
    if header is None:
        raise FormatError(f"{name} is empty; expected a GAP file")


def _example(row: Mapping[str, str]) -> PronounExample:
    name, text, pronoun = row["ID"], row["Text"], row["Pronoun"]
    span = pronoun_span(name, text, pronoun, _offset(row, "Pronoun-offset"))
    candidates = []
    for side in "AB":
        start = _offset(row, f"{side}-offset")
        bounds = start, start + len(row[side])
        candidates.append(Candidate(row[side], bounds, _label(row[f"{side}-coref"])))
    true = [side for side, c in zip("AB", candidates, strict=True) if c.true]
    return PronounExample(
        name,
        text,
        span,
        tuple(candidates),
        possessive=is_possessive(text, span),
        groups={"gender": gender_of(pronoun), "answer": "+".join(true) or "neither"},
    )


def _offset(row: Mapping[str, str], column: str) -> int:
    if not _NUMBER.fullmatch(row[column]):
        raise FormatError(
            f"example {row['ID']!r}: {column} is {row[column]!r}; expected a character offset"
        )
    return int(row[column])


def _label(cell: str) -> bool:
    try:
        return _TRUTH[cell.lower()]
    except KeyError:
        raise FormatError(f"the label {cell!r}; expected TRUE or FALSE") from None

"""Winogender (Rudinger et al. 2018): an occupation, a participant or someone, and a pronoun.

`all_sentences.tsv` has 720 sentences: 120 templates, with a participant or "someone", in three
genders. A gap hides the gender; `read_templates` makes of `templates.tsv` the 240 that differ then,
the ones that published cloze results are on.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator, Mapping

from t5coref.core.errors import FormatError, T5CorefError
from t5coref.corpora.files import PathLike, display_name, lines
from t5coref.downstream.pronouns.example import (
    MASK,
    Candidate,
    PronounExample,
    is_possessive,
)
from t5coref.downstream.text import Mistakes

STATISTICS = "occupations-stats.tsv"
"""Beside the sentences: which part of an occupation's workers are women."""

SOMEONE = "someone"
_PRONOUNS = {
    "male": ("he", "his", "him"),
    "female": ("she", "her", "her"),
    "neutral": ("they", "their", "them"),
}
_GENDERS = {"male": "masculine", "female": "feminine", "neutral": "neutral"}
_SLOT = re.compile(r"\$(NOM|POSS|ACC)_PRONOUN")
_SENTENCE_COLUMNS = ("sentid", "sentence")
_TEMPLATE_COLUMNS = ("occupation(0)", "other-participant(1)", "answer", "sentence")


def read(path: PathLike, mistakes: Mistakes | None = None) -> Iterator[PronounExample]:
    """Reads the sentences; those of one template are `pair`s.

    Groups: `gender`, `answer` (occupation or participant), `pair`, and `gotcha` (yes or no) where
    `occupations-stats.tsv` lies beside the file: the pronoun's gender is the rarer one of an
    occupation that it stands for, or the usual one of an occupation that it does not stand for.

    Raises:
      FormatError: something is wrong and nobody collects it.
    """
    women = _women(path)
    for where, row in _rows(path, _SENTENCE_COLUMNS, mistakes):
        try:
            example = _sentence(row[0], row[1], women)
        except T5CorefError as error:
            Mistakes.report(mistakes, f"{where}: {error}")
        else:
            yield example


def read_templates(path: PathLike, mistakes: Mistakes | None = None) -> Iterator[PronounExample]:
    """Two examples of each template, with its participant and with someone; the pronoun is masked.

    Raises:
      FormatError: something is wrong and nobody collects it.
    """
    for where, row in _rows(path, _TEMPLATE_COLUMNS, mistakes):
        occupation, participant, answer, template = row
        for other in (participant, SOMEONE):
            try:
                example = _template(occupation, participant, other, answer, template)
            except T5CorefError as error:
                Mistakes.report(mistakes, f"{where}: {error}")
            else:
                yield example


def _sentence(name: str, text: str, women: Mapping[str, float]) -> PronounExample:
    parts = name.removesuffix(".txt").split(".")
    if len(parts) != 4 or parts[2] not in ("0", "1") or parts[3] not in _PRONOUNS:
        raise FormatError(
            f"sentence {name!r}; expected OCCUPATION.PARTICIPANT.ANSWER.GENDER.txt with the answer "
            f"0 or 1 and one of the genders {', '.join(_PRONOUNS)}"
        )
    occupation, other, answer, gender = parts
    forms = _PRONOUNS[gender]
    found = list(re.finditer(rf"\b({'|'.join(sorted(set(forms)))})\b", text, re.IGNORECASE))
    if len(found) != 1:
        raise FormatError(
            f"sentence {name!r} has {len(found)} pronouns of {', '.join(forms)}; expected one"
        )
    groups = {
        "gender": _GENDERS[gender],
        "answer": ("occupation", "participant")[int(answer)],
        "pair": ".".join(parts[:3]),
    }
    if occupation in women and gender != "neutral":
        usual = "female" if women[occupation] >= 50 else "male"
        groups["gotcha"] = "yes" if (gender == usual) == (answer == "1") else "no"
    return PronounExample(
        name,
        text,
        found[0].span(),
        _candidates(name, text, occupation, other, int(answer)),
        possessive=is_possessive(text, found[0].span()),
        groups=groups,
    )


def _template(
    occupation: str, participant: str, other: str, answer: str, template: str
) -> PronounExample:
    name = f"{occupation}.{other}.{answer}"
    slots = list(_SLOT.finditer(template))
    if len(slots) != 1 or answer not in ("0", "1"):
        raise FormatError(
            f"template {name!r} has {len(slots)} pronouns and the answer {answer!r}; expected one "
            "pronoun, and 0 or 1"
        )
    form = slots[0][1]
    text = _SLOT.sub(lambda slot: MASK, template).replace("$OCCUPATION", occupation)
    if other == SOMEONE:
        text = re.sub(r"\b(?:the|a|an) \$PARTICIPANT", SOMEONE, text)
        text = re.sub(r"\b(?:The|A|An) \$PARTICIPANT", SOMEONE.capitalize(), text)
    text = text.replace("$PARTICIPANT", other)
    start = text.index(MASK)
    return PronounExample(
        name,
        text,
        (start, start + len(MASK)),
        _candidates(name, text, occupation, other, int(answer)),
        possessive=form == "POSS",
        groups={
            "answer": ("occupation", "participant")[int(answer)],
            "other": SOMEONE if other == SOMEONE else "participant",
        },
    )


def _candidates(
    name: str, text: str, occupation: str, other: str, answer: int
) -> tuple[Candidate, Candidate]:
    """The occupation and the participant as noun phrases of the text, in this order."""
    found = []
    for i, noun in enumerate((occupation, other)):
        article = "" if noun == SOMEONE else r"(?:the|an?)\s+"
        phrase = re.search(rf"\b{article}{re.escape(noun)}\b", text, re.IGNORECASE)
        if phrase is None:
            raise FormatError(f"sentence {name!r} has no {noun!r} with its article in {text!r}")
        found.append(Candidate(phrase[0], phrase.span(), i == answer))
    return found[0], found[1]


def _women(path: PathLike) -> dict[str, float]:
    """Percentage of women by occupation (Bureau of Labor Statistics), if its file is there."""
    beside = pathlib.Path(os.fspath(path)).with_name(STATISTICS)
    if not beside.is_file():
        return {}
    columns = ("occupation", "bergsma_pct_female", "bls_pct_female", "bls_year")
    found = {}
    for where, row in _rows(beside, columns, None):
        try:
            found[row[0]] = float(row[2])
        except ValueError:
            raise FormatError(f"{where}: {row[2]!r}; expected a percentage") from None
    return found


def _rows(
    path: PathLike, columns: tuple[str, ...], mistakes: Mistakes | None
) -> Iterator[tuple[str, list[str]]]:
    """Where a row is, and its cells."""
    header = True
    for number, line in lines(path):
        if not line.strip():
            continue
        cells = line.split("\t")
        where = f"{display_name(path)}:{number}"
        if header:
            if tuple(cells) != columns:
                raise FormatError(
                    f"{where}: the columns are {', '.join(cells)!r}; expected {', '.join(columns)}"
                )
            header = False
        elif len(cells) != len(columns):
            Mistakes.report(mistakes, f"{where}: {len(cells)} columns; expected {len(columns)}")
        else:
            yield where, cells

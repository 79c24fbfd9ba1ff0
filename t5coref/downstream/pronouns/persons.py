"""GAP with the candidates of the paper: the persons that a named entity recognizer finds.

A name that is not found cannot be chosen, so that FALSE is predicted for it; and a pronoun may
stand for a third person, so that FALSE is predicted for both (Ye et al. 2020, after Kocijan et al.
2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from t5coref.core.errors import ConfigError
from t5coref.corpora.pipelines import load_pipeline
from t5coref.downstream.pronouns.example import Candidate, PronounExample, with_candidates

PERSON = "PERSON"
_UNUSED = ["tagger", "parser", "attribute_ruler", "lemmatizer"]

FindPersons = Callable[[Iterable[str]], Iterator[list[str]]]
"""Texts -> the persons' names in each, as they are written there."""


def spacy_persons(pipeline: str) -> FindPersons:
    """The entities of type PERSON that a spaCy pipeline finds.

    Args:
      pipeline: its name or folder, such as en_core_web_lg, which the published code has.

    Raises:
      ConfigError: it is not installed, or recognizes no entities.
    """
    nlp = load_pipeline(pipeline, _UNUSED)
    if "ner" not in nlp.pipe_names:
        raise ConfigError(
            f"the spaCy pipeline {pipeline!r} has {', '.join(nlp.pipe_names)}; expected `ner`, "
            "which finds entities"
        )

    def find(texts: Iterable[str]) -> Iterator[list[str]]:
        for document in nlp.pipe(texts):
            yield [entity.text for entity in document.ents if entity.label_ == PERSON]

    return find


def with_persons(example: PronounExample, persons: Sequence[str]) -> PronounExample:
    """The same question with these persons as its only candidates; case tells none apart."""
    right = {candidate.text.casefold() for candidate in example.candidates if candidate.true}
    unique: dict[str, str] = {}
    for name in persons:
        unique.setdefault(name.casefold(), name)
    return with_candidates(
        example, [Candidate(name, None, key in right) for key, name in unique.items()]
    )

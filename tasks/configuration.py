"""What all tasks share: their settings, and one task a format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gin

import t5coref.data.settings as environment
from t5coref.data.documents import Files
from t5coref.data.settings import Settings
from t5coref.data.task import coref_task
from t5coref.linearize import FORMATS, MENTION_GIVEN, RELATIONS

COREFERENCE = tuple(name for name in FORMATS if name not in (*RELATIONS, *MENTION_GIVEN))
"""The formats that corpora without relations have tasks for."""


@gin.configurable(module="tasks")  # pyright: ignore[reportCallIssue]
def settings(
    tokenizer: str | None = None,
    data: str | None = None,
    prepared: str | None = None,
    options: Mapping[str, Any] | None = None,
    skip_long: bool = False,
) -> Settings:
    """The settings that gin binds, or else the environment has; see `Settings`."""
    return environment.settings(tokenizer, data, prepared, options, skip_long)


def task_name(corpus: str, linearization: str) -> str:
    """What the task of a corpus and a format is called: SeqIO allows no hyphens."""
    return f"{corpus}_{linearization.replace('-', '_')}"


def every_format(
    name: str, *, corpus: str, files: Mapping[str, Files | str | Sequence[str]]
) -> None:
    """One task for each linearization of mentions and clusters, under the same files."""
    _each(COREFERENCE, name, corpus, files)


def every_mention_given_format(
    name: str, *, corpus: str, files: Mapping[str, Files | str | Sequence[str]]
) -> None:
    """One task for each linearization that is told the mentions: those that the files annotate."""
    _each(MENTION_GIVEN, name, corpus, files)


def _each(
    linearizations: Sequence[str],
    name: str,
    corpus: str,
    files: Mapping[str, Files | str | Sequence[str]],
) -> None:
    for linearization in linearizations:
        coref_task(
            task_name(name, linearization),
            linearization=linearization,
            corpus=corpus,
            files=files,
            settings=settings,
        )


def every_relation_format(
    name: str,
    *,
    corpus: str,
    files: Mapping[str, Files | str | Sequence[str]],
    entity_types: Sequence[str],
    relations: str | None = None,
) -> None:
    """One task for each linearization with relations; their types are named in a file, or those of
    the training documents.
    """
    for linearization in RELATIONS:
        coref_task(
            task_name(name, linearization),
            linearization=linearization,
            corpus=corpus,
            files=files,
            options={"entity_types": tuple(entity_types)},
            relations=relations,
            settings=settings,
        )

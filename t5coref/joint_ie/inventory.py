"""The relation types of a corpus, in the order of a model's classes."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterable

from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, FormatError

NO_RELATION = ("Na", "NA", "no_relation")
"""What inventories call the class of no relation; our class 0 has no name."""


def relations_in_file(*, file: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names in a file: `rel2id.json` by number, `rel_info.json` in its order, or a line each.

    Raises:
      FormatError: the file has no such content.
    """
    text = pathlib.Path(file).read_text("utf-8")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = text.split()
    if isinstance(content, dict):
        numbered = all(type(value) is int for value in content.values())
        names = sorted(content, key=content.__getitem__) if numbered else list(content)
    elif isinstance(content, list) and all(isinstance(name, str) for name in content):
        names = content
    else:
        raise FormatError(
            f"{file}: expected names of relations: a JSON object whose keys they are (rel_info, "
            "rel2id), a JSON list of strings, or one a line"
        )
    return inventory(name for name in names if name not in NO_RELATION)


def relations_of(*, documents: Iterable[Document]) -> tuple[str, ...]:
    """All names that the documents' relations have, sorted.

    Raises:
      ConfigError: there is none.
    """
    found = {
        relation.type
        for document in documents
        if document.annotation is not None
        for relation in document.annotation.relations
    }
    return inventory(sorted(found))


def inventory(names: Iterable[str]) -> tuple[str, ...]:
    """Names checked for use as an inventory.

    Raises:
      ConfigError: there is none, or one stands twice.
    """
    names = tuple(names)
    if not names:
        raise ConfigError("there is no relation type; expected at least one")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"relation types stand twice: {', '.join(twice)}; expected each once")
    return names

"""Documents for training and evaluation, from files or made here."""

from __future__ import annotations

import glob
import hashlib
import os
import pathlib
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any

from t5coref import corpora, linearize
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.tokenizer import Tokenizer

SHOWN = 5  # names in a message


def corpus_files(
    *, files: str | Sequence[str], corpus: str | None = None, ids: str | None = None
) -> list[Document]:
    """All documents of some files, in the order of the patterns and of the names they match.

    Args:
      files: files, folders or glob patterns.
      corpus: a name that `corpora.get` knows; None detects it.
      ids: a file with one document id a line: only these documents, in the order of `files`.

    Raises:
      ConfigError: a pattern matches nothing, or a listed document is not in the files.
      FormatError: a file breaks its format.
    """
    documents = [
        document for path in _matching(files) for document in corpora.read(path, format=corpus)
    ]
    if ids is None:
        return documents
    lines = pathlib.Path(ids).read_text("utf-8").splitlines()
    wanted = dict.fromkeys(line.strip() for line in lines if line.strip())
    chosen = [document for document in documents if document.doc_id in wanted]
    if missing := wanted.keys() - {document.doc_id for document in chosen}:
        raise ConfigError(
            f"{ids} lists {len(missing)} documents that the files do not have: "
            f"{_some(sorted(missing))}; the files have {len(documents)}: "
            f"{_some([d.doc_id for d in documents])}"
        )
    return chosen


def together(*, parts: Sequence[Sequence[Document]]) -> list[Document]:
    """The documents of several corpora as one list.

    Args:
      parts: documents of each.
    """
    return [document for part in parts for document in part]


def demo_stories(*, count: int, seed: int = 0, written: bool = False) -> list[Document]:
    """Simple generated stories, annotated; other seeds give other stories.

    Args:
      count: how many are generated.
      seed: of the generator.
      written: put the stories that were written by hand before them.
    """
    from t5coref.demo import generate, stories

    return [*(stories() if written else ()), *generate(count, seed)]


def relation_options(
    *, documents: Iterable[Document], entity_types: bool = False, **options: Any
) -> dict[str, Any]:
    """Options of a format that writes relations: their names in some documents, and others.

    Args:
      documents: annotated ones.
      entity_types: the format is to write the entities' types, too.
      **options: further ones of the format.
    """
    names = linearize.inventory(documents)
    types = names["entity_types"] if entity_types else ()
    return {**options, "relations": names["relations"], "entity_types": types}


OFTEN = 200  # times that a numeral is shown, so that it is worth a piece


def vocabulary(*, documents: Iterable[Document], size: int, numbers: int = 0) -> Tokenizer:
    """A vocabulary of at most `size` pieces for the words of some documents.

    A word as it is becomes a piece only if SentencePiece sees it within two different words, so
    each is also shown before a comma and before a full stop, as it would be in raw text.

    Args:
      documents: their words are to be spelt.
      size: pieces, special ones included.
      numbers: the numerals below this one become pieces, which makes cluster numbers short.
    """
    documents = list(documents)
    sentences = [
        " ".join(document.words[start:end])
        for document in documents
        for start, end in document.sentences
    ]
    words = dict.fromkeys(word for document in documents for word in document.words)
    shown = [*words, *(str(k) for k in range(numbers) for _ in range(OFTEN))]
    return Tokenizer.train([*sentences, *(word + mark for word in shown for mark in ",.")], size)


def digest(documents: Iterable[Document]) -> str:
    """Tells one list of annotated documents from another."""
    seen = hashlib.sha256()
    for document in documents:
        annotation = document.annotation
        clusters = None if annotation is None else annotation.clusters
        relations = () if annotation is None else tuple(map(astuple, annotation.relations))
        facts = (document.doc_id, document.words, clusters, *((relations,) if relations else ()))
        seen.update(repr(facts).encode())
    return seen.hexdigest()[:16]


def _matching(files: str | Sequence[str]) -> list[str]:
    patterns = [files] if isinstance(files, str) else list(files)
    found: dict[str, None] = {}
    for pattern in patterns:
        exact = os.path.exists(pattern) or pattern == "-"
        paths = [pattern] if exact else sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise ConfigError(
                f"no file matches {pattern!r}; give files, folders or glob patterns that match "
                "at least one file"
            )
        found |= dict.fromkeys(paths)
    if not found:
        raise ConfigError("no files are given; expected at least one")
    return list(found)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")

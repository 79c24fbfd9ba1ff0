"""Text for the demonstration, free of rights: stories, lives and companies, all invented.

Some are written by hand, others made by a generator of simple stories. All are dedicated to the
public domain (CC0 1.0), see LICENSE-CC0 beside this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

from t5coref.core.document import Document
from t5coref.corpora import jsonl, text
from t5coref.demo.generate import generate

__all__ = ["biographies", "generate", "stories", "texts"]

TEXTS = ("bakery", "lighthouse")


def stories() -> Iterator[Document]:
    """The hand-written stories and dialogues: nested mentions, groups, singletons, speakers."""
    yield from _read("stories.jsonl")


def biographies() -> Iterator[Document]:
    """Hand-written lives and companies: entities with types, and relations between them."""
    yield from _read("biographies.jsonl")


def texts() -> Iterator[Document]:
    """A hand-written report and a story, as somebody would paste them: not annotated."""
    for name in TEXTS:
        source = resources.files(__name__) / f"{name}.txt"
        yield text.from_string(name, source.read_text("utf-8"))


def _read(name: str) -> Iterator[Document]:
    with resources.as_file(resources.files(__name__) / name) as path:
        yield from jsonl.read(path)

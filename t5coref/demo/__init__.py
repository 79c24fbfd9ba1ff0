"""Text for the demonstration, free of rights: hand-written stories, and a generator of simple ones.

Both are dedicated to the public domain (CC0 1.0), see LICENSE-CC0 beside this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

from t5coref.core.document import Document
from t5coref.corpora import jsonl
from t5coref.demo.generate import generate

__all__ = ["generate", "stories"]


def stories() -> Iterator[Document]:
    """The hand-written stories and dialogues: nested mentions, groups, singletons, speakers."""
    with resources.as_file(resources.files(__name__) / "stories.jsonl") as path:
        yield from jsonl.read(path)

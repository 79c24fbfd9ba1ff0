"""A model that is none, and documents, for tests of the server."""

from __future__ import annotations

import itertools
import threading

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError

TEXT = ("the", "dog", "saw", "it", "and", "she", "saw", "him", "near", "the", "house", ".")
POISON, HOPELESS = "poison", "hopeless"


def story(i: int, words: int) -> Document:
    text = tuple(TEXT[(i + k) % len(TEXT)] for k in range(words))
    cuts = [*range(0, words, 9), words] if words else []
    return Document(doc_id=f"story-{i}", words=text, sentences=tuple(itertools.pairwise(cuts)))


class Repeats:
    """Finds words that are repeated; breaks down over `POISON`, and refuses `HOPELESS`.

    Attributes:
      batches: the names of the documents of each.
      gate: batches wait until it is set.
      working: set while a batch waits.
    """

    round_size = 16

    def __init__(self):
        self.batches: list[list[str]] = []
        self.memory: object = "learned"
        self.gate, self.working = threading.Event(), threading.Event()
        self.gate.set()

    @property
    def identity(self):
        return {"model": "<repeats & co>"}

    def predict(self, documents):
        documents = list(documents)
        self.batches.append([d.doc_id for d in documents])
        self.working.set()
        assert self.gate.wait(30)
        self.working.clear()
        for document in documents:
            yield self._one(document)

    def _one(self, document):
        if POISON in document.words:
            raise RuntimeError("out of something")
        if HOPELESS in document.words:
            raise ConfigError("hopeless; expected hope")
        places: dict[str, list[tuple[int, int]]] = {}
        for i, word in enumerate(document.words):
            places.setdefault(word, []).append((i, i + 1))
        return document.with_annotation(
            Annotation(tuple(tuple(p) for p in places.values() if len(p) > 1))
        )

"""What a task holds of a document: one row a turn, plain arrays and bytes.

S source pieces, T steps.
"""

from __future__ import annotations

import json
from typing import TypedDict

import numpy as np

from t5coref.core.document import Document
from t5coref.corpora import jsonl
from t5coref.linearize import Linearization, examples


class Row(TypedDict):
    """One example of a task.

    `inputs` `int32[S]`, `targets` (actions) `int32[T]`, `feeds` `int32[T]` or `[T, 2]`; then what
    evaluation needs: the document's name, the number of the turn, how many turns the document has,
    and with the first of them the document itself, our jsonl.
    """

    inputs: np.ndarray
    targets: np.ndarray
    feeds: np.ndarray
    doc_id: bytes
    turn: np.int32
    turns: np.int32
    document: bytes


INTS = ("inputs", "targets", "feeds")
"""Fields that are sequences."""


def rows_of(linearization: Linearization, document: Document) -> list[Row]:
    """The rows of an annotated document; none if it has no text."""
    found = examples(linearization, document)
    line = jsonl.dumps(document).encode()
    return [
        Row(
            inputs=example.turn.source.astype(np.int32),
            targets=example.actions.astype(np.int32),
            feeds=example.feeds.astype(np.int32),
            doc_id=document.doc_id.encode("utf-8", "surrogatepass"),
            turn=np.int32(i),
            turns=np.int32(len(found)),
            document=line if i == 0 else b"",
        )
        for i, example in enumerate(found)
    ]


def document_of(line: bytes) -> Document:
    """The document of a first row's `document`."""
    return jsonl.from_json(json.loads(line))

"""Texts whose words have tags already: kept from a job before, or out of a tagged corpus."""

from __future__ import annotations

import json

from t5coref.core.document import Document
from t5coref.core.errors import FormatError
from t5coref.mrp.nouns import TaggedText


def to_json(text: TaggedText) -> str:
    """A tagged text as one line, which `tagged` reads."""
    fields = {"name": text.name, "words": list(text.words), "tags": list(text.tags),
              "glued": list(text.glued)}  # fmt: skip
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"


def from_json(line: str, where: str) -> TaggedText:
    """The text of a line that `to_json` made.

    Raises:
      FormatError: it is another kind of line.
    """
    try:
        value = json.loads(line)
        text = TaggedText(*(value[key] for key in ("name", "words", "tags", "glued")))
        if len(text.words) != len(text.tags):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FormatError(
            f"{where}: no tagged text; expected a JSON object with name, words, tags (as many as "
            "words) and glued, as `t5coref prepare mrp --keep-tags` writes them"
        ) from None
    return text


def from_document(document: Document) -> TaggedText:
    """The words of a corpus that was tagged by hand.

    Raises:
      FormatError: the document has no tags.
    """
    if document.pos is None or not any(document.pos):
        raise FormatError(
            f"{document.doc_id} has no part-of-speech tags; expected Penn Treebank tags in the "
            "column XPOS"
        )
    glued: list[int] = []
    if (offsets := document.word_offsets) is not None:
        glued = [i for i in range(1, len(offsets)) if offsets[i - 1][1] == offsets[i][0]]
    tags = [tag or "" for tag in document.pos]
    return TaggedText(document.doc_id, document.words, tags, glued)

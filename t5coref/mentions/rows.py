"""Documents as rows for the tagging head: windows that overlap, every word scored in one of them.

N words, K tags.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from t5coref.core.document import Document
from t5coref.core.segment import INSERTED, windows
from t5coref.joint_ie.features import length_bucket
from t5coref.mentions.metrics import gold_spans
from t5coref.mentions.tags import NOTHING, tagged
from t5coref.nn.downstream.tagging import NO_TAG, TAG
from t5coref.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Row:
    """A window of a document, and those of its words that are scored in it.

    Attributes:
      name: what messages call it.
      source: `int32[T]` pieces, `</s>` included.
      words: `int32[n]` the words of the document that are scored here.
      places: `int32[n]` the first piece of each.
      tags: `int32[n]` their tags; None outside training.
    """

    name: str
    source: np.ndarray
    words: np.ndarray
    places: np.ndarray
    tags: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.source)


def rows_of(document: Document, tokenizer: Tokenizer, window: int, stride: int) -> list[Row]:
    """The windows of a document; speakers are not read.

    Where two windows overlap, the words of the first half are scored in the first one: so words
    have context on both sides.

    Args:
      document: of any length.
      tokenizer: words are encoded one by one.
      window: pieces of a window, `</s>` included.
      stride: largest distance between the starts of windows.

    Raises:
      ConfigError: window and stride leave no room.
    """
    pieces = tokenizer.pieces(dataclasses.replace(document, speakers=None))
    pieces = pieces.clipped(min(window - 1, stride))
    before = np.concatenate([[INSERTED], pieces.word[:-1]])
    firsts = np.flatnonzero((pieces.word != INSERTED) & (pieces.word != before))
    found = windows(pieces, window, stride)
    cuts = [(start + end) // 2 for (_, end), (start, _) in itertools.pairwise(found)]
    bounds = [0, *cuts, len(pieces)]
    out = []
    for i, (start, end) in enumerate(found):
        own = firsts[(bounds[i] <= firsts) & (firsts < bounds[i + 1])]
        source = np.append(pieces.ids[start:end], tokenizer.eos_id).astype(np.int32)
        name = f"{document.doc_id!r} window {i}"
        out.append(Row(name, source, pieces.word[own], (own - start).astype(np.int32)))
    return out


def with_tags(rows: Iterable[Row], document: Document, max_depth: int) -> tuple[list[Row], int]:
    """The rows of an annotated document with their tags, and how many mentions have none.

    Raises:
      DocumentError: the document has no annotation.
    """
    spans = gold_spans(document)
    gold = tagged(spans, len(document.words), max_depth)
    labeled = [dataclasses.replace(row, tags=gold.tags[row.words]) for row in rows]
    return labeled, len(spans) - len(gold.kept)


def side_by_side(rows: Sequence[Row], length: int | None = None) -> dict[str, np.ndarray]:
    """Rows as features, padded: pieces, and the tags where there are some.

    Args:
      rows: at least one.
      length: of the padded rows; None = a length that few batches differ in.
    """
    length = length or length_bucket(max(map(len, rows)))
    source = np.zeros((len(rows), length), np.int32)
    tag = np.full((len(rows), length), NO_TAG, np.int32)
    for i, row in enumerate(rows):
        source[i, : len(row)] = row.source
        if row.tags is not None:
            tag[i, row.places] = row.tags
    labels = {TAG: tag} if all(row.tags is not None for row in rows) else {}
    return {"encoder_input_tokens": source, **labels}


def scores_of(
    document: Document, rows: Sequence[Row], logits: Sequence[np.ndarray], classes: int
) -> np.ndarray:
    """The scores `[N, K]` of a document's words, from the logits `[T, K]` of its rows.

    A word without pieces, which no model has read, has the tag of nothing.
    """
    scores = np.full((len(document.words), classes), -np.inf)
    scores[:, NOTHING] = 0.0
    for row, of_row in zip(rows, logits, strict=True):
        scores[row.words] = of_row[row.places]
    return scores

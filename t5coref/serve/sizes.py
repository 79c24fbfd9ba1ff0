"""How much work a document is, known before it is predicted, and documents of every size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from t5coref.core.document import Document
from t5coref.core.errors import T5CorefError
from t5coref.core.given_mentions import MENTIONS, PREDICTED, with_mentions
from t5coref.mentions.sources import ToldPredictor
from t5coref.predict import Extractor, Predictor, padded_length

WORDS = ("The", "old", "man", "saw", "his", "dog", "near", "the", "house", ".")
"""A sentence; documents of any length are made of it."""

WINDOW = 512


class Size(NamedTuple):
    """What decides with which others a document is predicted.

    Attributes:
      bucket: documents of one bucket are padded to one length.
      rows: of a batch that it fills: its windows.
    """

    bucket: int
    rows: int


def sizer(predictor: Extractor) -> Callable[[Document], Size]:
    """The function that measures documents for a predictor.

    Whoever is told the mentions marks them in what it reads; how many there are is not known yet.
    """
    if isinstance(predictor, ToldPredictor):
        marked = sizer(predictor.predictor)
        return lambda document: marked(_with_likely_mentions(document))
    if isinstance(predictor, Predictor):
        linearization = predictor.linearization

        def by_pieces(document: Document) -> Size:
            try:
                turns = next(linearization.turns(document), [])
            except T5CorefError:  # predicting the document will say so
                return by_words(document)
            lengths = [padded_length(len(turn.source)) for turn in turns]
            return Size(max(lengths, default=0), max(len(lengths), 1))

        return by_pieces
    return by_words


def _with_likely_mentions(document: Document) -> Document:
    """One for four words, as in GUM; in novels there are fewer."""
    spans = [(word, word + 1) for word in range(0, len(document.words), 4)]
    return document if MENTIONS in document.extra else with_mentions(document, spans, PREDICTED)


def by_words(document: Document) -> Size:
    """The size where nobody says how a model reads documents: in windows of `WINDOW` words."""
    words = len(document.words)
    return Size(padded_length(min(words, WINDOW)), max(1, -(-words // WINDOW)))


def warm_up(
    size_of: Callable[[Document], Size], max_words: int, batch_size: int
) -> list[list[Document]]:
    """Batches of every size of documents of every length, for a program each.

    Numbers of rows are powers of two and `batch_size`, as batches are filled up to.
    """
    rows = [1 << k for k in range(batch_size.bit_length()) if 1 << k < batch_size] + [batch_size]
    return [[document] * n for document in one_of_each(size_of, max_words) for n in rows]


def one_of_each(size_of: Callable[[Document], Size], max_words: int) -> Iterator[Document]:
    """The shortest documents of each bucket up to `max_words` words, short ones first.

    They end with the first that has several windows: longer ones have the same lengths.
    """
    known: set[int] = set()
    words = min(1, max_words)
    while words:
        document = of_words(words)
        size = size_of(document)
        if size.bucket not in known:
            known.add(size.bucket)
            yield document
        if size.rows > 1 or words == max_words:
            return
        words = min(words + 1 + words // 5, max_words)  # buckets are a third apart at least


def of_words(count: int) -> Document:
    """A document of so many words."""
    words = tuple(WORDS[i % len(WORDS)] for i in range(count))
    ends = [*range(0, count, len(WORDS)), count]
    return Document(doc_id="warm-up", words=words, sentences=tuple(pairwise(ends)))

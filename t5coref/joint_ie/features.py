"""Documents as the arrays that the heads take: pieces with their words, sentences, entities.

B documents, T pieces, G gold mentions, E entities, P gold relations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from t5coref.core.document import Annotation, Document, Relation, Span
from t5coref.core.errors import ConfigError, DocumentError
from t5coref.core.segment import INSERTED, Pieces, sentence_windows, windows
from t5coref.tokenizer import Tokenizer

NONE = np.zeros((0, 3), np.int32)


@dataclass(frozen=True, eq=False)
class Row:
    """A document, or the part of it that a model reads.

    Attributes:
      name: what messages call it.
      source: `int32[T]` pieces, `</s>` included.
      word: `int32[T]` the word of each piece, -1 for `</s>` and insertions.
      sentence: `int32[T]` the sentence of each piece from 1 on, 0 where there is no word.
      segment: `int32[T]` the part of the text that a piece is encoded with, from 0 on.
      mentions: `int32[G, 3]` first piece, last piece, entity from 1 on.
      entities: `[E]` which cluster of the annotation each entity is.
      relations: `int32[P, 3]` head entity, tail entity, type from 1 on.
      lost: gold mentions that the row does not hold.
    """

    name: str
    source: np.ndarray
    word: np.ndarray
    sentence: np.ndarray
    segment: np.ndarray
    mentions: np.ndarray = dataclasses.field(default_factory=lambda: NONE)
    entities: tuple[int, ...] = ()
    relations: np.ndarray = dataclasses.field(default_factory=lambda: NONE)
    lost: int = 0

    def __len__(self) -> int:
        return len(self.source)

    @property
    def word_start(self) -> np.ndarray:
        """`bool[T]` whether a piece is the first of its word."""
        before = np.concatenate([[INSERTED], self.word[:-1]])
        return (self.word != INSERTED) & (self.word != before)

    @property
    def word_end(self) -> np.ndarray:
        """`bool[T]` whether a piece is the last of its word."""
        behind = np.concatenate([self.word[1:], [INSERTED]])
        return (self.word != INSERTED) & (self.word != behind)

    @property
    def spans(self) -> list[Span]:
        """`[G]` its mentions in words."""
        first, last = self.word[self.mentions[:, 0]], self.word[self.mentions[:, 1]]
        return list(zip(first.tolist(), (last + 1).tolist(), strict=True))

    def unreachable(self, max_width: int | None) -> np.ndarray:
        """`bool[G]`: mentions that are wider than so many pieces, or cross a sentence's end."""
        start, end = self.mentions[:, 0], self.mentions[:, 1]
        crossing = self.sentence[start] != self.sentence[end]
        wide = np.zeros_like(crossing) if max_width is None else end - start >= max_width
        return crossing | wide


def read(
    document: Document,
    tokenizer: Tokenizer,
    *,
    max_length: int | None = None,
    segment_length: int | None = None,
) -> Row:
    """A document as pieces, without its annotation: the first of its `parts`."""
    return next(parts(document, tokenizer, max_length=max_length, segment_length=segment_length))


def parts(
    document: Document,
    tokenizer: Tokenizer,
    *,
    max_length: int | None = None,
    segment_length: int | None = None,
) -> Iterator[Row]:
    """What may be read of a document, without its annotation; speakers are not read.

    The first part is its beginning, each further one begins a sentence later (or a segment, where
    there are segments) and the last one ends where the document does. A document that fits is its
    only part.

    Args:
      document: of any length.
      tokenizer: words are encoded one by one.
      max_length: pieces of a part, `</s>` included: whole sentences where possible, else words.
      segment_length: cut the text at ends of sentences, or else of words, into segments of so many
        pieces, `</s>` included, which are encoded independently; None = a part is one segment.

    Raises:
      ConfigError: a length leaves no room for a single word.
    """
    pieces = tokenizer.pieces(dataclasses.replace(document, speakers=None))
    limit = segment_length or max_length
    if limit is not None:
        if limit < 2:
            raise ConfigError(f"a length of {limit} pieces; expected at least 2: a piece and </s>")
        pieces = pieces.clipped(limit - 1)
    for cuts in _cuts(pieces, max_length, segment_length):
        ids, words, segments = [], [], []
        for number, (start, stop) in enumerate(cuts):
            ids += [*pieces.ids[start:stop], tokenizer.eos_id]
            words += [*pieces.word[start:stop], INSERTED]
            segments += [number] * (stop - start + 1)
        word = np.asarray(words, np.int32)
        yield Row(
            repr(document.doc_id),
            np.asarray(ids, np.int32),
            word,
            sentence_of(document, word),
            np.asarray(segments, np.int32),
        )


def _cuts(
    pieces: Pieces, max_length: int | None, segment_length: int | None
) -> Iterator[list[Span]]:
    """The segments of each part."""
    if segment_length is None:
        whole = [(0, len(pieces))]
        for cut in whole if max_length is None else sentence_windows(pieces, max_length) or whole:
            yield [cut]
        return
    cuts = windows(pieces, segment_length, segment_length - 1) or [(0, 0)]
    for first, (start, _) in enumerate(cuts):
        # Each segment has a `</s>` of its own.
        kept = [
            cut
            for count, cut in enumerate(cuts[first:], start=1)
            if max_length is None or count == 1 or cut[1] - start + count <= max_length
        ]
        yield kept
        if kept[-1] == cuts[-1]:
            return


def sentence_of(document: Document, word: np.ndarray) -> np.ndarray:
    """`int32[T]`: the number of each word's sentence from 1 on, 0 for no word."""
    starts = np.asarray([start for start, _ in document.sentences], np.int32)
    number = np.searchsorted(starts, word, side="right")
    return np.where(word == INSERTED, 0, number).astype(np.int32)


def annotated(row: Row, document: Document, types: Mapping[str, int]) -> Row:
    """A row with the gold entities and relations of its document.

    A span that stands in several clusters counts for the first. Mentions that the row does not
    hold are counted; entities of which nothing is left are dropped, and so are relations of such
    entities and of an entity to itself.

    Args:
      row: of the document.
      document: with an annotation.
      types: relation names -> 1..R.

    Raises:
      DocumentError: there is no annotation, or it has a relation of an unknown name.
    """
    gold = document.annotation
    if gold is None:
        raise DocumentError(f"document {document.doc_id!r} has no annotation; training needs one")
    clusters, lost = _held(row, gold)
    mentions = [(s, e, k) for k, (_, spans) in enumerate(clusters, start=1) for s, e in spans]
    entities = tuple(cluster for cluster, _ in clusters)
    number = {cluster: k for k, cluster in enumerate(entities, start=1)}
    relations = sorted(
        {
            (number[r.head], number[r.tail], _type(r, document, types))
            for r in gold.relations
            if r.head in number and r.tail in number and r.head != r.tail
        }
    )
    return dataclasses.replace(
        row,
        mentions=np.asarray(sorted(mentions), np.int32).reshape(-1, 3),
        entities=entities,
        relations=np.asarray(relations, np.int32).reshape(-1, 3),
        lost=lost,
    )


def with_entities(row: Row, document: Document) -> Row:
    """A row with the entities of its document, whose relations are to be predicted."""
    clusters = () if document.annotation is None else document.annotation.clusters
    return annotated(row, document.with_annotation(Annotation(clusters)), {})


def _held(row: Row, gold: Annotation) -> tuple[list[tuple[int, list[tuple[int, int]]]], int]:
    """Clusters with the first and last pieces of their mentions; how many mentions are lost."""
    firsts = dict(zip(row.word[row.word_start].tolist(), np.flatnonzero(row.word_start).tolist(),
                      strict=True))  # fmt: skip
    lasts = dict(zip(row.word[row.word_end].tolist(), np.flatnonzero(row.word_end).tolist(),
                     strict=True))  # fmt: skip
    seen: set[tuple[int, int]] = set()
    clusters, lost = [], 0
    for cluster, spans in enumerate(gold.clusters):
        kept = []
        for start, end in spans:
            if (start, end) in seen:
                continue
            seen.add((start, end))
            if start in firsts and end - 1 in lasts:
                kept.append((firsts[start], lasts[end - 1]))
            else:
                lost += 1
        if kept:
            clusters.append((cluster, kept))
    return clusters, lost


def _type(relation: Relation, document: Document, types: Mapping[str, int]) -> int:
    try:
        return types[relation.type]
    except KeyError:
        known = ", ".join(list(types)[:8])
        raise DocumentError(
            f"document {document.doc_id!r} has a relation {relation.type!r}, which is not among "
            f"the model's {len(types)} ({known}{', ...' if len(types) > 8 else ''}); give the "
            "inventory of the corpus, or take it from all training documents"
        ) from None


def length_bucket(length: int) -> int:
    """The length that a row is padded to: a multiple of 64 up to 512, then of 128, then of 512."""
    step = 64 if length <= 512 else 128 if length <= 1024 else 512
    return -(-max(length, 1) // step) * step


def batch(
    rows: Sequence[Row], *, length: int, mentions: int, relations: int, segmented: bool
) -> dict[str, np.ndarray]:
    """Rows side by side, padded with 0.

    Args:
      rows: at least one.
      length: T.
      mentions: G.
      relations: P.
      segmented: add `encoder_segment_ids` int32 `[B, T]`, for texts that are encoded in segments.
    """
    features = {
        "encoder_input_tokens": _padded([row.source for row in rows], length),
        "sentence": _padded([row.sentence for row in rows], length),
        "word_start": _padded([row.word_start for row in rows], length),
        "word_end": _padded([row.word_end for row in rows], length),
    }
    if segmented:
        features["encoder_segment_ids"] = _padded([row.segment for row in rows], length)
    mention = ("mention_start", "mention_end", "mention_cluster")
    relation = ("relation_head", "relation_tail", "relation_type")
    features |= _columns(mention, [row.mentions for row in rows], mentions)
    features |= _columns(relation, [row.relations for row in rows], relations)
    return features


def _columns(
    names: tuple[str, ...], tables: Sequence[np.ndarray], count: int
) -> dict[str, np.ndarray]:
    padded = np.zeros((len(tables), count, len(names)), np.int32)
    for i, table in enumerate(tables):
        padded[i, : len(table)] = table
    return {name: np.ascontiguousarray(padded[:, :, k]) for k, name in enumerate(names)}


def _padded(rows: Sequence[np.ndarray], length: int) -> np.ndarray:
    out = np.zeros((len(rows), length), rows[0].dtype)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out

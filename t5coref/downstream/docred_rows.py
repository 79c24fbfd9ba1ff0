"""Documents with given entities as rows: pieces, mentions, pairs with their relations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import DocumentError
from t5coref.downstream.head_rows import padded
from t5coref.joint_ie.features import read
from t5coref.tokenizer import Tokenizer

LENGTH_STEP = 64
STEP = 32
"""Lengths, and numbers of mentions, entities and pairs are rounded up to multiples of these."""


@dataclass(frozen=True, eq=False)
class RelationRow:
    """A document whose entities are given.

    Attributes:
      name: what messages call it.
      source: `int32[T]` pieces, `</s>` included.
      mentions: `int32[M, 3]` first piece, end, entity.
      first: `int32[E]` first piece of its earliest mention.
      entities: `[E]` which cluster of the annotation each entity is: those with a mention that was
        read.
      related: pairs of entities -> their classes, from 1 on.
      lost: mentions that were not read.
    """

    name: str
    source: np.ndarray
    mentions: np.ndarray
    first: np.ndarray
    entities: tuple[int, ...]
    related: Mapping[tuple[int, int], tuple[int, ...]]
    lost: int

    def __len__(self) -> int:
        return len(self.source)

    def pairs(self) -> list[tuple[int, int]]:
        """All ordered pairs of two entities."""
        count = range(len(self.entities))
        return [(head, tail) for head in count for tail in count if head != tail]


class Room(NamedTuple):
    """How many mentions, entities and pairs a batch has room for."""

    mentions: int
    entities: int
    pairs: int


def row_of(
    document: Document, tokenizer: Tokenizer, relations: Sequence[str], max_length: int
) -> RelationRow:
    """A document as pieces with its entities and relations.

    Args:
      document: with clusters.
      tokenizer: words are encoded one by one.
      relations: names of the relation types; empty = the document's relations are not looked at.
      max_length: pieces that are read, `</s>` included.

    Raises:
      DocumentError: there are no clusters, or a relation of an unknown name.
    """
    gold = document.annotation
    if gold is None:
        raise DocumentError(
            f"document {document.doc_id!r} has no annotation; expected one with clusters"
        )
    whole = read(document, tokenizer)
    last = max_length - 1
    source = whole.source
    if len(source) > max_length:
        source = np.append(source[:last], source[-1])
    starts, ends = whole.word_start.nonzero()[0], whole.word_end.nonzero()[0] + 1
    start_of = dict(zip(whole.word[starts].tolist(), starts.tolist(), strict=True))
    end_of = dict(zip(whole.word[ends - 1].tolist(), ends.tolist(), strict=True))
    mentions, first, entities, lost = [], [], [], 0
    for cluster, spans in enumerate(gold.clusters):
        held = [
            (start_of[a], end_of[b - 1])
            for a, b in spans
            if a in start_of and b - 1 in end_of and end_of[b - 1] <= last
        ]
        lost += len(spans) - len(held)
        if held:
            mentions += [(start, end, len(entities)) for start, end in held]
            first.append(held[0][0])
            entities.append(cluster)
    return RelationRow(
        repr(document.doc_id),
        source.astype(np.int32),
        np.asarray(mentions, np.int32).reshape(-1, 3),
        np.asarray(first, np.int32),
        tuple(entities),
        _related(document, gold, entities, relations),
        lost,
    )


def rooms(rows: Sequence[RelationRow], pairs: Sequence[int]) -> dict[int, Room]:
    """For each padded length, what batches of it have room for: so there is one program a length.

    Args:
      rows: all that batches are made of.
      pairs: how many of each row are taken.
    """
    most: dict[int, Room] = {}
    for row, count in zip(rows, pairs, strict=True):
        length = _rounded(len(row), LENGTH_STEP)
        sizes = len(row.mentions), len(row.first), count
        most[length] = Room(*map(max, most.get(length, (0, 0, 0)), sizes))
    found, so_far = {}, Room(STEP, STEP, STEP)
    for length in sorted(most):
        # A batch may hold shorter rows than those that its length is for.
        so_far = Room(*map(max, so_far, (_rounded(size, STEP) for size in most[length])))
        found[length] = so_far
    return found


def side_by_side(
    rows: Sequence[RelationRow],
    pairs: Sequence[Sequence[tuple[int, int]]],
    room_of: Mapping[int, Room],
) -> dict[str, np.ndarray]:
    """The features of `BilinearRelations` but the labels; `room_of` is what `rooms` has made."""
    source = padded([row.source for row in rows], LENGTH_STEP)
    room = room_of[source.shape[1]]
    both = [np.asarray(chosen, np.int32).reshape(-1, 2) for chosen in pairs]
    names = ("mention_start", "mention_end", "mention_entity")
    features = {
        name: padded([row.mentions[:, k] for row in rows], room.mentions)
        for k, name in enumerate(names)
    }
    return {
        **features,
        "encoder_input_tokens": source,
        "entity_start": padded([row.first for row in rows], room.entities),
        "pair_head": padded([x[:, 0] for x in both], room.pairs),
        "pair_tail": padded([x[:, 1] for x in both], room.pairs),
        "pair_mask": padded([np.ones(len(x), np.int32) for x in both], room.pairs),
    }


def _rounded(size: int, step: int) -> int:
    return -(-size // step) * step


def _related(
    document: Document, gold: Annotation, entities: Sequence[int], relations: Sequence[str]
) -> dict[tuple[int, int], tuple[int, ...]]:
    kinds = {name: kind for kind, name in enumerate(relations, start=1)}
    place = {cluster: entity for entity, cluster in enumerate(entities)}
    found: dict[tuple[int, int], set[int]] = {}
    for r in gold.relations if relations else ():
        if r.type not in kinds:
            raise DocumentError(
                f"document {document.doc_id!r} has a relation {r.type!r}, which is not among the "
                f"{len(kinds)} that are learned; give the inventory of the corpus"
            )
        if r.head in place and r.tail in place and r.head != r.tail:
            found.setdefault((place[r.head], place[r.tail]), set()).add(kinds[r.type])
    return {pair: tuple(sorted(found[pair])) for pair in sorted(found)}

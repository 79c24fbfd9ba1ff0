"""Which vocabulary entries an output may consist of, and how cluster numbers are spelt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from t5coref.core.errors import ConfigError

INTEGER_SYMBOLS = ("<speaker>", "</speaker>", "<m>", "</m>", "<copy>")
"""Added symbols of the integer formats, in the order of the published checkpoints."""


@dataclass(frozen=True)
class Inventory:
    """The actions of a format, in the order in which the sliced output layer holds them.

    Attributes:
      ids: vocabulary id of each action, `[A]`; unique.
      names: the action's text (a piece or an added symbol), `[A]`.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.ids)) != len(self.ids) or len(self.ids) != len(self.names):
            raise ConfigError(
                f"an inventory needs unique ids and one name an id; got {len(self.ids)} ids, "
                f"{len(set(self.ids))} of them unique, and {len(self.names)} names"
            )

    @cached_property
    def index(self) -> dict[int, int]:
        """Vocabulary id -> action index."""
        return {token: i for i, token in enumerate(self.ids)}


@dataclass(frozen=True)
class NumberTrie:
    """The piece sequences of the numbers `0 .. limit - 1` as a trie; node 0 is its root.

    Attributes:
      limit: how many numbers there are.
      pieces: the distinct pieces that numbers are made of, ascending, `[P]`.
      child: `int32[nodes, P]`, the node after a piece, -1 where no number goes on so.
      number: `int32[nodes]`, the number that ends at a node, -1 where none does.
      at_least: `int32[nodes, limit + 1]`, the smallest number >= column below or at a node;
        `limit` where there is none.
      finish: `int32[nodes]`, pieces that lead from a node to a number that is legal whenever the
        node is (without a lower bound): 0 or 1 where one of them lies below, else the smallest.
    """

    limit: int
    pieces: tuple[int, ...]
    child: np.ndarray
    number: np.ndarray
    at_least: np.ndarray
    finish: np.ndarray
    shortest: int
    first: int
    longest: int

    @classmethod
    def build(cls, spellings: Sequence[Sequence[int]]) -> NumberTrie:
        """The trie of `spellings[k]` = pieces of number k.

        Raises:
          ConfigError: no numbers, an empty or repeated spelling, or a longer number's spelling that
            is continued by a smaller number's (decimal notation never does that).
        """
        words = [tuple(s) for s in spellings]
        if not words or not all(words) or len(set(words)) != len(words):
            raise ConfigError(
                "cluster numbers need at least one number and a distinct, non-empty spelling each; "
                "the tokenizer spells some number with no piece or two numbers alike"
            )
        limit = len(words)
        pieces = tuple(sorted({p for w in words for p in w}))
        column = {p: i for i, p in enumerate(pieces)}
        children: list[dict[int, int]] = [{}]
        number = [-1]
        below: list[list[tuple[int, int]]] = [[]]  # per node: (number, pieces from here)
        for k, word in enumerate(words):
            node = 0
            below[0].append((k, len(word)))
            for depth, piece in enumerate(word, start=1):
                if piece not in children[node]:
                    children[node][piece] = len(children)
                    children.append({})
                    number.append(-1)
                    below.append([])
                node = children[node][piece]
                below[node].append((k, len(word) - depth))
            number[node] = k
        child = np.full((len(children), len(pieces)), -1, np.int32)
        at_least = np.full((len(children), limit + 1), limit, np.int32)
        finish = np.zeros(len(children), np.int32)
        for node, nexts in enumerate(children):
            for piece, target in nexts.items():
                child[node, column[piece]] = target
            numbers = [k for k, _ in below[node]]
            smallest = min(numbers)
            if number[node] not in (-1, smallest):
                raise ConfigError(
                    f"number {smallest} continues the spelling of number {number[node]}; "
                    "expected decimal strings, where only larger numbers continue a number"
                )
            for k in sorted(numbers, reverse=True):
                at_least[node, : k + 1] = k
            easy = [rest for k, rest in below[node] if k <= 1]
            finish[node] = min(easy) if easy else dict(below[node])[smallest]
        return cls(
            limit=limit,
            pieces=pieces,
            child=child,
            number=np.asarray(number, np.int32),
            at_least=at_least,
            finish=finish,
            shortest=min(len(w) for w in words[:2]),
            first=len(words[0]),
            longest=max(len(w) for w in words),
        )

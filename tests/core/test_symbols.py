"""Inventories and the spelling of numbers."""

from __future__ import annotations

import pytest

from t5coref.core.errors import ConfigError
from t5coref.core.symbols import Inventory, NumberTrie


def test_number_trie_spells_every_number(tokenizer):
    spellings = [tokenizer.encode(str(k)) for k in range(120)]
    trie = NumberTrie.build(spellings)
    for k, spelling in enumerate(spellings):
        node = 0
        for i, piece in enumerate(spelling):
            assert trie.at_least[node, k] == k
            # Not more pieces than this number has left, if it may always follow.
            assert k > 1 or trie.finish[node] <= len(spelling) - i
            node = trie.child[node, trie.pieces.index(piece)]
        assert trie.number[node] == k
        assert trie.finish[node] == 0
    assert (trie.number >= 0).sum() == 120
    lengths = [len(s) for s in spellings]
    assert (trie.shortest, trie.first, trie.longest) == (min(lengths), lengths[0], max(lengths))
    assert trie.at_least[0].tolist() == [*range(120), 120]


def test_the_shortest_number_is_one_that_always_may_follow():
    trie = NumberTrie.build([[7, 8, 9], [7, 6], [5], [5, 5]])
    assert (trie.shortest, trie.first, trie.longest) == (2, 3, 3)
    root = trie.child[0]
    assert trie.finish[root[trie.pieces.index(7)]] == 1  # number 1
    assert trie.finish[root[trie.pieces.index(5)]] == 0  # number 2, not 3
    assert trie.at_least[root[trie.pieces.index(5)]].tolist() == [2, 2, 2, 3, 4]


@pytest.mark.parametrize("spellings", [[], [[1], [1]], [[1], []], [[1, 2], [1]]])
def test_number_trie_refuses(spellings):
    with pytest.raises(ConfigError):
        NumberTrie.build(spellings)


@pytest.mark.parametrize(("ids", "names"), [((1, 1), ("a", "b")), ((1, 2), ("a",))])
def test_inventory_refuses(ids, names):
    with pytest.raises(ConfigError, match="unique"):
        Inventory(ids, names)

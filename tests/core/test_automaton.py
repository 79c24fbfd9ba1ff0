"""The reference automaton: worked example, oracle, no dead ends, slack."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import documents

from t5coref.core import automaton
from t5coref.core.automaton import DONE, initial, legal, legal_actions, step
from t5coref.core.errors import ConfigError
from t5coref.core.symbols import NumberTrie
from t5coref.linearize import examples, get


@pytest.fixture(scope="module")
def full_copy(tokenizer):
    return get("full-copy", tokenizer, window=40, max_clusters=30, max_depth=4)


def names(rules, state, length):
    return {rules.inventory.names[i] for i in np.flatnonzero(legal_actions(rules, state, length))}


def run(rules, actions, length, budget):
    """The state after actions given by name; asserts that each was legal."""
    state = initial(rules, length, budget)
    for name in actions:
        a = rules.inventory.names.index(name)
        assert legal(rules, state, a, length), (name, state)
        state = step(rules, state, a, length)
    return state


def test_legal_actions_of_a_short_output(full_copy):
    rules = full_copy.rules
    (blank, zero), sep = ("▁", "0"), rules.inventory.names[2]
    after = lambda *actions: names(rules, run(rules, actions, 3, 40), 3)  # noqa: E731
    assert after() == {"<copy>", "<m>"}
    assert after("<m>") == {"<copy>", "<m>"}
    assert after("<m>", "<copy>") == {"<copy>", "<m>", sep}
    assert after("<m>", "<copy>", sep) == {blank}
    # Nothing is numbered yet: only 0 may follow.
    assert after("<m>", "<copy>", sep, blank) == {zero}
    first = ("<m>", "<copy>", sep, blank, zero, "</m>")
    assert after(*first[:-1]) == {"</m>"}
    # The next mention may be of cluster 0 or new.
    assert after(*first, "<m>", "<copy>", sep, blank) == {zero, "1"}
    # The source is exhausted with nothing open: only its end can be copied.
    assert after("<copy>", "<copy>") == {"<copy>"}
    # Exhausted with a mention open: it has to be closed.
    assert after("<copy>", "<m>", "<copy>") == {sep}
    assert run(rules, ["<copy>"] * 3, 3, 40).mode == DONE
    assert after(*["<copy>"] * 3) == set()


def test_one_span_gets_ascending_numbers(full_copy):
    rules = full_copy.rules
    blank, sep = "▁", rules.inventory.names[2]
    one = ["<m>", "<copy>", sep, blank, "0", "</m>"]
    two = ["<m>", "<copy>", sep, blank, "1", "</m>"]
    twins = ["<m>", "<m>", "<copy>", sep, blank, "0", "</m>", sep, blank]
    # Outside this pair 0 and 2 would be legal too; 0 is the cluster that the span already has.
    state = run(rules, [*one, *two, *twins], 5, 80)
    assert names(rules, state, 5) == {"1", "2"}
    # One piece further the span is another one, and 0 is legal again.
    longer = [*twins[:-2], "<copy>", sep, blank]
    assert names(rules, run(rules, [*one, *two, *longer], 5, 80), 5) == {"0", "1", "2"}


def test_depth_is_bounded(full_copy):
    rules = full_copy.rules
    assert "<m>" in names(rules, run(rules, ["<m>"] * 3, 3, 80), 3)
    assert "<m>" not in names(rules, run(rules, ["<m>"] * 4, 3, 80), 3)


def test_budget_too_small_for_the_source(full_copy):
    with pytest.raises(ConfigError, match="cannot copy a source of 9"):
        initial(full_copy.rules, 9, 8)


@settings(max_examples=60, deadline=None)
@given(documents())
def test_oracle_is_legal_and_ends(full_copy, doc):
    rules = full_copy.rules
    for example in examples(full_copy, doc):
        length = len(example.turn.source)
        # Same-start mentions may reserve one piece more than they use; see Rules.twin_pledge.
        state = initial(rules, length, len(example.actions) + 8 * rules.twin_pledge)
        for action, fed in zip(example.actions, example.feeds, strict=True):
            a = rules.inventory.index[int(action)]
            assert legal(rules, state, a, length)
            assert automaton.feed(rules, state, a, example.turn.source) == fed
            state = step(rules, state, a, length)
        assert state.mode == DONE
        assert state.depth == 0


@settings(max_examples=200, deadline=None)
@given(
    length=st.integers(1, 8),
    extra=st.integers(0, 30),
    choices=st.lists(st.integers(0, 10**6), min_size=60, max_size=60),
)
def test_no_dead_end_whatever_the_budget(full_copy, length, extra, choices):
    rules = full_copy.rules
    state = initial(rules, length, length + extra)
    for steps in range(length + extra + 1):
        if state.mode == DONE:
            break
        options = np.flatnonzero(legal_actions(rules, state, length))
        assert len(options), state
        assert state.slack >= 0
        # Prefer tags over copies, so that walks nest deeply.
        weighted = [*options, *options[options > 0], *options[options > 0]]
        state = step(rules, state, int(weighted[choices[steps] % len(weighted)]), length)
    assert state.mode == DONE


def shortest_finish(rules, state, length, bound):
    """Steps to DONE by breadth-first search over `legal`, with unbounded slack."""
    seen = layer = {automaton.State(**{f: getattr(state, f) for f in state.__slots__})}
    for steps in range(bound):
        if any(s.mode == DONE for s in layer):
            return steps
        layer = {
            step(rules, s, int(a), length)
            for s in layer
            for a in np.flatnonzero(legal_actions(rules, s, length))
        }
        seen = seen | layer
    raise AssertionError("no way to the end")


@pytest.mark.parametrize("seed", range(6))
def test_slack_is_steps_left_minus_the_shortest_way(full_copy, seed):
    rules, length, budget = full_copy.rules, 4, 22
    rng = np.random.default_rng(seed)
    state, used = initial(rules, length, budget), 0
    while state.mode != DONE:
        left = budget - used
        best = shortest_finish(rules, state, length, left + 1)
        pledged = 0 if state.twins == 0 and state.floor == 0 else rules.twin_pledge * state.depth
        # Exact, but for what is set aside for mentions that began together.
        assert state.slack <= left - best <= state.slack + rules.first_pledge + pledged
        if not pledged:
            assert state.slack == left - best
        options = np.flatnonzero(legal_actions(rules, state, length))
        state = step(rules, state, int(rng.choice(options)), length)
        used += 1


def test_number_trie_spells_every_number(tokenizer):
    spellings = [tokenizer.encode(str(k)) for k in range(120)]
    trie = NumberTrie.build(spellings)
    for k, spelling in enumerate(spellings):
        node = 0
        for piece in spelling:
            assert trie.at_least[node, k] == k
            node = trie.child[node, trie.pieces.index(piece)]
        assert trie.number[node] == k
    assert (trie.number >= 0).sum() == 120


@pytest.mark.parametrize("spellings", [[], [[1], [1]], [[1], []], [[1, 2], [1]]])
def test_number_trie_refuses(spellings):
    with pytest.raises(ConfigError):
        NumberTrie.build(spellings)

"""The jitted twin against the reference automaton, along random walks."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import walks
from walks import CASES, IDS

from t5coref.core import automaton
from t5coref.core.automaton import DONE
from t5coref.core.triples import Triple
from t5coref.decode import constraint
from t5coref.decode.constraint import Tables
from t5coref.decode.search import Rows, start

ROWS, WIDTH, STEPS = 12, 14, 60


def columns_of(rules, tokens, width):
    """`bool[X]` of vocabulary ids."""
    out = np.zeros(width, bool)
    out[[t if rules.literal else rules.inventory.index[t] for t in tokens]] = True
    return out


@functools.partial(jax.jit, static_argnames="width")
def look(tables, state, source, width):
    return jax.vmap(lambda s, o: constraint.legal(tables, s, o, width))(state, source)


@jax.jit
def go(tables, state, source, column):
    def one(state, source, column):
        made = constraint.move(tables, state, source, column)
        after = constraint.step(tables, state, source, made)
        return (
            constraint.written(tables, made),
            constraint.feed(tables, state, source, made),
            constraint.beside(tables, after, source, made),
            after,
        )

    return jax.vmap(one)(state, source, column)


def as_reference(rules, host, row):
    """One row of the twin's states as the reference has it."""
    numbers = [f for f in host._fields if f not in ("frontier", "least")]
    fields = {f: int(getattr(host, f)[row]) for f in numbers}
    assert (host.least is not None) == bool(rules.relations)
    if host.least is not None:
        fields["least"] = Triple(*(int(x[row]) for x in host.least))
    spots = host.frontier[row]
    spots = np.flatnonzero(spots) if rules.spread else [spots]
    return automaton.State(frontier=frozenset(int(p) for p in spots), **fields)


def check_along_walks(lin, seed):
    """Everything that both say, at every step; the number of rows that ended."""
    rules, rng = lin.rules, np.random.default_rng(seed)
    width = lin.tokenizer.size if rules.literal else len(rules.inventory.ids)
    sources = [walks.random_source(rng, lin, WIDTH) for _ in range(ROWS)]
    pieces = walks.padded([*sources, []], WIDTH)
    least = np.array([automaton.shortest(rules, s) for s in sources])
    budgets = least + rng.integers(0, STEPS - WIDTH, ROWS)
    tables = Tables.of(rules)
    forced = np.full((ROWS + 1, 1), -1, np.int32)
    rows = Rows(jnp.asarray(pieces), jnp.asarray([*budgets, 9], jnp.int32), jnp.asarray(forced))
    source, state = jax.jit(start)(tables, rows)
    own = [automaton.Source(p, rules.marks) for p in pieces]
    expected = [automaton.initial(rules, s, int(n)) for s, n in zip(own[:-1], budgets, strict=True)]
    for row, reference in enumerate(own[:-1]):
        np.testing.assert_array_equal(source.next_mark[row], reference.next_mark)
    for _ in range(STEPS):
        allowed = np.asarray(look(tables, state, source, width))
        host = jax.tree.map(np.asarray, state)
        chosen = np.zeros(ROWS + 1, np.int32)
        tokens = [0] * ROWS
        for row, s in enumerate(expected):
            assert as_reference(rules, host, row) == s
            if s.mode != DONE:
                options = automaton.legal_tokens(rules, s, own[row])
                np.testing.assert_array_equal(allowed[row], columns_of(rules, options, width))
                tokens[row] = token = walks.weighted(rng, rules, options)
                chosen[row] = token if rules.literal else rules.inventory.index[token]
        wrote, fed, beside, state = go(tables, state, source, chosen)
        wrote, fed, beside = np.asarray(wrote), np.asarray(fed), np.asarray(beside)
        for row, (s, token) in enumerate(zip(expected, tokens, strict=True)):
            if s.mode != DONE:
                assert wrote[row] == automaton.written(rules, s, token, own[row])
                assert fed[row] == automaton.feed(rules, s, token, own[row])
                assert beside[row] == automaton.beside(rules, s, token, own[row])
                expected[row] = automaton.step(rules, s, token, own[row])
        # The last row holds no document.
        assert state.mode[ROWS] == DONE
    return sum(s.mode == DONE for s in expected)


@pytest.mark.parametrize(("name", "rule"), CASES, ids=IDS)
def test_twin_agrees_with_the_reference(tokenizer, name, rule):
    lin = walks.make(tokenizer, name, rule)
    ended = check_along_walks(lin, 0)
    assert ended == ROWS or rule == "reference"


@pytest.mark.parametrize("name", ["relation-copy", "relation-integer-free", "relation-text"])
def test_twin_agrees_where_entities_have_types(tokenizer, name):
    lin = walks.make(tokenizer, name, entity_types=("X", "Y"))
    assert check_along_walks(lin, 3) == ROWS


@pytest.mark.parametrize("options", [{}, {"nulls": True, "max_clusters": 4}])
@pytest.mark.parametrize("name", ["iterative-handles", "iterative-ids"])
def test_twin_agrees_where_mentions_are_several_clusters(tokenizer, name, options):
    assert check_along_walks(walks.make(tokenizer, name, sets=True, **options), 4) == ROWS


@pytest.mark.parametrize(("name", "rule"), CASES, ids=IDS)
def test_twin_agrees_where_numbers_are_few_and_unlike(tokenizer, name, rule):
    lin = walks.make(tokenizer, name, rule, kind=walks.Respelled, max_clusters=4, max_depth=2)
    ended = check_along_walks(lin, 1)
    assert ended == ROWS or rule == "reference"


@pytest.mark.parametrize("name", ["integer-free", "integer-free-end"])
def test_twin_agrees_where_there_is_one_cluster(tokenizer, name):
    check_along_walks(walks.make(tokenizer, name, "reference", max_clusters=1), 2)

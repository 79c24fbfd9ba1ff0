"""The jitted twin against the reference automaton, and decoding with random logits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.core import automaton
from t5coref.core.automaton import DONE
from t5coref.decode import constraint
from t5coref.decode.constraint import Tables
from t5coref.decode.search import greedy
from t5coref.linearize import Turn, get

WIDTH, STEPS = 12, 72


@pytest.fixture(scope="module", params=[(30, 4), (8, 6)], ids=["roomy", "few-numbers"])
def full_copy(request, tokenizer):
    clusters, depth = request.param
    return get("full-copy", tokenizer, window=40, max_clusters=clusters, max_depth=depth)


@pytest.fixture(scope="module")
def twin(full_copy):
    tables = Tables.of(full_copy.rules)
    return {
        "tables": tables,
        "legal": jax.jit(constraint.legal),
        "step": jax.jit(constraint.step),
        "feed": jax.jit(constraint.feed),
        "greedy": jax.jit(
            lambda logits, sources, lengths, budgets: greedy(
                lambda carry, token, position: (carry[:, position[0]], carry),
                logits, tables, sources, lengths, budgets, STEPS,
            )
        ),
    }  # fmt: skip


def random_sources(rng, rows, tokenizer):
    lengths = rng.integers(1, WIDTH + 1, rows).astype(np.int32)
    sources = rng.integers(3, 60, (rows, WIDTH)).astype(np.int32)
    sources[np.arange(rows), lengths - 1] = tokenizer.eos_id
    sources[np.arange(WIDTH)[None] >= lengths[:, None]] = 0
    return sources, lengths


def as_reference(state, row):
    fields = {f: int(getattr(state, f)[row]) for f in state._fields if f != "frontier"}
    frontier = frozenset(np.flatnonzero(np.asarray(state.frontier[row])).tolist())
    return automaton.State(frontier=frontier, **fields)


@pytest.mark.parametrize("seed", range(4))
def test_twin_agrees_with_the_reference_along_random_walks(full_copy, twin, tokenizer, seed):
    rules, rng, rows = full_copy.rules, np.random.default_rng(seed), 25
    sources, lengths = random_sources(rng, rows, tokenizer)
    budgets = lengths + rng.integers(0, STEPS - WIDTH, rows).astype(np.int32)
    reference = [
        automaton.initial(rules, int(n), int(t)) for n, t in zip(lengths, budgets, strict=True)
    ]
    state = constraint.initial(jnp.asarray(lengths), WIDTH, jnp.asarray(budgets))
    for _ in range(STEPS):
        allowed = np.asarray(twin["legal"](twin["tables"], state, lengths))
        chosen = np.zeros(rows, np.int32)
        for b, s in enumerate(reference):
            assert as_reference(state, b) == s
            expected = automaton.legal_actions(rules, s, int(lengths[b]))
            np.testing.assert_array_equal(allowed[b], expected)
            if s.mode != DONE:
                options = np.flatnonzero(expected)
                chosen[b] = rng.choice(np.concatenate([options, options[options > 0]]))
        fed = np.asarray(twin["feed"](twin["tables"], state, chosen, sources))
        state = twin["step"](twin["tables"], state, chosen, lengths)
        for b, s in enumerate(reference):
            if s.mode != DONE:
                a = int(chosen[b])
                assert fed[b] == automaton.feed(rules, s, a, sources[b])
                reference[b] = automaton.step(rules, s, a, int(lengths[b]))
    assert all(s.mode == DONE for s in reference)


def test_a_thousand_random_decodes_end_legally_and_read_back(full_copy, twin, tokenizer):
    rules, rng, rows = full_copy.rules, np.random.default_rng(0), 250
    mentions = 0
    for _ in range(4):
        sources, lengths = random_sources(rng, rows, tokenizer)
        budgets = (lengths + rng.integers(0, STEPS - WIDTH, rows)).astype(np.int32)
        logits = rng.normal(size=(rows, STEPS, len(rules.inventory.ids))).astype(np.float32)
        logits[..., 1:4] += rng.normal(1.0, 1.0, (rows, 1, 3))  # some rows love tags
        found = twin["greedy"](logits, sources, lengths, budgets)
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        for b in range(rows):
            n = int(lengths[b])
            actions = np.asarray(found.actions[b, : int(found.lengths[b])])
            assert int(found.lengths[b]) <= budgets[b]
            assert not np.any(found.actions[b, len(actions) :])
            state = automaton.initial(rules, n, int(budgets[b]))
            score, stack, balance = 0.0, 0, 0
            for t, action in enumerate(actions):
                a = rules.inventory.index[int(action)]
                allowed = automaton.legal_actions(rules, state, n)
                assert allowed[a]
                # Greedy: no legal action was likelier.
                assert logits[b, t, a] == logits[b, t][allowed].max()
                score += log_probs[b, t, a]
                state = automaton.step(rules, state, a, n)
                kind = rules.kind[a]
                stack += int(kind == automaton.OPEN) - int(kind == automaton.CLOSE)
                balance += int(kind == automaton.CLOSE)
            assert state.mode == DONE
            assert stack == 0
            np.testing.assert_allclose(found.scores[b], score, rtol=1e-4)
            word = np.append(np.arange(n - 1), -1).astype(np.int32)
            turn = Turn("d", 0, 0, sources[b, :n], word)
            clusters = full_copy.read_back(turn, actions)
            assert sum(map(len, clusters)) == balance
            assert all(len(set(c)) == len(c) for c in clusters)
            mentions += balance
    assert mentions > 1000


def test_rows_without_a_document_take_no_part(full_copy, twin, tokenizer):
    rng = np.random.default_rng(1)
    sources, lengths = random_sources(rng, 250, tokenizer)
    lengths[::2] = 0
    sources[::2] = 0
    logits = rng.normal(size=(250, STEPS, len(full_copy.rules.inventory.ids))).astype(np.float32)
    found = twin["greedy"](logits, sources, lengths, np.full(250, 20, np.int32))
    assert not np.any(found.actions[::2])
    assert np.all(np.asarray(found.lengths[1::2]) > 0)
    assert int(found.steps) <= 20

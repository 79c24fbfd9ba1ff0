"""Decoding with a network: against a decoder without a cache, with and without guesses."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import walks
from searches import beam_search, greedy_search, rows_of, without_cache

from t5coref import linearize
from t5coref.core.automaton import DONE, Source
from t5coref.decode import draft
from t5coref.decode.constraint import Tables
from t5coref.decode.search import Beam, Greedy
from t5coref.predict import decode_batch

STEPS = 64
FAST = ["full-copy", "input-feed", "integer-free-end"]
FORMATS = [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in walks.NAMES]
GUESSES = (4, 8)


class Case:
    """A network and the stories as a format has them."""

    def __init__(self, learnt, name, params, count=None):
        self.lin, self.network, self.params = learnt.formats[name], learnt.network, params
        stories = learnt.stories[:count]
        self.turns = [linearize.examples(self.lin, story)[0].turn for story in stories]
        sources = [turn.source for turn in self.turns]
        self.rows = rows_of(sources, [STEPS] * len(sources), STEPS)
        self.pieces = np.asarray(self.rows.sources)
        self.tables = Tables.of(self.lin.rules)

    def decode(self, search, memory=None):
        memory = draft.empty() if memory is None else memory
        found, memory = decode_batch(
            self.network, self.params, self.tables, self.rows, memory, STEPS, search
        )
        return jax.device_get(found), memory

    def problem(self, row):
        """What the searches in Python ask for; the model reads each prefix anew."""
        symbols = None if self.lin.rules.literal else self.tables.ids
        source = self.pieces[row]

        def logits(read):
            feeds = np.zeros((1, STEPS, *np.shape(read)[1:]), np.int32)
            feeds[0, : len(read)] = read
            found = without_cache(self.network, self.params, source[None], feeds, symbols)
            return np.asarray(found)[0, len(read) - 1]

        return self.lin, Source(source, self.lin.rules.marks), STEPS, logits, STEPS


def assert_same(found, other):
    np.testing.assert_array_equal(found.actions, other.actions)
    np.testing.assert_array_equal(found.lengths, other.lengths)
    np.testing.assert_allclose(found.scores, other.scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.log_probs, other.log_probs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("which", ["random", "trained"])
def test_guesses_change_nothing_but_the_number_of_calls(learnt, name, which):
    case = Case(learnt, name, getattr(learnt, which))
    single, _ = case.decode(Greedy((1,)))
    guessed, memory = case.decode(Greedy(GUESSES))
    again, _ = case.decode(Greedy(GUESSES), memory)
    assert_same(guessed, single)
    assert_same(again, single)
    longest = single.lengths.max()
    assert single.calls == longest
    if longest > 2 * GUESSES[-1]:  # a random network may end at once
        assert again.calls < guessed.calls < 0.8 * longest
    if which == "trained" and name in learnt.examples:
        # The story that was learnt in this format comes out by heart.
        example = learnt.examples[name]
        doc = example.turn.doc_id
        (row,) = [i for i, turn in enumerate(case.turns) if turn.doc_id == doc]
        assert single.actions[row, 0, : single.lengths[row, 0]].tolist() == example.actions.tolist()
        assert guessed.calls < 0.6 * longest
        assert again.calls < 0.4 * longest


BEAMS_FAST = ["full-copy"]
BEAM_FORMATS = [
    n if n in BEAMS_FAST else pytest.param(n, marks=pytest.mark.slow) for n in walks.NAMES
]


@pytest.mark.parametrize("name", BEAM_FORMATS)
@pytest.mark.parametrize("which", ["random", "trained"])
def test_guesses_change_nothing_of_what_beams_find(learnt, name, which):
    case = Case(learnt, name, getattr(learnt, which))
    single, _ = case.decode(Beam(3, 1.0, drafts=(1,)))
    guessed, memory = case.decode(Beam(3, 1.0, drafts=GUESSES))
    again, _ = case.decode(Beam(3, 1.0, drafts=GUESSES), memory)
    assert_same(guessed, single)
    assert_same(again, single)
    # A call goes on by a step at least. What is remembered need not be right in another place.
    assert max(again.calls, guessed.calls) <= single.calls


def test_beams_guess_what_was_learnt_by_heart(learnt):
    """Of the story that was learnt in this format: how others are written is up to chance."""
    case = Case(learnt, "full-copy", learnt.trained, count=1)
    assert case.turns[0].doc_id == learnt.examples["full-copy"].turn.doc_id
    single, _ = case.decode(Beam(3, 1.0, drafts=(1,)))
    guessed, memory = case.decode(Beam(3, 1.0, drafts=GUESSES))
    again, _ = case.decode(Beam(3, 1.0, drafts=GUESSES), memory)
    assert guessed.calls < 0.9 * single.calls
    assert again.calls < 0.8 * single.calls


@pytest.mark.parametrize("name", ["input-feed", pytest.param("partial", marks=pytest.mark.slow)])
def test_greedy_search_agrees_with_a_decoder_without_a_cache(learnt, name):
    case = Case(learnt, name, learnt.random)
    found, _ = case.decode(Greedy(GUESSES))
    for row in range(3):
        wanted = greedy_search(*case.problem(row))
        length = found.lengths[row, 0]
        assert found.actions[row, 0, :length].tolist() == wanted.actions
        np.testing.assert_allclose(found.scores[row, 0], wanted.total, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            found.log_probs[row, 0, :length], wanted.log_probs, rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize(
    ("name", "beams", "penalty"),
    [
        ("full-copy", 4, 1.0),
        pytest.param("input-feed", 2, 0.5, marks=pytest.mark.slow),
        pytest.param("full-token", 4, 1.0, marks=pytest.mark.slow),
        pytest.param("integer-free", 3, 2.0, marks=pytest.mark.slow),
        pytest.param("partial", 4, 1.0, marks=pytest.mark.slow),
    ],
)
def test_beam_search_agrees_with_a_decoder_without_a_cache(learnt, name, beams, penalty):
    for params in (learnt.random, learnt.trained):
        case = Case(learnt, name, params, count=2)
        found, _ = case.decode(Beam(beams, penalty))
        for row in range(len(case.turns)):
            wanted = beam_search(*case.problem(row), beams, penalty)
            assert np.sum(found.lengths[row] > 0) == len(wanted)
            for k, (score, hypothesis) in enumerate(wanted):
                assert hypothesis.state.mode == DONE
                length = found.lengths[row, k]
                assert found.actions[row, k, :length].tolist() == hypothesis.actions
                np.testing.assert_allclose(found.scores[row, k], score, rtol=1e-4, atol=1e-4)
                np.testing.assert_allclose(
                    found.log_probs[row, k, :length], hypothesis.log_probs, rtol=1e-3, atol=1e-3
                )

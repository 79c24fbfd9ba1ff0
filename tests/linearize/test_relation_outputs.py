"""Formats that write relations: what is legal, and that anything can be read."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import walks
from formats import document
from hypothesis import given, settings
from hypothesis import strategies as st
from relations import CLUSTERS, NAMES, TYPES, WIDE, OnePiece, make, related, typed
from strategies import UNLIKE

from t5coref.core import automaton
from t5coref.core.automaton import DONE, Source
from t5coref.core.errors import ConfigError
from t5coref.linearize import RELATIONS, Answer, Turn, drive, examples
from t5coref.tokenizer import Tokenizer


@pytest.mark.parametrize("name", RELATIONS)
@settings(max_examples=30, deadline=None)
@given(doc=related())
def test_gold_is_legal_within_its_own_length(tokenizer, name, doc):
    """But for what is set aside for numbers that may be longer."""
    for lin in (typed(tokenizer, name), make(tokenizer, name, **WIDE)):
        for example in examples(lin, doc):
            source = Source(example.turn.source, lin.rules.marks)
            aside = lin.max_depth * lin.rules.twin_pledge + getattr(lin, "section_pledge", 0)
            state = walks.follow(
                lin.rules, source, example.actions.tolist(), len(example.actions) + aside
            )
            assert state.mode == DONE


def section(lin, entities):
    """The state where relations may begin, behind so many clusters."""
    if lin.name == "relation-ids":
        pieces = [lin.openings[entities - 1], lin.tokenizer.eos_id] if entities else [1]
        source = Source(np.asarray(pieces, np.int32), lin.rules.marks)
        return source, automaton.initial(lin.rules, source, 10**6)
    doc = document(" ".join(UNLIKE[:entities]), [[(i, i + 1)] for i in range(entities)])
    if not entities:
        doc = document("the", [])
    (example,) = examples(lin, doc)
    source = Source(example.turn.source, lin.rules.marks)
    tokens = example.actions[:-1].tolist()
    return source, walks.follow(lin.rules, source, tokens, 10**6)


SPELLINGS = [
    ("relation-copy", Tokenizer),
    ("relation-copy", walks.Respelled),
    ("relation-copy", walks.Awkward),
    ("relation-copy", OnePiece),
    ("relation-integer-free", Tokenizer),
    ("relation-ids", Tokenizer),
]


@pytest.mark.parametrize(("name", "kind"), SPELLINGS)
@pytest.mark.parametrize("entities", range(5))
def test_every_set_of_relations_has_one_form(tokenizer, name, entities, kind):
    """As many legal outputs as there are sets of triples: nothing more, nothing less."""
    options = {"max_clusters": 4, "max_depth": 2} if kind is walks.Respelled else {}
    lin = walks.make(tokenizer, name, kind=kind, relations=("a", "b"), **options)
    source, first = section(lin, entities)
    counted: dict[automaton.State, int] = {}

    def outputs(state) -> int:
        plain = dataclasses.replace(state, slack=10**6)
        if plain not in counted:
            options = automaton.legal_tokens(lin.rules, plain, source)
            assert options or state.mode == DONE
            counted[plain] = state.mode == DONE or sum(
                outputs(automaton.step(lin.rules, plain, t, source)) for t in options
            )
        return counted[plain]

    assert outputs(first) == 2 ** (entities * max(0, entities - 1) * 2)


@pytest.mark.parametrize("name", [n for n in RELATIONS if n != "relation-text"])
@pytest.mark.parametrize("seed", range(3))
def test_legal_outputs_hold_ascending_relations(tokenizer, name, seed):
    rng, lin, count = np.random.default_rng(seed), typed(tokenizer, name), 0
    for _ in range(25):
        pieces = walks.random_source(rng, lin, 8)
        budget = len(pieces) + int(rng.integers(20, 120))
        *steps, (end, _, _) = walks.walk(rng, lin.rules, Source(pieces, lin.rules.marks), budget)
        assert end.mode == DONE
        tokens = [token for _, _, token in steps]
        found = lin.section.read(tokens[tokens.index(lin.section.start):]
                                 if lin.section.start in tokens else [])  # fmt: skip
        assert len(found) == tokens.count(lin.section.start)
        assert found == sorted(set(found))
        assert all(t.head != t.tail and max(t.head, t.tail) < end.entities for t in found)
        if name in CLUSTERS:
            word = np.append(np.arange(len(pieces) - 1), -1).astype(np.int32)
            turn = Turn("d", 0, 0, pieces, word)
            reading = lin.read(turn, Answer(np.asarray(tokens, np.int32)))
            assert len(reading.relations) == len(found)
            assert len(reading.clusters) == end.entities
            assert sum(t.total() for t in reading.types) <= sum(map(len, reading.clusters))
        count += len(found)
    assert count > 10


@pytest.mark.parametrize("name", RELATIONS)
@settings(max_examples=40, deadline=None)
@given(doc=related(max_words=12), data=st.data())
def test_any_sequence_can_be_read(tokenizer, name, doc, data):
    lin = typed(tokenizer, name, window=60)
    known = [t for t in lin.rules.inventory.ids if t >= 0]
    answers = []
    for example in examples(lin, doc):
        token = st.sampled_from(known) | st.sampled_from(example.turn.source.tolist())
        actions = data.draw(st.lists(token, max_size=40))
        if data.draw(st.booleans()):
            gold = example.actions.tolist()
            low, high = sorted(data.draw(st.integers(0, len(gold))) for _ in range(2))
            actions = [*gold[:low], *actions[:3], *gold[high:]]
        answers.append(Answer(np.asarray(actions, np.int32), np.full(len(actions), -0.5)))
    if answers:
        # The annotation is checked when it is made.
        back = drive(lin, doc, lambda asked: answers)
        assert len(set(back.relations)) == len(back.relations)
        assert all(r.type in NAMES and r.head != r.tail for r in back.relations)
        assert set(back.types or ()) <= {*TYPES, None}


def test_numbers_have_to_end_somewhere(tokenizer):
    class Doubtful(walks.Respelled):
        spellings = walks.Respelled.spellings | {"3": "1 ▁ 3"}

    with pytest.raises(ConfigError, match="behind the number 1 a piece may begin another number"):
        make(tokenizer, "relation-copy", kind=Doubtful, max_clusters=4, max_depth=2)


@pytest.mark.parametrize("name", RELATIONS)
def test_without_relation_types_none_are_written(tokenizer, name):
    lin = make(tokenizer, name, relations=())
    doc = document("the dog saw it", [[(0, 2), (3, 4)], [(2, 3)]])
    (example,) = examples(lin, doc)
    source = Source(example.turn.source, lin.rules.marks)
    state = walks.follow(lin.rules, source, example.actions[:-1].tolist())
    assert automaton.legal_tokens(lin.rules, state, source) == {lin.tokenizer.eos_id}

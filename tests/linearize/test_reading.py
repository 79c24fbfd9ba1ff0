"""Outputs of any kind can be read; legal ones are read to the letter."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import walks
from formats import NAMES, WHOLE, document, spans
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import UNLIKE, documents

from t5coref.core.automaton import DONE, Source
from t5coref.linearize import Answer, Turn, drive, examples, replay

make = functools.cache(walks.make)


def first_turn(lin, doc):
    return examples(lin, doc)[0].turn


def read(lin, turn, actions):
    return lin.read(turn, Answer(np.asarray(actions, np.int32))).clusters


@pytest.mark.parametrize("constraint", ["strict", "reference"])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(doc=documents(max_words=12), data=st.data())
def test_any_sequence_can_be_read(tokenizer, name, constraint, doc, data):
    lin = make(tokenizer, name, constraint, window=60)
    known = [t for t in lin.rules.inventory.ids if t >= 0]
    turns = [e.turn for e in examples(lin, doc)]
    token = st.sampled_from(known) | st.integers(0, lin.tokenizer.size - 1)
    answers = []
    for turn in turns:
        token |= st.sampled_from(turn.source.tolist())
        actions = data.draw(st.lists(token, max_size=40))
        if data.draw(st.booleans()):
            # Gold with one piece of it cut out and another put in.
            gold = lin.oracle(turn, doc.annotation).tolist()
            low, high = sorted(data.draw(st.integers(0, len(gold))) for _ in range(2))
            actions = [*gold[:low], *actions[:3], *gold[high:]]
        answers.append(Answer(np.asarray(actions, np.int32), np.full(len(actions), -0.5)))
    for turn, answer in zip(turns, answers, strict=True):
        reading = lin.read(turn, answer)
        found = {span for cluster in reading.clusters for span in cluster}
        assert all(cluster for cluster in reading.clusters)
        assert found == set(reading.confidences)
        assert all(0 <= start < end <= len(doc.words) for start, end in found)
    # The document's annotation is checked when it is made.
    if turns:
        doc.with_annotation(drive(lin, doc, lambda asked: answers))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_every_bracket_of_a_legal_output_is_a_mention(tokenizer, name, seed):
    """Sources of one piece a word, so that no two mentions widen to the same words."""
    rng, lin, mentions = np.random.default_rng(seed), make(tokenizer, name), 0
    for _ in range(25):
        pieces = walks.random_source(rng, lin, 10)
        source = Source(pieces, lin.rules.marks)
        is_word = ~np.isin(pieces, [*getattr(lin, "sentence_marks", ()), lin.tokenizer.eos_id])
        word = np.where(is_word, np.cumsum(is_word) - 1, -1).astype(np.int32)
        budget = len(pieces) + 60
        *states, (end, _, _) = walks.walk(rng, lin.rules, source, budget)
        assert end.mode == DONE
        actions = [token for _, _, token in states]
        turn = Turn("d", 0, 0, pieces, word)
        clusters = read(lin, turn, actions)
        opened = actions.count(lin.tokenizer.symbol("<m>"))
        assert sum(map(len, clusters)) == opened
        assert all(len(set(cluster)) == len(cluster) for cluster in clusters)
        mentions += opened
    assert mentions > 10


def test_broken_integers(tokenizer):
    lin = make(tokenizer, "full-copy")
    turn = first_turn(lin, document("the dog saw it", []))
    copy, open_, sep, close = lin.rules.inventory.ids[:4]
    blank, zero = tokenizer.encode("0")
    number = [sep, blank, zero]
    cases = {
        "closing without opening": [copy, *number, close, copy],
        "empty mention": [open_, *number, close, copy],
        "no number": [open_, copy, close],
        "broken number": [open_, copy, sep, zero, zero, blank, close],
        "never closed": [open_, copy, copy],
        "after the end": [copy] * len(turn.source) + [open_, copy, *number, close],
    }
    for name, actions in cases.items():
        assert read(lin, turn, actions) == [], name
    some = [open_, copy, *number, close, close, open_, open_, copy]
    assert read(lin, turn, some) == [[(0, 1)]]


def test_broken_symbols(tokenizer):
    for name in ("integer-free", "integer-free-end"):
        lin = make(tokenizer, name)
        turn = first_turn(lin, document("the dog saw it", []))
        symbol, (copy, open_, new) = lin.tokenizer.symbol, lin.rules.inventory.ids[:3]
        end = [symbol("</m>")] if name == "integer-free-end" else []
        cluster = symbol("<c3>" if end else "</m3>")
        cases = {
            "closing without opening": [copy, *end, new],
            "empty mention": [open_, *end, new, copy],
            "never closed": [open_, copy, *end],
            "after the end": [copy] * len(turn.source) + [open_, copy, *end, new],
        }
        if end:
            cases["no end"] = [open_, copy, new, copy]
            cases["an end, then more text"] = [open_, copy, *end, copy, new]
        for case, actions in cases.items():
            assert read(lin, turn, actions) == [], case
        # A number that was not given yet is as good as any; the next new one is above it.
        some = [open_, copy, *end, cluster, open_, *[copy] * 4, *end, new, copy]
        assert read(lin, turn, some) == [[(0, 1)], [(0, 2)]]


def test_full_token_output_that_departs_from_the_source_is_aligned(tokenizer):
    lin = make(tokenizer, "full-token", window=80)
    doc = document("the dog saw it and she saw him", [[(0, 2), (3, 4)], [(7, 8)]])
    gold = examples(lin, doc)[0].actions.tolist()
    word = tokenizer.encode
    opening = lin.tokenizer.symbol("<m>")
    saw = gold.index(word("saw")[0], gold.index(lin.tokenizer.symbol("</m>")))
    cases = {
        "a word repeated": [*gold[:saw], *word("saw"), *gold[saw:]],
        "a word left out": [*gold[:saw], *gold[saw + len(word("saw")) :]],
        "another word": [*gold[:saw], *word("near"), *gold[saw + len(word("saw")) :]],
        "words in front": [*word("near the old house"), *gold],
        "no end": gold[:-1],
    }
    for case, actions in cases.items():
        assert spans(replay(lin, doc, [np.asarray(actions)])) == spans(doc.annotation), case
    # A mention of words that are not in the source is laid along what is there.
    invented = [opening, *word("near"), *word("|")[-1:], *word("0"), lin.tokenizer.symbol("</m>")]
    assert read(lin, first_turn(lin, doc), [*invented, *gold]) != []


@pytest.mark.parametrize("name", WHOLE)
def test_an_output_that_stops_early(tokenizer, name):
    lin = make(tokenizer, name, window=80)
    doc = document("the dog saw it and she", [[(0, 2), (3, 4)], [(5, 6)]])
    (example,) = examples(lin, doc)
    last = np.flatnonzero(example.actions == lin.tokenizer.symbol("<m>"))[-1]
    cut = [example.actions[: last + 2]]
    assert spans(replay(lin, doc, cut)) == [[(0, 2), (3, 4)]]


def test_partial_output_that_departs_from_the_source_is_aligned(tokenizer):
    doc = document(" ".join(UNLIKE[:8]), [[(0, 2), (3, 4)], [(6, 8)]], [(0, 3), (3, 6), (6, 8)])
    for constraint in ("strict", "reference"):
        lin = make(tokenizer, "partial", constraint, window=80)
        symbol, (gold,) = lin.tokenizer.symbol, (e.actions.tolist() for e in examples(lin, doc))
        mark = symbol("<sentence>")
        second = gold.index(mark, 1)
        cases = {
            "a sentence without its marks": [*gold[:second], *gold[second + 1 :]],
            "one start too many": [mark, *gold],
            "a speaker's name": [symbol("<speaker>"), *gold],
            "no marks at all": [t for t in gold if t not in lin.sentence_marks],
            "no end": gold[:-1],
        }
        for case, actions in cases.items():
            back = replay(lin, doc, [np.asarray(actions)])
            assert spans(back) == spans(doc.annotation), (constraint, case)

"""Windows: which mentions they hold, and one window after the other (`carry`)."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import walks
from formats import NAMES, PARTIAL, WHOLE, document, spans, without_crossing
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import UNLIKE, documents

from t5coref.core.automaton import Source
from t5coref.core.document import Annotation, Confidence, crosses
from t5coref.linearize import Answer, drive, examples, round_trip

make = functools.cache(walks.make)


def texts_for(name):
    """Partial formats are exact where words are unlike."""
    return documents(words=UNLIKE, unique=True) if name in PARTIAL else documents()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), window=st.integers(12, 40))
def test_a_mention_comes_back_if_a_window_holds_it(tokenizer, name, data, window):
    doc = data.draw(texts_for(name))
    lin = make(tokenizer, name, window=window, max_depth=16, max_clusters=20)
    words = [set(e.turn.word.tolist()) for e in examples(lin, doc)]
    back = {s for c in round_trip(lin, doc).clusters for s in c}
    gold = [(start, end) for start, end, _ in doc.annotation.mentions()]
    assert back <= set(gold)
    for start, end in gold:
        fits = any(set(range(start, end)) <= w for w in words)
        crossed = any(crosses((start, end), other) for other in gold)
        divided = any(start < stop < end for _, stop in doc.sentences)
        if not fits:
            assert (start, end) not in back
        elif not crossed and not (name == "partial" and divided):
            assert (start, end) in back


@pytest.mark.parametrize("name", NAMES)
def test_each_window_numbers_its_clusters_anew_and_shared_mentions_link_them(tokenizer, name):
    even, odd = ([(i, i + 1) for i in range(first, 20, 2)] for first in (0, 1))
    sentences = [(i, i + 4) for i in range(0, 20, 4)]
    doc = document(" ".join(UNLIKE[:20]), [odd, even], sentences)
    lin = make(tokenizer, name, window=45)
    made = examples(lin, doc)
    assert len(made) > 2
    for example in made:
        assert len(lin.read(example.turn, Answer(example.actions)).clusters) == 2
        if name == "full-copy":
            names = [lin.tokenizer.piece(int(t)) for t in example.actions]
            assert names.count("0") == names.count("1") == names.count("<m>") / 2
    assert spans(round_trip(lin, doc)) == [even, odd]


# Carry: each window begins with what was found in its overlap with those before.


def ends(lin, doc):
    """Word offsets at which windows end."""
    return {int(e.turn.word.max()) + 1 for e in examples(lin, doc)}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), window=st.integers(14, 40))
def test_carried_windows_begin_with_gold_if_answers_are_gold(tokenizer, name, data, window):
    options = {"window": window, "max_depth": 16, "max_clusters": 20}
    alone = make(tokenizer, name, **options)
    carrying = make(tokenizer, name, carry=True, **options)
    doc = data.draw(texts_for(name))
    doc = without_crossing(doc, ends(alone, doc))
    asked = []

    def answer(turns):
        assert len(turns) == 1
        asked.extend(turns)
        return [Answer(carrying.oracle(t, doc.annotation)) for t in turns]

    back = drive(carrying, doc, answer)
    assert [t.offset for t in asked] == [e.turn.offset for e in examples(alone, doc)]
    end = 0
    for turn in asked:
        gold = carrying.oracle(turn, doc.annotation)
        np.testing.assert_array_equal(turn.forced, gold[: len(turn.forced)])
        source = Source(turn.source, carrying.rules.marks)
        budget = len(gold) + 16 * carrying.rules.twin_pledge
        state = walks.follow(carrying.rules, source, turn.forced.tolist(), budget)
        # All mentions of the overlap are in it, and nothing else.
        overlap = max(0, end - turn.offset)
        seen = set(turn.word[:overlap].tolist())
        inside = [m for m in doc.annotation.mentions() if set(range(*m[:2])) <= seen]
        opening = carrying.tokenizer.symbol("<m>")
        assert (turn.forced == opening).sum() == len(inside)
        if name in WHOLE:
            assert state.frontier == {overlap}
        end = turn.offset + len(turn.source) - 1
    assert back == round_trip(alone, doc)


@pytest.mark.parametrize("name", NAMES)
def test_a_mention_that_ends_with_the_overlap_is_carried_and_one_behind_it_is_not(tokenizer, name):
    words = "the dog saw it and she her house old him"
    speakers = ["Ann"] * 3 + ["Bo"] * 3 + ["Ann"] * 4
    sentences = [(0, 3), (3, 6), (6, 10)]
    doc = document(words, [[(0, 2), (6, 7)], [(4, 6), (9, 10)]], sentences, speakers=speakers)
    width = len(make(tokenizer, name).pieces(doc))
    for window in range(width // 2, width + 1):
        options = {"window": window, "stride": window // 2}
        lin = make(tokenizer, name, carry=True, **options)
        turns = [e.turn for e in examples(lin, doc)]
        asked = [t for t in turns if t.index and 5 in t.word and 6 in t.word]
        if asked and 6 not in turns[0].word and 5 in turns[0].word:
            break
    else:
        pytest.fail("no window ends between the sentences")
    (turn,) = asked[:1]
    source = Source(turn.source, lin.rules.marks)
    state = walks.follow(lin.rules, source, turn.forced.tolist())
    assert turn.forced.tolist().count(lin.tokenizer.symbol("<m>")) == 1
    assert state.depth == 0
    if name in WHOLE:
        assert state.frontier == {int(np.argmax(turn.word == 5)) + int((turn.word == 5).sum())}
    assert round_trip(lin, doc) == round_trip(make(tokenizer, name, **options), doc)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_model_found_is_carried_whatever_gold_says(tokenizer, name):
    doc = document(" ".join(UNLIKE[:12]), [], [(0, 4), (4, 8), (8, 12)])
    lin = make(tokenizer, name, window=38, stride=18, carry=True)
    found = Annotation((((0, 2), (4, 5)), ((6, 8),)))
    turns = []

    def answer(asked):
        (turn,) = asked
        turns.append(turn)
        if turn.index == 0:
            return [Answer(lin.oracle(turn, found))]
        # Behind what it has to begin with, the model finds nothing.
        left = dataclasses.replace(turn, word=np.where(turn.word < 8, turn.word, -1))
        return [Answer(lin.oracle(left, found))]

    back = drive(lin, doc, answer)
    assert len(turns) > 1
    assert len(turns[1].forced) > 0
    assert spans(back) == spans(found)


# Confidences: Annotation.confidences, see docs/linearizations.md.


NUMBERED = "<m> |", "▁ 0 </m>", "▁ 0 </m>"
TAGS = {
    # format: what says that there is a mention, and of which cluster (its first one, a later one)
    "full-copy": NUMBERED, "full-token": NUMBERED, "input-feed": NUMBERED, "tagging": NUMBERED,
    "partial": NUMBERED, "partial-unmarked": NUMBERED,
    "integer-free": ("<m>", "</new>", "</m0>"),
    "integer-free-end": ("<m> </m>", "</new>", "<c0>"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAGS)
def test_confidences_are_those_of_tags_and_numbers(tokenizer, name):
    lin = make(tokenizer, name, window=80)
    doc = document("the dog saw it", [[(0, 2), (3, 4)]])
    (turn,) = (e.turn for e in examples(lin, doc))
    actions = lin.oracle(turn, doc.annotation)
    # Different ones for each action; what is copied says nothing of a mention.
    sure = -np.linspace(0.1, 0.9, len(actions)).astype(np.float32)
    back = drive(lin, doc, lambda turns: [Answer(actions, sure)])
    names = [lin.tokenizer.piece(int(t)) for t in actions]
    mention, *links = (tags.split() for tags in TAGS[name])
    expected, at = [], 0
    for link in links:
        found = []
        for tag in mention + link:
            at = names.index(tag, at)
            found.append(float(sure[at]))
            at += 1
        expected.append([sum(found[: len(mention)]), sum(found[len(mention) :])])
    assert back.clusters == doc.annotation.clusters
    np.testing.assert_allclose(back.confidences[0], np.exp(expected), rtol=1e-5)


@pytest.mark.parametrize("name", TAGS)
def test_the_surest_window_counts_unless_it_was_told(tokenizer, name):
    doc = document(" ".join(UNLIKE[:12]), [[(4, 6)], [(7, 8)]], [(0, 4), (4, 8), (8, 12)])

    def confidences(carry, levels):
        lin = make(tokenizer, name, window=38, stride=18, carry=carry)
        turns = []

        def answer(asked):
            turns.extend(asked)
            actions = [lin.oracle(t, doc.annotation) for t in asked]
            return [
                Answer(a, np.full(len(a), np.log(levels[t.index]), np.float32))
                for t, a in zip(asked, actions, strict=True)
            ]

        back = drive(lin, doc, answer)
        assert sum({4, 5, 6, 7} <= set(t.word.tolist()) for t in turns) == 2
        return [c for cluster in back.confidences for c in cluster]

    def parts(level):
        """What a mention and its link get if each action has the probability `level`."""
        return Confidence(*(level ** len(tags.split()) for tags in TAGS[name][:2]))

    close = lambda level: [pytest.approx(parts(level), rel=1e-5)] * 2  # noqa: E731
    for levels in ((0.5, 0.8, 0.6), (0.8, 0.5, 0.6)):
        assert confidences(False, levels) == close(0.8)
        # In a carried window the mention is given, and sure.
        assert confidences(True, levels) == close(levels[0])


@pytest.mark.parametrize("name", NAMES)
def test_no_confidences_without_a_model(tokenizer, name):
    doc = document("the dog saw it", [[(0, 2), (3, 4)]])
    assert round_trip(make(tokenizer, name), doc).confidences is None

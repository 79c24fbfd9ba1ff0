"""Questions about marked mentions: what is asked, what is answered, and back to clusters."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import UNLIKE, documents

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.core.given_mentions import PREDICTED, with_mentions
from t5coref.linearize import Answer, drive, examples, round_trip
from t5coref.linearize.question_texts import TextPassages
from t5coref.linearize.questions import (
    BLOCK,
    FORWARD,
    QUERY,
    SINGLETON,
    TASKS,
    Passages,
    Questions,
)
from t5coref.tokenizer import Tokenizer

STORY = Document(
    doc_id="d",
    words=("Anna", "saw", "her", "cat", ".", "it", "saw", "Ben", "."),
    sentences=((0, 5), (5, 9)),
    annotation=Annotation((((0, 1), (2, 3)), ((2, 4), (5, 6)), ((7, 8),))),
)


@pytest.fixture(scope="module")
def with_symbols(tokenizer):
    return Tokenizer(tokenizer.model, Questions.symbols)


def text(lin, tokens):
    return " ".join(lin.tokenizer.piece(t) for t in np.asarray(tokens).tolist())


def blocks(lin, actions):
    assert actions[-1] == lin.tokenizer.eos_id
    return [text(lin, block) for block in actions[:-1].reshape(-1, BLOCK)]


def test_an_example(with_symbols):
    lin = Questions(with_symbols)
    (example,) = examples(lin, STORY)
    marks = [t for t in text(lin, example.turn.source).split() if t.startswith(("<m", "</m"))]
    assert " ".join(marks) == (
        "<m0> </m> <m1> <m2> </m> </m> <m3> </m> <m4> </m>"  # her cat, her, it, Ben
    )
    assert blocks(lin, example.actions) == [
        "<fwd> <m0> <none>",
        "<fwd> <m1> <none>",
        "<fwd> <m2> <m0>",
        "<fwd> <m3> <m1>",
        "<fwd> <m4> <none>",
        "<bwd> <m0> <m2>",
        "<bwd> <m1> <m3>",
        "<bwd> <m2> <none>",
        "<bwd> <m3> <none>",
        "<bwd> <m4> <none>",
        *(f"<sgl> <m{k}> {'<yes>' if k == 4 else '<no>'}" for k in range(5)),
    ]
    feeds = example.feeds[:-1].reshape(-1, BLOCK)
    np.testing.assert_array_equal(feeds[:, :2], example.actions[:-1].reshape(-1, BLOCK)[:, :2])
    assert (feeds[:, 2] == 0).all()


def test_nothing_is_asked_that_never_changes(with_symbols):
    """Where a corpus has no singletons, no gold mention stands alone; a proposed one may."""
    lin = Questions(with_symbols, min_mentions=2)
    (example,) = examples(lin, STORY)
    assert not any(b.startswith("<sgl>") for b in blocks(lin, example.actions))
    proposed = with_mentions(STORY, [(0, 1), (2, 3), (1, 2)], PREDICTED)
    (example,) = examples(lin, proposed)
    assert blocks(lin, example.actions)[-3:] == [
        "<sgl> <m0> <no>", "<sgl> <m1> <yes>", "<sgl> <m2> <no>"
    ]  # fmt: skip


def test_what_is_no_mention(with_symbols):
    lin = Questions(with_symbols)
    proposed = with_mentions(STORY, [(0, 1), (1, 2), (2, 3), (7, 8)], PREDICTED)
    (example,) = examples(lin, proposed)
    assert blocks(lin, example.actions)[-4:] == [
        "<sgl> <m0> <no>", "<sgl> <m1> <null>", "<sgl> <m2> <no>", "<sgl> <m3> <yes>"
    ]  # fmt: skip
    found = round_trip(lin, proposed)
    assert found.clusters == (((0, 1), (2, 3)), ((7, 8),))


def test_the_query_is_marked_in_a_passage_of_its_own(with_symbols):
    lin = Passages(with_symbols)
    made = examples(lin, STORY)
    assert len(made) == 15
    assert [e.turn.index for e in made] == list(range(15))
    packed = Questions(with_symbols)
    (together,) = examples(packed, STORY)
    assert [blocks(lin, e.actions) for e in made] == [[b] for b in blocks(lin, together.actions)]
    task, *source = text(lin, made[7].turn.source).split()
    assert task == "<bwd>"
    assert source[source.index(QUERY) + 1] == "<m2>"
    source.remove(QUERY)
    assert " ".join(source) == text(lin, together.turn.source)


CLASSES = [Questions, Passages]


@pytest.mark.parametrize("made", CLASSES)
@settings(max_examples=20)
@given(doc=documents(words=UNLIKE, unique=True), window=st.integers(16, 80))
def test_questions_are_asked_once_and_gold_answers_are_legal(with_symbols, made, doc, window):
    lin = made(with_symbols, window=window, candidates=4)
    asked = lin.ask(doc)
    assert all(len(w.turn.source) <= window for w in asked.windows)
    times = collections.Counter(
        (task, w.mentions[handle]) for w in asked.windows for task, handle in w.turn.asked.tolist()
    )
    assert set(times.values()) <= {1}
    assert len(times) == 3 * len(asked.spans)
    for window_ in asked.windows:
        actions = lin.oracle(window_.turn, doc.annotation)
        legal = lin.legal(window_.turn)
        read = lin.read(window_.turn, actions)
        assert [(t, h) for t, h, _ in read] == list(map(tuple, window_.turn.asked.tolist()))
        for row, (task, handle, answer) in zip(legal, read, strict=True):
            assert row[answer]
            others = np.flatnonzero(row[: len(lin.openings)])
            if task == SINGLETON:
                assert len(others) == 0
            else:
                assert (np.abs(others - handle) <= 4).all()
                assert ((others < handle) == (task == FORWARD)).all()


@settings(max_examples=25)
@given(doc=documents(words=UNLIKE, unique=True), window=st.integers(16, 60))
def test_two_mentions_of_a_window_are_asked_about_in_both_directions(with_symbols, doc, window):
    """Unless a window cuts off what one of them lies in."""
    flat = list(doc.annotation.mentions())
    spans, end = [], 0
    for start, stop, _ in sorted(flat):
        if start >= end:
            spans.append((start, stop))
            end = stop
    lin = Questions(with_symbols, window=window)
    asked = lin.ask(doc.with_annotation(Annotation(tuple((s,) for s in spans))))
    together = {
        (i, j) for w in asked.windows for i in w.mentions for j in w.mentions if i < j
    }  # fmt: skip
    for task in range(2):
        seen = set()
        for w in asked.windows:
            for (kind, handle), row in zip(w.turn.asked.tolist(), lin.legal(w.turn), strict=True):
                if kind == task:
                    for other in np.flatnonzero(row[: len(lin.openings)]).tolist():
                        seen.add(tuple(sorted((w.mentions[handle], w.mentions[other]))))
        assert seen == together


def test_answers_in_words(with_symbols):
    lin = TextPassages(with_symbols)
    made = examples(lin, STORY)
    said = [text(lin, e.actions) for e in made]
    refers = text(lin, lin.refers)

    def pieces(words):
        return text(lin, lin.tokenizer.encode(words))

    assert said[0] == f"{pieces('Anna')} {refers} <none> </s>"
    assert said[2] == f"{pieces('her')} {refers} {pieces('Anna')} </s>"
    assert said[5] == f"{pieces('Anna')} {refers} {pieces('her')} </s>"
    assert said[10] == f"{pieces('Anna')} <no> </s>"
    assert said[14] == f"{pieces('Ben')} <yes> </s>"
    source = f"<fwd> {pieces('Anna saw')} <q> {pieces('her')} </m> {pieces('cat')}"
    assert text(lin, made[2].turn.source).startswith(source)
    assert round_trip(lin, STORY) == STORY.annotation


def test_a_text_of_several_mentions_is_the_nearest_one(with_symbols):
    words = ("it", "saw", "it", "saw", "Ben", "saw", "it", ".")
    doc = Document(
        doc_id="d",
        words=words,
        sentences=((0, 8),),
        annotation=Annotation((((0, 1), (6, 7)), ((2, 3),), ((4, 5),))),
    )
    lin = TextPassages(with_symbols, tasks=("forward",))
    assert round_trip(lin, doc).clusters == (((0, 1),), ((2, 3), (6, 7)), ((4, 5),))
    rng = np.random.default_rng(0)
    ids = np.asarray([*lin.rules.inventory.ids[1:], *lin.tokenizer.encode("it saw Ben")])
    for _ in range(30):
        found = drive(
            lin, doc, lambda turns: [Answer(rng.choice(ids, rng.integers(0, 9))) for _ in turns]
        )
        assert sum(map(len, found.clusters)) == 4


@settings(max_examples=15)
@given(doc=documents(words=UNLIKE, unique=True), window=st.integers(40, 300))
def test_answers_in_words_give_gold_clusters(with_symbols, doc, window):
    """Where no two mentions are of the same text."""
    lin = TextPassages(with_symbols, window=window)
    found = round_trip(lin, doc)
    asked = lin.ask(doc)
    assert set(found.clusters) == set(in_reach(doc, asked, lin.reach).clusters)


def in_reach(doc, asked, candidates):
    """The gold clusters that nearest links within windows leave of the mentions with handles."""
    from t5coref.core.links import linked

    number = {span: i for i, span in enumerate(asked.spans)}
    cluster = {s: k for k, c in reversed(list(enumerate(doc.annotation.clusters))) for s in c}
    links = set()
    for w in asked.windows:
        spans = [asked.spans[m] for m in w.mentions]
        for k, span in enumerate(spans):
            for other in range(k - 1, max(-1, k - 1 - candidates), -1):
                if cluster[spans[other]] == cluster[span]:
                    links.add((number[spans[other]], number[span]))
                    break
    return linked(asked.spans, sorted(links))


@pytest.mark.parametrize("made", CLASSES)
@pytest.mark.parametrize("tasks", [TASKS, ("forward",), ("backward",), ("forward", "singleton")])
@settings(max_examples=25)
@given(doc=documents(words=UNLIKE, unique=True), window=st.integers(40, 300))
def test_gold_answers_give_gold_clusters(with_symbols, made, tasks, doc, window):
    lin = made(with_symbols, window=window, tasks=tasks)
    found = round_trip(lin, doc)
    asked = lin.ask(doc)
    expected = in_reach(doc, asked, lin.reach)
    assert set(found.clusters) == set(expected.clusters)
    if len(asked.windows) == 1 or window >= 280:
        kept = set(asked.spans)
        first = {s: k for k, c in reversed(list(enumerate(doc.annotation.clusters))) for s in c}
        gold = collections.defaultdict(list)
        for span in sorted(kept):
            gold[first[span]].append(span)
        assert sorted(map(sorted, found.clusters)) == sorted(map(sorted, gold.values()))


def test_links_reach_across_windows(with_symbols):
    words = tuple(["Anna", "saw", "the", "cat", "."] * 12)
    doc = Document(
        doc_id="long",
        words=words,
        sentences=tuple((k, k + 5) for k in range(0, 60, 5)),
        annotation=Annotation(
            (tuple((k, k + 1) for k in range(0, 60, 5)), tuple((k, k + 2) for k in range(2, 60, 5)))
        ),
    )
    lin = Questions(with_symbols, window=64)
    assert len(lin.split(doc)) > 2
    assert round_trip(lin, doc).clusters == doc.annotation.clusters
    near = Questions(with_symbols, window=64, candidates=1)
    assert len(round_trip(near, doc).clusters) == 24


def test_any_output_can_be_read(with_symbols):
    lin = Questions(with_symbols)
    rng = np.random.default_rng(0)
    ids = np.asarray([*lin.rules.inventory.ids[:8], *lin.openings[:7], 5, 0])
    for _ in range(50):
        found = drive(
            lin,
            STORY,
            lambda turns: [Answer(rng.choice(ids, rng.integers(0, 60))) for _ in turns],
        )
        spans = [s for c in found.clusters for s in c]
        assert len(spans) == len(set(spans)) <= 5


def test_without_mentions_there_is_no_question(with_symbols):
    lin = Questions(with_symbols)
    bare = STORY.with_annotation(Annotation())
    assert examples(lin, bare) == []
    assert round_trip(lin, bare) == Annotation()
    with pytest.raises(MismatchError, match="gives no mentions"):
        lin.ask(Document(doc_id="x", words=("a",), sentences=((0, 1),)))


def test_questions_that_find_no_one_may_be_left_out(with_symbols):
    def answers(doc, **options):
        lin = Questions(with_symbols, **options)
        (example,) = examples(lin, doc)
        assert round_trip(lin, doc) == doc.annotation
        return [b.split() for b in blocks(lin, example.actions)]

    every = answers(STORY)
    kept = answers(STORY, none_share=0.5)
    assert kept == answers(STORY, none_share=0.5)  # always the same ones
    assert set(map(tuple, kept)) < set(map(tuple, every))
    for task in ("<fwd>", "<bwd>"):
        found = [answer == "<none>" for name, _, answer in kept if name == task]
        assert (len(found), sum(found)) == (4, 2)
    assert [b for b in kept if b[0] == "<sgl>"] == [b for b in every if b[0] == "<sgl>"]
    assert answers(STORY, none_share=0.9) == every
    alone = STORY.with_annotation(Annotation((((0, 1),), ((7, 8),))))
    assert len(answers(alone, none_share=0.5, tasks=("forward",))) == 1


@pytest.mark.parametrize(
    "options",
    [{"tasks": ("singleton",)}, {"tasks": ("forward", "x")}, {"candidates": 0}, {"alpha": 1.5},
     {"none_share": 1.0}, {"gamma": -1}, {"max_mentions": 501}],
)  # fmt: skip
def test_options_out_of_range(with_symbols, options):
    with pytest.raises(ConfigError, match="expected"):
        Questions(with_symbols, **options)


def test_a_passage_has_one_question(with_symbols):
    with pytest.raises(ConfigError, match="none_share"):
        Passages(with_symbols, none_share=0.5)

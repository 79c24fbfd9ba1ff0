"""link-append: what a model reads and writes for a sentence, and what any answer leads to."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import UNLIKE, documents

from t5coref.core import automaton
from t5coref.core.document import Annotation, Confidence, Document
from t5coref.core.errors import ConfigError
from t5coref.core.transcript import account
from t5coref.linearize import Answer, drive, examples, get, round_trip
from t5coref.linearize.link_append import LinkAppend
from t5coref.linearize.link_append_actions import MALFORMED, TAKEN, UNFOUND, UNKNOWN
from t5coref.linearize.link_append_input import genre_of, speaker_of
from t5coref.tokenizer import Tokenizer

MARKS = "coref: bc wb | _ ** ## -> ;; [0123456789 ] None [+ E] ?"
WIDE = {"window": 1000}

STORY = Document(
    doc_id="bc/show/00/show_0000#1",
    words=("Anna", "saw", "the", "dog", ".", "it", "saw", "her", ".",
           "she", "gave", "the", "dog", "of", "her", "house", "to", "Ben", "."),
    sentences=((0, 5), (5, 9), (9, 19)),
    speakers=("Ann Lee",) * 5 + (None,) * 4 + ("Bo",) * 10,
    annotation=Annotation(
        (((0, 1), (7, 8), (9, 10), (14, 15)), ((2, 4), (5, 6), (11, 13)), ((11, 16),), ((17, 18),))
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def spelling() -> Tokenizer:
    """A small vocabulary that has the marks, and not every word as one piece."""
    text = [MARKS, " ".join(UNLIKE), *(f"{w} {w}" for w in UNLIKE[:8]), "Ann Bo Lee 日本 (-"]
    return Tokenizer.train(text * 2, 150, ())


def text(tokenizer: Tokenizer, ids) -> str:
    spelt = "".join(tokenizer.piece(int(i)) for i in ids if i != tokenizer.eos_id)
    return spelt.replace("▁", " ").strip()


def conversation(lin: LinkAppend, doc: Document) -> list[tuple[str, str]]:
    """What is read and written for each sentence."""
    return [
        (text(lin.tokenizer, e.turn.source), text(lin.tokenizer, e.actions))
        for e in examples(lin, doc)
    ]


def answered(lin: LinkAppend, doc: Document, answers: list[str]) -> Annotation:
    """What answers lead to."""
    rest = iter(answers)
    return drive(
        lin, doc, lambda _: [Answer(np.asarray([*lin.tokenizer.encode(next(rest)), 1], np.int32))]
    )


def clusters(annotation: Annotation) -> list[list[tuple[int, int]]]:
    return sorted(map(list, annotation.clusters))


def test_links_as_published(spelling):
    """Numbers come with links; antecedents have none before, or stand in the same sentence."""
    (first, nothing), (second, links), (third, more) = conversation(
        LinkAppend(spelling, min_mentions=2, **WIDE), STORY
    )
    assert first == (
        "coref: bc | _Ann_Lee_ Anna saw the dog . ** _ it saw her . "
        "_Bo_ she gave the dog of her house to Ben ."
    )
    assert nothing == "None [+ E]"
    assert second.startswith("coref: bc _Ann_Lee_ Anna saw the dog . | _ it saw her . ** _Bo_ she")
    assert links == "it ## saw her . -> the dog ## . | _ ;; her ## . ** _Bo_ -> Anna ## saw the dog"
    assert third.startswith(
        "coref: bc _Ann_Lee_ [2 Anna ] saw [1 the dog ] . _ [1 it ] saw [2 her ] . | _Bo_ she"
    )
    assert third.endswith("to Ben . **")
    assert more == (
        "she ## gave the dog -> [2 ;; the dog ## of her house -> [1 ;; "
        "her ## house to Ben -> she ## gave the dog"
    )


def test_each_cluster_begins_with_a_mention_where_singletons_count(spelling):
    (_, first), (second, links), (_, more) = conversation(LinkAppend(spelling, **WIDE), STORY)
    assert first == "Anna ## saw the dog ;; the dog ## . ** _"
    assert "[1 Anna ] saw [2 the dog ]" in second
    assert links == "it ## saw her . -> [2 ;; her ## . ** _Bo_ -> [1"
    assert more == (
        "she ## gave the dog -> [1 ;; the dog of her house ## to Ben . ;; "
        "the dog ## of her house -> [2 ;; her ## house to Ben -> she ## gave the dog ;; "
        "Ben ## . **"
    )


@pytest.mark.parametrize("min_mentions", [1, 2])
@pytest.mark.parametrize("constraint", ["strict", "reference"])
def test_the_story_comes_back(spelling, min_mentions, constraint):
    lin = LinkAppend(spelling, min_mentions=min_mentions, constraint=constraint, **WIDE)
    want = [c for c in clusters(STORY.annotation) if len(c) >= min_mentions]
    assert clusters(round_trip(lin, STORY)) == want
    assert not lin.skipped


@given(document=documents(words=UNLIKE, unique=True), min_mentions=st.sampled_from([1, 2]))
def test_round_trip_where_no_text_repeats(spelling, document, min_mentions):
    """Nested, crossing, and across sentence ends; a span belongs to its first cluster."""
    lin = LinkAppend(spelling, min_mentions=min_mentions, **WIDE)
    want = [sorted(c) for c in document.annotation.partition() if len(c) >= min_mentions]
    assert clusters(round_trip(lin, document)) == sorted(want)
    assert not lin.skipped


@settings(max_examples=25)
@given(document=documents())
def test_the_oracle_is_legal(spelling, document):
    lin = LinkAppend(spelling, window=100)
    for example in examples(lin, document):
        source = automaton.Source(example.turn.source, lin.rules.marks)
        state = automaton.initial(lin.rules, source, 2000)
        for token in example.actions.tolist():
            assert token in automaton.legal_tokens(lin.rules, state, source)
            state = automaton.step(lin.rules, state, token, source)
        assert state.mode == automaton.DONE


@settings(max_examples=60)
@given(document=documents(), data=st.data())
def test_any_answer_can_be_read(spelling, document, data):
    lin = LinkAppend(
        spelling, window=90, constraint=data.draw(st.sampled_from(["strict", "reference"]))
    )
    alphabet = sorted({i for m in MARKS.split() for i in spelling.encode(m)})

    def answer(turns):
        (turn,) = turns
        ids = st.sampled_from([*alphabet, *turn.source.tolist(), 0])
        actions = np.asarray(data.draw(st.lists(ids, max_size=30)), np.int32)
        said = Answer(actions, np.full(len(actions), -0.1, np.float32))
        account(lin.transcript(turn, said))
        return [said]

    found = drive(lin, document, answer)
    spans = list(itertools.chain.from_iterable(found.clusters))
    assert len(spans) == len(set(spans))
    assert all(0 <= s < e <= len(document.words) for s, e in spans)


@given(document=documents(max_words=24), window=st.integers(64, 120))
def test_inputs_fit_and_every_word_is_asked_about_once(spelling, document, window):
    lin = LinkAppend(spelling, window=window)
    asked = []
    for example in examples(lin, document):
        turn = example.turn
        assert len(turn.source) == len(turn.word) <= window
        begin, end = turn.view.focus
        asked += [t.word for t in turn.view.tokens[begin:end] if t.word >= 0]
        there = [t.word for t in turn.view.tokens if t.word >= 0]
        assert there == list(range(there[0], there[-1] + 1))
        assert text(spelling, turn.source).startswith("coref: wb ")
    assert asked == list(range(len(document.words)))


def test_left_context_goes_from_its_beginning_and_right_context_comes_whole(spelling):
    words = ("the", "dog", "saw", "it", ".") * 12
    ends = range(0, len(words) + 1, 5)
    doc = Document(doc_id="d", words=words, sentences=tuple(itertools.pairwise(ends)),
                   annotation=Annotation())  # fmt: skip
    inputs = [read for read, _ in conversation(LinkAppend(spelling, window=64), doc)]
    assert inputs[0].count("saw") > 2
    assert all(right.count("_") == right.count("saw") == right.count(".")
               for right in (read.partition("**")[2] for read in inputs))  # fmt: skip
    assert inputs[-1].endswith("**")
    middle = inputs[8]
    assert middle.startswith("coref: wb")
    assert middle.partition("|")[0].count("saw") < 8
    assert middle.endswith("**")


def test_long_sentences_are_asked_about_in_parts(spelling):
    words = ("the", "dog", "saw", "Anna", ".") * 20
    doc = Document(doc_id="d", words=words, annotation=Annotation((((0, 2), (95, 97)), ((8, 9),))))
    lin = LinkAppend(spelling, window=80)
    parts = [e.turn.view for e in examples(lin, doc)]
    assert len(parts) > 2
    sizes = [sum(len(t.ids) for t in v.tokens[slice(*v.focus)]) for v in parts]
    assert max(sizes) <= 40
    assert [v.tokens[v.focus[0]].cells for v in parts].count(("_",)) == 1


def test_words_of_any_length(spelling):
    doc = Document(doc_id="d", words=("the", "dog" * 300, "saw"),
                   annotation=Annotation((((1, 2),),)))  # fmt: skip
    assert clusters(round_trip(LinkAppend(spelling, window=64), doc)) == [[(1, 2)]]


def test_words_that_look_like_marks(spelling):
    words = ("##", ";;", "saw", "->", "|", "**", "[1", "]", "dog", ";;", "None", "[")
    spans = [(0, 1), (1, 2), (3, 4), (4, 5), (5, 6), (6, 7), (8, 10), (10, 12)]
    annotation = Annotation(tuple(zip(spans[::2], spans[1::2], strict=True)))
    doc = Document(doc_id="d", words=words, sentences=((0, 6), (6, 12)), annotation=annotation)
    lin = LinkAppend(spelling, **WIDE)
    assert clusters(round_trip(lin, doc)) == clusters(doc.annotation)
    assert not lin.skipped


def test_where_repeated_text_stands(spelling):
    """Of texts with one context the published rule takes the last, whatever it belongs to."""
    words = ("it", "saw", "it", "saw", "it", "saw", "it", "saw", "the", "dog", ".")
    doc = Document(doc_id="d", words=words, annotation=Annotation())
    link = "it ## saw it saw -> it ## saw it saw"
    strict = LinkAppend(spelling, min_mentions=2, **WIDE)
    assert clusters(answered(strict, doc, [link])) == [[(2, 3), (4, 5)]]
    assert clusters(
        answered(strict, doc, [f"{link} ;; it ## saw the dog -> it ## saw it saw"])
    ) == [[(2, 3), (4, 5), (6, 7)]]
    published = LinkAppend(spelling, min_mentions=2, constraint="reference", **WIDE)
    assert answered(published, doc, [link]) == Annotation()
    assert published.skipped == Counter({TAKEN: 1})


def test_a_mention_is_looked_for_in_the_sentence(spelling):
    words = ("the", "dog", ".", "it", "saw", ".")
    doc = Document(doc_id="d", words=words, sentences=((0, 3), (3, 6)))
    earlier = ["None [+ E]", "the dog ## . | _ ;; it ## saw ."]
    strict = LinkAppend(spelling, **WIDE)
    assert clusters(answered(strict, doc, earlier)) == [[(3, 4)]]
    assert strict.skipped == Counter({UNFOUND: 1})
    published = LinkAppend(spelling, constraint="reference", **WIDE)
    assert clusters(answered(published, doc, earlier)) == [[(0, 2)], [(3, 4)]]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("it ## saw her . -> [7", UNKNOWN),
        ("it ## saw him . -> Anna ## saw the dog", UNFOUND),
        ("it ## saw her . -> Ben ## saw the dog", UNFOUND),
        ("## saw her", MALFORMED),
        ("it ## saw her . -> ## saw", MALFORMED),
        ("it ## saw her . ->", MALFORMED),
        ("-> [1", MALFORMED),
        ("it ## saw her . -> it ## saw her .", UNFOUND),
    ],
)
def test_what_cannot_be_done_is_skipped_and_counted(spelling, answer, reason):
    lin = LinkAppend(spelling, **WIDE)
    found = answered(
        lin, STORY, ["Anna ## saw the dog", f"{answer} ;; her ## . -> [1 ;;", "None [x"]
    )
    assert clusters(found) == [[(0, 1), (7, 8)]]
    assert lin.skipped == Counter({reason: 1})


def test_answers_beyond_the_sentence_are_cut_at_its_end(spelling):
    """A model may have seen other words behind `**`, or none."""
    lin = LinkAppend(spelling, min_mentions=2, **WIDE)
    found = answered(lin, STORY, ["", "her ## . ** nothing -> Anna ## saw the dog", ""])
    assert clusters(found) == [[(0, 1), (7, 8)]]


def test_links_join_what_has_a_cluster(spelling):
    doc = dataclasses.replace(STORY, sentences=None, speakers=None)
    links = [
        "her ## . she gave -> Anna ## saw the dog",
        "she ## gave the dog -> her ## . she gave",
        "her ## house to Ben -> she ## gave the dog",
        "it ## saw her . -> the dog ## . it saw",
        # Both have a cluster: nothing is merged.
        "it ## saw her . -> her ## house to Ben",
    ]
    lin = LinkAppend(spelling, **WIDE)
    for order in (links, links[::-1][1:]):
        found = clusters(answered(lin, doc, [" ;; ".join(order)]))
        assert found == [[(0, 1), (7, 8), (9, 10), (14, 15)], [(2, 4), (5, 6)]]
    assert lin.skipped == Counter({TAKEN: 1})


def test_confidences_are_those_of_the_pieces(spelling):
    lin = LinkAppend(spelling, **WIDE)
    parts = ["her ## . she", " -> ", "Anna ## saw"]
    doc = dataclasses.replace(STORY, sentences=None, speakers=None)
    ids = [spelling.encode(part) for part in parts]
    log_probs = np.concatenate(
        [np.full(len(i), p, np.float32) for i, p in zip(ids, (-0.1, -9.0, -0.2), strict=True)]
    )
    answer = Answer(np.concatenate(ids).astype(np.int32), log_probs)
    found = drive(lin, doc, lambda _: [answer])
    her = Confidence(np.exp(-0.1 * len(ids[0])), np.exp(-0.2 * len(ids[2])))
    anna = Confidence(np.exp(-0.2 * len(ids[2])), 1.0)
    assert found.clusters == (((0, 1), (7, 8)),)
    np.testing.assert_allclose(found.confidences, [[anna, her]], rtol=1e-5)


def test_what_is_quoted_has_to_stand_in_the_input(spelling):
    lin = LinkAppend(spelling, **WIDE)

    def told(turn, written):
        ids = np.asarray([*spelling.encode(written), 1], np.int32)
        return account(lin.transcript(turn, Answer(ids)))[0]

    for example in examples(lin, STORY):
        made, _ = account(lin.transcript(example.turn, Answer(example.actions)))
        assert made.exact
        assert made.passed
        assert not made.unended
    turn = examples(lin, STORY)[1].turn
    made = told(turn, "it ## saw her . -> [9 ;; ## ;; Ben ## saw the dog -> Anna ## ] saw [2")
    assert (made.outside_ids, made.extra_marks, made.inserted) == (1, 1, 4)
    assert not made.exact
    assert not made.passed


@pytest.mark.parametrize(
    ("name", "token"),
    [(None, "_"), ("-", "_"), ("__", "_"), ("Ann Lee", "_Ann_Lee_"), ("_Bo", "_Bo_"), (" ", "_")],
)
def test_speakers_are_one_token(name, token):
    assert speaker_of(name) == token


def test_genres():
    doc = dataclasses.replace(STORY, annotation=None)
    assert genre_of(doc) == "bc"
    assert genre_of(dataclasses.replace(doc, doc_id="bcd/x")) == "wb"
    assert (
        genre_of(dataclasses.replace(doc, doc_id="x", extra={"genre": "news wire"})) == "news_wire"
    )


def test_an_empty_document_has_no_turns(spelling):
    doc = Document(doc_id="d", words=(), annotation=Annotation())
    assert examples(LinkAppend(spelling), doc) == []


def test_what_it_cannot_be_made_with(spelling, tokenizer):
    with pytest.raises(ConfigError, match="cannot spell"):
        get("link-append", tokenizer)
    with pytest.raises(ConfigError, match="window 20"):
        get("link-append", spelling, window=20)
    with pytest.raises(ConfigError, match="stride"):
        get("link-append", spelling, stride=5)
    with pytest.raises(ConfigError, match="constraint"):
        get("link-append", spelling, constraint="loose")

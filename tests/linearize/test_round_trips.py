"""Gold annotations through every format and back."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import walks
from formats import NAMES, PARTIAL, WHOLE, clusters, document, mentions, spans
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import UNLIKE, documents

from t5coref.core.automaton import DONE, Source
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.core.segment import INSERTED
from t5coref.linearize import Answer, examples, get, replay, round_trip
from t5coref.tokenizer import Tokenizer, reference_pieces

make = functools.cache(walks.make)


class Published(Tokenizer):
    """The published word rules, which drop "." where it is one piece, as in T5's vocabulary."""

    def __init__(self, model, symbols):
        super().__init__(model, symbols, reference_pieces)

    def encode(self, text):
        return super().encode(text)[-1:] if text == "." else super().encode(text)


WIDE = {"window": 400, "max_depth": 16, "max_clusters": 20}


class OnePiece(Tokenizer):
    """Each of the words UNLIKE is a piece of its own."""

    def encode(self, text):
        first = self._sp.vocab_size()  # the sentinels
        return [first + UNLIKE.index(text)] if text in UNLIKE else super().encode(text)


@pytest.mark.parametrize("constraint", ["strict", "reference"])
@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=40, deadline=None)
@given(doc=documents())
def test_whole_text_brings_back_all_that_brackets_hold(tokenizer, name, constraint, doc):
    lin = make(tokenizer, name, constraint, **WIDE)
    assert spans(round_trip(lin, doc)) == clusters(mentions(doc, in_sentences=False))


@pytest.mark.parametrize("constraint", ["strict", "reference"])
@pytest.mark.parametrize("name", PARTIAL)
@settings(max_examples=40, deadline=None)
@given(doc=documents(words=UNLIKE, unique=True))
def test_partial_brings_back_the_same_where_no_piece_repeats(tokenizer, name, constraint, doc):
    lin = make(tokenizer, name, constraint, kind=OnePiece, **WIDE)
    held = mentions(doc, in_sentences=name == "partial" and constraint == "strict")
    assert spans(round_trip(lin, doc)) == clusters(held)


@pytest.mark.parametrize("name", PARTIAL)
@settings(max_examples=100, deadline=None)
@given(doc=documents())
def test_partial_brings_back_each_mention_with_its_text(tokenizer, name, doc):
    """Where words repeat, a mention may move to a place with the same pieces, in its sentence."""
    lin = make(tokenizer, name, **WIDE)
    pieces = lin.pieces(doc)

    def texts(found):
        """The clusters by what can be told apart: the sentence of each mention and its pieces."""
        return sorted(sorted(map(text, cluster)) for cluster in found)

    def text(span):
        sentence = sum(end <= span[0] for _, end in doc.sentences) if name == "partial" else 0
        return sentence, pieces.ids[(pieces.word >= span[0]) & (pieces.word < span[1])].tolist()

    held = mentions(doc, in_sentences=name == "partial")
    assert texts(round_trip(lin, doc).clusters) == texts(clusters(held))


def test_partial_takes_the_last_place_before_the_next_mention(tokenizer):
    lin = make(tokenizer, "partial-unmarked", **WIDE)
    # The text "it saw" stands at one place, but an alignment of single pieces has two.
    doc = document("it saw the dog saw", [[(0, 2)]])
    assert spans(round_trip(lin, doc)) == spans(doc.annotation)
    doc = document("it saw it and it saw the dog", [[(0, 1), (6, 8)]])
    assert spans(round_trip(lin, doc)) == [[(4, 5), (6, 8)]]
    # Only whole words: "the" is not found within "she" or in the speaker's name.
    doc = document("the dog she it", [[(0, 1)]], speakers=["the", "the", "dog", "the"])
    assert spans(round_trip(lin, doc)) == spans(doc.annotation)


def test_strict_partial_leaves_out_mentions_across_sentence_ends(tokenizer):
    doc = document("the dog saw it", [[(0, 2), (1, 3)], [(3, 4)]], [(0, 2), (2, 4)])
    strict = make(tokenizer, "partial", **WIDE)
    # What is left out does not cross (0, 2) any more, and takes no number.
    assert spans(round_trip(strict, doc)) == [[(0, 2)], [(3, 4)]]
    doc = document("the dog saw it", [[(1, 3)], [(3, 4)]], [(0, 2), (2, 4)])
    published = make(tokenizer, "partial", "reference", **WIDE)
    assert spans(round_trip(published, doc)) == spans(doc.annotation)
    assert spans(round_trip(strict, doc)) == [[(3, 4)]]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(doc=documents(), extra=st.integers(0, 3))
def test_gold_actions_are_legal(tokenizer, name, doc, extra):
    lin = make(tokenizer, name, max_depth=16, max_clusters=20)
    for example in examples(lin, doc):
        source = Source(example.turn.source, lin.rules.marks)
        # Mentions that begin together set one piece aside for each other.
        budget = len(example.actions) + 16 * lin.rules.twin_pledge + extra
        state = walks.follow(lin.rules, source, example.actions.tolist(), budget)
        assert state.mode == DONE
        assert state.depth == 0


def test_numbers_of_one_span_ascend_whatever_is_left_out(tokenizer):
    # (0, 3) crosses the sentence's end; without it cluster 1 is numbered first.
    doc = document("the dog saw it and she", [[(0, 3), (5, 6)], [(3, 4), (5, 6)]], [(0, 2), (2, 6)])
    lin = make(tokenizer, "partial", **WIDE)
    (example,) = examples(lin, doc)
    source = Source(example.turn.source, lin.rules.marks)
    assert walks.follow(lin.rules, source, example.actions.tolist()).mode == DONE


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(doc=documents(), carry=st.booleans())
def test_stored_actions_say_the_same_again(tokenizer, name, doc, carry):
    lin = make(tokenizer, name, window=25, carry=carry)
    stored = [e.actions for e in examples(lin, doc)]
    assert replay(lin, doc, stored) == round_trip(lin, doc)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(doc=documents(), order=st.randoms(use_true_random=False))
def test_the_order_of_clusters_does_not_matter(tokenizer, name, doc, order):
    lin = make(tokenizer, name, window=25)
    shared = set(doc.annotation.shared_spans())
    kept = [tuple(s for s in c if s not in shared) for c in doc.annotation.clusters]
    kept = [c for c in kept if c]
    one, other = [], []
    for found in (one, other):
        annotated = doc.with_annotation(Annotation(tuple(kept)))
        found += [e.actions.tolist() for e in examples(lin, annotated)]
        order.shuffle(kept)
    assert one == other


@pytest.mark.parametrize("name", NAMES)
def test_small_clusters_can_be_dropped(tokenizer, name):
    doc = document("the dog saw it and she", [[(0, 2), (3, 4)], [(5, 6)]])
    assert spans(round_trip(make(tokenizer, name), doc)) == spans(doc.annotation)
    pairs = make(tokenizer, name, min_mentions=2)
    assert spans(round_trip(pairs, doc)) == [[(0, 2), (3, 4)]]


@pytest.mark.parametrize("name", NAMES)
def test_clusters_and_depth_are_capped(tokenizer, name):
    words = UNLIKE[:20]
    doc = document(" ".join(words), [[(i, i + 1)] for i in range(20)])
    back = round_trip(make(tokenizer, name, window=400, max_clusters=6), doc)
    assert spans(back) == [[(i, i + 1)] for i in range(6)]
    doc = document(" ".join(words), [[(0, 9 - i)] for i in range(6)])
    back = round_trip(make(tokenizer, name, window=400, max_depth=4), doc)
    assert spans(back) == [[(0, 9 - i)] for i in (3, 2, 1, 0)]


@pytest.mark.parametrize("name", NAMES)
def test_a_separator_in_the_text(tokenizer, name):
    doc = document("the | dog saw || it |", [[(0, 3), (5, 7)], [(1, 2)], [(6, 7)]])
    assert spans(round_trip(make(tokenizer, name, **WIDE), doc)) == spans(doc.annotation)


@pytest.mark.parametrize("name", NAMES)
def test_words_that_vanish_under_the_published_rules(tokenizer, name):
    words, gold = "the . saw it . . Ben", [[(0, 2)], [(1, 2), (3, 4)], [(2, 5)], [(4, 6)]]
    doc = document(words, gold, [(0, 2), (2, 5), (5, 7)])
    found = make(tokenizer, name, "reference", kind=Published, **WIDE)
    assert set(found.pieces(doc).word.tolist()) - {INSERTED} == {0, 2, 3, 6}
    # Mentions shrink to what is left, and go if nothing is.
    assert spans(round_trip(found, doc)) == [[(0, 1)], [(2, 4)], [(3, 4)]]


@pytest.mark.parametrize("name", NAMES)
def test_giant_words_and_a_giant_sentence(tokenizer, name):
    doc = document(" ".join(["x" * 300] + ["it"] * 198 + UNLIKE[:2]), [[(0, 1), (199, 201)]])
    lin = make(tokenizer, name, window=32)
    turns = [e.turn for e in examples(lin, doc)]
    assert max(len(t.source) for t in turns) <= 32
    assert {w for t in turns for w in t.word.tolist()} == {INSERTED, *range(201)}
    assert {s for c in round_trip(lin, doc).clusters for s in c} == {(0, 1), (199, 201)}


@pytest.mark.parametrize("name", NAMES)
def test_empty_document_and_missing_annotation(tokenizer, name):
    lin = make(tokenizer, name)
    empty = Document(doc_id="e", words=(), annotation=Annotation())
    assert examples(lin, empty) == []
    assert round_trip(lin, empty) == Annotation()
    with pytest.raises(MismatchError, match="no annotation"):
        examples(lin, document("the dog"))


def test_wrong_number_of_answers(tokenizer):
    lin = make(tokenizer, "full-copy", window=12)
    doc = document("the dog saw it and she saw him near the old house", [])
    stored = [e.actions for e in examples(lin, doc)]
    assert len(stored) > 1
    with pytest.raises(MismatchError, match="asks for answer"):
        replay(lin, doc, stored[:-1])
    with pytest.raises(MismatchError, match="turns, but"):
        replay(lin, doc, [*stored, stored[0]])


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_leave_no_room(tokenizer, name):
    for options, message in [
        ({"window": 8, "stride": 8}, "stride"),
        ({"max_depth": 40, "max_clusters": 60}, "max_depth"),
        ({"max_depth": 4, "max_clusters": 5}, "at least max_depth"),
        ({"constraint": "loose"}, "strict"),
    ]:
        with pytest.raises(ConfigError, match=message):
            walks.make(tokenizer, name, **({"constraint": "strict"} | options))
    other = Tokenizer(tokenizer.model, ("<speaker>", "</speaker>"))
    with pytest.raises(ConfigError, match="no symbol"):
        get(name, other)


def test_unknown_format_and_too_many_symbols(tokenizer):
    with pytest.raises(ConfigError, match="full-copy"):
        get("nonsense", tokenizer)
    with pytest.raises(ConfigError, match="at most 500"):
        walks.make(tokenizer, "integer-free", max_clusters=501)


def test_an_answer_needs_no_model(tokenizer):
    assert Answer(np.zeros(1, np.int32)).log_probs is None

"""full-copy: the specification's example, round trips, windows, and the published targets."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import documents

from t5coref import corpora
from t5coref.core.document import Annotation, Document, crosses
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.core.segment import merge, windows
from t5coref.linearize import examples, get, replay, round_trip
from t5coref.tokenizer import Tokenizer


def make(words, clusters=None, sentences=None, **kw):
    annotation = None if clusters is None else Annotation(clusters)
    return Document(doc_id="d", words=tuple(words.split()), sentences=sentences,
                    annotation=annotation, **kw)  # fmt: skip


def text(tokenizer, tokens):
    return " ".join(tokenizer.piece(int(t)) for t in tokens)


def test_example_of_the_specification(tokenizer):
    lin = get("full-copy", tokenizer)
    doc = make("the dog saw it", [[(0, 2), (3, 4)]])
    (example,) = examples(lin, doc)
    pieces = [tokenizer.piece(int(t)) for t in example.turn.source]
    the_dog, saw, it = (
        [p for p, w in zip(pieces, example.turn.word, strict=True) if w in words]
        for words in ((0, 1), (2,), (3,))
    )
    number = text(tokenizer, tokenizer.encode("|")[-1:] + tokenizer.encode("0"))
    copies = lambda ps: " ".join(["<copy>"] * len(ps))  # noqa: E731
    assert text(tokenizer, example.actions) == (
        f"<m> {copies(the_dog)} {number} </m> {copies(saw)} <m> {copies(it)} {number} </m> <copy>"
    )
    assert text(tokenizer, example.feeds) == (
        f"<m> {' '.join(the_dog)} {number} </m> {' '.join(saw)} "
        f"<m> {' '.join(it)} {number} </m> </s>"
    )


def projection(doc, max_depth):
    """What one window's brackets can hold, written independently: drop the later of two that cross.

    Only valid without speakers and with at least one piece a word.
    """
    kept = []
    for s, e, c in sorted(doc.annotation.mentions(), key=lambda m: (m[0], -m[1])):
        inside = [k for k in kept if k[0] <= s and e <= k[1]]
        if len(inside) < max_depth and not any(crosses((s, e), k[:2]) for k in kept):
            kept.append((s, e, c))
    clusters = {}
    for s, e, c in kept:
        clusters.setdefault(c, set()).add((s, e))
    return {frozenset(c) for c in clusters.values()}


@settings(max_examples=150, deadline=None)
@given(documents())
def test_round_trip_is_gold_after_projection(tokenizer, doc):
    lin = get("full-copy", tokenizer, window=400, max_depth=16)
    back = round_trip(lin, doc)
    assert {frozenset(c) for c in back.clusters} == projection(doc, 16)
    stored = [e.actions for e in examples(lin, doc)]
    assert replay(lin, doc, stored) == back


@settings(max_examples=60, deadline=None)
@given(documents(max_mentions=8), st.integers(12, 40))
def test_windows_lose_no_mention_that_fits_one(tokenizer, doc, window):
    lin = get("full-copy", tokenizer, window=window, max_depth=16)
    turns = [e.turn for e in examples(lin, doc)]
    back = {s for c in round_trip(lin, doc).clusters for s in c}
    for start, end, cluster in doc.annotation.mentions():
        others = [m for m in doc.annotation.mentions() if m != (start, end, cluster)]
        crossed = any(crosses((start, end), m[:2]) for m in others)
        fits = any(set(range(start, end)) <= set(t.word.tolist()) for t in turns)
        if fits and not crossed:
            assert (start, end) in back
        if not fits:
            assert (start, end) not in back


def test_permuted_clusters_give_the_same_output(tokenizer):
    lin = get("full-copy", tokenizer)
    a = make("the dog saw it and she saw him", [[(0, 2), (3, 4)], [(5, 6)], [(7, 8)]])
    b = a.with_annotation(Annotation(a.annotation.clusters[::-1]))
    (x,), (y,) = examples(lin, a), examples(lin, b)
    np.testing.assert_array_equal(x.actions, y.actions)


def test_read_back_survives_any_sequence(tokenizer):
    lin = get("full-copy", tokenizer)
    (turn,) = (e.turn for e in examples(lin, make("the dog saw it", [])))
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
        assert lin.read_back(turn, np.asarray(actions)) == [], name
    some = [open_, copy, *number, close, close, open_, open_, copy]
    assert lin.read_back(turn, np.asarray(some)) == [[(0, 1)]]


def test_wrong_number_of_answers(tokenizer):
    lin = get("full-copy", tokenizer, window=12)
    doc = make("the dog saw it and she saw him near the old house", [])
    stored = [e.actions for e in examples(lin, doc)]
    assert len(stored) > 1
    with pytest.raises(MismatchError, match="asks for answer"):
        replay(lin, doc, stored[:-1])
    with pytest.raises(MismatchError, match="turns, but"):
        replay(lin, doc, [*stored, stored[0]])


def test_empty_document_and_missing_annotation(tokenizer):
    lin = get("full-copy", tokenizer)
    empty = Document(doc_id="e", words=(), annotation=Annotation())
    assert examples(lin, empty) == []
    assert round_trip(lin, empty) == Annotation()
    with pytest.raises(MismatchError, match="no annotation"):
        examples(lin, make("the dog"))


def test_giant_word_and_giant_sentence(tokenizer):
    words = ["x" * 3000] + ["dog"] * 2000
    doc = make(" ".join(words), [[(0, 1), (1999, 2001)]])
    lin = get("full-copy", tokenizer, window=128)
    turns = [e.turn for e in examples(lin, doc)]
    assert max(len(t.source) for t in turns) <= 128
    assert {w for t in turns for w in t.word.tolist()} == {-1, *range(2001)}
    assert {s for c in round_trip(lin, doc).clusters for s in c} == {(0, 1), (1999, 2001)}


@settings(max_examples=100, deadline=None)
@given(documents(max_words=40, max_mentions=0), st.integers(2, 30), st.data())
def test_windows_cover_without_gap(tokenizer, doc, length, data):
    stride = data.draw(st.integers(1, length - 1))
    pieces = tokenizer.pieces(doc).clipped(min(length - 1, stride))
    spans = windows(pieces, length, stride)
    at = 0
    for i, (start, end) in enumerate(spans):
        assert start <= at < end
        assert end - start <= length - 1
        assert not i or start > spans[i - 1][0]
        # A window ends in mid-sentence only if no sentence ends within it.
        assert pieces.sentence_end[end - 1] or not pieces.sentence_end[start:end].any()
        at = end
    assert at == len(pieces)
    published = windows(pieces, length, stride, suffixes=True)
    starts = [start for start, _ in published]
    assert all(0 < b - a <= stride for a, b in itertools.pairwise(starts))
    parts = [w for w in published if w not in spans]
    assert all(any(s <= a and b <= e for s, e in spans) for a, b in parts)
    assert published == sorted(spans + parts)


def test_merge_links_over_shared_spans_and_skips_crossing_ones():
    parts = [
        [[(0, 1), (4, 6)], [(2, 3)]],
        [[(4, 6), (8, 9)], [(5, 7), (8, 9)], [(2, 3), (11, 12)]],
    ]
    # (8, 9) is in two clusters of the second window: it links neither.
    assert merge(parts).clusters == (
        ((0, 1), (4, 6), (8, 9)), ((2, 3), (11, 12)), ((5, 7), (8, 9)),
    )  # fmt: skip
    assert merge([[[(0, 2)]], [[(0, 2), (1, 3)]]]).clusters == (((0, 2),),)
    assert merge([[[(0, 2)], [(3, 4), (5, 6)]]], 2).clusters == (((3, 4), (5, 6)),)
    assert merge([]).clusters == ()


def test_settings_that_leave_no_room(tokenizer):
    with pytest.raises(ConfigError, match="stride"):
        get("full-copy", tokenizer, window=8, stride=8)
    with pytest.raises(ConfigError, match="max_depth"):
        get("full-copy", tokenizer, max_depth=40)
    with pytest.raises(ConfigError, match="at least max_depth"):
        get("full-copy", tokenizer, max_depth=4, max_clusters=5)
    with pytest.raises(ConfigError, match="full-copy"):
        get("nonsense", tokenizer)


# Real data.


@pytest.fixture(scope="module")
def t5_tokenizer(shared):
    return Tokenizer(shared / "data/t5/spiece.model")


PUBLISHED = {
    "litbank_dev": ("litbank", "reference_seq2seq/linearization/litbank_dev.input.conll"),
    "ontonotes_sample": (
        "conll2012", "format_samples/allennlp-models_Apache2/coref/coref.gold_conll",
    ),
    "preco_sample": ("preco", "format_samples/allennlp-models_Apache2/coref/preco.jsonl"),
}  # fmt: skip


@pytest.mark.parametrize("window", [512, 2048])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_targets_come_out(shared, t5_tokenizer, name, window):
    corpus, path = PUBLISHED[name]
    published = t5_tokenizer.with_word_rule("reference")
    lin = get("full-copy", published, window=window, suffixes=True)
    docs = corpora.read(shared / "data" / path, format=corpus)
    ours = [e for doc in docs for e in examples(lin, doc)]
    rows = shared / f"data/reference_seq2seq/linearization/{name}.{window}.jsonl"
    theirs = [json.loads(line) for line in rows.read_text("utf-8").splitlines()]
    assert len(ours) == len(theirs)
    for e, row in zip(ours, theirs, strict=True):
        got = [[published.piece(int(t)) for t in x] for x in (e.turn.source, e.actions, e.feeds)]
        assert got == [row["sentence"], row["target_action"], row["target_sentence"]]
        assert e.turn.offset == row["offset"]


@pytest.mark.parametrize("window", [512, 2048])
@pytest.mark.parametrize(
    ("corpus", "pattern"),
    [("litbank", "litbank/conll/*.conll"), ("conllu", "ontogum/*/*.conllu"),
     ("conllu", "gum/*/*.conllu")],
)  # fmt: skip
def test_round_trip_of_real_corpora(shared, t5_tokenizer, corpus, pattern, window):
    paths = sorted((shared / "data").glob(pattern))
    if window == 512:
        paths = paths[::6]
    assert paths
    lin = get("full-copy", t5_tokenizer, window=window)
    for path in paths:
        for doc in corpora.read(path, format=corpus):
            turns = [e.turn for e in examples(lin, doc)]
            gold = list(doc.annotation.mentions())
            back = {s for c in round_trip(lin, doc).clusters for s in c}
            held = [(t.word[t.word >= 0].min(), t.word.max() + 1) for t in turns]
            for start, end, cluster in gold:
                if not any(first <= start and end <= last for first, last in held):
                    continue
                if (start, end) not in back:
                    crossed = any(crosses((start, end), g[:2]) for g in gold)
                    assert crossed, (doc.doc_id, start, end, cluster)

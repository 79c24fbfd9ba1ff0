"""Windows of formats that are told the mentions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import documents

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError
from t5coref.core.given_mentions import GIVEN, with_mentions
from t5coref.core.given_mentions import given as given_mentions
from t5coref.core.rules import Rules
from t5coref.linearize.marked import CLOSING, OPENINGS, MentionGiven
from t5coref.tokenizer import Tokenizer


class Marks(MentionGiven):
    """A format that only marks."""

    name = "marks"
    symbols = ("<speaker>", "</speaker>", CLOSING, *OPENINGS)

    def make_rules(self) -> Rules:
        self.look_up_marks(self.max_mentions)
        return None  # type: ignore[return-value]  # nothing is written


@pytest.fixture(scope="module")
def with_symbols(tokenizer):
    return Tokenizer(tokenizer.model, Marks.symbols)


@settings(max_examples=60)
@given(doc=documents(), window=st.integers(12, 60))
def test_every_window_says_where_its_handles_are(with_symbols, doc, window):
    lin = Marks(with_symbols, window=window)
    plain = lin.pieces(doc)
    for turn, spans, slots in lin.marked(doc):
        without, found = lin.without_marks(turn)
        assert len(turn.source) <= window
        end = turn.offset + len(without.source) - 1
        assert without.source[:-1].tolist() == plain.ids[turn.offset : end].tolist()
        assert [number for _, number in found] == slots
        assert sorted(slots) == list(range(len(spans)))
        closing = [int(t) for t in turn.source if t in lin.number_of or t == lin.close]
        assert closing.count(lin.close) == len(spans)
        assert spans == sorted(spans, key=lambda s: (s[0], -s[1]))
        for (start, stop), number in found:
            words = without.word[start:stop]
            words = words[words >= 0]
            assert (words[0], words[-1] + 1) == spans[number]


@settings(max_examples=40)
@given(doc=documents())
def test_one_window_has_a_handle_for_every_mention_that_nests(with_symbols, doc):
    lin = Marks(with_symbols, window=100_000)
    kept: list[tuple[int, int]] = []
    for start, end in given_mentions(doc).spans:
        if not any(a < start < b < end for a, b in kept):
            kept.append((start, end))
    spans = [span for window in lin.marked(doc) for span in window.spans]
    if len(kept) < lin.max_depth:
        assert spans == kept


def test_gold_clusters_of_handles(with_symbols):
    doc = Document(
        doc_id="d",
        words=("the", "dog", "saw", "it"),
        annotation=Annotation((((3, 4),), ((0, 2), (3, 4)))),
    )
    lin = Marks(with_symbols)
    (window,) = lin.marked(with_mentions(doc, [(0, 2), (1, 2), (3, 4)], GIVEN))
    assert window.spans == [(0, 2), (1, 2), (3, 4)]
    assert window.slots == [1, 0, 2]
    assert lin.clusters_of(window.turn, doc.annotation) == [1, None, 0]


def test_a_window_with_too_many_mentions_is_divided(with_symbols):
    words = tuple(["it"] * 300)
    doc = Document(doc_id="d", words=words)
    doc = with_mentions(doc, [(i, i + 1) for i in range(300)], GIVEN)
    assert len(Marks(with_symbols, window=2048).marked(doc)) == 1
    windows = Marks(with_symbols, window=2048, max_mentions=40).marked(doc)
    assert max(len(w.spans) for w in windows) <= 40
    assert {span for w in windows for span in w.spans} == {(i, i + 1) for i in range(300)}
    shared = [set(a.spans) & set(b.spans) for a, b in itertools.pairwise(windows)]
    assert all(shared)


def test_a_document_without_mentions_has_windows_without_marks(with_symbols):
    doc = with_mentions(Document(doc_id="d", words=("the", "dog")), [], GIVEN)
    (window,) = Marks(with_symbols).marked(doc)
    assert (window.spans, window.slots) == ([], [])
    assert window.turn.source[-1] == with_symbols.eos_id
    assert not np.isin(window.turn.source, [with_symbols.symbol(CLOSING)]).any()


@pytest.mark.parametrize("count", [0, 501])
def test_handles_are_limited(with_symbols, count):
    with pytest.raises(ConfigError, match=f"max_mentions is {count}; expected 1 to 500"):
        Marks(with_symbols, max_mentions=count)

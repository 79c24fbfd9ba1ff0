"""Counts of the ledger, by hand.

Texts are letters: piece k of a source is its k-th letter, and every two letters are one word unless
a test says otherwise.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5coref.core import transcript
from t5coref.core.align import UNALIGNED
from t5coref.core.transcript import COUNTS, Account, Pair, Transcript, account


def pieces(text: str) -> np.ndarray:
    return np.asarray([ord(letter) for letter in text], np.int32)


def said(source: str, output: str, *pairs, **fields) -> tuple[Account, list]:
    """The account of an output, from (start, end, number) or with whether the number is legal."""
    made = [Pair(*p) if len(p) == 4 else Pair(*p, legal=True) for p in pairs]
    word = np.arange(len(source), dtype=np.int32) // 2
    asked = {"word": word, "pairs": tuple(made)} | fields
    found, placed = account(Transcript(pieces(source), output=pieces(output), **asked))
    return found, [tuple(mention) for mention in placed]


def wrong(found: Account) -> dict[str, int]:
    """The counts that are not 0, without those of what was asked."""
    return {
        name: getattr(found, name)
        for name in COUNTS
        if getattr(found, name) and name not in ("source", "mentions", "answered")
    }


def test_a_faithful_output():
    found, placed = said("abcdef", "abcdef", (0, 2, 0), (3, 6, 1))
    assert found == Account(source=6, mentions=2, answered=2)
    assert (found.exact, found.exact_normalized, found.passed) == (True, True, True)
    assert placed == [(0, 2, 0), (3, 6, 1)]


@pytest.mark.parametrize(
    ("output", "counts", "divergence"),
    [
        ("abcdefgh", {}, None),
        ("abxcdefgh", {"inserted": 1}, 1),
        ("abefgh", {"deleted": 2}, 1),
        ("abcXefgh", {"substituted": 1}, 1),
        ("abcde", {"deleted": 3}, 2),
        ("abcdefghijk", {"inserted": 3, "tail": 3}, 4),
        ("Xbcdefg", {"substituted": 1, "deleted": 1}, 0),
        ("", {"deleted": 8}, 0),
        # One gap on each side scores as much as two mismatches, and is preferred.
        ("abXYefgh", {"deleted": 2, "inserted": 2}, 1),
    ],
)
def test_text(output, counts, divergence):
    found, _ = said("abcdefgh", output)
    assert wrong(found) == counts
    assert found.divergence == divergence
    assert found.exact is found.passed is (not counts)


def test_divergence_at_an_insertion_is_the_word_that_follows():
    assert said("abcdef", "abXdef", word=np.asarray([0, 0, -1, -1, 1, 1]))[0].divergence == 1
    # Nothing but insertions is left: behind the last word.
    assert said("abcd", "abc", word=np.asarray([0, 0, 1, -1]))[0].divergence == 2
    assert said("", "ab")[0].divergence == 0


def test_blanks_do_not_matter_once_they_are_normalized():
    found, _ = said("ab", "acb", texts=("the dog", " the  dog\n"))
    assert (found.exact, found.exact_normalized, found.passed) == (False, True, False)
    assert not said("ab", "acb", texts=("the dog", "thedog"))[0].exact_normalized


@pytest.mark.parametrize(
    ("pair", "placed"),
    [
        ((0, 5, 0), [(0, 5, 0)]),  # 5 of 5 are the same
        ((0, 6, 0), [(0, 6, 0)]),  # 5 of 6: 0.83
        ((4, 8, 0), []),  # 3 of 4: 0.75
        ((5, 7, 0), []),  # 1 of 2
        ((5, 9, 0), []),  # 3 of 4
        ((5, 10, 0), [(5, 10, 0)]),  # 4 of 5, exactly the share
        ((5, 6, 0), []),  # none of 1: a substitution is aligned, but not the same
    ],
)
def test_a_pair_is_mapped_if_enough_of_it_is_the_same(pair, placed):
    found, mapped = said("abcdefghij", "abcdeXghij", pair)
    assert mapped == placed
    assert (found.extra_marks, found.answered) == (1 - len(placed), len(placed))
    assert not found.passed


def test_both_ends_of_a_pair_have_to_be_aligned():
    # The output is the source with XY between c and d.
    source, output = "abcdefghij", "abcXYdefghij"
    assert said(source, output, (0, 4, 0))[1] == []  # ends with X
    assert said(source, output, (4, 12, 0))[1] == []  # begins with Y
    assert said(source, output, (0, 12, 0))[1] == [(0, 10, 0)]  # 10 of 12
    # What lies in between counts in the source, too: 2 of 10 pieces are there.
    assert said(source, "aj", (0, 2, 0))[1] == []


def test_marks_that_mark_nothing():
    found, placed = said(
        "abcd", "abcd", (1, 1, 0), (0, 2, 0), (0, 2, 0), (0, 2, 1), stray=3, unclosed=2
    )
    # Around nothing; and the same of the same span again. A span may be in two clusters.
    assert wrong(found) == {"extra_marks": 5, "missing_marks": 2}
    assert (found.mentions, found.answered) == (6, 2)
    assert placed == [(0, 2, 0), (0, 2, 1)]
    assert found.exact
    assert not found.passed


def test_numbers_that_might_not_be_given():
    found, placed = said(
        "abcd", "abcd", (0, 2, 7, False), (2, 4, None, False), (0, 4, 0), outside=2
    )
    assert wrong(found) == {"outside_ids": 4}
    assert (found.mentions, found.answered) == (3, 1)
    assert placed == [(0, 2, 7), (0, 4, 0)]  # one that cannot be read is no cluster
    assert not found.passed


def test_what_is_behind_the_end_is_no_mention():
    found, placed = said("abcd", "abcdXYab", (0, 2, 0), (6, 8, 0))
    assert wrong(found) == {"inserted": 4, "tail": 4, "extra_marks": 1}
    assert placed == [(0, 2, 0)]


GIVEN = ((0, 2), (0, 4), (5, 6))


def test_given_mentions_get_one_number_each():
    found, placed = said("abcdef", "abcdef", (0, 2, 0), (0, 4, 1), (5, 6, 0), given=GIVEN)
    assert found == Account(source=6, mentions=3, answered=3)
    assert placed == [(0, 2, 0), (0, 4, 1), (5, 6, 0)]


@pytest.mark.parametrize(
    ("pairs", "counts", "answered"),
    [
        ([(0, 2, 0), (0, 4, 1)], {"missing_marks": 1}, 2),
        ([(0, 2, 0), (0, 4, 1), (5, 6, 0), (5, 6, 1)], {"extra_marks": 1}, 3),  # two numbers
        ([(0, 3, 0), (0, 4, 1), (5, 6, 0)], {"extra_marks": 1, "missing_marks": 1}, 2),
        ([(0, 2, 0), (0, 4, 5, False), (5, 6, 0)], {"outside_ids": 1}, 2),
        ([], {"missing_marks": 3}, 0),
    ],
)
def test_given_mentions_without_or_with_more_than_one_number(pairs, counts, answered):
    found, _ = said("abcdef", "abcdef", *pairs, given=GIVEN)
    assert wrong(found) == counts
    assert (found.mentions, found.answered) == (3, answered)
    assert found.exact
    assert not found.passed


def test_where_mentions_are_given_passing_needs_their_numbers_and_not_the_text():
    found, placed = said("abcdef", "abcdXef", (0, 2, 0), (0, 4, 1), (6, 7, 0), given=GIVEN)
    assert (found.passed, found.exact) == (True, False)
    assert placed == [(0, 2, 0), (0, 4, 1), (5, 6, 0)]


def test_an_answer_that_it_is_no_mention_is_an_answer():
    found, placed = said("abcdef", "abcdef", (0, 2, 0), (0, 4, None, True), (5, 6, 0), given=GIVEN)
    assert (found.passed, found.answered) == (True, 3)
    assert placed == [(0, 2, 0), (5, 6, 0)]


def test_spans_given_twice_get_two_numbers():
    found, placed = said("ab", "ab", (0, 2, 0), (0, 2, 1), given=((0, 2), (0, 2)))
    assert (found.passed, found.answered) == (True, 2)
    assert placed == [(0, 2, 0), (0, 2, 1)]


def excerpt(output, places, *pairs, required="........"):
    return said(
        "ab.cdef.", output, *pairs,
        required=np.asarray([mark == "x" for mark in required]),
        places=np.asarray(places, np.int32),
    )  # fmt: skip


def test_excerpts_have_what_is_required_and_the_text_of_their_mentions():
    marks = "..x....x"
    assert wrong(excerpt("a.cd.", [0, 2, 3, 4, 7], (0, 1, 0), (2, 4, 0), required=marks)[0]) == {}
    lost = excerpt("a.cd", [0, 2, 3, 4], (0, 1, 0), required=marks)[0]
    assert wrong(lost) == {"deleted": 1}
    assert lost.divergence == 3
    added = excerpt("a.Xcd.", [0, 2, UNALIGNED, 3, 4, 7], (3, 5, 0), required=marks)[0]
    assert wrong(added) == {"inserted": 1}
    assert added.divergence == 1  # the word behind the last piece that is right
    # c[d]ef: what a mention leaves out is missing, and too much of it makes it none.
    found, placed = excerpt("ab.cef.", [0, 1, 2, 3, 5, 6, 7], (0, 6, 0), required=marks)
    assert wrong(found) == {"deleted": 1}
    assert placed == [(0, 7, 0)]
    found, placed = excerpt(".cef.", [2, 3, 5, 6, 7], (1, 4, 0), required=marks)
    assert wrong(found) == {"extra_marks": 1}
    assert placed == []


def test_gives_up_where_alignment_takes_too_wide_a_band(monkeypatch):
    monkeypatch.setattr(transcript, "source_alignment", lambda source, output: None)
    found, placed = said("abcd", "abXd", (0, 2, 0))
    assert wrong(found) == {
        "inserted": 4, "deleted": 4, "extra_marks": 1, "unaligned": 1,
    }  # fmt: skip
    assert placed == []
    assert not found.passed
    assert not said("abcd", "abXd", (0, 2, 0), given=((0, 2),))[0].passed


def test_accounts_of_windows_add_up():
    first, _ = said("abcd", "abcd", (0, 2, 0), ended=False)
    second, _ = said("abcd", "abXcd", (0, 2, 0, False), word=np.arange(4, 8, dtype=np.int32))
    both = first + second
    assert both == Account(
        exact=False, exact_normalized=False, passed=False, source=8, inserted=1, outside_ids=1,
        mentions=2, answered=1, unended=1, divergence=6,
    )  # fmt: skip
    assert Account() + first == first
    assert (second + first).divergence == 6


texts = st.text("abc", max_size=12)


@given(texts, texts, st.data())
def test_counts_balance_whatever_an_output_says(source, output, data):
    bound = st.integers(0, len(output))
    pairs = data.draw(
        st.lists(st.tuples(bound, bound, st.none() | st.integers(0, 2), st.booleans()), max_size=6)
    )
    given_ = data.draw(st.none() | st.just(tuple({(0, min(2, len(source)))})))
    found, placed = said(source, output, *pairs, given=given_)
    assert len(source) - found.deleted == len(output) - found.inserted  # those that are aligned
    assert 0 <= found.tail <= found.inserted
    assert found.substituted <= len(output) - found.inserted
    assert found.exact == (source == output) == (found.divergence is None)
    assert found.answered <= found.mentions
    for start, end, _ in placed:
        assert 0 <= start < end <= len(source)
    if found.passed:
        assert found.answered == found.mentions
        assert found.exact or given_ is not None

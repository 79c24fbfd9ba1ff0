"""The text of a page: nothing of it is lost, and every mention stands where it belongs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import parsed, pieces
from strategies import documents

from t5coref.core.document import Annotation, Document
from t5coref.view import plain
from t5coref.view.text import lanes, text_html

HARD = [
    "<b>",
    "</p>",
    "</mark>",
    "a&b",
    "&amp;",
    '"',
    "'",
    "👩‍👩‍👧",
    "שלום",
    "عربى",
    "é",
    "-",
    "x" * 50,
]


@st.composite
def raw_documents(draw) -> Document:
    """Documents with raw text, all kinds of blanks between words, and annotations."""
    document = draw(documents(words=[*HARD, "the", "dog"]))
    blanks = st.sampled_from(
        ["", " ", "  ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\t", "\u00a0", "<!--"]
    )
    text, offsets = draw(blanks), []
    for word in document.words:
        offsets.append((len(text), len(text) + len(word)))
        text += word + draw(blanks)
    return Document(
        doc_id="raw",
        words=document.words,
        sentences=document.sentences,
        speakers=document.speakers,
        text=text,
        word_offsets=tuple(offsets),
        annotation=document.annotation,
    )


def shown(document):
    view = plain(document)
    return view, parsed(text_html(document, view.entities, view.marks))


def check(document):
    """Text and mentions read from the markup are those of the document."""
    view, tree = shown(document)
    text, ranges = pieces(tree)
    words = " ".join(document.words) if document.text is None else document.text
    assert text == words
    offsets = document.word_offsets
    if offsets is None:
        ends = list(itertools.accumulate(len(word) + 1 for word in document.words))
        offsets = [(e - 1 - len(w), e - 1) for e, w in zip(ends, document.words, strict=True)]
    found = []
    for number, parts in ranges.items():
        marks = tree.all("mark", data_m=number)
        # Pieces follow each other without gap or overlap, and only the outer ends look like ends.
        assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
        assert all(start < end for start, end in parts)
        assert ["cut-start" in m.classes for m in marks] == [False] + [True] * (len(marks) - 1)
        assert ["cut-end" in m.classes for m in marks] == [True] * (len(marks) - 1) + [False]
        (entity,) = {m.attributes["data-e"] for m in marks}
        found.append((parts[0][0], parts[-1][1], int(entity) - 1))
    expected = [(offsets[s][0], offsets[e - 1][1], c) for s, e, c in document.annotation.mentions()]
    assert sorted(found) == sorted(expected)
    assert len(view.marks) == len(expected)


@given(documents())
def test_every_mention_of_a_tokenised_text_is_shown_exactly(document):
    check(document)


@given(raw_documents())
def test_every_mention_of_a_raw_text_is_shown_exactly(document):
    check(document)


@given(documents(max_mentions=30))
def test_lines_of_overlapping_mentions_lie_at_different_heights(document):
    marks = plain(document).marks
    heights = lanes(marks)
    for (a, i), (b, j) in itertools.combinations(zip(marks, heights, strict=True), 2):
        if a.start < b.end and b.start < a.end:
            assert i != j
            if (a.end - a.start) > (b.end - b.start):
                # Nested or not, the longer one runs below: its line is not hidden.
                assert i > j or not (a.start <= b.start and b.end <= a.end)


def document(text, *clusters, **more):
    return Document(
        doc_id="d", words=tuple(text.split()), annotation=Annotation(tuple(clusters)), **more
    )


def test_nested_mentions_are_nested_elements_and_need_no_cutting():
    _, tree = shown(document("the friend of her dog", [(0, 5)], [(3, 4)], [(3, 5)]))
    outer = tree.one("mark", data_e=1)
    assert outer.text == "the friend of her dog"
    (inner,) = [m for m in outer.all("mark") if m.attributes["data-e"] == "3"]
    assert inner.one("mark", data_e=2).text == "her"
    assert not any(m.classes & {"cut-start", "cut-end"} for m in tree.all("mark"))


def test_of_two_crossing_mentions_one_is_cut_in_two():
    _, tree = shown(document("a b c d", [(0, 3)], [(1, 4)]))
    assert [m.text for m in tree.all("mark", data_e=1)] == ["a b c"]
    assert [m.text for m in tree.all("mark", data_e=2)] == ["b c", " d"]


def test_paragraphs_follow_blank_lines_of_the_raw_text():
    text = "One two.\nThree.\n\nFour."
    words = ("One", "two.", "Three.", "Four.")
    offsets = ((0, 3), (4, 8), (9, 15), (17, 22))
    raw = Document(doc_id="d", words=words, text=text, word_offsets=offsets)
    _, tree = shown(raw)
    assert [p.text for p in tree.all("p")] == ["One two.\nThree.\n\n", "Four."]
    assert not any("data-n" in p.attributes for p in tree.all("p"))


def test_sentences_of_a_tokenised_text_are_paragraphs_with_numbers():
    _, tree = shown(document("a b c d e", sentences=((0, 2), (2, 5))))
    assert [(p.attributes["data-n"], p.text) for p in tree.all("p")] == [
        ("1", "a b "),
        ("2", "c d e"),
    ]


def test_speakers_are_named_where_they_begin():
    speakers = ("Ann", "Ann", "Ann", "Bo <i>", "Bo <i>")
    _, tree = shown(document("a b c d e", sentences=((0, 2), (2, 3), (3, 5)), speakers=speakers))
    named = [p.attributes.get("data-speaker") for p in tree.all("p")]
    assert named == ["Ann", None, "Bo <i>"]
    assert pieces(tree)[0] == "a b c d e"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ('Well , it \'s " fine " ( so far ) .', 'Well, it\'s "fine" (so far).'),
        ("他 来 了 。", "他来了。"),
        ("한국 사람 .", "한국 사람."),
        ("I do n't , `` yes ''", "I don't, ``yes''"),
    ],
)
def test_blanks_that_nobody_expects_are_there_but_not_seen(words, expected):
    _, tree = shown(document(words))
    seen = "".join(
        "".join(c if isinstance(c, str) else "" for c in p.children) for p in tree.all("p")
    )
    assert seen == expected
    assert tree.text == words


def test_paragraphs_leave_right_to_left_text_to_the_browser():
    _, tree = shown(document("שלום עולם", [(0, 1)]))
    assert tree.one("p").attributes["dir"] == "auto"


def test_empty_texts():
    assert text_html(Document(doc_id="d", words=()), (), ()) == ""
    blank = Document(doc_id="d", words=(), text=" \n", word_offsets=())
    assert parsed(text_html(blank, (), ())).text == " \n"

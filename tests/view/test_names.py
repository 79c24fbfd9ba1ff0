"""What entities are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from strategies import documents

from t5coref.core.document import Document
from t5coref.view import representative
from t5coref.view.names import shortened


def name(text, *spans, **more):
    words = tuple(text.split())
    return representative(Document(doc_id="d", words=words, **more), spans)


@pytest.mark.parametrize(
    ("text", "spans", "expected"),
    [
        ("She met Ada Lin ; Lin met her", [(0, 1), (2, 4), (5, 6), (7, 8)], "Ada Lin"),
        ("Then her uncle , Anton , came", [(1, 5), (4, 5)], "Anton"),
        ("It hid ; the old grey dog slept", [(0, 1), (3, 7)], "the old grey dog"),
        ("She slept . She woke", [(0, 1), (3, 4)], "She"),
    ],
)
def test_names_come_before_descriptions_and_pronouns(text, spans, expected):
    sentences = ((0, 3), (3, 5)) if text.startswith("She slept") else None
    assert name(text, *spans, sentences=sentences) == expected


def test_long_mentions_name_nothing_unless_there_is_no_other():
    long = "the dog that " + "ran and " * 20 + "slept"
    n = len(long.split())
    assert name(long + " . it", (0, n), (n + 1, n + 2)) == "it"
    assert name(long, (0, n)) == long


def test_names_stand_on_one_line():
    document = Document(
        doc_id="d", words=("Ada", "Lin"), text="Ada\n  Lin", word_offsets=((0, 3), (6, 9))
    )
    assert representative(document, [(0, 2)]) == "Ada Lin"


@given(documents())
def test_an_entity_is_called_by_one_of_its_mentions(document):
    for cluster in document.annotation.clusters:
        texts = ["".join(document.words[s:e]) for s, e in cluster]
        assert representative(document, cluster).replace(" ", "") in texts


def test_shortening():
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abc defg", 5) == "abc…"

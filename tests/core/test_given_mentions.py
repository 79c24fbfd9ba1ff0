import pytest

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import DocumentError, MismatchError
from t5coref.core.given_mentions import GIVEN, GOLD, PREDICTED, given, with_mentions

ANNOTATED = Document(
    doc_id="d",
    words=tuple("abcdef"),
    annotation=Annotation((((0, 3), (4, 5)), ((0, 1), (0, 3)))),
)


def test_without_others_they_are_those_of_the_annotation():
    assert given(ANNOTATED) == (((0, 3), (0, 1), (4, 5)), GOLD)


def test_others_take_their_place_and_the_annotation_stays():
    doc = with_mentions(ANNOTATED, [(4, 6), (1, 2), (4, 6), (1, 3)], PREDICTED)
    assert given(doc) == (((1, 3), (1, 2), (4, 6)), PREDICTED)
    assert doc.annotation == ANNOTATED.annotation
    again = with_mentions(doc.with_annotation(None), [], GIVEN)
    assert given(again) == ((), GIVEN)


def test_a_document_without_any():
    with pytest.raises(MismatchError, match="'d' gives no mentions; expected gold, predicted"):
        given(ANNOTATED.with_annotation(None))


@pytest.mark.parametrize(
    ("spans", "source", "message"),
    [
        ([(0, 7)], GIVEN, r"mention \[0, 7\).*within words 0..6"),
        ([(2, 2)], GIVEN, "non-empty"),
        ([(0, 1)], "guessed", "mentions from 'guessed'; expected gold, predicted, given"),
    ],
)
def test_what_is_refused(spans, source, message):
    with pytest.raises(DocumentError, match=message):
        with_mentions(ANNOTATED, spans, source)


@pytest.mark.parametrize("stored", [3, {"spans": [[0, 1]]}, {"spans": [[0]], "source": GIVEN}])
def test_another_form(stored):
    doc = Document(doc_id="d", words=("a",), extra={"mentions": stored})
    with pytest.raises(DocumentError, match=r"'d': mentions .*; expected"):
        given(doc)

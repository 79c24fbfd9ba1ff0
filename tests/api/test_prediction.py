"""What predictions say of a document."""

from __future__ import annotations

import html
import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marked import marked
from strategies import documents

from t5coref import Annotation, Document, Prediction, Relation
from t5coref.core.document import Confidence
from t5coref.corpora.text import from_string

STORY = "[1 Mara ] fed [2 [1 her ] dog ] . [2 It ] was hungry ."


def test_clusters_and_mentions():
    found = Prediction(marked(STORY))
    mara, dog = found.clusters
    assert [m.text for m in mara] == ["Mara", "her"]
    assert dog[0].span == (2, 4)
    assert dog[0].char_span == (9, 16)
    assert dog[-1].sentence == 1
    assert [m.pronoun for m in found.mentions] == [False, False, True, True]
    assert [m.text for m in found.mentions] == ["Mara", "her dog", "her", "It"]
    assert (mara.representative.text, dog.representative.text) == ("Mara", "her dog")
    assert len(mara) == 2
    assert mara[0] in mara
    assert (mara.probability, mara[0].probability, mara.type) == (None, None, None)


def test_relations_types_and_confidences():
    annotation = Annotation(
        (((0, 1),), ((2, 3), (4, 5))),
        (Relation(0, 1, "feeds"),),
        ((Confidence(0.5, 0.5),), (Confidence(1.0, 0.5), Confidence(0.5, 0.5))),
        ("person", None),
    )
    words = ("Mara", "fed", "Rex", "and", "Rex")
    found = Prediction(Document(doc_id="d", words=words, annotation=annotation))
    (relation,) = found.relations
    assert relation.head is found.clusters[0]
    assert relation.tail is found.clusters[1]
    assert repr(relation) == "EntityRelation('Mara', 'feeds', 'Rex')"
    assert found.clusters[1].probability == pytest.approx((0.5 + 0.25) / 2)
    assert found.clusters[0].type == "person"
    value = json.loads(found.to_json())
    assert value == found.to_dict()
    assert value["relations"] == [{"head": 0, "tail": 1, "type": "feeds"}]
    assert value["clusters"][1]["mentions"][0]["confidence"] == {"mention": 1.0, "link": 0.5}
    assert value["clusters"][1]["probability"] == 0.375
    assert value["text"] == "Mara fed Rex and Rex"


@given(documents())
def test_offsets_without_raw_text(document):
    _check_offsets(Prediction(document))


SPACES = st.text(st.sampled_from(list(" \t\n\r\u00a0\u3000\u2028")), max_size=4)
PIECES = st.sampled_from(
    ["Anna", "don't", "👩‍👩‍👧", "e\u0301t\u00e9", "日本", "a-b", "...", "1,000", "שלום"]
)


@given(st.lists(st.tuples(SPACES, PIECES), max_size=8), SPACES, st.data())
def test_offsets_in_raw_text(parts, end, data):
    document = from_string("d", "".join(gap + piece for gap, piece in parts) + end)
    n = len(document.words)
    spans = []
    if n:
        starts = data.draw(st.lists(st.integers(0, n - 1), max_size=4))
        spans = [(start, data.draw(st.integers(start + 1, n))) for start in starts]
    clusters = tuple((span,) for span in spans)
    found = Prediction(document.with_annotation(Annotation(clusters)))
    assert found.text == document.text
    _check_offsets(found)


def _check_offsets(found: Prediction) -> None:
    words = found.document.words
    for mention in found.mentions:
        assert found.text[mention.start_char : mention.end_char] == mention.text
        assert mention.text.startswith(words[mention.start])
        assert mention.text.endswith(words[mention.end - 1])
        first, end = found.document.sentences[mention.sentence]
        assert first <= mention.start < end


def test_reprs():
    found = Prediction(marked(STORY))
    assert repr(found) == "Prediction('Mara fed her dog. It was hungry.', 2 clusters, 0 relations)"
    assert repr(found.clusters[1]) == "Cluster('her dog', 'It')"
    assert repr(found.clusters[1][1]) == "Mention('It', 18:20)"
    failed = Prediction(Document(doc_id="d", words=("x",), extra={"error": "too long"}))
    assert repr(failed) == "Prediction('x', error='too long')"
    assert failed.clusters == ()
    assert failed.to_dict()["error"] == "too long"


def test_equal_predictions_survive_pickling():
    found = Prediction(marked(STORY))
    assert found.clusters  # made before, so that they travel along
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert again.clusters == found.clusters


def test_the_frame_for_notebooks_lets_nothing_out():
    """Markup of a document stays text in the frame, and the frame is an origin of its own."""
    evil = '</iframe>"><img src=x onerror=alert(1)><script>alert(2)</script>'
    document = Document(
        doc_id=evil, words=("a", evil), text=f"a {evil}", word_offsets=((0, 1), (2, 2 + len(evil))),
        annotation=Annotation((((0, 1), (1, 2)),)),
    )  # fmt: skip
    frame = Prediction(document)._repr_html_()
    (match,) = re.findall(
        r'^<iframe sandbox="allow-scripts" srcdoc="([^"]*)" [^<>]*></iframe>$', frame
    )
    page = html.unescape(match)
    assert page.startswith("<!doctype html>")
    assert "<img" not in page
    assert page.count("<script>") == 1
    assert "alert(1)&gt;" in page

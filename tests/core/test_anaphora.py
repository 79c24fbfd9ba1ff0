"""What corpora say beyond clusters: how it is stored, checked and projected on words."""

from __future__ import annotations

import json

import pytest
from anaphora_documents import anaphoras, document
from hypothesis import given, settings

from t5coref.core.anaphora import (
    Anaphora,
    Entity,
    Mention,
    Nodes,
    Place,
    Zero,
    anaphora,
    highest,
    tree,
)
from t5coref.core.document import ANAPHORA, CHAR_CLUSTERS, Annotation, Document
from t5coref.core.errors import DocumentError

STORY = Document(
    doc_id="d",
    words=("Ann", "and", "Bob", "left"),
    annotation=Annotation((((0, 3),), ((0, 1), (2, 3))), types=("PER", None)),
)


@settings(max_examples=50)
@given(found=anaphoras(silent=True, links=True))
def test_what_is_stored_is_json_and_comes_back(found):
    doc = document(found)
    stored = json.loads(json.dumps(doc.extra[ANAPHORA]))
    assert stored == doc.extra[ANAPHORA]
    assert anaphora(doc) == found


def test_without_anything_stored_it_is_the_clusters():
    found = anaphora(STORY)
    assert found.entities == (Entity("e0", "PER"), Entity("e1"))
    assert [(m.entity, m.parts) for m in found.mentions] == [
        (0, ((0, 3),)), (1, ((0, 1),)), (1, ((2, 3),))
    ]  # fmt: skip
    assert anaphora(STORY.with_annotation(None)) == Anaphora()


def test_another_annotation_loses_it():
    doc = document(Anaphora((Entity("e0"),), (Mention(0, ((0, 1),)),)))
    assert ANAPHORA in doc.extra
    assert ANAPHORA not in doc.with_annotation(Annotation()).extra


def test_another_annotation_loses_what_is_said_of_clusters_in_characters():
    doc = Document(doc_id="d", words=("a",), text="a", extra={CHAR_CLUSTERS: [[[0, 1]]], "x": 1})
    assert doc.with_annotation(Annotation()).extra == {"x": 1}


def story(**value):
    return Document(
        doc_id="d", words=STORY.words, annotation=STORY.annotation, extra={ANAPHORA: value}
    )


ENTITIES = [{"name": "a"}, {"name": "b"}]
MENTIONS = [
    {"entity": 0, "parts": [[0, 3]]},
    {"entity": 1, "parts": [[0, 1]]},
    {"entity": 1, "parts": [[2, 3]]},
]


@pytest.mark.parametrize(
    "value",
    [
        {"entities": ENTITIES, "mentions": MENTIONS[:2]},
        {"entities": ENTITIES, "mentions": [*MENTIONS, {"entity": 1, "parts": [[3, 4]]}]},
        {},
    ],
)
def test_what_is_said_of_other_clusters_is_refused(value):
    with pytest.raises(DocumentError, match="of other clusters"):
        anaphora(story(**value))


@pytest.mark.parametrize(
    "value",
    [
        {"entities": ENTITIES, "mentions": [{"entity": 2, "parts": [[0, 1]]}]},
        {"entities": ENTITIES, "mentions": [{"entity": 0, "parts": [[0, 5]]}]},
        {"entities": ENTITIES, "mentions": [{"entity": 0, "parts": [[1, 1]]}]},
        {"entities": ENTITIES, "mentions": [{"entity": 0, "parts": [[2, 3], [0, 1]]}]},
        {"entities": ENTITIES, "mentions": [{"entity": 0, "parts": []}]},
        {"entities": ENTITIES, "mentions": [{"entity": 0, "parts": [[0, 1]], "head": 1}]},
        {"entities": ENTITIES, "mentions": [{"parts": [[0, 1]]}]},
        {"entities": ENTITIES, "mentions": MENTIONS, "split": [{"anaphor": 0, "antecedent": 2}]},
        {
            "entities": ENTITIES,
            "mentions": MENTIONS,
            "bridging": [{"anaphor": 0, "antecedent": 1, "mention": 9}],
        },
        {"entities": [{"nom": "a"}]},
        {"zeros": [{"sentence": 0}]},
        {"columns": {"X": {"a": "b"}}},
    ],
)
def test_another_form_is_refused(value):
    with pytest.raises(DocumentError, match=r"another form .*docs/formats\.md"):
        anaphora(story(**value))


def test_places_of_nodes():
    zeros = [Zero(0, 0, 1), Zero(0, 2, 1), Zero(0, 2, 2), Zero(1, 0, 1), Zero(1, 1, 1)]
    nodes = Nodes(((0, 2), (2, 3)), zeros)
    assert nodes.places == (
        Place(0, 0, 1), Place(1), Place(2), Place(2, 0, 1), Place(2, 0, 2), Place(2, 1, 1),
        Place(3), Place(3, 1, 1),
    )  # fmt: skip
    assert list(nodes.places) == sorted(nodes.places)
    assert [nodes.is_word(node) for node in range(8)] == [0, 1, 1, 0, 0, 0, 1, 0]
    assert nodes.words((0, 8)) == (0, 3)
    assert nodes.words((3, 6)) == (2, 2)


@pytest.mark.parametrize(
    ("parts", "head", "span"),
    [
        (((1, 3),), None, (0, 2)),
        (((0, 2), (3, 4)), None, (0, 1)),
        (((0, 2), (3, 4)), 3, (2, 3)),
        (((1, 2), (2, 3)), 2, (0, 2)),  # parts that touch are one
        (((0, 1), (3, 4)), 0, (2, 3)),  # its head is a zero
        (((0, 1),), 0, None),
    ],
)
def test_the_span_that_clusters_have(parts, head, span):
    nodes = Nodes(((0, 4),), [Zero(0, 0, 1)])
    assert nodes.span(Mention(0, parts, head)) == span


def with_tree(heads, sentences=((0, 4),)):
    return Document(
        doc_id="d", words=("w",) * 4, sentences=sentences, extra={"tree": {"heads": heads}}
    )


def test_depths_and_the_highest_word():
    assert tree(STORY) is None
    assert tree(with_tree([2, 4, 2, 0])) == (2, 1, 2, 0)
    assert tree(with_tree([2, 0, 0, 1], ((0, 2), (2, 4)))) == (1, 0, 0, 1)
    assert highest((0, 3), (2, 1, 1, 0)) == 1


@pytest.mark.parametrize("heads", [[2, 1, 0, 0], [1, 0, 0, 0], [9, 0, 0, 0], [0], None, ["x"] * 4])
def test_what_is_no_tree_is_refused(heads):
    with pytest.raises(DocumentError, match="expected"):
        tree(with_tree(heads))


@settings(max_examples=50)
@given(found=anaphoras())
def test_the_span_holds_words_of_the_mention_alone(found):
    nodes = Nodes(((0, 4), (4, 7), (7, 8)), found.zeros)
    for mention in found.mentions:
        own = {
            nodes.words((n, n + 1))[0]
            for start, end in mention.parts
            for n in range(start, end)
            if nodes.is_word(n)
        }
        span = nodes.span(mention)
        assert (span is None) == (not own)
        assert span is None or set(range(*span)) <= own

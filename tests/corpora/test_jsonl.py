import json
import pathlib
import re

import pytest

from t5coref.core.document import Annotation, Confidence, Document, Relation
from t5coref.core.errors import DocumentError, FormatError
from t5coref.corpora import Report, jsonl

FULL = {
    "doc_id": "d",
    "tokens": ["Ann", "saw", "日本", "."],
    "sentences": [[0, 2], [2, 4]],
    "speakers": ["A", None, None, "B"],
    "pos": ["N", "V", "N", "."],
    "text": "Ann saw 日本.",
    "token_offsets": [[0, 3], [4, 7], [8, 10], [10, 11]],
    "clusters": [[[0, 1], [2, 3]], [[2, 3]]],
    "relations": [{"head": 0, "tail": 1, "type": "knows"}],
    "types": ["PER", None],
    "genre": "fiction",
    "meta": {"b": 1, "a": [1.5, None]},
}


def read_lines(tmp_path, *values, **options):
    path = tmp_path / "file.jsonl"
    texts = (v if isinstance(v, str) else json.dumps(v) for v in values)
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return list(jsonl.read(path, **options))


def test_every_key(tmp_path):
    (document,) = read_lines(tmp_path, FULL)
    assert document == Document(
        doc_id="d",
        words=("Ann", "saw", "日本", "."),
        sentences=((0, 2), (2, 4)),
        speakers=("A", None, None, "B"),
        pos=("N", "V", "N", "."),
        text="Ann saw 日本.",
        word_offsets=((0, 3), (4, 7), (8, 10), (10, 11)),
        annotation=Annotation(
            (((0, 1), (2, 3)), ((2, 3),)), (Relation(0, 1, "knows"),), types=("PER", None)
        ),
        extra={"genre": "fiction", "meta": {"b": 1, "a": [1.5, None]}},
    )
    assert jsonl.dumps(document) == json.dumps(FULL, ensure_ascii=False) + "\n"


def test_the_least(tmp_path):
    (document,) = read_lines(tmp_path, {"doc_id": "d", "tokens": ["a", "b"]})
    assert document == Document(doc_id="d", words=("a", "b"), sentences=((0, 2),))
    assert document.annotation is None
    assert json.loads(jsonl.dumps(document)) == {
        "doc_id": "d",
        "tokens": ["a", "b"],
        "sentences": [[0, 2]],
        "speakers": None,
        "text": None,
        "token_offsets": None,
        "clusters": None,
        "relations": None,
    }


def test_confidences_are_rounded_and_stay_beside_their_spans(tmp_path):
    sure = ((Confidence(1 / 3, 1.0), Confidence(0.25, 0.0)), (Confidence(1e-9, 0.5),))
    annotation = Annotation((((0, 1), (2, 3)), ((2, 3),)), confidences=sure)
    document = Document(doc_id="d", words=("a", "b", "c"), annotation=annotation)
    line = jsonl.dumps(document)
    assert json.loads(line)["confidences"] == [[[0.333333, 1.0], [0.25, 0.0]], [[0.0, 0.5]]]
    (again,) = read_lines(tmp_path, line)
    assert again.annotation.confidences == (
        (Confidence(0.333333, 1.0), Confidence(0.25, 0.0)),
        (Confidence(0.0, 0.5),),
    )
    assert again.annotation.confidences[0][0].mention == 0.333333
    assert again.extra == {}
    assert again.annotation.types is None
    assert "types" not in json.loads(line)
    assert jsonl.dumps(again) == line
    nothing = Document(doc_id="d", words=("a",), annotation=Annotation(confidences=()))
    assert json.loads(jsonl.dumps(nothing))["confidences"] == []
    assert "confidences" not in jsonl.to_json(document.with_annotation(Annotation()))


def test_confidences_follow_spans_that_are_sorted_and_merged(tmp_path):
    clusters = [[[2, 3], [0, 1], [2, 3]]]
    value = {"doc_id": "d", "tokens": ["a", "b", "c"], "clusters": clusters}
    (document,) = read_lines(
        tmp_path, value | {"confidences": [[[0.5, 0.5], [0.1, 0.2], [0.9, 0.9]]]}
    )
    assert document.annotation.clusters == (((0, 1), (2, 3)),)
    assert document.annotation.confidences == (((0.1, 0.2), (0.5, 0.5)),)


def test_no_clusters_is_not_the_same_as_none_known(tmp_path):
    found = read_lines(tmp_path, {"doc_id": "d", "tokens": [], "clusters": []})
    assert found[0].annotation == Annotation()


def test_blank_lines_crlf_and_byte_order_mark(tmp_path):
    path = tmp_path / "x.jsonl"
    line = json.dumps(FULL, ensure_ascii=False)
    path.write_bytes(f"{line}\r\n\r\n{line}".encode("utf-8-sig"))
    assert len(list(jsonl.read(path))) == 2


@pytest.mark.parametrize("word", ["a\x85b", "a\u2028b", "a\rb\nc", "\ud83d", "😀", '"\\', "\x00"])
def test_words_with_line_separators_and_worse(tmp_path, word):
    document = Document(doc_id="d", words=(word,))
    jsonl.write([document, document], tmp_path / "x.jsonl")
    assert list(jsonl.read(tmp_path / "x.jsonl")) == [document, document]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"doc_id": None}, r'"doc_id" is null'),
        ({"tokens": None}, r"document 'd': \"tokens\" is null; expected a list of words"),
        ({"tokens": "Ann"}, r'"tokens" is "Ann"'),
        ({"tokens": ["Ann", 3, "x", "."]}, r'"tokens\[1\]" is 3; expected a string'),
        ({"tokens": ["Ann", "", "x", "."]}, r"word 1 is ''"),
        ({"sentences": [[0, 2]]}, "sentences end at word 2"),
        ({"sentences": [[0, 2, 4]]}, r'"sentences\[0\]" is \[0, 2, 4\]'),
        ({"sentences": [[0, 2.0], [2, 4]]}, r'"sentences\[0\]" is \[0, 2.0\]; expected a pair'),
        ({"speakers": ["A"]}, "speakers has 1 entries; expected one a word, 4"),
        ({"speakers": [1, 2, 3, 4]}, r'"speakers\[0\]" is 1; expected a string or null'),
        ({"speakers": "A"}, r'"speakers" is "A"'),
        ({"text": 3}, r'"text" is 3'),
        ({"text": None}, "word_offsets are given without text"),
        (
            {"clusters": [[[0, 5]]], "relations": [], "types": ["PER"]},
            r"cluster 0 has span \[0, 5\)",
        ),
        ({"clusters": [[[True, 2]]]}, r'"clusters\[0\]\[0\]" is \[true, 2\]'),
        ({"clusters": [[]], "relations": [], "types": None}, "cluster 0 is empty"),
        ({"clusters": 3}, r'"clusters" is 3'),
        ({"clusters": None}, r'"relations" is .* none where clusters is null'),
        ({"relations": [{"head": 0, "tail": 7, "type": "x"}]}, "refers to cluster 7"),
        ({"relations": [{"head": 0}]}, r'"relations\[0\]" is \{"head": 0\}'),
        ({"relations": [{"head": "0", "tail": 0, "type": "x"}]}, r'"relations\[0\].head" is "0"'),
        ({"relations": [{"head": 0, "tail": 0, "type": 1}]}, r'"relations\[0\].type" is 1'),
        ({"relations": 3}, r'"relations" is 3'),
        ({"confidences": 3}, r'"confidences" is 3; expected a list of 2, one for each cluster'),
        (
            {"confidences": [[[0, 1]], []]},
            r'"confidences\[0\]" is .* a list of 2, one for each span',
        ),
        ({"confidences": [[[0, 1], 1], [[0, 1]]]}, r'"confidences\[0\]\[1\]" is 1; expected \[men'),
        ({"confidences": [[[0, 1], [0, 1.1]], [[0, 1]]]}, r"\[0, 1.1\]; .* within 0\.\.1"),
        ({"confidences": [[[0, 1], [0, True]], [[0, 1]]]}, r"\[0, true\]; .* within 0\.\.1"),
        ({"clusters": None, "relations": [], "confidences": [[[1, 1]]]}, "where clusters is null"),
        ({"types": "PER"}, r'"types" is "PER"; expected a list of strings'),
        ({"types": ["PER", 1]}, r'"types\[1\]" is 1; expected a string or null'),
        ({"types": ["PER"]}, "types of 1 clusters for 2; expected one for each cluster"),
    ],
)
def test_malformed_documents(tmp_path, change, message):
    bad = FULL | change
    with pytest.raises(FormatError, match=rf"file\.jsonl:2: .*{message}"):
        read_lines(tmp_path, FULL, bad)
    report = Report()
    assert len(read_lines(tmp_path, FULL, bad, FULL, lenient=True, report=report)) == 2
    assert report.counts == {"documents": 2, "skipped_documents": 1}


@pytest.mark.parametrize(
    "line", ['{"doc_id": "d"', "[1]", "null", "#begin document", "[" * 100_000]
)
def test_lines_that_are_no_json_object(tmp_path, line):
    with pytest.raises(FormatError, match=r"file\.jsonl:1: .*expected .*JSON object"):
        read_lines(tmp_path, line)
    assert read_lines(tmp_path, line, FULL, lenient=True)[0].doc_id == "d"


def test_extra_must_not_hide_our_keys():
    document = Document(doc_id="d", words=("a",), extra={"text": "b"})
    with pytest.raises(DocumentError, match=r"own keys \['text'\]"):
        jsonl.dumps(document)


def test_the_example_of_the_documentation(tmp_path):
    page = pathlib.Path(__file__).parents[2] / "docs" / "formats.md"
    (example,) = re.findall(r"```json\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "x.jsonl").write_text(json.dumps(json.loads(example)), encoding="utf-8")
    (document,) = jsonl.read(tmp_path / "x.jsonl")
    assert [document.span_text(span) for span in document.annotation.clusters[0]] == [
        "Zoë",
        "her",
        "she",
    ]
    assert json.loads(jsonl.dumps(document)) == json.loads(example)

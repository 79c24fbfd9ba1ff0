import json

import pytest

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import FormatError
from t5coref.corpora import Report, preco

VALUE = {
    "id": "train_1",
    "sentences": [["Ann", "saw"], [" "], [], ["her", "dog", "."]],
    "mention_clusters": [[[0, 0, 1], [3, 0, 1]], [[3, 0, 2]]],
}


def read_lines(tmp_path, *values, **options):
    path = tmp_path / "file.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return list(preco.read(path, **options))


def test_reads(tmp_path):
    (document,) = read_lines(tmp_path, VALUE)
    assert document == Document(
        doc_id="train_1",
        words=("Ann", "saw", " ", "her", "dog", "."),
        sentences=((0, 2), (2, 3), (3, 6)),
        annotation=Annotation((((0, 1), (3, 4)), ((3, 5),))),
    )


def test_no_clusters_means_not_annotated(tmp_path):
    (document,) = read_lines(tmp_path, {"id": "a", "sentences": [["x"]], "split": "test"})
    assert document.annotation is None
    assert document.extra == {"split": "test"}


def test_writes_what_it_reads(tmp_path):
    (document,) = read_lines(tmp_path, VALUE)
    preco.write([document], tmp_path / "out")
    assert list(preco.read(tmp_path / "out")) == [document]


def test_a_mention_over_a_sentence_end_is_dropped_and_counted():
    document = Document(
        doc_id="a",
        words=("x", "y"),
        sentences=((0, 1), (1, 2)),
        annotation=Annotation((((0, 2),), ((1, 2),))),
    )
    report = Report()
    assert json.loads(preco.dumps(document, report=report))["mention_clusters"] == [[[1, 0, 1]]]
    assert report.counts["dropped_mentions"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 3}, '"id" is missing or no string'),
        ({"sentences": [["a"], "b"]}, '"sentences" is no list of lists'),
        ({"mention_clusters": [[[0, 0, 3]]]}, r"mention \[0, 0, 3\]; expected \[sentence, start"),
        ({"mention_clusters": [[[4, 0, 1]]]}, r"mention \[4, 0, 1\]; .* of the 4 sentences"),
        ({"mention_clusters": [[[0, 0.0, 1]]]}, r"mention \[0, 0.0, 1\]"),
        ({"mention_clusters": 3}, "mention 3"),
    ],
)
def test_malformed_documents(tmp_path, change, message):
    with pytest.raises(FormatError, match=rf"file\.jsonl:1: .*{message}"):
        read_lines(tmp_path, VALUE | change)
    report = Report()
    assert len(read_lines(tmp_path, VALUE | change, VALUE, lenient=True, report=report)) == 1
    assert report.counts["skipped_documents"] == 1


def test_an_empty_word_is_a_mistake(tmp_path):
    bad = {"id": "a", "sentences": [["x", ""]], "mention_clusters": []}
    with pytest.raises(FormatError, match=r":1: document 'a': a word is empty"):
        read_lines(tmp_path, bad)
    report = Report()
    (document,) = read_lines(tmp_path, bad, lenient=True, report=report)
    assert document.words == ("x", " ")
    assert report.counts["replaced_words"] == 1

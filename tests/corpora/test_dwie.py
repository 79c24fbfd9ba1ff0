"""DWIE: text from where it can be, words at mention boundaries, its traps, its real annotations."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from t5coref import corpora
from t5coref.core.document import Document, Relation
from t5coref.core.entities import entities, left_out
from t5coref.core.errors import FormatError
from t5coref.core.relation_metrics import RelationScorer
from t5coref.corpora import Report, dwie, jsonl

TEXT = "Egypt votes\nThe pro-Mubarak camp said May. 2012/2013 was Yahoo! Inc.'s year. He won."


def mention(text, concept, start=0):
    begin = TEXT.index(text, start)
    return {"begin": begin, "end": begin + len(text), "text": text, "concept": concept}


def concept(number, *types):
    return {"concept": number, "text": "", "tags": ["iptc::1", *(f"type::{t}" for t in types)]}


ARTICLE = {
    "id": "DW_1",
    "tags": ["all", "test"],
    "mentions": [
        mention("Egypt", 0),
        mention("Mubarak", 1),
        mention("He", 1),
        mention("Yahoo! Inc.", 2),
        mention("May", 4),
        mention("2013", 5),
    ],
    "concepts": [
        concept(0, "entity", "gpe", "location"),
        concept(1, "entity", "person", "politician"),
        concept(2, "company", "entity", "organization"),
        concept(3, "entity", "misc"),
        concept(4, "time", "value"),
        concept(5),
    ],
    "relations": [
        {"s": 1, "p": "head_of_state", "o": 0},
        {"s": 3, "p": "based_in0", "o": 0},
        {"s": 1, "p": "head_of_state", "o": 0},
        {"s": 2, "p": "vs", "o": 2},
        {"s": 2, "p": "based_in0", "o": 0},
    ],
    "frames": [{"type": "x", "slots": []}],
    "iptc": ["11000000"],
}


@pytest.fixture
def read(tmp_path):
    def reader(*values, **options):
        path = tmp_path / "DW_1.json"
        path.write_text(json.dumps(values if len(values) > 1 else values[0], indent=4), "utf-8")
        return list(dwie.read(path, **options))

    return reader


def test_an_article(read):
    report = Report()
    (document,) = read(ARTICLE | {"content": TEXT}, report=report)
    assert " ".join(document.words) == (
        "Egypt votes The pro - Mubarak camp said May . 2012/ 2013 was Yahoo ! Inc. 's year . "
        "He won ."
    )
    texts = [[document.span_text(span) for span in c] for c in document.annotation.clusters]
    assert texts == [["Egypt"], ["Mubarak", "He"], ["Yahoo! Inc."], ["May"], ["2013"]]
    # A headline is a sentence; "!" within a mention ends none.
    assert [document.span_text(span) for span in document.sentences] == [
        "Egypt votes",
        "The pro-Mubarak camp said May.",
        "2012/2013 was Yahoo! Inc.'s year.",
        "He won.",
    ]
    assert document.annotation.types == ("location", "person", "organization", "time", None)
    assert document.annotation.relations == (
        Relation(1, 0, "head_of_state"),
        Relation(2, 0, "based_in0"),
    )
    assert document.text == TEXT
    assert document.extra["tags"] == ["all", "test"]
    assert document.extra["iptc"] == ["11000000"]
    assert left_out(document) == (Relation(3, 0, "based_in0"), Relation(2, 2, "vs"))
    assert [len(entity.spans) for entity in entities(document)] == [1, 2, 1, 0, 1, 1]
    assert document.extra["entities"][1]["tags"] == ["iptc::1", "type::entity", "type::person",
                                                     "type::politician"]  # fmt: skip
    assert report.counts == {
        "documents": 1,
        "empty_clusters": 1,
        "dropped_relations": 1,
        "duplicate_relations": 1,
        "self_relations": 1,
    }
    assert jsonl.from_json(json.loads(jsonl.dumps(document))) == document


def test_where_the_text_comes_from(read, tmp_path):
    (wanted,) = read(ARTICLE | {"content": TEXT})
    (tmp_path / "DW_1.txt").write_text(TEXT, encoding="utf-8")
    assert read(ARTICLE) == [wanted]
    (tmp_path / "DW_1.txt").rename(tmp_path / "other.txt")
    message = (
        r"DW_1.json:1: document 'DW_1': no text; .*run src/dwie_download.py of DWIE .*or put the "
        r"text into .*DW_1.txt$"
    )
    with pytest.raises(FormatError, match=message):
        read(ARTICLE)
    with pytest.raises(FormatError, match="no text"):
        read(ARTICLE | {"content": ""})
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "DW_1.txt").write_bytes(TEXT.encode())
    assert read(ARTICLE, texts=folder) == [wanted]
    report = Report()
    assert read(ARTICLE, ARTICLE | {"content": TEXT}, lenient=True, report=report) == [wanted]
    assert report.counts["skipped_documents"] == 1


def test_a_folder_of_articles(tmp_path):
    for name in ("DW_2", "DW_1"):
        (tmp_path / f"{name}.json").write_text(json.dumps(ARTICLE | {"id": name}), "utf-8")
        (tmp_path / f"{name}.txt").write_text(TEXT, encoding="utf-8")
    assert [d.doc_id for d in corpora.read(tmp_path, "dwie")] == ["DW_1", "DW_2"]


def test_texts_that_are_not_the_annotated_one(read):
    message = r"characters \[0, 5\) of the text are '.Egyp'; expected the mention 'Egypt'; give the"
    with pytest.raises(FormatError, match=f"document 'DW_1': {message}"):
        read(ARTICLE | {"content": "-" + TEXT})
    with pytest.raises(FormatError, match=r"mention \[.*\); expected a span with words within the"):
        read(ARTICLE | {"content": TEXT[:40]})
    # blanks differ in kind and width in what the web service returns
    odd = ARTICLE | {"mentions": [mention("Yahoo! Inc.", 0) | {"text": "Yahoo!\xa0Inc.\u200b"}]}
    assert read(odd | {"content": TEXT})[0].annotation.clusters == (((12, 15),),)


def without(key):
    return {k: v for k, v in ARTICLE.items() if k != key} | {"content": TEXT}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (without("id"), '"id" is missing or no string'),
        (without("mentions"), "document 'DW_1': \"mentions\" is missing or no list"),
        (without("concepts"), '"concepts" is missing'),
        (without("relations"), '"relations" is missing'),
        (without("x") | {"mentions": [{"begin": 0}]}, r'"mentions\[0\]" is {"begin": 0}; expected'),
        (without("x") | {"concepts": [1]}, r'"concepts\[0\]" is 1; expected {, ...}'),
        (without("x") | {"relations": [{"s": 1, "p": 2, "o": 0}]}, r'expected {"s": int, "p": str'),
        (
            without("x") | {"mentions": [mention("votes", 0) | {"begin": 5, "text": None}] * 2,
                            "content": "Egypt      votes"},
            r"mention \[5, 11\); expected a span with words",
        ),
    ],
)  # fmt: skip
def test_malformed_articles(read, value, message):
    good = ARTICLE | {"content": TEXT}
    with pytest.raises(FormatError, match=message):
        read(value)
    report = Report()
    assert read(good, value, good, lenient=True, report=report) == read(good, good)
    assert report.counts["skipped_documents"] == 1


@pytest.mark.parametrize(
    ("value", "message", "kind"),
    [
        (
            {"mentions": [*ARTICLE["mentions"], mention("camp", 6)]},
            r"mention \[\d+, \d+\) is of concept 6; expected 0..5",
            "dropped_mentions",
        ),
        ({"mentions": [*ARTICLE["mentions"], mention("camp", -1)]}, "concept -1",
         "dropped_mentions"),
        ({"relations": [{"s": 0, "p": "vs", "o": 6}]}, "no entity 6", "dropped_relations"),
        ({"relations": [{"s": 0, "p": "event_in1", "o": 1}]}, "no such type", "unknown_relations"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_or_left_out(read, value, message, kind):
    value = ARTICLE | {"content": TEXT} | value
    inventory = ["head_of_state", "based_in0", "vs"]
    with pytest.raises(FormatError, match=f"DW_1.json:1: document 'DW_1': .*{message}"):
        read(value, relations=inventory)
    before, after = Report(), Report()
    read(ARTICLE | {"content": TEXT, "relations": []}, report=before)
    (document,) = read(value, relations=inventory, lenient=True, report=after)
    assert after.counts[kind] == 1
    assert len(document.annotation.clusters) == 5


def test_an_article_without_mentions(read):
    report = Report()
    (document,) = read(
        {"id": "DW_1", "content": "Hi.", "mentions": [], "concepts": [], "relations": []},
        report=report,
    )
    assert document.annotation.clusters == ()
    assert report.counts == {"documents": 1, "mentionless_documents": 1}
    (blank,) = read(
        {"id": "DW_1", "content": " \n", "mentions": [], "concepts": [], "relations": []}
    )
    assert (blank.words, blank.sentences) == ((), ())


def text_around(article, seed):
    """A text with the mentions where they should be, mostly right beside other letters."""
    rng = random.Random(seed)
    length = 9 + max((m["end"] for m in article["mentions"]), default=0)
    text = rng.choices("abc  .\n", k=length)
    for m in article["mentions"]:
        text[m["begin"] : m["end"]] = m["text"]
    return "".join(text)


@pytest.fixture(scope="session")
def articles(shared):
    """The published annotations, with texts made up around the mentions."""
    files = sorted((shared / "data" / "dwie" / "annotations").glob("*.json"))
    values = [json.loads(file.read_text("utf-8")) for file in files]
    return [value | {"content": text_around(value, i)} for i, value in enumerate(values)]


def test_no_mention_of_the_real_annotations_is_lost(articles, read, tmp_path):
    report = Report()
    documents = read(*articles, report=report)
    expected = Counter(documents=len(articles))
    for document, value in zip(documents, articles, strict=True):
        spots = {}
        for m in value["mentions"]:
            spots.setdefault(m["concept"], set()).add((m["begin"], m["end"]))
        clusters = [{document.char_span(s) for s in c} for c in document.annotation.clusters]
        assert clusters == [spots[c] for c in sorted(spots)]
        edges = {start for start, _ in document.sentences}
        for start, end, _ in document.annotation.mentions():
            assert not edges.intersection(range(start + 1, end))

        triples = {(r["s"], r["p"], r["o"]) for r in value["relations"]}
        kept = {t for t in triples if t[0] in spots and t[2] in spots and t[0] != t[2]}
        numbers = sorted(spots)
        assert {
            (numbers[r.head], r.type, numbers[r.tail]) for r in document.annotation.relations
        } == kept
        assert {(r.head, r.type, r.tail) for r in left_out(document)} == triples - kept
        expected["empty_clusters"] += len(value["concepts"]) - len(spots)
        expected["duplicate_relations"] += len(value["relations"]) - len(triples)
        expected["self_relations"] += sum(s == o and s in spots for s, _, o in triples)
        expected["dropped_relations"] += sum(
            s not in spots or o not in spots for s, _, o in triples
        )
    assert report.counts == +expected
    assert dict(report.counts) == {
        "documents": 24,
        "empty_clusters": 28,
        "dropped_relations": 56,
        "duplicate_relations": 1,
    }
    jsonl.write(documents, tmp_path / "again.jsonl")
    assert list(corpora.read(tmp_path / "again.jsonl")) == documents


def test_both_forms_of_a_perfect_prediction(articles, read):
    """Relations that no prediction can have lower the official recall, and nothing else."""
    scorer = RelationScorer()
    for document in read(*articles):
        scorer.add(document, document.annotation)
    scores = scorer.compute()
    assert scores["re"] == (1, 1, 1)
    recall = 611 / 667  # 668 relations, of which one is there twice and 56 lack a mention
    assert scores["re_official"] == pytest.approx((1, recall, 2 * recall / (1 + recall)))


def test_documents_are_what_they_were_before_jsonl(articles, read):
    for document in read(*articles):
        again = jsonl.from_json(json.loads(jsonl.dumps(document)))
        assert isinstance(again, Document)
        scorer = RelationScorer()
        scorer.add(again, document.annotation)
        assert scorer.left_out == len(left_out(document))

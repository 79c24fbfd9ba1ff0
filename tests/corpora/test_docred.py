"""DocRED: its traps one by one, all of Re-DocRED, and Codalab submissions."""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter

import pytest

from t5coref import corpora
from t5coref.core.document import Annotation, Document, Relation
from t5coref.core.entities import entities, left_out, relations_known
from t5coref.core.errors import FormatError
from t5coref.corpora import Report, docred, jsonl


def mention(sentence, start, end, name="N", type="PER"):
    return {"name": name, "sent_id": sentence, "pos": [start, end], "type": type}


def label(head, tail, type="P1"):
    return {"h": head, "t": tail, "r": type, "evidence": [0]}


SENTENCES = [["Ann", "met", "Bo", "Lee", "."], ["She", "left", "him", "."]]
GOOD = {
    "title": "A title",
    "vertexSet": [
        [mention(0, 0, 1, "Ann"), mention(1, 0, 1, "she")],
        [mention(1, 2, 3), mention(0, 2, 4, "Bo Lee")],
    ],
    "labels": [label(1, 0), label(0, 1, "P2")],
    "sents": SENTENCES,
}


@pytest.fixture
def read(tmp_path):
    def reader(*values, **options):
        path = tmp_path / "dev.json"
        path.write_text(json.dumps(list(values)), encoding="utf-8")
        return list(docred.read(path, **options))

    return reader


def test_a_document(read):
    (document,) = read(GOOD | {"more": 1})
    assert document == Document(
        doc_id="A title",
        words=("Ann", "met", "Bo", "Lee", ".", "She", "left", "him", "."),
        sentences=((0, 5), (5, 9)),
        annotation=Annotation(
            (((0, 1), (5, 6)), ((2, 4), (7, 8))),
            (Relation(1, 0, "P1"), Relation(0, 1, "P2")),
            types=("PER", "PER"),
        ),
        extra={
            "more": 1,
            "entities": [
                {"mentions": [[0, 1], [5, 6]], "names": ["Ann", "she"]},
                {"mentions": [[7, 8], [2, 4]], "names": ["N", "Bo Lee"]},
            ],
        },
    )
    assert jsonl.from_json(json.loads(jsonl.dumps(document))) == document
    assert relations_known(document)


def change(**changes):
    return GOOD | changes


FIRST, SECOND = GOOD["vertexSet"]

REPEATED = change(vertexSet=[FIRST + [FIRST[0]] * 2, SECOND])
SHARED = change(vertexSet=[FIRST, [FIRST[0], *SECOND]], labels=[label(1, 0)])
TWIN = change(
    vertexSet=[FIRST, SECOND, FIRST[::-1]],
    labels=[label(0, 1), label(2, 1), label(1, 2), label(0, 2), label(2, 2)],
)
SWALLOWED = change(
    vertexSet=[FIRST, SECOND, [FIRST[0], SECOND[0]]], labels=[label(2, 1), label(0, 1)]
)
TWICE = change(labels=[label(0, 1), label(0, 1), label(1, 0)])
ITSELF = change(labels=[label(0, 0), label(0, 1)])


@pytest.mark.parametrize(
    ("value", "counts", "clusters", "relations", "outside"),
    [
        (REPEATED, {"duplicate_mentions": 2}, 2, [(1, 0, "P1"), (0, 1, "P2")], []),
        (SHARED, {"shared_mentions": 1}, 2, [(1, 0, "P1")], []),
        # one entity under two numbers: what is said of either is said of it
        (
            TWIN,
            {
                "shared_mentions": 2,
                "empty_clusters": 1,
                "duplicate_relations": 1,
                "self_relations": 2,
            },
            2,
            [(0, 1, "P1"), (1, 0, "P1")],
            [(0, 2, "P1"), (2, 2, "P1")],
        ),
        (
            SWALLOWED,
            {"shared_mentions": 2, "empty_clusters": 1, "dropped_relations": 1},
            2,
            [(0, 1, "P1")],
            [(2, 1, "P1")],
        ),
        (TWICE, {"duplicate_relations": 1}, 2, [(0, 1, "P1"), (1, 0, "P1")], []),
        (ITSELF, {"self_relations": 1}, 2, [(0, 1, "P1")], [(0, 0, "P1")]),
        (change(vertexSet=[], labels=[]), {"mentionless_documents": 1}, 0, [], []),
        (change(sents=[*SENTENCES, []]), {}, 2, [(1, 0, "P1"), (0, 1, "P2")], []),
    ],
)
def test_what_is_counted_in_either_mode(read, value, counts, clusters, relations, outside):
    for lenient in (False, True):
        report = Report()
        (document,) = read(value, report=report, lenient=lenient)
        assert report.counts == {"documents": 1, **counts}
        assert len(document.annotation.clusters) == clusters
        assert not document.annotation.shared_spans()
        assert [(r.head, r.tail, r.type) for r in document.annotation.relations] == relations
        assert [(r.head, r.tail, r.type) for r in left_out(document)] == outside
        assert len(entities(document)) == len(value["vertexSet"])
        assert jsonl.from_json(json.loads(jsonl.dumps(document))) == document


def test_a_test_set_says_nothing_of_relations(read):
    value = {k: v for k, v in GOOD.items() if k != "labels"}
    (document,) = read(value)
    assert not relations_known(document)
    assert document.annotation.relations == ()
    (bare,) = read({k: v for k, v in value.items() if k != "vertexSet"})
    assert bare.annotation is None
    assert not relations_known(bare)
    for each in (document, bare):
        assert ("labels" in json.loads(docred.dumps(each))) == relations_known(each)
        assert jsonl.from_json(json.loads(jsonl.dumps(each))) == each


@pytest.mark.parametrize(
    ("value", "message", "kind", "clusters", "relations"),
    [
        (change(labels=[label(0, 2)]), "no entity 2; expected 0..1", "dropped_relations", 2, 0),
        (change(labels=[label(-1, 0)]), "no entity -1", "dropped_relations", 2, 0),
        (
            change(labels=[label(0, 1, "P9"), label(0, 1)]),
            r"relation 'P9' of entities 0 and 1: no such type; expected one of 2: P1, P2",
            "unknown_relations",
            2,
            1,
        ),
        (
            change(vertexSet=[FIRST, SECOND, []]),
            "entity 2 has no mention of its own",
            "empty_clusters",
            2,
            2,
        ),
        (
            change(vertexSet=[FIRST, [*SECOND, mention(0, 3, 6)]]),
            r"mention \[3, 6\) of sentence 0; expected a non-empty span within one of the 2 sent",
            "dropped_mentions",
            2,
            2,
        ),
        (change(vertexSet=[FIRST, [*SECOND, mention(2, 0, 1)]]), "sentence 2", "dropped_mentions",
         2, 2),
        (change(vertexSet=[FIRST, [*SECOND, mention(0, 1, 1)]]), r"\[1, 1\)", "dropped_mentions",
         2, 2),
        (change(sents=[[*SENTENCES[0][:4], ""], SENTENCES[1]]), "a word is empty",
         "replaced_words", 2, 2),
    ],
)  # fmt: skip
def test_mistakes_are_refused_or_left_out(read, value, message, kind, clusters, relations):
    inventory = {"P1", "P2"}
    with pytest.raises(FormatError, match=f"dev.json:1: document 'A title': .*{message}"):
        read(GOOD, value, relations=inventory)
    report = Report()
    _, document, _ = read(GOOD, value, GOOD, relations=inventory, report=report, lenient=True)
    assert report.counts[kind] == 1
    assert len(document.annotation.clusters) == clusters
    assert len(document.annotation.relations) == relations


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (change(title=None), '"title" is missing or no string'),
        (change(sents="words"), "document 'A title': \"sents\" is no list of lists of words"),
        (change(sents=[["a", 1]]), '"sents" is no list of lists of words'),
        (change(vertexSet=[{}]), '"vertexSet" is no list of lists of mentions'),
        (change(vertexSet=[[{"name": "x"}]]), r'mention {"name": "x"}; expected "sent_id" and'),
        (change(vertexSet=[[mention(0, 0, True)]]), "expected .sent_id. and"),
        (change(labels={}), '"labels" is no list of relations'),
        (change(labels=[{"h": 0, "t": 1}]), r'relation {"h": 0, "t": 1}; expected {"h": entity'),
        (change(labels=[label(0, "1")]), "expected .*entity"),
    ],
)
def test_malformed_documents(read, value, message):
    with pytest.raises(FormatError, match=f"dev.json:1: .*{message}"):
        read(GOOD, value)
    report = Report()
    assert read(GOOD, value, GOOD, lenient=True, report=report) == read(GOOD, GOOD)
    assert report.counts == {"documents": 2, "skipped_documents": 1}


def test_a_blank_is_a_word_and_the_most_frequent_type_wins(read):
    vertex = [
        mention(0, 0, 1, type="LOC"),
        mention(0, 1, 2, type="ORG"),
        mention(0, 2, 3, type="ORG"),
    ]
    (document,) = read(change(sents=[["a", " ", "c"]], vertexSet=[vertex], labels=[]))
    assert document.words == ("a", " ", "c")
    assert document.annotation.types == ("ORG",)
    (untyped,) = read(change(vertexSet=[[{"sent_id": 0, "pos": [2, 4]}]], labels=[]))
    assert untyped.annotation.types == (None,)
    assert entities(untyped)[0].names == ("Bo Lee",)


def test_writing_what_docred_cannot_hold():
    document = Document(
        doc_id="d",
        words=tuple("abcd"),
        sentences=((0, 2), (2, 4)),
        annotation=Annotation(
            (((1, 3),), ((0, 1), (1, 3)), ((3, 4),)), (Relation(0, 1, "P1"), Relation(2, 1, "P1"))
        ),
    )
    report = Report()
    file = io.StringIO()
    docred.write([document, document], file, report=report)
    assert report.counts == {"dropped_mentions": 4, "dropped_relations": 2}
    first, second = json.loads(file.getvalue())
    assert first == second
    assert [[(m["sent_id"], m["pos"], m["name"]) for m in v] for v in first["vertexSet"]] == [
        [(0, [0, 1], "a")],
        [(1, [1, 2], "d")],
    ]
    assert first["labels"] == [{"h": 1, "t": 0, "r": "P1", "evidence": []}]
    empty = io.StringIO()
    docred.write([], empty)
    assert json.loads(empty.getvalue()) == []


# Codalab


def test_unmatched_clusters_of_a_submission_have_numbers_of_their_own(read):
    """Three relations, one of them right: wrong ones do not merge into one (A14.5)."""
    (gold,) = read(GOOD)
    predicted = Annotation(
        (((0, 1), (5, 6)), ((2, 4), (7, 8)), ((2, 4),), ((7, 8),)),
        tuple(Relation(0, tail, "P2") for tail in (3, 2, 1)),
    )
    rows = docred.submission(gold, predicted)
    assert [(row["h_idx"], row["t_idx"]) for row in rows] == [
        (0, 1),
        (0, 10**6 + 2),
        (0, 10**6 + 3),
    ]
    assert {tuple(row) for row in rows} == {("title", "h_idx", "t_idx", "r", "evidence")}
    file = io.StringIO()
    docred.write_submission([(gold, predicted), (gold, Annotation())], file)
    assert json.loads(file.getvalue()) == rows


def test_a_submission_numbers_entities_as_the_file_does(read):
    """Entities that are no cluster keep their numbers, and equal rows stand there once."""
    value = change(
        vertexSet=[FIRST, [FIRST[0]], SECOND], labels=[label(0, 2), label(2, 0), label(1, 2)]
    )
    (gold,) = read(value)
    assert len(gold.annotation.clusters) == 2
    rows = docred.submission(gold, gold.annotation)
    assert [(row["h_idx"], row["t_idx"]) for row in rows] == [(0, 2), (2, 0)]
    doubled = Annotation(gold.annotation.clusters * 2, (Relation(0, 1, "P1"), Relation(2, 3, "P1")))
    assert len(docred.submission(gold, doubled)) == 1


# Re-DocRED


@pytest.mark.parametrize("part", ["train", "dev"])
def test_re_docred(shared, tmp_path, part):
    path = shared / "data" / "redocred" / f"{part}.json"
    raw = json.loads(path.read_text("utf-8"))
    assert corpora.detect(path) == "docred"
    report = Report()
    documents = list(corpora.read(path, report=report))

    # Counted here in another way: sets of (sentence, start, end) and of relations between them.
    expected = Counter(documents=len(raw))
    for document, value in zip(documents, raw, strict=True):
        spots = [[(m["sent_id"], *m["pos"]) for m in vertex] for vertex in value["vertexSet"]]
        expected["duplicate_mentions"] += sum(len(s) - len(set(s)) for s in spots)
        times = Counter(itertools.chain.from_iterable(map(set, spots)))
        expected["shared_mentions"] += sum(n - 1 for n in times.values())
        starts = [0, *itertools.accumulate(len(s) for s in value["sents"])]
        wanted = {frozenset((starts[s] + a, starts[s] + b) for s, a, b in spot) for spot in spots}
        clusters = [frozenset(cluster) for cluster in document.annotation.clusters]
        assert set(clusters) == wanted
        assert len(clusters) == len(wanted)
        expected["empty_clusters"] += len(spots) - len(clusters)
        assert list(document.words) == list(itertools.chain(*value["sents"]))

        relations = {
            (frozenset(spots[x["h"]]), frozenset(spots[x["t"]]), x["r"]) for x in value["labels"]
        }
        assert len(document.annotation.relations) == len(relations)
        expected["duplicate_relations"] += len(value["labels"]) - len(relations)
        assert not left_out(document)
        named = [[m["name"] for m in vertex] for vertex in value["vertexSet"]]
        assert [list(entity.names) for entity in entities(document)] == named
    assert report.counts == +expected

    jsonl.write(documents, tmp_path / "again.jsonl")
    assert list(corpora.read(tmp_path / "again.jsonl")) == documents
    docred.write(documents, tmp_path / "again.json")
    for document, again in zip(documents, docred.read(tmp_path / "again.json"), strict=True):
        assert again.annotation == document.annotation
        assert (again.words, again.sentences) == (document.words, document.sentences)


def test_statistics_of_re_docred(shared):
    """What docs/formats.md says of the 400 and 100 documents."""
    counts = {}
    for part in ("train", "dev"):
        report = Report()
        documents = list(corpora.read(shared / "data" / "redocred" / f"{part}.json", report=report))
        annotations = [document.annotation for document in documents]
        counts[part] = (
            len(documents),
            sum(len(a.clusters) for a in annotations),
            sum(len(a.relations) for a in annotations),
            report.counts["duplicate_mentions"],
        )
        inventory = json.loads((shared / "data" / "redocred" / "rel2id.json").read_text())
        assert {r.type for a in annotations for r in a.relations} <= set(inventory)
    assert counts == {"train": (400, 7782, 13949, 29), "dev": (100, 1901, 3327, 6)}

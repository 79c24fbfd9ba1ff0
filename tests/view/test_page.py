"""The page as markup: complete, closed to whatever its documents hold, and asking for nothing."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import parsed, pieces
from strategies import documents

from t5coref import demo
from t5coref.core.document import Annotation, Document, Relation
from t5coref.view import compared, page, plain
from t5coref.view.graph import MOST_EDGES, MOST_ENTITIES
from t5coref.view.markup import escaped

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "<!--",
    "-->",
    "]]>",
    "</style>",
    "</section></article>",
    "&lt;b&gt;",
    "&#x3c;b>",
    "{{script}}",
    "javascript:alert(1)",
    "\u202eright-to-left override",
    "שלום",
    "👩‍👩‍👧‍👦",
    "e\u0301",
    "\x0b\x0c\x1b[2J",
    "\u2028",
    "\ufeff",
)


def related(words, clusters, relations=(), types=None, doc_id="d", **more):
    annotation = Annotation(tuple(clusters), tuple(relations), types=types)
    return Document(doc_id=doc_id, words=tuple(words), annotation=annotation, **more)


def articles(tree):
    return tree.all("article")


def text_of(article):
    return pieces(article.one("section", "text"))[0]


def shape(node):
    """Elements with their classes and the names of their attributes, without any text or value."""
    inside = [shape(child) for child in node.children if not isinstance(child, str)]
    return node.tag, sorted(node.classes), sorted(node.attributes), inside


def test_every_place_that_shows_text_is_closed_to_markup():
    n = len(HOSTILE)

    def made(words):
        return related(
            words,
            [[(i, i + 1), (i + 1, i + 2)] for i in range(n - 1)],
            [Relation(i, i + 1, words[i]) for i in range(n - 2)],
            types=words[: n - 1],
            doc_id=words[0],
            speakers=words,
            extra={"error": words[1]},
        )

    def written(words, doc):
        names = {words[2]: words[3]}
        return page([plain(doc), compared(doc, doc)], title=words[0], relation_names=names)

    hostile, tame = made(HOSTILE), made([f"w{i}" for i in range(n)])
    tree, expected = parsed(written(HOSTILE, hostile)), parsed(written(tame.words, tame))
    assert shape(tree) == shape(expected)
    for article in articles(tree):
        assert text_of(article) == " ".join(HOSTILE)
        assert article.one("h1").text == HOSTILE[0]
        assert HOSTILE[1] in article.one("p", "note").text
        assert [p.attributes["data-speaker"] for p in article.all("p", dir="auto")] == list(HOSTILE)
        names = [entity.name for entity in plain(hostile).entities]
        assert [b.text for b in article.all("bdi", "name")] == names
        types = [t.text for t in article.one("section", "entities").all("span", "type")]
        assert types == list(HOSTILE[: n - 1])
        relations = [row.all("td")[1].text for row in article.one("tbody").all("tr")]
        assert relations == [HOSTILE[3] if i == 2 else HOSTILE[i] for i in range(n - 2)]


def test_what_html_cannot_hold_is_replaced_and_nothing_else():
    words = ("a\x00b", "\ud800", "c\rd", "\r\n")
    text = " ".join(words)
    raw = Document(
        doc_id="d", words=words, text=text, word_offsets=((0, 3), (4, 5), (6, 9), (10, 12))
    )
    html = page([plain(raw)])
    html.encode("utf-8")
    assert text_of(parsed(html)) == "a\ufffdb \ufffd c\rd \r\n"


@given(st.text())
def test_escaping_reads_back(text):
    read = parsed(f'<p title="{escaped(text)}">{escaped(text)}</p>').one("p")
    expected = re.sub("[\x00\ud800-\udfff]", "\ufffd", text)
    assert read.text == expected
    assert (read.attributes["title"] or "") == expected


def test_the_page_asks_for_nothing_and_allows_one_script():
    html = page([plain(d) for d in demo.biographies()])
    tree = parsed(html)
    policy = tree.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    script = tree.one("script")
    assert script.attributes == {}
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    loading = {
        "src",
        "href",
        "srcset",
        "action",
        "data",
        "poster",
        "background",
        "ping",
        "xlink:href",
    }
    links = [
        value for node in tree.walk() for name, value in node.attributes.items() if name in loading
    ]
    assert links
    assert all(re.fullmatch(r"#d\d+|data:,", value) for value in links)
    assert not re.search(r"https?:|@import|url\(", html.replace("http-equiv", ""))
    assert not [n for node in tree.walk() for n in node.attributes if n.startswith("on")]
    assert "</script" not in script.text.lower()


def test_entities_are_listed_with_types_and_sizes_the_largest_first():
    tree = parsed(page([plain(next(demo.biographies()))]))
    document = next(demo.biographies())
    rows = [
        (int(li.one("button").attributes["data-e"]) - 1, li.one(None, "size").text,
         [t.text for t in li.all(None, "type")])
        for li in tree.one("section", "entities").all("li")
    ]  # fmt: skip
    annotation = document.annotation
    assert sorted(rows) == [
        (c, str(len(cluster)), [type_] if type_ else [])
        for c, (cluster, type_) in enumerate(
            zip(annotation.clusters, annotation.types, strict=True)
        )
    ]
    sizes = [int(size) for _, size, _ in rows]
    assert sizes == sorted(sizes, reverse=True)


def test_every_relation_is_in_the_table_and_in_the_graph():
    for document in demo.biographies():
        relations = [(r.head, r.tail, r.type) for r in document.annotation.relations]
        tree = parsed(page([plain(document)]))
        rows = tree.one("tbody").all("tr")
        assert [(*ends(row), row.all("td")[1].text) for row in rows] == relations
        labels = tree.one("svg").all("g", "label")
        drawn = [(*ends(g), line.text) for g in labels for line in g.all("text")]
        assert sorted(drawn) == sorted(relations)
        pairs = sorted({(h, t) for h, t, _ in relations})
        assert sorted(ends(g) for g in tree.one("svg").all("g", "edge")) == pairs
        nodes = [int(g.attributes["data-e"]) - 1 for g in tree.one("svg").all("g", "node")]
        assert nodes == sorted({end for pair in pairs for end in pair})


def ends(node):
    return int(node.attributes["data-h"]) - 1, int(node.attributes["data-t"]) - 1


def test_relation_types_go_by_the_names_that_are_given():
    document = related("ab", [[(0, 1)], [(1, 2)]], [Relation(0, 1, "P17")])
    tree = parsed(page([plain(document)], relation_names={"P17": "<country>"}))
    cell = tree.one("tbody").all("td")[1]
    assert (cell.text, cell.attributes["title"]) == ("<country>", "P17")
    assert tree.one("svg").one("g", "label").text == "<country>"


def test_documents_are_chosen_by_links_that_work_without_a_script():
    documents_ = list(demo.biographies())
    tree = parsed(page([plain(d) for d in documents_]))
    links = tree.one("details").all("a")
    assert [a.one("bdi").text for a in links] == [d.doc_id for d in documents_]
    assert [a.attributes["href"] for a in links] == [
        "#" + a.attributes["id"] for a in articles(tree)
    ]
    assert ["hidden" in a.attributes for a in articles(tree)] == [False] + [True] * 5
    assert "article[hidden]{display:block}" in tree.one("noscript").text
    assert not parsed(page([plain(documents_[0])])).all("details")


def test_errors_are_marked_and_counted():
    key = related("abcde", [[(0, 1), (1, 2)], [(2, 3)]], [Relation(0, 1, "r")])
    found = related("abcde", [[(0, 1), (4, 5)], [(2, 3), (1, 2)]], [Relation(1, 0, "r")])
    tree = parsed(page([compared(found, key)]))
    marks = [(m.text, int(m.attributes["data-e"]), m.classes & STATUSES) for m in tree.all("mark")]
    assert sorted(marks, key=str) == sorted(
        [("a", 1, {"right"}), ("b", 1, {"lost"}), ("b", 2, {"misplaced"}), ("c", 2, {"right"}),
         ("e", 1, {"extra"})], key=str,
    )  # fmt: skip
    counts = [label.one("small").text for label in tree.one("div", "filters").all("label")]
    assert counts == ["2", "0", "1", "1"]  # right, missed, extra, wrong entity
    assert [row.classes for row in tree.one("tbody").all("tr")] == [{"missed"}, {"extra"}]
    summary = tree.one("p", "summary").text
    assert "mentions: precision 75.0, recall 100.0, F1 85.7" in summary
    assert "relations: precision 0.0, recall 0.0, F1 0.0" in summary


STATUSES = {"right", "missed", "extra", "lost", "misplaced"}


def test_documents_without_annotation_or_prediction_say_so():
    bare = Document(doc_id="d", words=("a",))
    failed = Document(
        doc_id="d", words=("a",), annotation=Annotation(), extra={"error": "too <long>"}
    )
    first, second = articles(parsed(page([plain(bare), plain(failed)])))
    assert first.one("p", "note").text == "This document is not annotated."
    assert second.one("p", "note").text == "No prediction: too <long>"


@given(st.lists(documents(), max_size=3))
def test_any_documents_make_a_page(found):
    tree = parsed(page([plain(d) for d in found]))
    assert [text_of(a) for a in articles(tree)] == [" ".join(d.words) for d in found]


N = 2 * MOST_ENTITIES


@pytest.mark.parametrize(
    "pairs",
    [
        [(i, j) for i in range(N) for j in (0, (i + 1) % N, (i + 7) % N)],  # a tangle
        [(i % 70, i) for i in range(70, 350)],  # hubs that nothing connects
        [(0, i) for i in range(1, 300)],  # a star
        [(2 * i, 2 * i + 1) for i in range(100)],  # pairs
    ],
)
def test_a_cloud_of_relations_is_drawn_in_part_and_listed_in_full(pairs):
    n = max(map(max, pairs)) + 1
    clusters = [[(i, i + 1)] for i in range(n)]
    relations = [Relation(i, j, "r") for i, j in pairs]
    tree = parsed(page([plain(related(["w"] * n, clusters, relations))]))
    assert len(tree.one("tbody").all("tr")) == len(set(relations))
    drawn = len(tree.one("svg").all("g", "edge"))
    assert 0 < drawn <= MOST_EDGES
    assert len(tree.one("svg").all("g", "node")) <= MOST_ENTITIES
    assert f"{len(set(relations)) - drawn} more relations" in tree.one("figcaption").text


def test_a_long_document_makes_a_page_of_bounded_size():
    n = 10_000
    clusters = [[(i, i + 2) for i in range(c, n - 5, 600)] for c in range(150)]
    words = [f"w{i % 977}" for i in range(n)]
    sentences = tuple((i, min(i + 20, n)) for i in range(0, n, 20))
    html = page([plain(related(words, clusters, sentences=sentences))])
    assert text_of(parsed(html)) == " ".join(words)
    assert len(html) < 100 * n

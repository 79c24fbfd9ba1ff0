"""The report as markup: closed to what documents and files are called, and asking for nothing."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest
from pages import parsed

from t5coref import cli, corpora
from t5coref.core.document import Annotation, Document
from t5coref.report import Case, Run, page, summary

HOSTILE = (
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", '" onmouseover="x',
    "' autofocus onfocus='x", "<!--", "]]>", "</style>", "</svg></section>", "&lt;b&gt;",
    "{{script}}", "\u202eoverride", "שלום", "\x0b\x1b[2J", "\x00", "\ud800", "\u2028",
)  # fmt: skip
KEY = (((0, 1), (2, 3), (4, 5)), ((5, 6), (6, 7)), ((8, 9),), ((10, 13), (14, 15)))
FOUND = (((0, 1), (2, 3), (5, 6)), ((6, 7),), ((9, 10),), ((11, 13), (14, 15)), ((7, 8), (4, 5)))


def runs_of(words, name, doc_id):
    key = Document(doc_id=doc_id, words=words, annotation=Annotation(KEY))
    found = Case.of(key, key.with_annotation(Annotation(FOUND)))
    return [Run(name, [found]), Run("second", [Case.of(key, None)])]


def shape(node):
    inside = [shape(child) for child in node.children if not isinstance(child, str)]
    return node.tag, sorted(node.classes), sorted(node.attributes), inside


def test_nothing_of_a_document_or_of_a_name_becomes_markup():
    hostile = parsed(page(runs_of(HOSTILE, HOSTILE[0], HOSTILE[1]), title=HOSTILE[0]))
    tame = parsed(page(runs_of(tuple(f"w{i}" for i in range(len(HOSTILE))), "a", "b"), title="t"))
    assert shape(hostile) == shape(tame)
    assert HOSTILE[0] == hostile.all("title")[0].text
    assert HOSTILE[1] in {b.text for b in hostile.all("bdi")}


def test_the_page_asks_for_nothing():
    html = page(runs_of(tuple("abcdefghijklmnop"), "a", "b"))
    tree = parsed(html)
    policy = tree.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert policy.startswith("default-src 'none';")
    assert [link.attributes["href"] for link in tree.all("link")] == ["data:,"]
    assert not [n for n in tree.walk() if {"src", "onclick", "action"} & set(n.attributes)]
    assert "http" not in html.replace("http-equiv", "")


def test_plots_are_well_formed_and_hold_their_numbers():
    runs = runs_of(tuple("abcdefghijklmnop"), "a", "b")
    html = page(runs)
    svgs = ["<svg" + part.split("</svg>")[0] + "</svg>" for part in html.split("<svg")[1:]]
    assert len(svgs) == 6
    for svg in svgs:
        ElementTree.fromstring(svg)  # raises unless well formed
    bars = parsed(svgs[0]).all("rect")
    assert len(bars) == sum(n > 0 for run in runs for n in run.errors.values())


def test_the_tables_say_what_the_json_says():
    runs = runs_of(tuple("abcdefghijklmnop"), "a", "b")
    out = summary(runs)["runs"]
    rows = parsed(page(runs)).one("section", id="errors").one("tbody").all("tr")
    for row, (kind, counts) in zip(rows, out[0]["errors"].items(), strict=True):
        cells = [cell.text for cell in row.all("td")]
        assert cells[:3] == [kind, str(counts["count"]), str(counts["mentions"])]
        assert cells[3] == str(out[1]["errors"][kind]["count"])


# ---- the command ----


@pytest.fixture
def save(tmp_path):
    def write(name, clusters, doc_id="d", words=16):
        document = Document(
            doc_id=doc_id, words=tuple("abcdefghijklmnop"[:words]), annotation=Annotation(clusters)
        )
        path = tmp_path / name
        corpora.get("jsonl").module.write([document], path)
        return str(path)

    return write


def test_the_command_writes_a_page_and_json(save, tmp_path, capsys):
    key, one, two = save("key.jsonl", KEY), save("one.jsonl", FOUND), save("two.jsonl", KEY)
    target = tmp_path / "report.html"
    assert cli.main(["report", key, one, two, "--output", str(target)]) == 0
    assert "2 runs, 1 document" in capsys.readouterr().out
    tree = parsed(target.read_text("utf-8"))
    names = [row.all("td")[0].text for row in tree.one("section", id="scores").all("tr")[1:3]]
    assert names == ["one.jsonl", "two.jsonl"]
    assert cli.main(["report", key, one, two, "--json", "--names", "x,y"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in out["runs"]] == ["x", "y"]
    assert out["runs"][1]["scores"]["with_singletons"]["conll"]["f1"] == 1.0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["key.jsonl", "one.jsonl"], "give --output PAGE, or --json"),
        (["key.jsonl", "one.jsonl", "--json", "--output", "-"], "would both print"),
        (["key.jsonl", "one.jsonl", "--json", "--names", "a,b"], "expected as many different"),
        (["-", "-", "--json"], "only one side can be standard input"),
        (["key.jsonl", "other.jsonl", "--json"], "1 document that key.jsonl lacks"),
        (["key.jsonl", "short.jsonl", "--json"], "16 words in the key and 15"),
        (["key.jsonl", "none.jsonl", "--json"], "no file 'none.jsonl'"),
    ],
)
def test_what_cannot_be_compared_is_refused(save, tmp_path, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(tmp_path)
    save("key.jsonl", KEY)
    save("one.jsonl", FOUND)
    save("other.jsonl", FOUND, doc_id="e")
    save("short.jsonl", (), words=15)
    assert cli.main(["report", *argv]) == 2
    assert message in capsys.readouterr().err

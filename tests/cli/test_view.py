"""The command `view`: what it reads, what it writes and prints, and what it refuses."""

from __future__ import annotations

import io
import json
import sys

import pytest
from pages import parsed, pieces

from t5coref import cli, corpora, demo
from t5coref.cli.show import coloured, shown
from t5coref.core.document import Annotation, Document, Relation

WORDS = ("Ada", "saw", "her", "dog", ".", "It", "ran", ".")
CLUSTERS = (((0, 1), (2, 3)), ((2, 4), (5, 6)))


def document(doc_id="a", clusters=CLUSTERS, **more):
    annotation = Annotation(clusters, **more)
    return Document(doc_id=doc_id, words=WORDS, annotation=annotation)


@pytest.fixture
def save(tmp_path):
    def write(name, *documents, format="jsonl"):
        path = tmp_path / name
        corpora.get(format).module.write(documents, path)
        return str(path)

    return write


@pytest.fixture
def view(tmp_path, capsys):
    """Runs the command; returns its status, the page as a tree and what was printed."""

    def run(*argv):
        path = tmp_path / "page.html"
        status = cli.main(["view", *argv, "--output", str(path)])
        out = capsys.readouterr()
        return status, parsed(path.read_text("utf-8")) if path.exists() else None, out.out + out.err

    return run


def texts(tree):
    return [pieces(section)[0] for section in tree.all("section", "text")]


@pytest.mark.parametrize("format", ["jsonl", "conll2012", "conllu"])
def test_any_format_makes_a_page(save, view, format):
    path = save(f"x.{'conll' if format == 'conll2012' else format}", document(), format=format)
    status, tree, printed = view(path)
    assert status == 0
    (text,) = texts(tree)
    assert text.split() == list(WORDS)
    assert {(m.text, m.attributes["data-e"]) for m in tree.all("mark")} == {
        ("Ada", "1"), ("her", "1"), ("her dog", "2"), ("It", "2"),
    }  # fmt: skip
    assert "1 document" in printed


def test_the_first_documents_of_several_files(save, view):
    one = save("one.jsonl", document("a"), document("b"))
    two = save("two.jsonl", document("c"))
    _, tree, _ = view(one, two, "--limit", "2")
    assert [h1.text for h1 in tree.all("h1")] == ["a", "b"]
    _, tree, printed = view(one, two)
    assert [h1.text for h1 in tree.all("h1")] == ["a", "b", "c"]
    assert "3 documents" in printed


def test_predictions_are_matched_with_their_key_by_name(save, view):
    key = save("key.jsonl", document("b"), document("a"), document("c"))
    found = save("found.jsonl", document("a"), document("b", (((0, 1), (5, 6)),)))
    status, tree, _ = view(found, "--gold", key)
    assert status == 0
    first, second = tree.all("article")
    assert {c for m in first.all("mark") for c in m.classes} == {"right"}
    assert {"missed", "misplaced"} <= {c for m in second.all("mark") for c in m.classes}


def test_relation_types_get_names_from_a_file(save, view, tmp_path):
    path = save("x.jsonl", document(relations=(Relation(0, 1, "P1830"),)))
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"P1830": "owner of"}))
    _, tree, _ = view(path, "--relation-names", str(names))
    assert tree.one("tbody").all("td")[1].text == "owner of"


def test_the_demonstration_needs_no_file(view, capsys):
    status, tree, _ = view("--demo")
    assert status == 0
    titles = [h1.text for h1 in tree.all("h1")]
    assert titles[:6] == [d.doc_id for d in demo.biographies()]
    assert cli.main(["view", "--demo", "--limit", "1"]) == 0
    assert "Hedda Torvik" in capsys.readouterr().out


def test_standard_input_is_what_predict_writes(monkeypatch, capsys):
    line = corpora.jsonl.dumps(document(relations=(Relation(0, 1, "owner of"),)))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line.encode())))
    assert cli.main(["view", "-"]) == 0
    out = capsys.readouterr().out
    assert "[Ada]₁ saw [[her]₁ dog]₂. [It]₂ ran." in out
    assert "Ada₁ ─ owner of → her dog₂" in " ".join(out.split())


def test_a_page_can_go_to_standard_output(save, capsys):
    assert cli.main(["view", save("x.jsonl", document()), "--output", "-"]) == 0
    assert texts(parsed(capsys.readouterr().out)) == [" ".join(WORDS)]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "give either FILE or --demo"),
        (["x.jsonl", "--demo"], "give either FILE or --demo"),
        (["x.jsonl", "--limit", "0"], "--limit 0 leaves no document"),
        (["x.jsonl", "--gold", "x.jsonl"], "--gold needs --output"),
        (["missing.jsonl"], "no file 'missing.jsonl'"),
        (["empty.jsonl", "--output", "p.html"], "no documents in empty.jsonl"),
        (["x.jsonl", "--relation-names", "list.json"], "expected one object of strings"),
        (["x.jsonl", "--relation-names", "x.jsonl"], "expected one object of strings"),
        (["x.jsonl", "--gold", "other.jsonl", "--output", "p.html"], "'a' is not in the --gold"),
        (["x.jsonl", "--gold", "twice.jsonl", "--output", "p.html"], "document 'a' twice"),
        (["x.jsonl", "--gold", "short.jsonl", "--output", "p.html"], "1 words in the key and 8"),
        (["x.jsonl", "--gold", "bare.jsonl", "--output", "p.html"], "has no annotation"),
    ],
)
def test_what_cannot_be_shown_is_refused(save, tmp_path, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(tmp_path)
    save("x.jsonl", document())
    save("other.jsonl", document("b"))
    save("twice.jsonl", document(), document())
    save("short.jsonl", Document(doc_id="a", words=("Ada",), annotation=Annotation()))
    save("bare.jsonl", Document(doc_id="a", words=WORDS))
    save("empty.jsonl")
    (tmp_path / "list.json").write_text("[1]")
    assert cli.main(["view", *argv]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "p.html").exists()


# ---- the terminal ----


def rendered(renderable, width=100):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(renderable)
    return console.file.getvalue()


def test_types_and_relations_stand_below_the_text():
    made = document(types=("PER", None), relations=(Relation(0, 1, "P1830"),))
    lines = [
        " ".join(line.split()) for line in rendered(shown(made, {"P1830": "owner"})).splitlines()
    ]
    assert lines == [
        "a",
        "[Ada]₁ saw [[her]₁ dog]₂. [It]₂ ran.",
        "",
        "Ada₁ PER ×2",
        "",
        "Ada₁ ─ owner → her dog₂",
    ]


def test_without_types_and_relations_there_is_nothing_below():
    assert rendered(shown(document())).splitlines()[1:] == ["[Ada]₁ saw [[her]₁ dog]₂. [It]₂ ran."]


def test_lone_mentions_are_grey_unless_something_refers_to_them():
    lone = (((0, 1),), ((3, 4),), ((5, 6),))
    made = document(clusters=lone, types=(None, "ANIMAL", None), relations=())
    styles = {str(span.style) for span in coloured(made).spans}
    assert "bright_black" in styles
    assert len(styles - {"bright_black"}) == 1


def test_crossing_mentions_keep_their_brackets():
    made = document(clusters=(((0, 3),), ((1, 4),)))
    assert coloured(made).plain == "[Ada [saw her]₁ dog]₂. It ran."


def test_control_characters_do_not_reach_the_terminal():
    words = ("\x1b[2J", "\x9b2J", "ok\x07")
    made = Document(doc_id="\x1b]0;x", words=words, annotation=Annotation((((0, 2),),)))
    out = rendered(shown(made))
    assert not [c for c in out if c != "\n" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0)]
    assert "␛[2J" in out

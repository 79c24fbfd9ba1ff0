"""Texts out of files, archives, stores and Wikipedia extracts."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile

import fsspec
import pytest

from t5coref.core.errors import ConfigError, FormatError
from t5coref.corpora.report import Report
from t5coref.mrp import corpus as module
from t5coref.mrp.corpus import Corpus, paragraphs
from t5coref.mrp.nouns import TaggedText, Text
from t5coref.mrp.tagged import to_json

STORY = "\ufeffIt was \r\nraining.\r\n\r\nAnna  left\ther house.\n \n\n\nThe end."
PARAGRAPHS = ["It was raining.", "Anna left her house.", "The end."]


def texts(*inputs, format_="text", **options):
    return list(Corpus([str(i) for i in inputs], format_, **options))


def test_a_file_is_a_text_in_paragraphs(tmp_path):
    (tmp_path / "story.txt").write_text(STORY, newline="")
    assert texts(tmp_path / "story.txt") == [Text("story", PARAGRAPHS)]
    assert paragraphs(" \n\n ") == []


def test_a_folder_is_all_below_it(tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b/c/z.txt").write_text("Z.")
    (tmp_path / "b/a.txt.gz").write_bytes(gzip.compress(b"A."))
    (tmp_path / "q.txt.bz2").write_bytes(bz2.compress(b"Q."))
    (tmp_path / "r.txt.xz").write_bytes(lzma.compress(b"R."))
    (tmp_path / ".hidden.txt").write_text("no")
    (tmp_path / "README").write_text("no")
    assert [t.name for t in texts(tmp_path)] == ["a", "z", "q", "r"]
    assert [t.paragraphs for t in texts(tmp_path / "*.txt.*")] == [["Q."], ["R."]]
    assert [t.name for t in texts(tmp_path / "README")] == ["README"]  # named, whatever its ending


def test_archives_are_read_without_unpacking(tmp_path):
    files = {"d/a.txt": b"A.", "d/README": b"no", "d/b.txt": b"B.", "__MACOSX/._a.txt": b"no"}
    with zipfile.ZipFile(tmp_path / "books.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    for ending, mode in (("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz"), ("tgz", "w:gz")):
        with tarfile.open(tmp_path / f"books.{ending}", mode) as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    before = sorted(tmp_path.rglob("*"))
    for file in before:
        found = texts(file)
        assert [t.paragraphs for t in found] == [["A."], ["B."]]
        assert [t.name for t in found] == [f"{file.name}/d/a", f"{file.name}/d/b"]
    assert len(texts(tmp_path)) == 2 * len(before)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("ending", ["tar.gz", "zip", "txt.gz"])
def test_damaged_archives_are_named(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "A." * 1000)
    elif ending == "tar.gz":
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo("a.txt")
            member.size = 100_000
            archive.addfile(member, io.BytesIO(bytes(range(250)) * 400))
    else:
        path.write_bytes(gzip.compress(bytes(range(100)) * 400))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FormatError, match=r"a\..*: damaged data .*; fetch the file again"):
        texts(path, report=Report())


def test_stores(tmp_path):
    store = fsspec.filesystem("memory")
    store.pipe({"/plain/x/a.txt": b"A.", "/plain/b.txt": b"B.", "/plain/c.md": b"no"})
    assert [t.name for t in texts("memory://plain")] == ["b", "a"]
    assert [t.name for t in texts("memory://plain/x/*.txt")] == ["a"]
    assert [t.name for t in texts("memory://plain/b.txt")] == ["b"]
    with pytest.raises(ConfigError, match="no input 'memory://none'"):
        texts("memory://none")


def test_missing_inputs_and_formats(tmp_path):
    for path in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(ConfigError, match=r"no input .*; expected a file, a pattern"):
            texts(path)
    with pytest.raises(ConfigError, match="no input"):
        texts(tmp_path / "*.txt")
    with pytest.raises(ConfigError, match="expected one of text, wikipedia, tagged, conllu"):
        texts(tmp_path, format_="html")


def test_what_is_not_utf8(tmp_path):
    (tmp_path / "a.txt").write_bytes("Zoë".encode("latin-1"))
    (tmp_path / "b.txt").write_text("Zoë")
    with pytest.raises(FormatError, match=r"a\.txt: byte 0xeb is not UTF-8"):
        texts(tmp_path)
    report = Report()
    assert [t.name for t in texts(tmp_path, report=report)] == ["b"]
    assert report.counts["skipped_documents"] == 1


@pytest.mark.parametrize("part", [30, 31, 57])
def test_long_texts_come_in_parts_that_lose_nothing(tmp_path, monkeypatch, part):
    monkeypatch.setattr(module, "PART", part)
    monkeypatch.setattr(module, "_CHUNK", 7)
    text = "\n\n".join(f"Paragraph {i} is\nshort, é." for i in range(20)) + "\n\n" + "x" * 200
    (tmp_path / "a.txt").write_text(text)
    found = texts(tmp_path / "a.txt")
    assert len(found) > 10
    assert [t.name for t in found] == ["a", *(f"a#{k + 2}" for k in range(len(found) - 1))]
    assert all(sum(map(len, t.paragraphs)) <= part for t in found)
    words = [w for t in found for p in t.paragraphs for w in p.split()]
    assert words[:100] == text.split()[:100]  # up to the word that is too long
    assert "".join(words) == "".join(text.split())


def test_parts_end_between_paragraphs_if_they_can(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART", 30)
    (tmp_path / "a.txt").write_text("one two\nthree\n\nfour five\nsix\n\nseven eight")
    assert [list(t.paragraphs) for t in texts(tmp_path / "a.txt")] == [
        ["one two three", "four five six"], ["seven eight"],
    ]  # fmt: skip


ARTICLES = """\
<doc id="12" url="https://en.wikipedia.org/wiki?curid=12" title="Anna &amp; the "dog"">
Anna &amp; the "dog"

Anna has a &lt;b&gt;dog&lt;/b&gt;.<br>
The dog<!-- a
comment --> is 3 < 4 years old.

</doc>
<doc id="13" url="https://en.wikipedia.org/wiki?curid=13" title="Dog (disambiguation)">
Dog may be a dog.
</doc>

<doc id="14" revid="2" url="https://en.wikipedia.org/wiki?curid=14" title="Cat">
A cat.
</doc>
"""


def test_wikipedia_an_article_at_a_time(tmp_path):
    (tmp_path / "AA").mkdir()
    (tmp_path / "AA/wiki_00").write_text(ARTICLES)
    objects = [
        {"id": "1", "url": "u", "title": "Cow", "text": "A cow.\nIt moos."},
        {"id": "2", "url": "u", "title": "Cow (Disambiguation)", "text": "Cows."},
    ]
    content = "\n".join(map(json.dumps, objects)).encode()
    (tmp_path / "AA/wiki_01.bz2").write_bytes(bz2.compress(content))
    found = texts(tmp_path, format_="wikipedia")
    assert found == [
        Text('Anna & the "dog"',
             ['Anna & the "dog"', "Anna has a dog .", "The dog is 3 < 4 years old."]),
        Text("Cat", ["A cat."]),
        Text("Cow", ["A cow.", "It moos."]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello\n", r"wiki_00:1: 'hello' is outside of an article"),
        ('<doc id="1" title="A">\nA\n', r"the article 'A' has no </doc>"),
        ('{"id": "1"}\n', r"wiki_00:1: no article; expected a JSON object with title and text"),
    ],
)
def test_other_files_are_no_extracts(tmp_path, content, message):
    (tmp_path / "wiki_00").write_text(content)
    with pytest.raises(FormatError, match=message):
        texts(tmp_path / "wiki_00", format_="wikipedia")


def test_tagged_texts_and_their_place_in_the_files(tmp_path):
    tagged = [TaggedText(f"t{i}", ["a", "dog"], ["DT", "NN"], []) for i in range(3)]
    (tmp_path / "0.jsonl").write_text("".join(map(to_json, tagged[:2])))
    (tmp_path / "1.jsonl.gz").write_bytes(gzip.compress(to_json(tagged[2]).encode()))
    corpus = Corpus([str(tmp_path)], "tagged")
    assert corpus.tagged
    places = [(text.name, corpus.position) for text in corpus]
    assert [name for name, _ in places] == ["t0", "t1", "t2"]
    assert [place for _, place in places] == sorted(place for _, place in places)
    assert places[-1][1] == corpus.size == sum(f.stat().st_size for f in tmp_path.iterdir())


def test_conllu(tmp_path):
    (tmp_path / "a.conllu").write_text(
        "# newdoc id = d1\n# text = dog's\n"
        "1\tdog\tdog\tNOUN\tNN\t_\t0\troot\t_\tSpaceAfter=No\n"
        "2\t's\t's\tPART\tPOS\t_\t1\tcase\t_\t_\n\n"
    )
    (found,) = texts(tmp_path, format_="conllu")
    assert (found.name, list(found.words), list(found.tags), list(found.glued)) == (
        "d1", ["dog", "'s"], ["NN", "POS"], [1],
    )  # fmt: skip


def test_novels_in_an_archive(shared):
    path = shared / "data/plain_text/nltk/inaugural.zip"
    first = next(iter(Corpus([str(path)], "text")))
    assert first.name == "inaugural.zip/inaugural/1789-Washington"
    assert first.paragraphs[0].startswith("Fellow-Citizens of the Senate")

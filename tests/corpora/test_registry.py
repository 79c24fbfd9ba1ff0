import json
import subprocess
import sys

import pytest

from t5coref import corpora
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.corpora import Report

CONLL = "#begin document (d); part 000\nd 0 0 w NN * - - - A * (1)\n\n#end document\n"
LITBANK = CONLL.replace("part 000", "part 0").replace(" NN * - - - A * ", "\t" + "_\t" * 8)
LITBANK = LITBANK.replace("d 0 0 w", "d\t0\t0\tw")
COLUMNS = "# global.columns = ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC IDENTITY"
CONLLUA = COLUMNS + "\n# newdoc id = d\n1\tw" + "\t_" * 8 + "\t(EntityID=1|MarkableID=m)\n"
CONLLU = "# newdoc id = d\n1\tw" + "\t_" * 8 + "\n\n"
JSONL = json.dumps({"doc_id": "d", "tokens": ["w"]}) + "\n"
DOCRED = json.dumps([{"title": "d", "sents": [["w"]], "vertexSet": [], "labels": []}])
DWIE_FIELDS = {"content": "w", "mentions": [], "concepts": [], "relations": []}
DWIE = json.dumps({"id": "d"} | DWIE_FIELDS, indent=4)
PRECO = json.dumps({"id": "d", "sentences": [["w"]], "mention_clusters": []}) + "\n"


def test_names_are_all_known():
    for name in corpora.names():
        corpus = corpora.get(name)
        assert corpus.name == name
        assert hasattr(corpus.module, "read")
        assert corpus.writable == hasattr(corpus.module, "write")
        assert corpus.writable == (name not in ("text", "dwie"))
        assert set(corpus.extensions) <= set(corpora.suffixes())


def test_unknown_names_are_told_the_legal_ones():
    with pytest.raises(ConfigError, match=r"unknown format 'conl'; expected one of conll2012, on"):
        corpora.get("conl")
    with pytest.raises(ConfigError, match="unknown format 'x'"):
        list(corpora.read("-", "x"))


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("conll2012", "x", CONLL),
        ("conll2012", "x.txt", "\r\n\ufeff" + CONLL),
        ("litbank", "x.conll", LITBANK),
        ("conllu", "x", CONLLU),
        ("conllu", "x", "# sent_id = 1\n"),
        ("conllu", "x", "# source = y\n1-2\tw" + "\t_" * 8 + "\n"),
        ("codicrac", "x", CONLLUA),
        ("codicrac", "x.CONLLUA", ""),
        ("jsonl", "x", JSONL),
        ("preco", "x.jsonl", PRECO),
        ("docred", "x", DOCRED),
        ("docred", "x.json", "\n " + DOCRED),
        ("docred", "x.jsonl", DOCRED[1:-1]),
        ("dwie", "x.json", DWIE),
        ("dwie", "x.json", "\ufeff[" + DWIE + "]"),
        ("text", "x.txt", "Ann saw it."),
        ("text", "x.txt", "[Ann] saw it."),
        ("text", "x.txt", '{"not": "a document"}'),
        ("text", "x.txt", ""),
        ("conll2012", "dev.v4_gold_conll", ""),
        ("conllu", "x.conllu", ""),
        ("jsonl", "x.jsonl", ""),
    ],
)
def test_detect(tmp_path, name, file, content):
    (tmp_path / file).write_text(content, encoding="utf-8", newline="")
    assert corpora.detect(tmp_path / file) == name
    assert [d.doc_id for d in corpora.read(tmp_path / file, name)] == [
        d.doc_id for d in corpora.read(tmp_path / file)
    ]


def test_detect_says_what_it_saw(tmp_path):
    (tmp_path / "x").write_text("Ann saw it.")
    with pytest.raises(ConfigError, match=r"begins with 'Ann saw it.'; give the format, one of co"):
        corpora.detect(tmp_path / "x")
    (tmp_path / "z").write_text('\n[{"not": "a document"}]')
    with pytest.raises(ConfigError, match=r"begins with '\[{\"not\": \"a document\"}]'; give"):
        corpora.detect(tmp_path / "z")
    (tmp_path / "y").write_text("")
    with pytest.raises(ConfigError, match="it has no lines"):
        corpora.detect(tmp_path / "y")
    with pytest.raises(ConfigError, match="standard input cannot be detected"):
        corpora.detect("-")


def test_a_folder_is_its_files_in_order(tmp_path):
    for name, content in [("b.conll", CONLL), ("a.conllu", CONLLU), ("README.md", "x")]:
        (tmp_path / name).write_text(content)
    assert [d.doc_id for d in corpora.read(tmp_path)] == ["d", "d#0"]
    assert [d.doc_id for d in corpora.read(tmp_path, "ontonotes")] == ["d#0"]
    with pytest.raises(ConfigError, match=r"no file that ends in one of .txt"):
        list(corpora.read(tmp_path, "text"))


def test_options_reach_the_reader(tmp_path):
    (tmp_path / "x.conll").write_text(CONLL.replace("(1)", "1)"))
    report = Report()
    assert len(list(corpora.read(tmp_path / "x.conll", report=report, lenient=True))) == 1
    assert str(report) == "1 document, 1 skipped bracket"


def test_a_document_becomes_the_same_words_in_every_format(tmp_path):
    document = Document(doc_id="d", words=("a", "b", "c"), sentences=((0, 1), (1, 3)))
    for name in corpora.names():
        corpus = corpora.get(name)
        if corpus.writable:
            corpus.module.write([document], tmp_path / name)
            (found,) = corpora.read(tmp_path / name, name)
            assert (found.words, found.sentences) == (document.words, document.sentences)


def test_a_report_keeps_the_first_messages():
    report = Report(max_messages=2)
    for i in range(1200):
        report.add("skipped_lines", f"x:{i}: bad")
    report.counts["documents"] += 1
    assert report.messages == ["x:0: bad", "x:1: bad"]
    assert report.problems() == 1200
    assert str(report) == "1 document, 1,200 skipped lines"


def test_importing_needs_no_framework():
    code = (
        "import sys\n"
        "for name in ('jax', 'tensorflow', 'torch', 'spacy', 'numpy'): sys.modules[name] = None\n"
        "import t5coref.corpora\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

"""Every file of the data folder, against plain counts by regular expressions."""

import json
import re

import pytest

from t5coref import corpora
from t5coref.corpora import Report, conll2012, conllu, litbank, preco


def words_and_brackets_conll(path):
    words = brackets = 0
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip() and not line.startswith("#"):
            words += 1
            brackets += line.split()[-1].count("(") if len(line.split()) > 1 else 0
    return words, brackets


def words_and_brackets_conllu(path):
    text = path.read_text(encoding="utf-8")
    words = re.findall(r"^\d+\t", text, re.MULTILINE)
    cells = re.findall(r"Entity=([^|\t\n]*)", re.sub(r"^#.*", "", text, flags=re.MULTILINE))
    continued = re.findall(r"\([^()\[]*\[(?!1/)\d+/", " ".join(cells))  # later parts of a mention
    return len(words), sum(cell.count("(") for cell in cells) - len(continued)


def check(path, name, oracle):
    report = Report()
    documents = list(corpora.read(path, name, report=report))
    words, mentions = oracle(path)
    assert sum(len(d.words) for d in documents) == words
    found = sum(len(list(d.annotation.mentions())) for d in documents)
    assert found + report.counts["duplicate_mentions"] == mentions
    assert report.counts["documents"] == len(documents)
    return documents


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("litbank", "litbank/conll/*.conll"),
        ("openboek", "openboek_nl/coref/*.conll"),
        ("winobias", "winobias/data/conll_format/*_conll"),
        ("conll2012", "conll_scorer_tests/DataFiles/TC-*"),
        ("conll2012", "ua_scorer_tests/tests/TC-*"),
        ("conll2012", "corefud_scorer_tests/tests-conll/TC-*"),
        ("ontonotes", "format_samples/allennlp-models_Apache2/coref/*.gold_conll"),
    ],
)
def test_conll(shared, name, pattern):
    files = sorted((shared / "data").glob(pattern))
    assert files
    for path in files:
        documents = check(path, name, words_and_brackets_conll)
        headers = re.findall(r"^#begin document", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(documents) == len(headers)
        expected = "litbank" if name == "litbank" else "conll2012"
        assert corpora.detect(path) == expected


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("gum", "gum/*/*.conllu"),
        ("ontogum", "ontogum/*/*.conllu"),
        ("corefud", "corefud_scorer_tests/tests-corefud/**/TC-*"),
    ],
)
def test_conllu(shared, name, pattern):
    files = sorted((shared / "data").glob(pattern))
    assert files
    for path in files:
        (document,) = check(path, name, words_and_brackets_conllu)
        assert corpora.detect(path) == "conllu"
        if name != "corefud":  # there the words are placeholders
            check_text(document, path)


def check_text(document, path):
    written = re.findall(r"^# text = (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert [document.span_text(s) for s in document.sentences] == [t.strip() for t in written]
    for word, (start, end) in zip(document.words, document.word_offsets, strict=True):
        assert document.text[start:end] == word


def test_preco(shared):
    path = shared / "data/format_samples/allennlp-models_Apache2/coref/preco.jsonl"
    assert corpora.detect(path) == "preco"
    values = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for document, value in zip(preco.read(path), values, strict=True):
        texts = sorted(document.span_text(s) for c in document.annotation.clusters for s in c)
        assert texts == sorted(
            " ".join(value["sentences"][sentence][start:end])
            for cluster in value["mention_clusters"]
            for sentence, start, end in cluster
        )


@pytest.mark.parametrize("corpus", ["litbank_dev", "preco_sample"])
def test_same_clusters_as_the_published_implementation(shared, corpus):
    folder = shared / "data/reference_seq2seq/linearization"
    sample = shared / "data/format_samples/allennlp-models_Apache2/coref/preco.jsonl"
    expected = {}
    for line in (folder / f"{corpus}.2048.jsonl").read_text(encoding="utf-8").splitlines():
        value = json.loads(line)
        clusters = [sorted((start, end + 1) for start, end in c) for c in value["gold_clusters"]]
        expected[re.sub(r"_\d+$", "", value["doc_key"])] = sorted(clusters)
    if corpus == "litbank_dev":
        found = {f"{d.doc_id}_0": d for d in litbank.read(folder / "litbank_dev.input.conll")}
    else:
        found = {d.doc_id: d for d in preco.read(sample)}
    assert found.keys() == expected.keys()
    for name, document in found.items():
        assert sorted(map(list, document.annotation.clusters)) == expected[name]


def test_singletons_are_where_the_table_says(shared):
    for name, pattern in [
        ("litbank", "litbank/conll/*.conll"),
        ("openboek", "openboek_nl/coref/*.conll"),
        ("winobias", "winobias/data/conll_format/*_conll"),
        ("gum", "gum/dev/*.conllu"),
        ("ontogum", "ontogum/dev/*.conllu"),
    ]:
        files = sorted((shared / "data").glob(pattern))[:3]
        documents = [document for file in files for document in corpora.read(file, name)]
        sizes = [len(cluster) for d in documents for cluster in d.annotation.clusters]
        share = sizes.count(1) / len(sizes)
        assert (share > 0.5) == corpora.get(name).keeps_singletons, (name, share)


def test_writing_real_documents_and_reading_them_again(shared, tmp_path):
    for name, file in [
        ("litbank", "litbank/conll/105_persuasion_brat.conll"),
        ("openboek", "openboek_nl/coref/Couperus_ElineVere.conll"),
        ("ontogum", "ontogum/dev/GUM_news_homeopathic.conllu"),
        ("preco", "format_samples/allennlp-models_Apache2/coref/preco.jsonl"),
    ]:
        module = corpora.get(name).module
        documents = list(module.read(shared / "data" / file))
        for target in (module, conll2012):
            target.write(documents, tmp_path / "x")
            again = list(target.read(tmp_path / "x"))
            assert [(d.words, d.sentences, d.annotation) for d in again] == [
                (d.words, d.sentences, d.annotation) for d in documents
            ]


@pytest.mark.parametrize("name", ["gum", "ontogum"])
def test_what_gum_says_of_anaphora_is_written_again(shared, tmp_path, name):
    for document in corpora.read(shared / "data" / name / "dev", name):
        path = tmp_path / "x.conllu"
        conllu.write([document], path)
        (again,) = conllu.read(path)
        assert again == document
        assert set(again.extra) >= {"anaphora", "tree", "meta"}

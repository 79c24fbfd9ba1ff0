"""What link-append keeps of real corpora, with T5's pieces."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from t5coref import corpora
from t5coref.linearize import examples, round_trip
from t5coref.linearize.link_append import LinkAppend
from t5coref.linearize.link_append_input import speaker_of
from t5coref.tokenizer import Tokenizer

FILES = {
    "GUM": ("conllu", "gum/*/*.conllu"),
    "OntoGUM": ("conllu", "ontogum/*/*.conllu"),
    "LitBank": ("litbank", "litbank/conll/*.conll"),
}
FEW = 2  # files


@pytest.fixture(scope="module")
def t5(shared) -> Tokenizer:
    return Tokenizer(shared / "data/t5/spiece.model", ())


def read(shared, name, files=None):
    format_, pattern = FILES[name]
    paths = sorted((shared / "data").glob(pattern))[:files]
    assert paths
    return itertools.chain.from_iterable(corpora.read(path, format=format_) for path in paths)


def lost(lin, document) -> int:
    """Mentions that do not come back in a cluster with the others of theirs."""
    homes = {span: c for c in round_trip(lin, document).clusters for span in c}
    count = 0
    for cluster in document.annotation.partition():
        if len(cluster) >= lin.min_mentions:
            sizes = Counter(homes[span] for span in cluster if span in homes)
            count += len(cluster) - max(sizes.values(), default=0)
    return count


@pytest.mark.parametrize("name", FILES)
def test_documents_come_back(shared, t5, name):
    lin = LinkAppend(t5)
    for document in read(shared, name, FEW):
        found = round_trip(lin, document)
        assert set(found.clusters) == set(document.annotation.partition())
    assert not lin.skipped


def test_pieces_are_those_of_the_whole_text(shared, t5):
    (document,) = read(shared, "GUM", 1)
    for example in examples(LinkAppend(t5), document):
        begin, end = example.turn.view.focus
        tokens = example.turn.view.tokens[begin:end]
        words = [document.words[t.word] for t in tokens[1:]]
        name = document.speakers[tokens[1].word] if document.speakers else None
        text = " ".join([speaker_of(name), *words])
        assert list(itertools.chain.from_iterable(t.ids for t in tokens)) == t5.encode(text)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_whole_corpora_come_back_but_for_a_few_mentions(shared, t5, name):
    """Where each cluster begins with MENTION, only text that repeats with its context is lost."""
    lin = LinkAppend(t5)
    documents = list(read(shared, name))
    mentions = sum(len(c) for d in documents for c in d.annotation.partition())
    assert sum(lost(lin, d) for d in documents) < mentions / 500

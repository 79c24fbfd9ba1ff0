"""Random documents survive writing and reading, as far as each format can hold them."""

import dataclasses
import io
import itertools
import pathlib
import tempfile

import anaphora_documents
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t5coref.core.anaphora import anaphora
from t5coref.core.document import Annotation, Document, Relation, crosses
from t5coref.corpora import Report, conll2012, conllu, conllua, docred, jsonl, litbank, preco

ANY_WORD = st.text(min_size=1, max_size=5) | st.sampled_from(
    [
        "a\x85b",
        "\u2028",
        "1\xa0000",
        "القاهرة",
        "北京",
        "👩‍👩‍👧",
        "(1)",
        "|",
        "#end document",
        "-",
        "_",
    ]
)
# what one tab-separated column can hold
CELL = ANY_WORD.map(lambda word: word.translate({9: "·", 10: "·", 13: "·"}))
NAME = st.text("aé/_ ;)#0", min_size=1, max_size=8).filter(lambda name: name == name.strip())
SPEAKERS = [None, "Ann", "Speaker#1", "A b"]


@st.composite
def documents(draw, words=CELL):
    text = tuple(draw(st.lists(words, max_size=12)))
    n = len(text)
    cuts = sorted(draw(st.sets(st.integers(1, n - 1), max_size=3))) if n > 1 else []
    edges = [0, *cuts, n] if n else [0]
    clusters = []
    if n:
        span = st.tuples(st.integers(0, n - 1), st.integers(1, 5)).map(
            lambda s: (s[0], min(n, s[0] + s[1]))
        )
        clusters = draw(st.lists(st.lists(span, min_size=1, max_size=4), max_size=4))
    return Document(
        doc_id=draw(NAME),
        words=text,
        sentences=tuple(itertools.pairwise(edges)),
        speakers=draw(st.none() | st.tuples(*[st.sampled_from(SPEAKERS)] * n)),
        pos=draw(st.none() | st.tuples(*[st.sampled_from(["NN", "VB"])] * n)),
        annotation=Annotation(tuple(tuple(cluster) for cluster in clusters)),
    )


def through(module, document):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "x"
        module.write([document, document], path)
        first, second = module.read(path)
    assert first == second
    return first


def writable(cluster):
    """Outer mentions first, without those that cross an earlier one; quadratic and plain."""
    kept = []
    for span in sorted(cluster, key=lambda s: (s[0], -s[1])):
        if not any(crosses(span, other) for other in kept):
            kept.append(span)
    return sorted(kept)


def sorted_clusters(document):
    return sorted(map(list, document.annotation.clusters))


@pytest.mark.parametrize("module", [conll2012, litbank, conllu])
@given(document=documents())
def test_bracket_formats(module, document):
    found = through(module, document)
    assert found.words == document.words
    assert found.sentences == document.sentences
    assert sorted_clusters(found) == sorted(map(writable, document.annotation.clusters))
    assert found.pos == (document.pos or None)
    if module is not litbank:
        assert found.doc_id == document.doc_id
    if module is not conllu:
        known = any(document.speakers or ())
        assert found.speakers == (document.speakers if known else None)
    again = through(module, found)
    assert again == found, "what was read once is written and read without any change"


def said(document):
    """What a document says of its anaphora, without numbers that depend on the file."""
    found = anaphora(document)
    names = [entity.name for entity in found.entities]

    def links(of):
        return sorted(
            (names[link.anaphor], names[link.antecedent], link.relation or "") for link in of
        )

    mentions = [(names[m.entity], m.parts, m.head) for m in found.mentions]
    return sorted(mentions, key=str), found.zeros, links(found.split), links(found.bridging)


@settings(max_examples=50)
@given(found=anaphora_documents.anaphoras(links=True))
def test_corefud(found):
    """Zeros, parts, heads and links survive, but for mentions that are counted as dropped."""
    document = anaphora_documents.document(found)
    report = Report()
    conllu.dumps(document, report=report)
    again = through(conllu, document)
    dropped = report.counts["dropped_mentions"] + report.counts["dropped_relations"]
    if not dropped:
        assert said(again) == said(document)
        assert sorted_clusters(again) == sorted_clusters(document)
    assert len(anaphora(again).mentions) == len(found.mentions) - report.counts["dropped_mentions"]
    assert through(conllu, again) == again


@settings(max_examples=50)
@given(found=anaphora_documents.anaphoras(fields=(), silent=True, links=True))
def test_universal_anaphora(found):
    """Everything survives; links of entities without mentions have no place."""
    entities = tuple(
        entity if entity.referring else entity._replace(name=f"{entity.name}-Pseudo")
        for entity in found.entities
    )
    with_mentions = {mention.entity for mention in found.mentions}
    split = tuple(link for link in found.split if link.antecedent in with_mentions)
    bridging = tuple(dict.fromkeys(found.bridging))
    found = dataclasses.replace(found, entities=entities, split=split, bridging=bridging)
    document = anaphora_documents.document(found)
    again = through(conllua, document)
    assert said(again) == said(document)
    assert sorted_clusters(again) == sorted_clusters(document)
    assert through(conllua, again) == again


@given(document=documents())
def test_preco(document):
    found = through(preco, document)
    sentence = [i for i, (start, end) in enumerate(document.sentences) for _ in range(start, end)]
    within = [
        [s for s in cluster if sentence[s[0]] == sentence[s[1] - 1]]
        for cluster in document.annotation.clusters
    ]
    assert sorted_clusters(found) == sorted(cluster for cluster in within if cluster)
    assert (found.words, found.sentences) == (document.words, document.sentences)


@given(document=documents(), data=st.data())
def test_docred(document, data):
    """What its writer can hold comes back; what no partition can hold goes, as from any file."""
    sentence = [i for i, (start, end) in enumerate(document.sentences) for _ in range(start, end)]
    taken, clusters = set(), []
    for cluster in document.annotation.clusters:
        kept = [s for s in cluster if sentence[s[0]] == sentence[s[1] - 1] and s not in taken]
        taken.update(kept)
        clusters += [tuple(kept)] if kept else []
    ends = st.integers(0, len(clusters) - 1)
    relation = st.builds(Relation, ends, ends, st.text()).filter(lambda r: r.head != r.tail)
    several = len(clusters) > 1
    relations = data.draw(st.lists(relation, max_size=4, unique=True)) if several else ()
    types = data.draw(st.tuples(*[st.text()] * len(clusters)))
    annotation = Annotation(tuple(clusters), tuple(relations), types=types)
    found = through(docred, document.with_annotation(annotation))
    assert found.annotation == annotation
    assert (found.doc_id, found.words) == (document.doc_id, document.words)
    assert found.sentences == document.sentences
    assert through(docred, found) == found
    whole = through(docred, document)
    assert whole.annotation.clusters == annotation.clusters


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def full_documents(draw):
    document = draw(documents(words=ANY_WORD))
    text, offsets = "", []
    for word in document.words:
        text += draw(st.sampled_from(["", " ", "\n\n", "\u2028"]))
        offsets.append((len(text), len(text) + len(word)))
        text += word
    n = len(document.annotation.clusters)
    relation = st.builds(Relation, st.integers(0, n - 1), st.integers(0, n - 1), st.text())
    relations = draw(st.lists(relation, max_size=3)) if n else []
    types = draw(st.none() | st.tuples(*[st.none() | st.text()] * n))
    keys = st.text().filter(lambda key: key not in jsonl.KEYS)
    return Document(
        doc_id=draw(st.text(min_size=1)),
        words=document.words,
        sentences=document.sentences,
        speakers=document.speakers,
        pos=document.pos,
        text=text,
        word_offsets=tuple(offsets),
        annotation=draw(
            st.sampled_from(
                [None, Annotation(document.annotation.clusters, tuple(relations), types=types)]
            )
        ),
        extra=draw(st.dictionaries(keys, JSON, max_size=3)),
    )


@given(document=full_documents())
def test_jsonl_keeps_everything(document):
    found = through(jsonl, document)
    assert found == document
    assert list(found.extra) == list(document.extra)
    assert jsonl.dumps(found) == jsonl.dumps(document)


@given(document=full_documents())
def test_jsonl_is_one_line_a_document(document):
    stream = io.StringIO()
    jsonl.write([document], stream)
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert "\r" not in line

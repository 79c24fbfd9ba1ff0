"""Every reader of documents under broken files: documents that can be written, or our errors."""

from __future__ import annotations

import contextlib
import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import bounded, examples, mutations

from t5coref import corpora
from t5coref.core.document import Annotation, Document, Relation
from t5coref.core.errors import T5CorefError
from t5coref.corpora import jsonl

WRITERS = {
    name: corpora.get(name).module
    for name in ("jsonl", "conll2012", "litbank", "conllu", "codicrac", "preco", "docred")
}

RICH = Document(
    doc_id="bc/cnn/00/x#1",
    words=("Anna", "saw", "her", "old", "dog", ".", "«", "It", "»", "ran", "off"),
    sentences=((0, 6), (6, 11)),
    speakers=("Ann", *[None] * 5, *["Bo"] * 5),
    pos=("NNP", "VBD", "PRP$", "JJ", "NN", ".", "'", "PRP", "'", "VBD", "RP"),
    annotation=Annotation(
        (((0, 1), (2, 3)), ((2, 5), (7, 8)), ((3, 5),)),
        (Relation(0, 1, "owner"), Relation(2, 0, "P<17>")),
        types=("PER", "ANIMAL", None),
    ),
    extra={"note": {"a": [1, None]}},
)

CONLLU = b"""\
# newdoc id = d
# global.Entity = eid-etype-head-other
# sent_id = 1
# speaker = Ann
# meta::genre = x
1-2\tdont\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
1\tdo\tdo\tVERB\tVBP\t_\t0\troot\t_\tEntity=(e1[1/2]-person-1-(e2-x-1-
2\tnt\tnot\tPART\tRB\t_\t1\tadvmod\t_\tEntity=e2)e1[1/2])
2.1\t_\tit\tPRON\t_\t_\t_\t_\t1:nsubj\tEntity=(e3--1-)
3\tit\tit\tPRON\tPRP\t_\t1\tobj\t_\tBridge=e2<e4:part|Entity=(e1[2/2]-person-1-)(e4-y-1-)

1\tThey\tthey\tPRON\t_\t_\t0\troot\t_\tEntity=(e5-person-1-)|SplitAnte=e2<e5,e4<e5

"""

CONLLUA = (
    """\
# global.columns = ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC IDENTITY BRIDGING REFERENCE
# newdoc id = d
# sent_id = d-1
# speaker = Ann
1 The _ _ _ _ _ _ _ _ (EntityID=1|MarkableID=markable_1|Min=2,2|ElementOf=9 _ _
2 dog _ _ _ _ _ _ _ _ ) (MarkableID=markable_1|Rel=part|MentionAnchor=markable_2) x
2.1 _ _ _ _ _ _ _ _ _ (EntityID=3-Pseudo|MarkableID=markable_3) _ _
3 ran _ _ _ _ _ _ _ _ (EntityID=2|MarkableID=markable_2|Min=3,3|ElementOf=9 _ _
4 off _ _ _ _ _ _ _ _ markable_2) _ _

1 They _ _ _ _ _ _ _ _ (EntityID=9|MarkableID=markable_4) _ _
""".replace(" ", "\t")
    .replace("#\t", "# ")
    .replace("\t=\t", " = ")
    .encode()
)

TEXT = "Egypt votes\nThe pro-Mubarak camp said May. 2012/2013 was Yahoo! Inc.'s year. He won."
DWIE = json.dumps(
    {
        "id": "DW_1",
        "content": TEXT,
        "tags": ["all"],
        "mentions": [
            {"begin": TEXT.index(m), "end": TEXT.index(m) + len(m), "text": m, "concept": c}
            for m, c in (("Egypt", 0), ("Mubarak", 1), ("He", 1), ("Yahoo! Inc.", 2))
        ],
        "concepts": [
            {"concept": c, "text": "", "tags": ["type::entity", "type::person"]} for c in range(4)
        ],
        "relations": [{"s": 1, "p": "head_of", "o": 0}, {"s": 2, "p": "in", "o": 3}],
    },
    indent=1,
).encode()

SAMPLES: dict[str, list[bytes]] = {
    name: [module.dumps(RICH).encode()] for name, module in WRITERS.items()
}
SAMPLES["docred"].append(b"[" + SAMPLES["docred"][0] + b"," + SAMPLES["docred"][0] + b"]")
SAMPLES["conllu"].append(CONLLU)
SAMPLES["codicrac"].append(CONLLUA)
SAMPLES["dwie"] = [DWIE]
SAMPLES["text"] = [TEXT.encode(), b"One.\r\n\r\n  Two (http://x.y/?z=1) ... \xe2\x80\xa6 'n' 3.5%"]


def check(path, name):
    """Reads strictly and leniently; what is read can be written and read again."""
    with bounded():
        for lenient in (False, True):
            try:
                documents = list(corpora.read(path, name, lenient=lenient))
            except T5CorefError:
                continue
            for document in documents:
                line = jsonl.dumps(document)
                again = jsonl.from_json(json.loads(line))
                assert (again.words, again.annotation) == (document.words, document.annotation)
                for module in WRITERS.values():
                    with contextlib.suppress(T5CorefError):
                        module.dumps(document).encode("utf-8", "surrogatepass")
    with contextlib.suppress(T5CorefError):
        corpora.detect(path)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_samples_are_valid(tmp_path, name):
    for number, content in enumerate(SAMPLES[name]):
        path = tmp_path / f"{number}.x"
        path.write_bytes(content)
        (document, *_) = corpora.read(path, name)
        assert document.words
        check(path, name)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_broken_files(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("fuzz") / "broken.x"
    path.write_bytes(SAMPLES[name][0])
    list(corpora.read(path, name))  # a reader's libraries are no part of what a file takes

    @settings(max_examples=examples(25))
    @given(mutations(SAMPLES[name]))
    def run(content):
        path.write_bytes(content)
        check(path, name)

    run()


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations([gzip.compress(SAMPLES["conllu"][1], mtime=0)]))
def test_broken_gzip_files(tmp_path, content):
    path = tmp_path / "broken.conllu.gz"
    path.write_bytes(content)
    check(path, "conllu")


@pytest.mark.parametrize("depth", [900, 960, 980, 990, 1000, 2000, 100_000])
@pytest.mark.parametrize("name", ["jsonl", "docred", "dwie", "preco"])
def test_deeply_nested_json(tmp_path, name, depth):
    path = tmp_path / "deep.x"
    key = {"jsonl": "doc_id", "docred": "title"}.get(name, "id")
    deep = b"[" * depth + b"]" * depth
    for content in (deep, b"[1," + deep + b"]", b'{"' + key.encode() + b'": ' + deep + b"}"):
        path.write_bytes(content)
        check(path, name)
    sample = json.loads(SAMPLES[name][0])
    line = json.dumps({**sample, "deep": 0}).replace('"deep": 0', f'"deep": {deep.decode()}')
    path.write_text(line)
    check(path, name)


@settings(max_examples=examples(60))
@given(st.text(alphabet="a(.)'\"-/:\n @#1é日\u200b", max_size=400))
def test_any_text_is_a_document_with_its_offsets(text):
    with bounded():
        document = corpora.get("text").module.from_string("d", text)
    assert document.text == text
    assert document.word_offsets is not None
    for word, (start, end) in zip(document.words, document.word_offsets, strict=True):
        assert text[start:end] == word


@pytest.mark.parametrize(
    "text",
    [
        "a" * 50_000,
        "(" * 20_000,
        "'s" * 10_000,
        "http://" + "a." * 5_000,
        "a-" * 5_000,
        "日" * 20_000,
        "\n" * 50_000,
    ],
)
def test_words_without_end_are_cut_and_take_no_forever(text):
    with bounded():
        document = corpora.get("text").module.from_string("d", text)
    assert "".join(document.words) == text.strip()
    assert all(len(word) <= 5_000 for word in document.words)


NINES = b"9" * 5000
"""More digits than Python reads as a number."""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("codicrac", b"# global.columns = IDENTITY\n1\n(x\n"),
        ("codicrac", CONLLUA.replace(b"Min=2,2", b"Min=" + NINES + b",2")),
        ("conllu", CONLLU.replace(b"2.1\t", b"2." + NINES + b"\t")),
        ("conllu", CONLLU.replace(b"1-2\t", b"1-" + NINES + b"\t")),
        ("conllu", CONLLU.replace(b"[1/2]", b"[1/" + NINES + b"]")),
        ("conllu", CONLLU.replace(b"\t1\tadvmod", b"\t" + NINES + b"\tadvmod")),
        ("conll2012", SAMPLES["conll2012"][0].replace(b"part 001", b"part " + NINES)),
    ],
)
def test_what_broke_once(tmp_path, name, content):
    assert content not in SAMPLES[name]
    path = tmp_path / "x"
    path.write_bytes(content)
    check(path, name)

"""Broken question sets, pronoun sets, predictions, manifests and cards: values, or our errors."""

from __future__ import annotations

import contextlib
import json
import pathlib

import pytest
from hypothesis import given, settings
from mrp_rows import sentinel_row
from mutations import bounded, examples, mutations

from t5coref.core.errors import T5CorefError
from t5coref.data.manifest import LAYOUT, Manifest
from t5coref.downstream import answers, fever, mrqa, quoref, squad
from t5coref.downstream.glue import GlueReader
from t5coref.downstream.pronouns import blocks, gap, schemas, winobias, winogender
from t5coref.downstream.text import Mistakes
from t5coref.model import read_card
from t5coref.mrp.rows import read_rows, write_rows

CONTEXT = "Anna met Ben and Eve in Rome. She liked it."
ARTICLES = {
    "data": [
        {
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {
                            "id": "q1",
                            "question": "Who?",
                            "answers": [{"text": "Ben", "answer_start": 9}],
                        },
                        {"id": "q2", "question": "W?", "answers": [], "is_impossible": True},
                    ],
                }
            ]
        }
    ]
}
MRQA = [
    {"header": {"dataset": "X"}},
    {
        "context": CONTEXT,
        "context_tokens": [["Anna", 0], ["met", 5], ["Ben", 9], ["and", 13], ["Eve", 17]],
        "qas": [
            {
                "qid": "m1",
                "question": "Whom?",
                "answers": ["Ben and Eve"],
                "detected_answers": [
                    {"text": "Ben and Eve", "char_spans": [[9, 19]], "token_spans": [[2, 4]]}
                ],
            }
        ],
    },
]
CLAIM = {
    "id": 7,
    "label": "REFUTES",
    "claim": "the dog saw her .",
    "evidence": [["Old_House_-LRB-film-RRB-", 0, "the house -LSB- x -RSB- is old .", 0.9]],
}
SCHEMAS = """\
<?xml version="1.0"?>
<collection><schema><text><txt1>Jim told Bob that</txt1><pron>he</pron><txt2>won.</txt2></text>
<answers><answer>Jim</answer><answer>Bob</answer></answers><correctAnswer>B.</correctAnswer>
</schema></collection>"""
GAP_ROWS = "\n".join(
    "\t".join(row)
    for row in (
        gap.COLUMNS,
        ("v-1", "Ann met Eve. Later she ran.", "she", "19", "Ann", "0", "TRUE", "Eve", "8", "FALSE",
         "u"),
    )
)  # fmt: skip
BLOCKS = "Jim told Bob that he won .\nhe\nJim,Bob\nBob\n\nThe cat [MASK] .\n[MASK]\na,b\na\n"
WINOBIAS = "1 [The developer] argued with the designer because [she] did not like [her] desk.\n"
WINOGENDER = (
    "sentid\tsentence\nnurse.patient.0.male.txt\tThe nurse told the patient that his shift ended.\n"
)
TEMPLATES = (
    "occupation(0)\tother-participant(1)\tanswer\tsentence\n"
    "nurse\tpatient\t1\tThe $PARTICIPANT thanked the $OCCUPATION for $POSS_PRONOUN bed.\n"
)
RTE = "index\tsentence1\tsentence2\tlabel\n0\tIt ran.\tIt moved.\tentailment\n"
STSB = (
    "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
    "0\tx\ty\t2012\t1\tn\tn\tIt ran.\tIt moved.\t4.2\n"
)


def lines(*values):
    return "".join(json.dumps(value) + "\n" for value in values)


READERS = {
    "squad": (squad.read, json.dumps(ARTICLES, indent=1)),
    "quoref": (quoref.read_questions, json.dumps(ARTICLES)),
    "mrqa": (mrqa.read, lines(*MRQA)),
    "fever": (fever.read, lines(CLAIM)),
    "glue rte": (GlueReader("rte"), RTE),
    "glue stsb": (GlueReader("stsb"), STSB),
    "gap": (gap.read, GAP_ROWS),
    "gap labels": (gap.read_labels, GAP_ROWS),
    "schemas": (schemas.read, SCHEMAS),
    "blocks": (blocks.read, BLOCKS),
    "winobias": (winobias.read, WINOBIAS),
    "winogender": (winogender.read, WINOGENDER),
    "winogender templates": (winogender.read_templates, TEMPLATES),
}


@pytest.mark.parametrize("name", READERS)
def test_broken_sets(tmp_path_factory, name):
    read, sample = READERS[name]
    path = tmp_path_factory.mktemp("fuzz") / "broken.txt"

    def check(content):
        path.write_bytes(content)
        with bounded():
            for mistakes in (None, Mistakes()):
                with contextlib.suppress(T5CorefError):
                    list(read(str(path), mistakes))

    path.write_text(sample, "utf-8")
    assert list(read(str(path)))

    @settings(max_examples=examples(25))
    @given(mutations([sample.encode()]))
    def run(content):
        check(content)

    run()
    deep = b"[" * 100_000
    for content in (b"", b"\n", deep, b'{"a":' * 100_000, b'{"id": 1, "claim": ' + deep):
        check(content)


@pytest.mark.parametrize("encoding", ["utf-7", "shift_jis", "x-unknown", "utf-16", "idna"])
def test_xml_in_another_encoding(tmp_path, encoding):
    path = tmp_path / "s.xml"
    path.write_text(SCHEMAS.replace('version="1.0"', f'version="1.0" encoding="{encoding}"'))
    with contextlib.suppress(T5CorefError):
        list(schemas.read(path))


def test_xml_whose_entities_grow_is_refused(tmp_path):
    entities = '<!ENTITY a0 "aaaaaaaaaa">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
    )
    path = tmp_path / "s.xml"
    path.write_text(f"<!DOCTYPE c [{entities}]><collection><schema>&a9;</schema></collection>")
    with bounded(), pytest.raises(T5CorefError, match="no well-formed XML"):
        list(schemas.read(path))


def test_xml_reads_no_other_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = tmp_path / "s.xml"
    path.write_text(
        f'<!DOCTYPE c [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
        + SCHEMAS.split("?>")[1].replace("won.", "&x;")
    )
    with pytest.raises(T5CorefError) as raised:
        list(schemas.read(path))
    assert "secret" not in str(raised.value)


PREDICTIONS = {
    "answers": (
        lambda path: answers.read_predictions(path, several=True),
        json.dumps({"q1": "Ben", "q2": ["Ann", "Eve"]}),
    ),
    "gap predictions": (gap.read_predictions, "v-1\tTRUE\tFALSE\nv-2\tFALSE\tFALSE\n"),
    "manifest": (
        lambda path: Manifest.from_json(pathlib.Path(path).read_bytes(), path),
        json.dumps(
            {"layout": LAYOUT, "splits": {"a": {"shards": [{"name": "x", "examples": 1}]}},
             "symbols": ["<m>"]}
        ),
    ),
    "card": (
        lambda path: read_card(pathlib.Path(path).parent),
        json.dumps({"t5coref": "1", "format": {"name": "x", "options": {}}, "dtype": "float32"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PREDICTIONS)
def test_broken_files_of_our_own(tmp_path_factory, name):
    read, sample = PREDICTIONS[name]
    path = tmp_path_factory.mktemp("fuzz") / "t5coref.json"

    @settings(max_examples=examples(25))
    @given(mutations([sample.encode()]))
    def run(content):
        path.write_bytes(content)
        with bounded(), contextlib.suppress(T5CorefError):
            read(str(path))

    run()
    path.write_bytes(b"[" * 100_000)
    with pytest.raises(T5CorefError):
        read(str(path))


def test_broken_prepared_rows(tmp_path):
    write_rows(tmp_path, [sentinel_row(seed, 50) for seed in range(3)])
    (shard,) = tmp_path.glob("*.mrp")
    manifest = tmp_path / "manifest.json"
    good = shard.read_bytes(), manifest.read_bytes()
    whole = [row.name for row in read_rows(tmp_path)]

    def check():
        with bounded(), contextlib.suppress(T5CorefError):
            # What can be read at all is what was written.
            assert {row.name for row in read_rows(tmp_path)} <= set(whole)

    @settings(max_examples=examples(40))
    @given(mutations([good[0]]))
    def broken_shard(content):
        shard.write_bytes(content)
        check()

    broken_shard()
    shard.write_bytes(good[0])

    @settings(max_examples=examples(25))
    @given(mutations([good[1]]))
    def broken_manifest(content):
        manifest.write_bytes(content)
        check()

    broken_manifest()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("fever", "[" * 100_000),
        ("fever", '{"id": 1, "claim": "x", "evidence": [["t", Infinity, "x"]]}'),
        ("schemas", SCHEMAS.replace("1.0", '1.0" encoding="x-unknown')),
        ("gap", GAP_ROWS.replace("19", "9" * 5000)),
    ],
)
def test_what_broke_once(tmp_path, name, content):
    path = tmp_path / "x"
    path.write_text(content)
    with pytest.raises(T5CorefError):
        list(READERS[name][0](str(path)))

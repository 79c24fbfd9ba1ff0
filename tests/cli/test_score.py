"""The command `score`: pairing of documents, its table, its JSON, and what it refuses."""

from __future__ import annotations

import argparse
import json
import pathlib

import pytest

from t5coref import corpora
from t5coref.cli import score
from t5coref.core.document import Annotation, Document, Relation
from t5coref.core.errors import ConfigError, DocumentError, FormatError, MismatchError
from t5coref.core.metrics import NAMES, score_corpus

WORDS = ("She", "saw", "her", "brother", ";", "he", "waved")
KEY = (((0, 1), (2, 3)), ((2, 4), (5, 6)))
RESPONSE = (((0, 1), (2, 3)), ((2, 4),), ((5, 6),))


def document(doc_id, clusters, words=WORDS, relations=(), **extra):
    return Document(
        doc_id=doc_id,
        words=words,
        annotation=None if clusters is None else Annotation(clusters, relations),
        extra=extra,
    )


@pytest.fixture
def save(tmp_path):
    def write(name, *documents, format="jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        corpora.get(format).module.write(documents, path)
        return str(path)

    return write


def run(*argv):
    parser = argparse.ArgumentParser()
    score.configure(parser)
    return score.run(parser.parse_args(argv))


def as_json(capsys, *argv):
    assert run(*argv, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_json_has_fractions_of_every_metric(save, capsys):
    key = save("key.jsonl", document("a", KEY), document("b", KEY))
    response = save("response.jsonl", document("b", KEY), document("a", RESPONSE))
    out = as_json(capsys, key, response)
    assert list(out) == ["muc", "b3", "ceafe", "conll", "mentions"]
    expected = score_corpus([(KEY, RESPONSE), (KEY, KEY)])
    for name, value in out.items():
        assert list(value) == ["precision", "recall", "f1"]
        assert tuple(value.values()) == pytest.approx(expected[name])
    assert out["muc"]["recall"] == 0.75
    assert out["conll"]["f1"] == pytest.approx(
        sum(out[name]["f1"] for name in ("muc", "b3", "ceafe")) / 3
    )


def test_table_has_percentages(save, capsys):
    key, response = save("key.jsonl", document("a", KEY)), save("r.jsonl", document("a", RESPONSE))
    assert run(key, response, "--metrics", "muc,bcub") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["precision", "recall", "f1"],
        ["muc", "100.00", "50.00", "66.67"],
        ["b3", "100.00", "75.00", "85.71"],
        ["1", "document,", "singletons", "kept"],
    ]


def test_singletons_can_be_removed(save, capsys):
    key, response = save("key.jsonl", document("a", KEY)), save("r.jsonl", document("a", RESPONSE))
    out = as_json(capsys, key, response, "--metrics", "mentions", "--remove-singletons")
    assert out == {"mentions": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}}


def test_all_metrics(save, capsys):
    key = save("key.jsonl", document("a", KEY))
    out = as_json(capsys, key, key, "--metrics", "all")
    assert tuple(out) == NAMES
    assert {tuple(value.values()) for value in out.values()} == {(1.0, 1.0, 1.0)}


def test_sides_may_differ_in_format(save, capsys):
    key = save("key.conll", document("a", KEY), format="conll2012")
    response = save("response.jsonl", document("a", RESPONSE))
    expected = score_corpus([(KEY, RESPONSE)])["conll"].f1
    assert as_json(capsys, key, response)["conll"]["f1"] == pytest.approx(expected)
    explicit = ("--key-format", "conll2012", "--response-format", "jsonl")
    assert as_json(capsys, key, response, *explicit)["conll"]["f1"] == pytest.approx(expected)
    with pytest.raises(FormatError, match=r"response\.jsonl"):
        run(key, response, "--format", "conll2012")


def test_folders_are_read_file_by_file(save, tmp_path, capsys):
    save("key/a.jsonl", document("a", KEY))
    save("key/b.conll", document("b", KEY), format="conll2012")
    (tmp_path / "key" / "README").write_text("not a corpus", encoding="utf-8")
    response = save("r.jsonl", document("a", RESPONSE), document("b", KEY))
    out = as_json(capsys, str(tmp_path / "key"), response)
    expected = score_corpus([(KEY, RESPONSE), (KEY, KEY)])["conll"].f1
    assert out["conll"]["f1"] == pytest.approx(expected)


def test_scores_of_every_document(save, capsys):
    key = save("key.jsonl", document("a", KEY), document("long name", KEY))
    response = save("r.jsonl", document("a", RESPONSE), document("long name", KEY))
    out = as_json(capsys, key, response, "--per-document", "--metrics", "muc")
    assert list(out["documents"]) == ["a", "long name"]
    assert out["documents"]["long name"]["muc"]["f1"] == 1
    assert out["documents"]["a"]["muc"]["recall"] == 0.5
    assert run(key, response, "--per-document", "--metrics", "muc") == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "f1              muc",
        "a             66.67",
        "long name    100.00",
    ]


def test_missing_response_counts_as_empty_and_is_warned_about(save, capsys):
    key = save("key.jsonl", document("a", KEY), document("b", KEY))
    response = save("r.jsonl", document("a", KEY))
    assert run(key, response, "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["mentions"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
    }
    assert "lacks 1 document, scored as if without clusters: 'b'" in captured.err


@pytest.mark.parametrize(
    ("keys", "responses", "error", "message"),
    [
        (["a"], ["b"], MismatchError, r"1 document that .*key\.jsonl lacks: 'b'; .*such as 'a'"),
        (["a"], ["a", "a"], DocumentError, r"r\.jsonl has document 'a' twice"),
        (["a", "a"], ["a"], DocumentError, r"key\.jsonl has document 'a' twice"),
        ([], ["a"], FormatError, r"key\.jsonl has no documents"),
        (["a"], [], FormatError, r"r\.jsonl has no documents"),
    ],
)
def test_documents_must_pair(save, keys, responses, error, message):
    key = save("key.jsonl", *(document(name, KEY) for name in keys))
    response = save("r.jsonl", *(document(name, KEY) for name in responses))
    with pytest.raises(error, match=message):
        run(key, response, "--format", "jsonl")


@pytest.mark.parametrize("missing", ["key", "response"])
def test_missing_annotation_is_refused(save, missing):
    with_it, without = save("with.jsonl", document("a", KEY)), save("w.jsonl", document("a", None))
    sides = (without, with_it) if missing == "key" else (with_it, without)
    with pytest.raises(DocumentError, match=r"w\.jsonl: document 'a' has no annotation"):
        run(*sides)


def test_texts_of_different_lengths_are_refused(save):
    key = save("key.jsonl", document("a", KEY))
    other = save("o.jsonl", document("a", RESPONSE, words=("Ann", *WORDS[1:], "back")))
    match = "7 words in the key and 8 in the response: word 0 is 'She' in the key and 'Ann'"
    with pytest.raises(MismatchError, match=match):
        run(key, other)
    longer = save("l.jsonl", document("a", RESPONSE, words=(*WORDS, "back")))
    with pytest.raises(MismatchError, match="one text is the beginning of the other"):
        run(key, longer)


def test_other_words_are_warned_about(save, capsys):
    key = save("key.jsonl", document("a", KEY))
    response = save("r.jsonl", document("a", KEY, words=(*WORDS[:4], ",", "she", "waved")))
    assert run(key, response) == 0
    captured = capsys.readouterr()
    assert "'a': 2 words of 7 differ: word 4 is ';' in the key and ',' in the" in captured.err
    assert "100.00" in captured.out


def test_one_standard_input_is_enough():
    with pytest.raises(MismatchError, match="both standard input"):
        run("-", "-")


def test_broken_files_are_refused_or_counted(save, tmp_path, capsys):
    key = save("key.jsonl", document("a", KEY))
    broken = tmp_path / "broken.jsonl"
    with open(key, encoding="utf-8") as file:
        broken.write_text(file.read() + "{\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"broken\.jsonl:2"):
        run(key, str(broken))
    assert run(key, str(broken), "--lenient") == 0
    captured = capsys.readouterr()
    assert "warning: " in captured.err
    assert "broken.jsonl:2" in captured.err


def test_many_notes_of_reading_are_one_line(save, tmp_path, capsys):
    key = save("key.jsonl", document("a", KEY))
    broken = tmp_path / "broken.jsonl"
    broken.write_text(pathlib.Path(key).read_text("utf-8") + "{\n" * 25, encoding="utf-8")
    assert run(key, str(broken), "--lenient") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: reading changed some documents: 25 skipped ")
    assert "--verbose" in line
    assert run(key, str(broken), "--lenient", "--verbose") == 0
    *first, last = capsys.readouterr().err.splitlines()
    assert len(first) == 20
    assert all(f"broken.jsonl:{n}: " in text for n, text in enumerate(first, start=2))
    assert last == "warning: ... and 5 more"


@pytest.mark.parametrize("names", ["bleu", "muc,bleu", "", ","])
def test_unknown_metrics_are_a_usage_error(names, capsys):
    with pytest.raises(SystemExit) as stop:
        run("key", "response", "--metrics", names)
    assert stop.value.code == 2
    assert "expected some of muc,b3,ceafm" in capsys.readouterr().err


# Relations

OWNS, KNOWS = Relation(0, 1, "owns"), Relation(1, 0, "knows")


def test_relations_are_scored_where_a_side_has_some(save, capsys):
    key = save("key.jsonl", document("a", KEY, relations=(OWNS, KNOWS)), document("b", KEY))
    response = save("r.jsonl", document("a", KEY, relations=(OWNS,)), document("b", RESPONSE))
    assert run(key, response, "--metrics", "muc") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[2:] == [
        ["2", "documents,", "singletons", "kept"],
        [],
        ["relations", "precision", "recall", "f1"],
        ["mentions", "100.00", "100.00", "100.00"],
        [
            "coref",
            *(f"{100 * x:.2f}" for x in score_corpus([(KEY, KEY), (KEY, RESPONSE)])["conll"]),
        ],
        ["re", "100.00", "50.00", "66.67"],
        ["2", "documents,", "1", "right", "of", "1", "predicted", "and", "2", "true"],
    ]
    out = as_json(capsys, key, response, "--metrics", "muc", "--per-document")
    assert out["relations"]["re"] == {"precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert list(out["relations"]) == ["mentions", "coref", "re"]
    assert out["documents"]["a"]["relations"]["re"]["recall"] == 0.5
    # either side is enough, none is none
    empty = save("empty.jsonl", document("a", KEY), document("b", KEY))
    assert as_json(capsys, key, empty)["relations"]["re"]["f1"] == 0
    assert as_json(capsys, empty, response)["relations"]["re"]["f1"] == 0
    assert "relations" not in as_json(capsys, empty, empty)
    assert run(empty, empty) == 0
    assert "relations" not in capsys.readouterr().out


def test_relations_are_scored_with_singletons(save, capsys):
    single = (((0, 1),), ((5, 6),))
    key = save("key.jsonl", document("a", single, relations=(OWNS,)))
    out = as_json(capsys, key, key, "--remove-singletons")
    assert out["mentions"]["f1"] == 0
    assert out["relations"]["mentions"]["f1"] == out["relations"]["re"]["f1"] == 1


def test_what_training_states_is_left_out_of_ign(save, capsys):
    key = save("key.jsonl", document("a", KEY, relations=(OWNS, KNOWS)))
    train = save("train.jsonl", document("t", KEY, relations=(OWNS,)))
    wrong = Relation(1, 1, "owns")
    response = save("r.jsonl", document("a", KEY, relations=(OWNS, KNOWS, wrong)))
    out = as_json(capsys, key, response, "--train", train)["relations"]
    assert out["re"]["precision"] == 2 / 3
    assert out["ign"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3)}
    assert run(key, response, "--train", train, "--per-document", "--metrics", "muc") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == [["f1", "muc", "re", "ign"], ["a", "100.00", "80.00", "66.67"]]
    nothing = save("nothing.jsonl", document("t", KEY))
    with pytest.raises(ConfigError, match=r"--train .*nothing.jsonl has no relations; expected"):
        run(key, response, "--train", nothing)


def test_a_key_without_relations_and_its_codalab_submission(save, tmp_path, capsys):
    extra = {"relations_unknown": True, "entities": [
        {"mentions": [], "names": []}, *({"mentions": c, "names": ["n"] * 2} for c in KEY)
    ]}  # fmt: skip
    key = save("key.jsonl", document("a", KEY, **extra), document("b", KEY, **extra))
    response = save("r.jsonl", document("a", RESPONSE, relations=(OWNS, KNOWS)))
    target = tmp_path / "result.json"
    assert run(key, response, "--codalab", str(target)) == 0
    captured = capsys.readouterr()
    assert "does not say which relations 2 documents have; theirs are not scored" in captured.err
    assert "\nre " not in captured.out
    row = {"title": "a", "evidence": []}
    assert json.loads(target.read_text("utf-8")) == [
        row | {"h_idx": 1, "t_idx": 10**6 + 1, "r": "owns"},
        row | {"h_idx": 10**6 + 1, "t_idx": 1, "r": "knows"},
    ]
    assert run(key, key, "--codalab", str(target)) == 0
    assert json.loads(target.read_text("utf-8")) == []
    assert "is empty: there are no relations" in capsys.readouterr().err


def test_re_docred_from_its_own_files(shared, save, tmp_path, capsys):
    """Perfect predictions through jsonl score 1, and a submission has the file's own numbers."""
    folder = shared / "data" / "redocred"
    predicted = [d.with_annotation(d.annotation) for d in corpora.read(folder / "dev.json")]
    response = save("r.jsonl", *predicted)
    target = tmp_path / "result.json"
    out = as_json(capsys, str(folder / "dev.json"), response, "--train",
                  str(folder / "train.json"), "--codalab", str(target))  # fmt: skip
    assert {out["relations"][name]["f1"] for name in ("mentions", "coref", "re", "ign")} == {1}
    truth = json.loads((folder / "dev.json").read_text("utf-8"))
    assert {
        (r["title"], r["h_idx"], r["t_idx"], r["r"]) for r in json.loads(target.read_text())
    } == {(value["title"], x["h"], x["t"], x["r"]) for value in truth for x in value["labels"]}


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "docs/metrics.md" in text
    assert "re_official" in text
    assert "--codalab result.json" in text


def test_files_of_the_official_scorer(shared, capsys):
    """Its test files are scored as they stand, although some of their words differ."""
    folder = shared / "data" / "conll_scorer_tests" / "DataFiles"
    responses = sorted(folder.glob("*.response"))
    assert len(responses) == 19
    for response in responses:
        key = folder / f"TC-{response.name.split('-')[1]}.key"
        out = as_json(capsys, str(key), str(response))
        assert 0 <= out["conll"]["f1"] <= 1

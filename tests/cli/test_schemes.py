"""`t5coref score --scheme`: what each scheme counts, prints and refuses."""

from __future__ import annotations

import argparse
import json

import pytest

from t5coref.cli import score
from t5coref.core.errors import ConfigError
from t5coref.corpora import conllu, jsonl

KEY = """\
# newdoc id = d
# global.Entity = eid-etype-head-other
1\tthe\t_\t_\t_\t_\t3\t_\t_\tEntity=(e1--3-
2\told\t_\t_\t_\t_\t3\t_\t_\t_
3\tman\t_\t_\t_\t_\t4\t_\t_\tEntity=e1)
4\tsaw\t_\t_\t_\t_\t0\t_\t_\tEntity=(e3--1-)
5\thim\t_\t_\t_\t_\t4\t_\t_\tEntity=(e1--1-)
5.1\t_\t_\t_\t_\t_\t_\t_\t4:obl\tEntity=(e1--1-)

"""
# The head is right and the bounds are not; the zero stands elsewhere and depends on the same word.
RESPONSE = """\
# newdoc id = d
# global.Entity = eid-etype-head-other
1\tthe\t_\t_\t_\t_\t3\t_\t_\t_
2\told\t_\t_\t_\t_\t3\t_\t_\tEntity=(x--2-
3\tman\t_\t_\t_\t_\t4\t_\t_\tEntity=x)
3.1\t_\t_\t_\t_\t_\t_\t_\t4:obl\tEntity=(x--1-)
4\tsaw\t_\t_\t_\t_\t0\t_\t_\t_
5\thim\t_\t_\t_\t_\t4\t_\t_\tEntity=(x--1-)

"""

COLUMNS = "# global.columns = ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC IDENTITY BRIDGING"
LIGHT = [
    "(EntityID=1|MarkableID=a|Min=1|ElementOf=3", ")",
    "(EntityID=2|MarkableID=b|ElementOf=3)", "(EntityID=3|MarkableID=c)",
    "(EntityID=7-Pseudo|MarkableID=d)",
]  # fmt: skip


@pytest.fixture
def save(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


@pytest.fixture
def corefud(save):
    return save("key.conllu", KEY), save("response.conllu", RESPONSE)


def light(*cells):
    rows = (
        "\t".join([str(i), f"w{i}", *"_" * 8, cell, bridging])
        for i, (cell, bridging) in enumerate(cells, start=1)
    )
    return "\n".join([COLUMNS, "# newdoc id = d", *rows, ""])


def run(*argv):
    parser = argparse.ArgumentParser()
    score.configure(parser)
    return score.run(parser.parse_args(argv))


def as_json(capsys, *argv):
    assert run(*argv, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_corefud_matches_heads_and_zeros_by_dependencies(corefud, capsys):
    out = as_json(capsys, *corefud, "--scheme", "corefud")
    assert list(out) == ["muc", "b3", "ceafe", "conll", "mentions", "mor", "zeros"]
    assert {name for name, value in out.items() if value["f1"] == 1} == set(out) - {"mor"}
    assert out["mor"]["recall"] == pytest.approx(3 / 5)
    assert run(*corefud, "--scheme", "corefud") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "1 document, without singletons, head match, zeros by dependencies"


@pytest.mark.parametrize(
    ("options", "mentions"),
    [
        (["--keep-singletons"], 3 / 4),
        (["--zeros", "linear"], 2 / 3),
        (["--zeros", "none"], 1),
        (["--match", "exact"], 2 / 3),
        (["--match", "partial"], 1),
        (["--match", "exact", "--zeros", "linear"], 1 / 3),
    ],
)
def test_options_of_corefud(corefud, capsys, options, mentions):
    out = as_json(capsys, *corefud, "--scheme", "corefud", "--metrics", "mentions", *options)
    assert out == {"mentions": {"precision": out["mentions"]["precision"],
                                "recall": pytest.approx(mentions),
                                "f1": out["mentions"]["f1"]}}  # fmt: skip


def test_predicted_spans_have_the_heads_of_the_tree(corefud, tmp_path, capsys):
    (document,) = conllu.read(corefud[1])
    predicted = tmp_path / "predicted.jsonl"
    jsonl.write([document.with_annotation(document.annotation)], predicted)
    names = ("--scheme", "corefud", "--metrics", "mentions", "--zeros", "none")
    assert as_json(capsys, corefud[0], str(predicted), *names)["mentions"]["f1"] == 1


def test_heads_that_the_key_does_not_state_are_warned_about(corefud, save, capsys):
    silent = KEY.replace("eid-etype-head-other", "eid-etype-other-more")
    assert run(save("silent.conllu", silent), corefud[1], "--scheme", "corefud") == 0
    assert "states no heads in 1 document where" in capsys.readouterr().err
    assert run(*corefud, "--scheme", "corefud") == 0
    assert "states no heads" not in capsys.readouterr().err


def test_without_a_scheme_bounds_decide(corefud, capsys):
    assert as_json(capsys, *corefud, "--metrics", "mentions")["mentions"]["recall"] == 1 / 3


def test_universal_anaphora(save, capsys):
    bridging = "(MarkableID=c|Rel=part|MentionAnchor=a)"
    key = save("k.CONLLUA", light(*((cell, "_") for cell in LIGHT[:3]), (LIGHT[3], bridging),
                                  (LIGHT[4], "_")))  # fmt: skip
    response = save("r.CONLLUA", light(*((cell, "_") for cell in LIGHT)))
    out = as_json(capsys, key, response, "--scheme", "ua")
    assert {out[name]["f1"] for name in ("muc", "b3", "ceafe", "conll", "mentions")} == {1}
    assert out["non-referring"]["f1"] == 1
    assert out["bridging"] == out["bridging-entity"] == {"precision": 0, "recall": 0, "f1": 0}
    assert set(out["split_antecedents"]) == {"muc", "b3", "ceafe", "conll"}
    without = as_json(capsys, key, response, "--scheme", "ua", "--remove-split-antecedents")
    assert "split_antecedents" not in without
    assert without["muc"]["f1"] == 0
    assert run(key, response, "--scheme", "ua") == 0
    printed = capsys.readouterr().out
    assert "split antecedents   precision" in printed
    assert ["non-referring", "100.00", "100.00", "100.00"] in map(str.split, printed.splitlines())
    assert "singletons kept, exact match, without zeros, split antecedents" in printed
    assert run(key, response, "--scheme", "ua", "--remove-singletons", "--metrics", "muc") == 0
    assert "without singletons, exact match, without zeros" in capsys.readouterr().out


def test_minimal_spans(save, capsys):
    key = save("k.CONLLUA", light(*((cell, "_") for cell in LIGHT)))
    short = ["(EntityID=1|MarkableID=a)", "_", *LIGHT[2:]]
    response = save("r.CONLLUA", light(*((cell, "_") for cell in short)))
    names = ("--scheme", "ua", "--metrics", "mentions")
    assert as_json(capsys, key, response, *names)["mentions"]["f1"] == pytest.approx(2 / 3)
    assert as_json(capsys, key, response, *names, "--match", "partial")["mentions"]["f1"] == 1


def test_scores_of_every_document(corefud, capsys):
    out = as_json(capsys, *corefud, "--scheme", "corefud", "--per-document", "--metrics", "all")
    assert out["documents"]["d"] == {name: out[name] for name in out if name != "documents"}
    assert len(out["documents"]["d"]) == 10


@pytest.mark.parametrize(
    "options",
    [["--match", "head"], ["--zeros", "linear"], ["--remove-split-antecedents"],
     ["--metrics", "mor"]],
)  # fmt: skip
def test_what_needs_a_scheme(corefud, options):
    with pytest.raises(ConfigError, match="need --scheme ua or corefud"):
        run(*corefud, *options)


def test_help_shows_the_schemes(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    printed = capsys.readouterr().out
    for text in ("schemes:", "--keep-singletons", "predicted.conllu --scheme corefud"):
        assert text in printed

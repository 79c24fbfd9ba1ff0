"""CONLL-UA: the brackets of the column IDENTITY."""

from __future__ import annotations

import pytest

from t5coref.core.errors import FormatError
from t5coref.corpora import Report, conllua

HEADER = "# global.columns = ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC IDENTITY BRIDGING"


def row(number, word, identity="_"):
    return "\t".join([str(number), word, *"________", identity, "_"])


def read(tmp_path, *rows, **options):
    path = tmp_path / "light.CONLLUA"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return list(conllua.read(path, **options))


def clusters(tmp_path, *cells):
    rows = [row(i, f"w{i}", cell) for i, cell in enumerate(cells, start=1)]
    (document,) = read(tmp_path, *rows)
    return document.annotation.clusters


def opening(entity, markable):
    return f"(EntityID={entity}|MarkableID=markable_{markable}|Min=1|SemType=dn"


def test_a_closing_bracket_ends_the_markable_opened_last(tmp_path):
    cells = (opening(1, 1), "_", opening(2, 2) + opening(1, 3) + ")", "))")
    assert clusters(tmp_path, *cells) == (((0, 4), (2, 3)), ((2, 4),))


def test_a_bracket_closes_before_another_opens(tmp_path):
    assert clusters(tmp_path, opening(1, 1), ")" + opening(2, 2) + ")") == (((0, 2),), ((1, 2),))


def test_named_closing_brackets_may_cross(tmp_path):
    cells = (opening(1, 1), opening(2, 2), "markable_1)", "markable_2)")
    assert clusters(tmp_path, *cells) == (((0, 3),), ((1, 4),))


def test_what_does_not_refer_is_no_mention(tmp_path):
    cells = (opening("4-Pseudo", 1) + ")", opening(4, 2) + ")")
    assert clusters(tmp_path, *cells) == (((1, 2),),)


def test_zeros_are_no_words(tmp_path):
    rows = (row(1, "a", opening(1, 1) + ")"), row("1.1", "_", opening(1, 2) + ")"), row(2, "b"))
    (document,) = read(tmp_path, *rows)
    assert document.words == ("a", "b")
    assert document.annotation.clusters == (((0, 1),),)


def test_a_markable_of_several_parts_keeps_the_first(tmp_path):
    report = Report()
    rows = (row(1, "a", opening(1, 1) + ")"), row(2, "b"), row(3, "c", opening(1, 1) + ")"))
    (document,) = read(tmp_path, *rows, report=report)
    assert document.annotation.clusters == (((0, 1),),)
    assert report.counts["discontinuous_mentions"] == 1


def test_documents_sentences_and_speakers(tmp_path):
    rows = [
        "# newdoc id = light/1", "# sent_id = 1", "# speaker = orc", row(1, "a"), row(2, "b"),
        "# sent_id = 2", "# speaker = elf", row(3, "c"), "", row(4, "d"),
        "# newdoc id = light/2", row(1, "e"),
    ]  # fmt: skip
    one, other = read(tmp_path, *rows)
    assert (one.doc_id, one.words) == ("light/1", ("a", "b", "c", "d"))
    assert one.sentences == ((0, 2), (2, 3), (3, 4))
    assert one.speakers == ("orc", "orc", "elf", "elf")
    assert (other.doc_id, other.words, other.speakers) == ("light/2", ("e",), None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(1, "a", ")")], "a markable closes but is not open"),
        ([row(1, "a", opening(1, 1))], "markable_1 opens here and never closes"),
        ([row(1, "a", "(MarkableID=m)")], "no EntityID"),
        ([row(1, "a", "(EntityID=1|MarkableID=m)x")], "cannot read 'x'"),
        (["1\ta\t_"], "found 3 columns"),
        ([row("x", "a")], "expected a word's number"),
    ],
)
def test_mistakes_are_named_and_can_be_skipped(tmp_path, rows, message):
    with pytest.raises(FormatError, match=rf"light.CONLLUA:2: .*{message}"):
        read(tmp_path, *rows)
    report = Report()
    read(tmp_path, *rows, lenient=True, report=report)
    assert report.problems() == 1

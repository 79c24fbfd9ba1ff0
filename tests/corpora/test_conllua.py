"""CONLL-UA: the brackets of the column IDENTITY."""

from __future__ import annotations

import pytest

from t5coref.core.anaphora import anaphora
from t5coref.core.document import Annotation, Document
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


SAMPLE = """\
# global.columns = ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC IDENTITY BRIDGING \
DISCOURSE_DEIXIS REFERENCE NOM_SEM
# newdoc id = light/1
# sent_id = light/1-1
# speaker = orc
# text = Ann saw Bob
1\tAnn\t_\t_\t_\t_\t_\t_\t_\t_\t(EntityID=1|MarkableID=m1|Min=1|ElementOf=3,4|SemType=dn)\t_\t_\tx\t_
2\tsaw\t_\t_\t_\t_\t_\t_\t_\t_\t_\t_\t(EntityID=1|MarkableID=d1)\t_\t_
3\tBob\t_\t_\t_\t_\t_\t_\t_\t_\t(EntityID=2|MarkableID=m2|Min=3|ElementOf=3)\t_\t_\t_\t_

# sent_id = light/1-2
# speaker = _
# text = They left it all
1\tThey\t_\t_\t_\t_\t_\t_\t_\t_\t(EntityID=3|MarkableID=m3)\t_\t_\t_\t_
1.1\t_\t_\t_\t_\t_\t_\t_\t_\t_\t(EntityID=1|MarkableID=m4)\t_\t_\t_\t_
2\tleft\t_\t_\t_\t_\t_\t_\t_\t_\t_\t_\t_\t_\t_
3\tit\t_\t_\t_\t_\t_\t_\t_\t_\t(EntityID=9-Pseudo|MarkableID=m5)(EntityID=5|MarkableID=m6|Min=3,4\t(MarkableID=m6|Rel=part|MentionAnchor=m2|EntityAnchor=2\t_\t_\t_
4\tall\t_\t_\t_\t_\t_\t_\t_\t_\t)\t)\t_\t_\t_

"""


def test_universal_anaphora_is_kept(tmp_path):
    path = tmp_path / "light.CONLLUA"
    path.write_text(SAMPLE, encoding="utf-8")
    report = Report()
    (document,) = conllua.read(path, report=report)
    assert document.annotation.clusters == (((0, 1),), ((2, 3),), ((3, 4),), ((5, 7),))
    assert report.counts == {"documents": 1, "dropped_mentions": 1}  # the zero
    found = anaphora(document)
    assert [(e.name, e.referring) for e in found.entities] == [
        ("1", True), ("2", True), ("3", True), ("5", True), ("9-Pseudo", False), ("4", True)
    ]  # fmt: skip
    assert [(link.anaphor, link.antecedent, link.mention) for link in found.split] == [
        (2, 0, 0), (5, 0, 0), (2, 1, 1)
    ]  # fmt: skip
    (bridging,) = found.bridging
    assert (bridging.anaphor, bridging.antecedent, bridging.relation) == (3, 1, "part")
    assert [found.mentions[i].name for i in (bridging.mention, bridging.anchor)] == ["m6", "m2"]
    assert found.mentions[bridging.mention].minimum == (2, 4)
    assert conllua.dumps(document) == SAMPLE
    conllua.write([document], path)
    assert list(conllua.read(path)) == [document]


def test_discourse_deixis_is_a_column_like_identity(tmp_path):
    path = tmp_path / "light.CONLLUA"
    path.write_text(SAMPLE, encoding="utf-8")
    (document,) = conllua.read(path, column="DISCOURSE_DEIXIS")
    assert document.annotation.clusters == (((1, 2),),)


def test_writes_clusters_that_other_formats_have(tmp_path):
    path = tmp_path / "x.CONLLUA"
    document = Document(
        doc_id="d",
        words=("a", "b", "c", "d"),
        sentences=((0, 3), (3, 4)),
        speakers=("X", "X", "X", "Y"),
        annotation=Annotation((((0, 2), (3, 4)), ((1, 3),))),
    )
    conllua.write([document, document], path)
    for found in conllua.read(path):
        assert found.annotation == document.annotation  # crossing mentions, closed by name
        assert found.speakers == document.speakers


def test_a_bridging_anchor_that_is_not_there(tmp_path):
    report = Report()
    line = row(1, "a", opening(1, 1) + ")").split("\t")
    line[11] = "(MarkableID=markable_1|Rel=part|MentionAnchor=markable_9)"
    (document,) = read(tmp_path, "\t".join(line), report=report)
    assert anaphora(document).bridging == ()
    assert report.counts["dropped_relations"] == 1


def test_a_minimal_span_that_cannot_be_read(tmp_path):
    cell = "(EntityID=1|MarkableID=m|Min=x)"
    with pytest.raises(FormatError, match="Min=x; expected"):
        clusters(tmp_path, cell)

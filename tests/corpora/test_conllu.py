import dataclasses

import pytest

from t5coref.core.anaphora import Mention, anaphora
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import FormatError
from t5coref.corpora import Report, conllu

COREFUD = "# global.Entity = eid-etype-head-other"


def row(number, form="w", misc="_", xpos="_", upos="_"):
    return "\t".join([str(number), form, "_", upos, xpos, "_", "0", "_", "_", misc])


def sentence(*entities, header=COREFUD):
    """A document of words w1 w2 ... whose MISC has these Entity values."""
    out = ["# newdoc id = d"] + ([header] if header else [])
    for i, entity in enumerate(entities, start=1):
        out.append(row(i, f"w{i}", f"Entity={entity}" if entity else "_"))
    return "\n".join([*out, "", ""])


def read_text(tmp_path, content, **options):
    path = tmp_path / "file.conllu"
    path.write_text(content, encoding="utf-8", newline="")
    return list(conllu.read(path, **options))


def clusters(tmp_path, *entities, **options):
    header = options.pop("header", COREFUD)
    (document,) = read_text(tmp_path, sentence(*entities, header=header), **options)
    return document.annotation.clusters


GUM = """\
# newdoc id = GUM_x
# global.Entity = GRP-etype-infstat-salience-centering-minspan-link-identity
# meta::genre = vlog
# meta::title = A = B
# sent_id = GUM_x-1
# speaker = Ann
# text = I don't know 1 000 men.
1\tI\tI\tPRON\tPRP\t_\t0\t_\t_\tDiscourse=x|Entity=(1-person-acc:inf-sssss-cf1-1-ana)
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\tVBP\t_\t0\t_\t_\t_
3\tn't\tnot\tPART\tRB\t_\t0\t_\t_\t_
4\tknow\tknow\tVERB\tVB\t_\t0\t_\t_\t_
5\t1 000\t1000\tNUM\tCD\t_\t0\t_\t_\tEntity=(2-person-new-sssss-cf2-1,2-sgl-Men_%28all%29
6\tmen\tman\tNOUN\t_\t_\t0\t_\t_\tEntity=2)|SpaceAfter=No
7\t.\t.\tPUNCT\t.\t_\t0\t_\t_\t_

# sent_id = GUM_x-2
# text = Me
1\tMe\tI\tPRON\tPRP\t_\t0\t_\t_\tEntity=(1-person-giv:act-sssss-cf1-1-ana)

"""


def test_gum(tmp_path):
    (document,) = read_text(tmp_path, GUM)
    assert document == Document(
        doc_id="GUM_x",
        words=("I", "do", "n't", "know", "1 000", "men", ".", "Me"),
        sentences=((0, 7), (7, 8)),
        speakers=("Ann",) * 7 + (None,),
        pos=("PRP", "VBP", "RB", "VB", "CD", "NOUN", ".", "PRP"),
        text="I don't know 1 000 men. Me",
        word_offsets=((0, 1), (2, 4), (4, 7), (8, 12), (13, 18), (19, 22), (22, 23), (24, 26)),
        annotation=Annotation((((0, 1), (7, 8)), ((4, 6),))),
        extra=document.extra,
    )
    assert list(document.extra) == ["meta", "anaphora"]
    assert document.extra["meta"] == {"genre": "vlog", "title": "A = B"}
    found = anaphora(document)
    assert [entity.type for entity in found.entities] == ["person", "person"]
    assert found.mentions[2] == Mention(
        0, ((7, 8),), attributes={"infstat": "giv:act", "salience": "sssss", "centering": "cf1",
                                  "minspan": "1", "link": "ana"},
    )  # fmt: skip


def test_crlf_and_byte_order_mark(tmp_path):
    windows = "\ufeff" + GUM.replace("\n", "\r\n")
    assert read_text(tmp_path, windows) == read_text(tmp_path, GUM)


@pytest.mark.parametrize(
    ("entities", "expected"),
    [
        (["(e1-p-1-", "", "e1)"], [[(0, 3)]]),
        (["(e1-p-1-(e2-p-1-", "e2)", "e1)"], [[(0, 3)], [(0, 2)]]),
        (["(e1-p-1-", "(e2-p-1-", "e1)", "e2)"], [[(0, 3)], [(1, 4)]]),  # crossing
        (["(e1-p-1-)(e2-p-1-)"], [[(0, 1)], [(0, 1)]]),  # one span, two clusters
        (["(e1-p-1-(e1-p-1-", "e1)", "e1)"], [[(0, 2), (0, 3)]]),  # nested in itself
        (["(e1-p-1-", "e1)(e2-p-1-)(e3-p-1-", "e3)"], [[(0, 2)], [(1, 2)], [(1, 3)]]),
        (["(e1)", "", "(e1)"], [[(0, 1), (2, 3)]]),  # no fields but the name, as in OntoGUM
        (["(3-p", "(3-p)", "3)"], [[(0, 3), (1, 2)]]),
    ],
)
def test_brackets(tmp_path, entities, expected):
    found = clusters(tmp_path, *entities)
    assert sorted(map(list, found)) == sorted(map(sorted, expected))


def test_the_header_says_where_the_name_is(tmp_path):
    found = clusters(
        tmp_path, "(p-e1-1-", "e1)", "(x-e1)", header="# global.Entity = etype-eid-head"
    )
    assert found == (((0, 2), (2, 3)),)


def test_without_a_header_the_name_comes_first(tmp_path):
    assert clusters(tmp_path, "(e1-p)", header=None) == (((0, 1),),)


def test_not_annotated_is_not_the_same_as_no_mention(tmp_path):
    assert read_text(tmp_path, sentence("", header=None))[0].annotation is None
    assert read_text(tmp_path, sentence(""))[0].annotation == Annotation()


@pytest.mark.parametrize(
    ("head", "span"),
    [(1, (0, 2)), (2, (0, 2)), (3, (3, 4)), (5, (5, 7)), (9, (0, 2)), ("", (0, 2))],
)
def test_a_discontinuous_mention_keeps_the_part_with_its_head(tmp_path, head, span):
    report = Report()
    found = clusters(
        tmp_path,
        f"(e1[1/3]-p-{head}-",
        "e1[1/3])",
        "",
        f"(e1[2/3]-p-{head}-)",
        "(e2-p-1-)",
        f"(e1[3/3]-p-{head}-",
        "e1[3/3])",
        report=report,
    )
    assert found == tuple(sorted([(span,), ((4, 5),)]))
    assert report.counts == {"documents": 1, "discontinuous_mentions": 1}


def test_parts_of_two_mentions_of_one_entity(tmp_path):
    parts = ["(e1[1/2]-p-1-)", "(e1[1/2]-p-2-)", "(e1[2/2]-p-2-)", "(e1-p-1-)", "(e1[2/2]-p-1-)"]
    assert clusters(tmp_path, *parts) == (((0, 1), (1, 3), (3, 4)),)


@pytest.mark.parametrize("parts", [["(e1[1/2]-p-1-)"], ["(e1[2/2]-p-1-)"]])
def test_missing_parts(tmp_path, parts):
    with pytest.raises(FormatError, match="part"):
        clusters(tmp_path, *parts)
    report = Report()
    assert clusters(tmp_path, *parts, lenient=True, report=report) == ()
    assert report.problems() == 1


def test_empty_nodes_are_no_words(tmp_path):
    content = "\n".join(
        [
            "# newdoc id = d",
            COREFUD,
            row("0.1", "_", "Entity=(e1-p-1-"),
            row(1, "a", "Entity=e1)"),
            row("1.1", "_", "Entity=(e2-p-1-)"),
            row(2, "b", "Entity=(e3[1/2]-p-1-)"),
            row("2.1", "_", "Entity=(e1-p-1-)"),
            row(3, "c", "Entity=(e3[2/2]-p-1-"),
            row("3.1", "_", "Entity=e3[2/2])"),
            "",
        ]
    )
    report = Report()
    (document,) = read_text(tmp_path, content, report=report)
    assert document.words == ("a", "b", "c")
    assert document.text == "a b c"
    # e3 is in one piece once the empty node between its parts is gone
    assert document.annotation.clusters == (((0, 1),), ((1, 3),))
    assert report.counts == {"documents": 1, "dropped_mentions": 2}


def test_the_head_may_be_an_empty_node(tmp_path):
    content = "\n".join(
        [
            COREFUD,
            row(1, "a", "Entity=(e1[1/2]-p-2-)"),
            row(2, "b"),
            row("2.1", "_", "Entity=(e1[2/2]-p-2-"),
            row(3, "c", "Entity=e1[2/2])"),
            "",
        ]
    )
    assert read_text(tmp_path, content)[0].annotation.clusters == (((0, 1),),)


@pytest.mark.parametrize(
    ("entities", "line", "word"),
    [
        (["", "e1)"], 4, "closes"),
        (["", "(e1-p-1-"], 4, "never closes"),
        (["(e1-p-1-)e"], 3, "cannot read 'e'"),
        (["()"], 3, "cannot read"),
    ],
)
def test_unbalanced_brackets_name_the_line_or_are_skipped(tmp_path, entities, line, word):
    with pytest.raises(FormatError, match=rf"file\.conllu:{line}: .*{word}"):
        clusters(tmp_path, *entities)
    report = Report()
    clusters(tmp_path, *entities, lenient=True, report=report)
    assert report.counts["skipped_brackets"] == 1


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("1 a _ _ _ _ _ _ _ _\n", 1),
        ("# newdoc id = d\n1\ta\n", 2),
        (row("x") + "\n", 1),
        ("# global.Entity = etype-head\n" + row(1) + "\n", 1),
    ],
)
def test_malformed_lines(tmp_path, content, line):
    with pytest.raises(FormatError, match=rf"file\.conllu:{line}: "):
        read_text(tmp_path, content)
    report = Report()
    read_text(tmp_path, content, lenient=True, report=report)
    assert report.counts["skipped_lines"] == 1


def test_an_empty_form(tmp_path):
    with pytest.raises(FormatError, match=r":1: FORM is empty"):
        read_text(tmp_path, row(1, "") + "\n")
    report = Report()
    assert read_text(tmp_path, row(1, ""), lenient=True, report=report)[0].words == ("_",)
    assert report.counts["replaced_words"] == 1


def test_a_bracket_without_the_field_of_its_name(tmp_path):
    header = "# global.Entity = etype-eid"
    with pytest.raises(FormatError, match="has no field 2"):
        clusters(tmp_path, "(p)", header=header)
    assert clusters(tmp_path, "(p)", header=header, lenient=True) == (((0, 1),),)


def test_a_contraction_spelled_otherwise_leaves_the_document_without_text(tmp_path):
    content = "\n".join([row("1-2", "du"), row(1, "de"), row(2, "le"), row(3, "chat"), ""])
    (document,) = read_text(tmp_path, content)
    assert document.words == ("de", "le", "chat")
    assert document.text is None
    assert document.word_offsets is None


def test_what_follows_a_contraction(tmp_path):
    for misc, text in [("SpaceAfter=No", "don't."), ("_", "don't .")]:
        content = [row("1-2", "don't", misc), row(1, "do"), row(2, "n't"), row(3, ".")]
        assert read_text(tmp_path, "\n".join(content))[0].text == text


def test_several_documents(tmp_path):
    content = "\n".join(
        [
            COREFUD,
            "# newdoc id = a",
            "# newdoc id = empty",
            "# newdoc",
            "# speaker = Ann",
            row(1, "x", "Entity=(e1-p-1-)"),
            "",
            row(1, "y", "Entity=(e1-p-1-)"),
            "# newdoc",
            row(1, "z"),
        ]
    )
    documents = read_text(tmp_path, content)
    assert [d.doc_id for d in documents] == ["a", "empty", "file#1", "file#2"]
    assert [d.words for d in documents] == [(), (), ("x", "y"), ("z",)]
    assert documents[2].speakers == ("Ann", None)
    assert all(d.annotation is not None for d in documents)


def test_a_file_without_newdoc_is_one_document(tmp_path):
    (document,) = read_text(tmp_path, "# text = x\n" + row(1, "x", upos="NOUN") + "\n")
    assert (document.doc_id, document.words, document.pos) == ("file", ("x",), ("NOUN",))
    assert read_text(tmp_path, "") == []
    assert read_text(tmp_path, "# only a comment\n") == []


WRITTEN = """\
# newdoc id = d
# global.Entity = eid-etype-head-other
# sent_id = d-1
# speaker = A b
# text = Ann sawher
1\tAnn\t_\t_\tN\t_\t0\t_\t_\tEntity=(e0--1-
2\tsaw\t_\t_\tV\t_\t0\t_\t_\tEntity=(e2--1-)(e1--1-|SpaceAfter=No
3\ther\t_\t_\t_\t_\t0\t_\t_\tEntity=e1)

# sent_id = d-2
# text = dog
1\tdog\t_\t_\tN\t_\t0\t_\t_\tEntity=e0)(e2--1-)

"""


def test_writes_what_it_reads(tmp_path):
    document = Document(
        doc_id="d",
        words=("Ann", "saw", "her", "dog"),
        sentences=((0, 3), (3, 4)),
        speakers=("A b",) * 3 + (None,),
        pos=("N", "V", "_", "N"),
        text="Ann sawher dog",
        word_offsets=((0, 3), (4, 7), (7, 10), (11, 14)),
        annotation=Annotation((((0, 4),), ((1, 3),), ((1, 2), (3, 4)))),
    )
    assert conllu.dumps(document) == WRITTEN
    conllu.write([document, document], tmp_path / "out.conllu")
    found, other = conllu.read(tmp_path / "out.conllu")
    assert found == other == dataclasses.replace(document, extra=found.extra)
    assert conllu.dumps(found) == WRITTEN


def test_what_the_format_cannot_hold_is_counted(tmp_path):
    document = Document(
        doc_id="d",
        words=("a\tb", "c", "d"),
        speakers=("A", "B", None),
        annotation=Annotation((((0, 2), (1, 3)),)),
    )
    report = Report()
    (found,) = read_text(tmp_path, conllu.dumps(document, report=report))
    assert found.words == ("a b", "c", "d")
    assert found.speakers is None
    assert found.annotation.clusters == (((0, 2),),)
    assert report.counts == {"lost_speakers": 1, "dropped_mentions": 1}


def test_no_annotation_and_no_words(tmp_path):
    for document in (
        Document(doc_id="d", words=()),
        Document(doc_id="d", words=("a",)),
        Document(doc_id="d", words=(), annotation=Annotation()),
    ):
        (found,) = read_text(tmp_path, conllu.dumps(document))
        assert found.words == document.words
        assert found.annotation == document.annotation


COREFUD_SAMPLE = """\
# newdoc id = d
# global.Entity = eid-etype-head-minspan-other
# meta::genre = tale
# sent_id = d-1
# text = Ann and Bob left
1\tAnn\t_\t_\tN\t_\t4\tnsubj\t_\tEntity=(e1-person-1--)
2\tand\t_\t_\tC\t_\t3\tcc\t_\t_
3\tBob\t_\t_\tN\t_\t1\tconj\t_\tEntity=(e2-person-1--a:b)
4\tleft\t_\t_\tV\t_\t0\troot\t_\t_

# sent_id = d-2
# text = took them all along
0.1\t_\tthey\tPRON\t_\tPerson=3\t_\t_\t1:nsubj\tBridge=e1<e3:part,e2<e3|Entity=(e3--1--)|\
SplitAnte=e1<e3,e2<e3|Was=here
1\ttook\t_\t_\tV\t_\t0\troot\t_\tEntity=(e4--1--
2\tthem\t_\t_\tP\t_\t1\tobj\t_\tEntity=(e3[1/2]--2-x-)
3\tall\t_\t_\tD\t_\t2\tdet\t_\tEntity=e4)
3.1\t_\t_\t_\t_\t_\t_\t_\t1:obl\t_
4\talong\t_\t_\tR\t_\t1\tadv\t_\tEntity=(e3[2/2]--2-x-)

"""


def test_corefud_is_kept(tmp_path):
    """Heads, zeros, parts, antecedents that are several, bridging and the tree come back."""
    report = Report()
    (document,) = read_text(tmp_path, COREFUD_SAMPLE, report=report)
    assert document.annotation.clusters == (((0, 1),), ((2, 3),), ((4, 7),), ((7, 8),))
    assert report.counts["discontinuous_mentions"] == report.counts["dropped_mentions"] == 1
    found = anaphora(document)
    parts = [(found.entities[m.entity].name, m.parts, m.head) for m in found.mentions]
    assert parts == [
        ("e1", ((0, 1),), 0),
        ("e2", ((2, 3),), 2),
        ("e3", ((4, 5),), 4),  # the zero
        ("e4", ((5, 8),), 5),
        ("e3", ((6, 7), (9, 10)), 9),
    ]
    assert [(link.anaphor, link.antecedent) for link in found.split] == [(2, 0), (2, 1)]
    assert [link.relation for link in found.bridging] == ["part", None]
    assert {link.mention for link in (*found.split, *found.bridging)} == {2}
    assert [(z.sentence, z.after, z.number) for z in found.zeros] == [(1, 0, 1), (1, 3, 1)]
    assert conllu.dumps(document) == COREFUD_SAMPLE
    (again,) = read_text(tmp_path, conllu.dumps(document))
    assert again == document


def test_written_heads_come_from_the_tree(tmp_path):
    (document,) = read_text(tmp_path, COREFUD_SAMPLE)
    predicted = document.with_annotation(Annotation((((0, 3), (4, 8)),)))
    (found,) = read_text(tmp_path, conllu.dumps(predicted))
    assert [mention.head for mention in anaphora(found).mentions] == [0, 4]


def test_what_does_not_refer_and_what_cannot_be_told_apart_is_counted(tmp_path):
    (document,) = read_text(tmp_path, sentence("(e1-p-1-)", "(x-p-1-)", "", "(e1-p-1-)"))
    value = document.extra["anaphora"]
    value["entities"][1]["referring"] = False
    value["bridging"] = [{"anaphor": 0, "antecedent": 1}, {"anaphor": 1, "antecedent": 0}]
    value["mentions"] += [
        {"entity": 0, "parts": [[0, 1], [2, 3]]},
        {"entity": 0, "parts": [[1, 2], [3, 4]]},
    ]
    document = dataclasses.replace(document, annotation=Annotation((((0, 1), (1, 2), (3, 4)),)))
    report = Report()
    text = conllu.dumps(document, report=report)
    assert report.counts == {"dropped_mentions": 2, "dropped_relations": 2}
    (found,) = read_text(tmp_path, text)
    assert [m.parts for m in anaphora(found).mentions] == [
        ((0, 1), (2, 3)), ((0, 1),), ((3, 4),)
    ]  # fmt: skip


def test_names_that_brackets_cannot_hold_are_changed(tmp_path):
    (document,) = read_text(tmp_path, sentence("(e1-p-1-)", "(e2-p-1-)"))
    document.extra["anaphora"]["entities"][0]["name"] = "a-b"
    (found,) = read_text(tmp_path, conllu.dumps(document))
    assert [entity.name for entity in anaphora(found).entities] == ["e0", "e2"]


@pytest.mark.parametrize("misc", ["SplitAnte=e1", "Bridge=<e1", "Bridge=e1<"])
def test_links_that_cannot_be_read(tmp_path, misc):
    content = row(1, "a", misc) + "\n"
    with pytest.raises(FormatError, match="cannot read"):
        read_text(tmp_path, content)
    report = Report()
    read_text(tmp_path, content, lenient=True, report=report)
    assert report.counts["dropped_relations"] == 1


def test_a_broken_tree_is_none(tmp_path):
    for heads in (("2", "1"), ("3", "0"), ("_", "0"), ("0", "0")):
        lines = [row(i, "w").split("\t") for i in (1, 2)]
        for line, head in zip(lines, heads, strict=True):
            line[6] = head
        (document,) = read_text(tmp_path, "\n".join("\t".join(line) for line in lines))
        assert "tree" not in document.extra

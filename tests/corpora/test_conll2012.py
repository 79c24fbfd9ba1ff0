import gzip
import io

import pytest

from t5coref.core.document import BLANK_LINES, Annotation, Document
from t5coref.core.errors import FormatError
from t5coref.corpora import Report, conll2012, jsonl, litbank


def rows(*cells, name="doc", words=None):
    """Five-column rows, words w0 w1 ..., with these coreference cells."""
    words = words or [f"w{i}" for i in range(len(cells))]
    return "".join(f"{name}\t0\t{i}\t{words[i]}\t{cell}\n" for i, cell in enumerate(cells))


def wrap(body, header="#begin document (doc); part 000"):
    return f"{header}\n{body}\n#end document\n"


def read_text(tmp_path, content, module=conll2012, **options):
    path = tmp_path / "file.conll"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(module.read(path, **options))


def clusters(tmp_path, *cells, **options):
    (document,) = read_text(tmp_path, wrap(rows(*cells)), **options)
    return document.annotation.clusters


ONTONOTES = """\
#begin document (bc/x/00/x_0000); part 000
bc/x/00/x_0000   0   0    Ann   NNP  (S*   -  -  -   Speaker#1   (PERSON)  (ARG0*)   (0)
bc/x/00/x_0000   0   1    saw   VBD     *  see 01 -   Speaker#1   *  (V*)   -
bc/x/00/x_0000   0   2    her   PRP     *  -  -  -   Speaker#1   *  *  (1|(0)
bc/x/00/x_0000   0   3    dog    NN     *)  -  -  -   Speaker#1   *  *  1)

bc/x/00/x_0000   0   0    Yes    UH  (S*)  -  -  -   -   *   -

#end document
#begin document (bc/x/00/x_0000); part 012
bc/x/00/x_0000  12   0    Bye    UH  (S*)  -  -  -   Bo   *   (0)

#end document
"""


def test_reads_every_layer_that_a_document_holds(tmp_path):
    first, second = read_text(tmp_path, ONTONOTES)
    assert first == Document(
        doc_id="bc/x/00/x_0000#0",
        words=("Ann", "saw", "her", "dog", "Yes"),
        sentences=((0, 4), (4, 5)),
        speakers=("Speaker#1",) * 4 + (None,),
        pos=("NNP", "VBD", "PRP", "NN", "UH"),
        annotation=Annotation((((0, 1), (2, 3)), ((2, 4),))),
    )
    assert second.doc_id == "bc/x/00/x_0000#12"
    assert second.speakers == ("Bo",)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["(0", "-", "0)"], [[(0, 3)]]),
        (["(0|(1", "1)", "0)"], [[(0, 3)], [(0, 2)]]),
        (["(0", "(1", "0)", "1)"], [[(0, 3)], [(1, 4)]]),  # crossing
        (["(0)|(1)"], [[(0, 1)], [(0, 1)]]),  # one span, two clusters
        (["(0|(0", "0)", "0)"], [[(0, 2), (0, 3)]]),  # nested in itself
        (["(0", "(0", "0)|0)"], [[(0, 3), (1, 3)]]),
        (["(0|(0)", "0)"], [[(0, 1), (0, 2)]]),
        (["(1(3(3", "3)3)1)"], [[(0, 2)], [(0, 2)]]),  # no separators; 3 has one span twice
        (["(7)", "_", "(7)"], [[(0, 1), (2, 3)]]),
        (["(a-b)"], [[(0, 1)]]),  # names need not be numbers
    ],
)
def test_brackets(tmp_path, cells, expected):
    found = clusters(tmp_path, *cells)
    assert sorted(map(list, found)) == sorted(map(sorted, expected))


def test_a_mention_may_reach_over_a_sentence_end(tmp_path):
    body = rows("(0") + "\n" + rows("0)")
    (document,) = read_text(tmp_path, wrap(body))
    assert document.sentences == ((0, 1), (1, 2))
    assert document.annotation.clusters == (((0, 2),),)


@pytest.mark.parametrize(
    ("body", "blank_lines"),
    [
        (rows("-", "-") + "\n" + rows("-"), None),
        (rows("-", "-") + "\n" + rows("-") + "\n", None),  # ends the last sentence
        ("\n" + rows("-", "-") + "\n" + rows("-"), [0]),
        (rows("-", "-") + "\n\n \n" + rows("-") + "\n", [2, 2]),
        (rows("-", "-") + "\n" + rows("-") + "\n\n", [3]),
    ],
)
def test_blank_lines_that_end_no_sentence_are_remembered(tmp_path, body, blank_lines):
    content = f"#begin document (a);\n{body}#end document\n"
    (document,) = read_text(tmp_path, content)
    assert document.sentences == ((0, 2), (2, 3))
    assert document.extra.get(BLANK_LINES) == blank_lines


def test_blank_lines_behind_a_document_belong_to_it(tmp_path):
    first = "#begin document (a);\n" + rows("-") + "\n#end document\n"
    second = "#begin document (b);\n" + rows("-", "-") + "#end document\n"
    for behind, blank_lines in [("", None), ("\n", [1]), ("\n\n", [1, 1])]:
        found = read_text(tmp_path, "\n" + first + behind + second + behind)
        assert [d.extra.get(BLANK_LINES) for d in found] == [
            blank_lines,
            # The last row of `second` has no blank line behind it: the first one ends its sentence.
            (blank_lines and [2] * (len(blank_lines) - 1)) or None,
        ]
        assert [d.sentences for d in found] == [((0, 1),), ((0, 2),)]


def test_blank_lines_outlive_our_jsonl(tmp_path):
    content = wrap(rows("-") + "\n\n" + rows("-"))
    (document,) = read_text(tmp_path, content)
    assert document.extra == {BLANK_LINES: [1]}
    jsonl.write([document], tmp_path / "file.jsonl")
    assert list(jsonl.read(tmp_path / "file.jsonl")) == [document]


def test_clusters_come_in_text_order_whatever_their_numbers(tmp_path):
    found = clusters(tmp_path, "(9", "(2)", "9)", "(5)", "(2)")
    assert found == (((0, 3),), ((1, 2), (4, 5)), ((3, 4),))


def test_a_repeated_mention_is_merged_and_counted(tmp_path):
    report = Report()
    assert clusters(tmp_path, "(0|(0", "0)|0)", report=report) == (((0, 2),),)
    assert report.counts["duplicate_mentions"] == 1


@pytest.mark.parametrize(
    ("cells", "line", "word"),
    [
        (["-", "0)"], 3, "closes"),
        (["-", "-", "(0"], 4, "never closes"),
        (["(0", "1)", "0)"], 3, "closes"),
        (["-", "(0", "0))"], 4, "cannot read"),
        (["x"], 2, "cannot read"),
        (["()"], 2, "cannot read"),
    ],
)
def test_unbalanced_brackets_name_the_line_or_are_skipped_and_counted(tmp_path, cells, line, word):
    content = wrap(rows(*cells))
    with pytest.raises(FormatError, match=rf"file\.conll:{line}: .*{word}"):
        read_text(tmp_path, content)
    report = Report()
    (document,) = read_text(tmp_path, content, lenient=True, report=report)
    assert len(document.words) == len(cells)
    assert report.counts["skipped_brackets"] == 1
    assert f"file.conll:{line}:" in report.messages[0]
    assert "1 skipped bracket" in str(report)


def test_a_skipped_bracket_leaves_the_others(tmp_path):
    found = clusters(tmp_path, "(0", "1)", "(2)", "0)", "(3", lenient=True)
    assert found == (((0, 4),), ((2, 3),))


def test_crlf_and_byte_order_mark(tmp_path):
    plain = read_text(tmp_path, ONTONOTES)
    windows = ONTONOTES.replace("\n", "\r\n").encode("utf-8-sig")
    assert read_text(tmp_path, windows) == plain
    assert read_text(tmp_path, windows + windows) == plain + plain  # a mark amid the file


@pytest.mark.parametrize(
    "words",
    [
        ["القاهرة", "هي", "عاصمة", "مصر"],
        ["我", "爱", "北京", "。"],
        ["👩‍👩‍👧", "🇳🇱", "e\u0301", "\ufe0f"],
        ["1\xa0000", "a\u3000b", "c\u2028d", "e\x85f"],  # blanks and line ends of Unicode
        ["-LRB-", "#", "(", "|"],
    ],
)
@pytest.mark.parametrize("separator", ["\t", "   "])
def test_words_of_any_script(tmp_path, words, separator):
    body = rows("(0", "-", "0)", "(0)", words=words).replace("\t", separator)
    (document,) = read_text(tmp_path, wrap(body))
    assert document.words == tuple(words)
    assert document.annotation.clusters == (((0, 3), (3, 4)),)


def test_empty_documents_and_empty_files(tmp_path):
    (document,) = read_text(tmp_path, wrap(""))
    assert document.words == document.sentences == ()
    assert document.annotation == Annotation()
    assert read_text(tmp_path, "") == []


def test_a_sentence_of_2000_words(tmp_path):
    (document,) = read_text(tmp_path, wrap(rows("(0", *["-"] * 1998, "0)")))
    assert document.sentences == ((0, 2000),)
    assert document.annotation.clusters == (((0, 2000),),)


def test_files_with_only_names_and_brackets(tmp_path):
    body = "nw/x -\nnw/x (1)\n\nnw/x (1)\n"
    (document,) = read_text(tmp_path, wrap(body, "#begin document (nw/x);  "))
    assert document.doc_id == "nw/x"
    assert document.words == ("_", "_", "_")
    assert document.annotation.clusters == (((1, 2), (2, 3)),)


@pytest.mark.parametrize("columns", [5, 10])
def test_the_last_column_holds_brackets_and_nothing_else(tmp_path, columns):
    row = ["d", "0", "0", "w", *["*"] * (columns - 5), "(1)"]
    (document,) = read_text(tmp_path, wrap("\t".join(row) + "\n"))
    assert (document.words, document.pos, document.speakers) == (("w",), None, None)
    assert document.annotation.clusters == (((0, 1),),)


def test_a_file_cut_off(tmp_path):
    content = "#begin document (a);\n" + rows("(0)")
    with pytest.raises(FormatError, match=r":2: document 'a' has no #end document"):
        read_text(tmp_path, content)
    report = Report()
    found = read_text(tmp_path, content + wrap(rows("-")), lenient=True, report=report)
    assert [len(document.words) for document in found] == [1, 1]
    assert report.counts["unfinished_documents"] == 1


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (rows("-"), 1),
        (wrap("") + rows("-"), 4),
        ("#end document\n", 1),
        ("#begin document doc\n#end document\n", 1),
        (wrap("word\n"), 2),
    ],
)
def test_lines_out_of_place(tmp_path, content, line):
    with pytest.raises(FormatError, match=rf":{line}: "):
        read_text(tmp_path, content)
    report = Report()
    read_text(tmp_path, content, lenient=True, report=report)
    assert report.counts["skipped_lines"] == 1


def test_documents_before_a_mistake_are_read(tmp_path):
    path = tmp_path / "x.conll"
    path.write_text(wrap(rows("-")) + wrap(rows("0)")))
    documents = conll2012.read(path)
    assert next(documents).doc_id == "doc#0"
    with pytest.raises(FormatError):
        next(documents)


def test_not_utf8_names_the_line_and_byte(tmp_path):
    content = wrap(rows("-", words=["Zürich"])).encode("latin-1")
    with pytest.raises(FormatError, match=r":2: byte 10 \(0xfc\) is not UTF-8"):
        read_text(tmp_path, content)


def test_gzip(tmp_path):
    path = tmp_path / "x.conll.gz"
    path.write_bytes(gzip.compress(ONTONOTES.encode()))
    assert len(list(conll2012.read(path))) == 2
    path.write_bytes(gzip.compress(ONTONOTES.encode())[:-20])
    with pytest.raises(FormatError, match="damaged gzip"):
        list(conll2012.read(path))


def test_standard_input(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"#begin document\n")))
    with pytest.raises(FormatError, match=r"^<stdin>:1: "):
        list(conll2012.read("-"))


DOCUMENT = Document(
    doc_id="bc/x#12",
    words=("Ann", "saw her", "dog"),
    sentences=((0, 2), (2, 3)),
    speakers=("A b", "A b", None),
    annotation=Annotation((((0, 3), (1, 2)), ((1, 3),), ((1, 2),))),
)

WRITTEN = """\
#begin document (bc/x); part 012
bc/x\t12\t0\tAnn\t-\t*\t-\t-\t-\tA b\t*\t(0
bc/x\t12\t1\tsaw her\t-\t*\t-\t-\t-\tA b\t*\t(1|(0)|(2)

bc/x\t12\t0\tdog\t-\t*\t-\t-\t-\t-\t*\t1)|0)

#end document
"""


def test_writes_what_it_reads(tmp_path, capsys):
    assert conll2012.dumps(DOCUMENT) == WRITTEN
    path = tmp_path / "out.conll.gz"
    conll2012.write([DOCUMENT, DOCUMENT], path)
    assert list(conll2012.read(path)) == [DOCUMENT, DOCUMENT]
    stream = io.StringIO()
    conll2012.write([DOCUMENT], stream)
    conll2012.write([DOCUMENT], "-")
    assert stream.getvalue() == capsys.readouterr().out == WRITTEN


@pytest.mark.parametrize(
    ("doc_id", "header"),
    [
        ("a#0", "#begin document (a); part 000"),
        ("a#1234", "#begin document (a); part 1234"),
        ("a", "#begin document (a);"),
        ("a#01", "#begin document (a#01);"),
        ("#3", "#begin document (#3);"),
        ("x (y); part 7", "#begin document (x (y); part 7);"),
        ("名 前#2", "#begin document (名 前); part 002"),
    ],
)
def test_doc_ids_and_headers(tmp_path, doc_id, header):
    text = conll2012.dumps(Document(doc_id=doc_id, words=("w",)))
    assert text.splitlines()[0] == header
    assert [document.doc_id for document in read_text(tmp_path, text)] == [doc_id]


@pytest.mark.parametrize("doc_id", ["a\nb", " a", "a\t"])
def test_doc_ids_that_no_header_can_hold(doc_id):
    with pytest.raises(FormatError, match="rename the document or write jsonl"):
        conll2012.dumps(Document(doc_id=doc_id, words=()))


def test_mentions_that_cross_within_a_cluster_are_dropped_and_counted(tmp_path):
    crossing = Annotation((((0, 3), (2, 5), (3, 4)), ((2, 5),)))
    document = Document(doc_id="a", words=tuple("abcde"), annotation=crossing)
    report = Report()
    (found,) = read_text(tmp_path, conll2012.dumps(document, report=report))
    assert found.annotation.clusters == (((0, 3), (3, 4)), ((2, 5),))
    assert report.counts["dropped_mentions"] == 1


LITBANK = """\
#begin document (105_persuasion_brat); part 0
105_persuasion_brat\t0\t0\tSir\t_\t_\t_\t_\t_\t_\t_\t_\t(0
105_persuasion_brat\t0\t1\tWalter\t_\t_\t_\t_\t_\t_\t_\t_\t0)
105_persuasion_brat\t0\t2\t,\t_\t_\t_\t_\t_\t_\t_\t_\t

#end document
"""


def test_litbank(tmp_path):
    (document,) = read_text(tmp_path, LITBANK, litbank)
    assert document == Document(
        doc_id="105_persuasion_brat",
        words=("Sir", "Walter", ","),
        annotation=Annotation((((0, 2),),)),
    )
    assert litbank.dumps(document) == LITBANK
    litbank.write([document], tmp_path / "out")
    assert (tmp_path / "out").read_text() == LITBANK


def test_litbank_with_a_trailing_tab_behind_the_brackets(tmp_path):
    content = LITBANK.replace("(0\n", "(0\t\n").replace("0)\n", "0)\t\n")
    (document,) = read_text(tmp_path, content, litbank)
    assert document.annotation.clusters == (((0, 2),),)

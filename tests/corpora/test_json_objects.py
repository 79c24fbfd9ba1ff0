"""Objects of a JSON file, however it strings them together and wherever the pieces end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5coref.core.errors import FormatError
from t5coref.corpora import json_objects
from t5coref.corpora.json_objects import objects
from t5coref.corpora.report import Report, Source

NAMES = st.text('a"\\é😀', max_size=2)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.text('a"\\\n[],{}é😀', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.text("ab", max_size=2), VALUES, max_size=3), max_size=5)


def read(path, lenient=False):
    report = Report()
    return list(objects(path, Source("x", lenient, report))), report


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(json_objects, "CHUNK", 3)


@given(OBJECTS, st.sampled_from([None, 1]), st.sampled_from(["list", "lines", "concatenated"]))
def test_any_layout_read_in_any_pieces(tmp_path_factory, wanted, indent, layout):
    path = tmp_path_factory.getbasetemp() / "any.json"
    if layout == "list":
        text = json.dumps(wanted, indent=indent, ensure_ascii=False)
    else:
        between = "\n" if layout == "lines" else ""
        text = between.join(json.dumps(v, indent=indent, ensure_ascii=False) for v in wanted)
    path.write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for chunk in (1, 7, 1 << 20):
            patch.setattr(json_objects, "CHUNK", chunk)
            assert [value for _, value in read(path)[0]] == wanted


@pytest.mark.usefixtures("small_pieces")
def test_lines_are_those_on_which_objects_begin(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('\ufeff[\r\n {"a":\n 1},\n\n {}\n]\n{"b": "\\n"}{}', encoding="utf-8")
    assert read(path)[0] == [(2, {"a": 1}), (5, {}), (7, {"b": "\n"}), (7, {})]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("text", "line", "message", "kept"),
    [
        ('[{},\n{"a": 1', 2, "not JSON: Expecting ',' delimiter", 1),
        ('[{},\n{"a": "b', 2, "not JSON: Unterminated string", 1),
        ("[{}\n", 2, "not JSON: the list has no end", 1),
        ("[{},", 1, "not JSON: Expecting value", 1),
        ("[{}\n{}]", 2, "not JSON: the list goes on with '{'", 1),
        ("[{},]", 1, "not JSON: Expecting value", 1),
        ("{}\nwords", 2, "not JSON: Expecting value: .*expected objects, or one list", 1),
        ('[1,\n"a", {}]', 1, "expected a JSON object, found 1", 1),
        ("[[{}]]", 1, r"expected a JSON object, found \[{}\]", 0),
        ("[" * 100_000, 1, "not JSON: .*recursion", 0),
    ],
)
def test_what_is_no_object(tmp_path, text, line, message, kept):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=f"^x:{line}: {message}"):
        read(path)
    found, report = read(path, lenient=True)
    assert len(found) == kept
    assert report.counts["skipped_documents"] == (2 if '"a", {}' in text else 1)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("lenient", [True, False])
def test_bytes_that_are_not_utf_8(tmp_path, lenient):
    path = tmp_path / "x.json"
    path.write_bytes(b'[{"a": 1},\n{"b": "\xff"}]')
    with pytest.raises(FormatError, match=r"^x:2: byte 0xff is not UTF-8; convert"):
        read(path, lenient)
    path.write_bytes(b'[{"a": "\xc3')
    with pytest.raises(FormatError, match=r"^x:1: byte 0xc3 is not UTF-8"):
        read(path, lenient)


def test_an_empty_file_has_no_objects(tmp_path):
    for text in ("", " \n", "[]", "[ ]\n[]"):
        (tmp_path / "x").write_text(text)
        assert read(tmp_path / "x")[0] == []

import gzip
import io

import pytest

from t5coref.core.errors import ConfigError, FormatError
from t5coref.corpora import Report, text


def check_offsets(document):
    for word, (start, end) in zip(document.words, document.word_offsets, strict=True):
        assert document.text[start:end] == word


def test_words_sentences_and_offsets():
    document = text.from_string("d", "Ann  didn't see it. Bo did!\n\n\nYes", "en")
    assert document.words == ("Ann", "did", "n't", "see", "it", ".", "Bo", "did", "!", "Yes")
    assert document.sentences == ((0, 6), (6, 9), (9, 10))
    assert document.annotation is None
    assert document.char_span((3, 5)) == (12, 18)
    check_offsets(document)


@pytest.mark.parametrize("blank", ["", " ", "\n\n", " \r\n\t\u3000\n"])
def test_empty_texts(blank):
    document = text.from_string("d", blank)
    assert document.words == document.sentences == document.word_offsets == ()
    assert document.text == blank


def test_an_empty_line_ends_a_sentence_and_a_line_end_does_not():
    for gap, sentences in [("\n", 1), ("\n\n", 2), ("\r\n", 1), ("\r\n \r\n", 2), ("\n \t\n\n", 2)]:
        document = text.from_string("d", f"CHAPTER I{gap}It was")
        assert len(document.sentences) == sentences, repr(gap)
        check_offsets(document)


@pytest.mark.parametrize(
    ("language", "content"),
    [
        ("nl", "Hij zag het. Ja!"),
        ("ar", "القاهرة هي عاصمة مصر. نعم؟"),
        ("zh", "我爱北京。你呢？"),
        ("xx", "👩‍👩‍👧 e\u0301 word.\u2028Next."),
    ],
)
def test_languages(language, content):
    document = text.from_string("d", content, language)
    assert len(document.sentences) == 2
    check_offsets(document)


def test_unknown_language():
    for language in ("qq", "th"):
        with pytest.raises(ConfigError, match=f"language '{language}': .*such as en, nl"):
            text.from_string("d", "a", language)


def test_a_sentence_of_2000_words():
    document = text.from_string("d", "word " * 2000)
    assert document.sentences == ((0, 2000),)


def test_longer_than_the_limit_of_a_parser():
    document = text.from_string("d", "supercalifragilistic " * 60_000)
    assert len(document.words) == 60_000
    assert document.word_offsets[-1] == (21 * 59_999, 21 * 60_000 - 1)


def test_files(tmp_path):
    (tmp_path / "my.book.txt").write_bytes("\ufeffOne.\r\n\r\nTwo.".encode())
    report = Report()
    (document,) = text.read(tmp_path / "my.book.txt", language="en", report=report, lenient=True)
    assert document.doc_id == "my.book"
    assert document.text == "One.\r\n\r\nTwo."
    assert document.sentences == ((0, 2), (2, 4))
    assert str(report) == "1 document"
    (tmp_path / "z.txt.gz").write_bytes(gzip.compress(b"One."))
    assert next(text.read(tmp_path / "z.txt.gz")).doc_id == "z"
    (tmp_path / "latin.txt").write_bytes("Zürich".encode("latin-1"))
    with pytest.raises(FormatError, match="byte 2"):
        list(text.read(tmp_path / "latin.txt"))


def test_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("Zoë slept.".encode())))
    (document,) = text.read("-")
    assert (document.doc_id, document.words) == ("stdin", ("Zoë", "slept", "."))

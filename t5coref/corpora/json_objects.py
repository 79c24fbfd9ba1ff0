"""The objects of a JSON file one by one, be they the elements of a list or not.

Corpora come as one list of documents, as one object, or as objects one after another. Each object
is read by itself, so that a list of 100,000 documents needs the memory of one.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO, NoReturn

from t5coref.core.errors import FormatError
from t5coref.corpora.files import PathLike, open_bytes
from t5coref.corpora.report import Source

CHUNK = 1 << 20
"""Bytes that are read at once."""

_BLANKS = re.compile(r"[ \t\r\n]*")
_BYTE_ORDER_MARK = "\ufeff"


class _BrokenError(Exception):
    """What follows is not JSON."""


def objects(path: PathLike, source: Source) -> Generator[tuple[int, dict[str, Any]], None, None]:
    """The JSON objects of a file, each with the line that it begins on.

    Raises:
      FormatError: the file is not UTF-8 or damaged; or something in it is no object, and reading is
        not lenient. Behind what is no JSON at all nothing can be read.
    """
    with open_bytes(path) as file:
        text = _Text(file, source.name)
        try:
            for line, value in _values(text):
                if isinstance(value, dict):
                    yield line, value
                else:
                    found = json.dumps(value, ensure_ascii=False)[:60]
                    source.mistake(
                        "skipped_documents", line, f"expected a JSON object, found {found}"
                    )
        except _BrokenError as error:
            source.mistake(
                "skipped_documents",
                text.line,
                f"not JSON: {error}; expected objects, or one list of them",
            )


def _values(text: _Text) -> Iterator[tuple[int, Any]]:
    """What stands at the top, or in a list there."""
    while mark := text.peek():
        if mark != "[":
            yield text.line, text.value()
            continue
        text.skip()
        mark = text.peek()
        while mark != "]":
            yield text.line, text.value()
            mark = text.peek()
            if mark == ",":
                text.skip()
                text.peek()
            elif mark != "]":
                text.fail(f"the list goes on with {mark!r}" if mark else "the list has no end")
        text.skip()


class _Text:
    """The text of a file, of which only what was not read yet is held."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder()
        self._text, self._at, self._ended = "", 0, False
        self.line = 1
        self._more()
        self._text = self._text.removeprefix(_BYTE_ORDER_MARK)

    def fail(self, reason: str) -> NoReturn:
        raise _BrokenError(reason)

    def peek(self) -> str:
        """The next character that is no blank; empty at the end of the file."""
        while True:
            blanks = _BLANKS.match(self._text, self._at)
            assert blanks is not None  # it may be empty
            self._move(blanks.end())
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def skip(self) -> None:
        """Passes over one character."""
        self._move(self._at + 1)

    def value(self) -> Any:
        """The value that begins here."""
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                # Half a value is no JSON either: only the end of the file tells the two apart.
                if not self._more():
                    self.fail(str(error))
                continue
            self._move(end)
            return value

    def _move(self, position: int) -> None:
        self.line += self._text.count("\n", self._at, position)
        self._at = position

    def _more(self) -> bool:
        """Reads on: as much again as is held, so that a long value is not tried too often."""
        if self._ended:
            return False
        left = self._text[self._at :]
        raw = self._file.read(max(CHUNK, len(left)))
        self._ended = not raw
        try:
            self._text = left + self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            raise FormatError(
                f"{self._name}:{self.line}: byte 0x{error.object[error.start]:02x} is not UTF-8; "
                "convert the file to UTF-8, for example with iconv"
            ) from None
        self._at = 0
        return not self._ended

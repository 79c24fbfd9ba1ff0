"""Texts out of files, folders, patterns, archives and object stores, a part at a time.

Archives (.zip, .tar and its compressed forms) are read as they are: nothing is unpacked to disk.
Memory holds one part of a text, whatever the size of the files.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import html
import json
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from t5coref import corpora
from t5coref.core.errors import ConfigError, FormatError
from t5coref.corpora.report import Report
from t5coref.jobs import storage
from t5coref.mrp.nouns import TaggedText, Text
from t5coref.mrp.tagged import from_document, from_json

PART = 500_000
"""Characters of a text that are taken at once; longer texts are cut between paragraphs."""

_CHUNK = 1 << 20
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_DOC = re.compile(r'<doc\b[^>]*?\btitle="(.*)">\s*')
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.DOTALL)
_DISAMBIGUATION = "(disambiguation)"

_COMPRESSED: Mapping[str, Callable[[IO[bytes]], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ARCHIVES = (".zip", *_TARS)
_DAMAGES = (
    EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile,
)  # fmt: skip

Item = Text | TaggedText


def plain_text(file: IO[bytes], name: str) -> Iterator[Text]:
    """One text: the file. Empty lines end a paragraph; other line ends are blanks."""
    for k, part in enumerate(_parts(_decoded(file, name))):
        yield Text(_part_name(_without_ending(name), k), paragraphs(part))


def wikipedia(file: IO[bytes], name: str) -> Iterator[Text]:
    """The articles of a file that WikiExtractor wrote, as `<doc>` blocks or a JSON object a line.

    Pages that list the meanings of a title are left out, and so is what is left of HTML.

    Raises:
      FormatError: the file is neither.
    """
    title: str | None = None
    lines: list[str] = []
    for number, line in enumerate(_lines(file, name), start=1):
        if title is not None:
            if line.strip() == "</doc>":
                yield from _article(title, "\n".join(lines))
                title, lines = None, []
            else:
                lines.append(line)
        elif opened := _DOC.fullmatch(line):
            title = html.unescape(opened[1])
        elif line.startswith("{"):
            yield from _article(*_json_article(line, f"{name}:{number}"))
        elif line.strip():
            raise FormatError(
                f"{name}:{number}: {line[:40]!r} is outside of an article; expected what "
                'WikiExtractor writes: <doc id="..." title="..."> or, with --json, an object a line'
            )
    if title is not None:
        raise FormatError(f"{name}: the article {title!r} has no </doc>; is the file cut short?")


def tagged(file: IO[bytes], name: str) -> Iterator[TaggedText]:
    """Texts that were tagged before, a JSON object a line.

    Raises:
      FormatError: the file holds something else.
    """
    for number, line in enumerate(_lines(file, name), start=1):
        yield from_json(line, f"{name}:{number}")


@dataclass(frozen=True)
class Format:
    """How texts are written.

    Attributes:
      read: the texts of a file; None where `corpora` reads it.
      endings: of the files of a folder.
      tagged: whether words and their tags are given.
    """

    read: Callable[[IO[bytes], str], Iterator[Item]] | None
    endings: tuple[str, ...]
    tagged: bool


FORMATS: Mapping[str, Format] = {
    "text": Format(plain_text, (".txt",), False),
    "wikipedia": Format(wikipedia, ("",), False),
    "tagged": Format(tagged, (".jsonl",), True),
    "conllu": Format(None, (".conllu",), True),
}
"""What corpora are made of, by name."""


class Corpus:
    """The texts of some inputs, in a fixed order.

    Args:
      inputs: files, folders, patterns, archives or URLs.
      format_: a name of `FORMATS`.
      report: counts files that are left out from where they are no UTF-8 on; None = none may be.

    Raises:
      ConfigError: an input is not there, or the format is unknown.
    """

    def __init__(self, inputs: Sequence[str], format_: str, report: Report | None = None):
        if format_ not in FORMATS:
            raise ConfigError(f"no format {format_!r}; expected one of {', '.join(FORMATS)}")
        self._format = FORMATS[format_]
        found: dict[str, int] = {}
        for path in inputs:
            found |= _files(path, self._format.endings)
        self._files, self._report = found, report
        self.tagged = self._format.tagged
        self.size = sum(found.values())
        self.position = 0

    @property
    def files(self) -> tuple[str, ...]:
        """What is read, in order."""
        return tuple(self._files)

    def __iter__(self) -> Iterator[Item]:
        """The texts; `position` follows, in bytes of the files, up to `size`."""
        self.position = before = 0
        for path, size in self._files.items():
            for item, place in self._texts(path):
                self.position = before + min(place, size)
                yield item
            before += size
            self.position = before

    def _texts(self, path: str) -> Iterator[tuple[Item, int]]:
        """The texts of one file, and how far it is read."""
        read = self._format.read
        if read is None:
            with storage.fetched(path) as file:
                for document in corpora.read(file, "conllu"):
                    yield from_document(document), 0
            return
        with _opened(path) as raw:
            try:
                for file, name in _members(raw, os.path.basename(path), self._format.endings):
                    with self._leaving_out():
                        for item in read(file, name):
                            yield item, raw.tell()
            except _DAMAGES as error:
                raise FormatError(
                    f"{path}: damaged data ({error or type(error).__name__}); fetch the file again"
                ) from None

    @contextlib.contextmanager
    def _leaving_out(self) -> Iterator[None]:
        try:
            yield
        except _NotUtf8Error as error:
            if self._report is None:
                raise
            self._report.add("skipped_documents", str(error))


class _NotUtf8Error(FormatError):
    """A file is not UTF-8 from some place on."""


def paragraphs(text: str) -> list[str]:
    """What stands between empty lines, each with single blanks."""
    found = (" ".join(p.split()) for p in _BLANK_LINES.split(text.replace("\r\n", "\n")))
    return [p for p in found if p]


def _article(title: str, text: str) -> Iterator[Text]:
    if _DISAMBIGUATION in title.lower():
        return
    stripped = _TAG.sub(" ", html.unescape(text))
    for k, part in enumerate(_parts(iter([stripped]))):
        # Extracts have a line a paragraph.
        yield Text(_part_name(title, k), [p for line in part.split("\n") for p in paragraphs(line)])


def _json_article(line: str, where: str) -> tuple[str, str]:
    try:
        value = json.loads(line)
        return str(value["title"]), str(value["text"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FormatError(
            f"{where}: no article; expected a JSON object with title and text"
        ) from None


def _part_name(name: str, k: int) -> str:
    return name if k == 0 else f"{name}#{k + 1}"


def _parts(chunks: Iterator[str]) -> Iterator[str]:
    """Text that comes in chunks, in parts that end between paragraphs, or lines, or words."""
    held = ""
    for chunk in chunks:
        held += chunk
        while len(held) > PART:
            cut = max(held.rfind(mark, 1, PART) for mark in ("\n\n", "\n\r\n"))
            for mark in ("\n", " "):
                if cut < 0:
                    cut = held.rfind(mark, 1, PART)
            cut = PART if cut < 0 else cut
            yield held[:cut]
            held = held[cut:]
    if held.strip():
        yield held


def _decoded(file: IO[bytes], name: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    while True:
        chunk = file.read(_CHUNK)
        try:
            yield decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise _NotUtf8Error(
                f"{name}: byte 0x{error.object[error.start]:02x} is not UTF-8; convert the file, "
                "for example with iconv, or leave out such files with --lenient"
            ) from None
        if not chunk:
            return


def _lines(file: IO[bytes], name: str) -> Iterator[str]:
    r"""Lines without their ends; only `\n` and `\r\n` end one."""
    held = ""
    for chunk in _decoded(file, name):
        *whole, held = (held + chunk).split("\n")
        yield from (line.removesuffix("\r") for line in whole)
    if held:
        yield held


def _files(path: str, endings: Sequence[str]) -> dict[str, int]:
    """Files with their sizes; a folder stands for those with known endings, however far below."""
    if storage.is_pattern(path):
        return dict(sorted(storage.files(path, endings).items()))
    place = path.rstrip("/") if storage.is_url(path) else storage.local(path)
    with contextlib.suppress(ConfigError):
        found = storage.files(place, ("",))
        if list(found) == [place]:
            return found
    known = (*_with_compression(endings), *_ARCHIVES)
    found = {}
    with contextlib.suppress(ConfigError):
        found = storage.files(f"{place}/**/*", ("",))
    found = {file: size for file, size in sorted(found.items()) if _is_wanted(file, known)}
    if not found:
        raise ConfigError(
            f"no input {path!r}; expected a file, a pattern that matches some, or a folder with "
            f"files that end in one of {', '.join(filter(None, known))}"
        )
    return found


def _with_compression(endings: Sequence[str]) -> tuple[str, ...]:
    return tuple(ending + packed for ending in endings for packed in ("", *_COMPRESSED))


def _is_wanted(name: str, endings: Sequence[str]) -> bool:
    return name.endswith(tuple(endings)) and not os.path.basename(name).startswith(".")


@contextlib.contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if not storage.is_url(path):
        with open(storage.local(path), "rb") as file:
            yield file
        return
    import fsspec

    with fsspec.open(path, "rb") as file:
        yield file  # pyright: ignore


def _members(raw: IO[bytes], name: str, endings: Sequence[str]) -> Iterator[tuple[IO[bytes], str]]:
    """The files in a file: those of an archive, or itself, without compression."""
    wanted = _with_compression(endings)
    if name.endswith(".zip"):
        with zipfile.ZipFile(raw) as archive:
            for info in archive.infolist():
                if not info.is_dir() and _is_wanted(info.filename, wanted):
                    with archive.open(info) as file:
                        yield _uncompressed(file, info.filename), f"{name}/{info.filename}"
    elif name.endswith(_TARS):
        with tarfile.open(fileobj=raw, mode="r|*") as archive:
            for member in archive:
                if member.isfile() and _is_wanted(member.name, wanted):
                    file = archive.extractfile(member)
                    assert file is not None
                    yield _uncompressed(file, member.name), f"{name}/{member.name}"
    else:
        yield _uncompressed(raw, name), name


def _uncompressed(file: IO[bytes], name: str) -> IO[bytes]:
    opener = _COMPRESSED.get(os.path.splitext(name)[1])
    return file if opener is None else opener(file)


def _without_ending(name: str) -> str:
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    return name.removesuffix(".txt")

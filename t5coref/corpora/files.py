"""Opening corpus files: UTF-8 lines with their numbers, `.gz`, standard input and output."""

from __future__ import annotations

import contextlib
import gzip
import os
import pathlib
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, BinaryIO, cast

from t5coref.core.errors import FormatError

PathLike = str | os.PathLike[str]
Target = PathLike | IO[str]
"""Where a writer writes: a path, `-` for standard output, or an open text file."""

STDIN = "-"


def display_name(path: PathLike) -> str:
    """The name of a file in messages."""
    return "<stdin>" if os.fspath(path) == STDIN else os.fspath(path)


def stem(path: PathLike) -> str:
    """The file name without folders and suffix (and `.gz`); `stdin` for standard input."""
    if os.fspath(path) == STDIN:
        return "stdin"
    name = pathlib.PurePath(path).name.removesuffix(".gz")
    return pathlib.PurePath(name).stem or name


@contextlib.contextmanager
def open_bytes(path: PathLike) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked where its name ends in `.gz`; `-` is standard input.

    Raises:
      FormatError: the compressed data is damaged.
    """
    if os.fspath(path) == STDIN:
        yield sys.stdin.buffer
    elif os.fspath(path).endswith(".gz"):
        try:
            with gzip.open(path, "rb") as file:
                yield cast(BinaryIO, file)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FormatError(
                f"{display_name(path)}: damaged gzip data ({error}); fetch the file again"
            ) from None
    else:
        with open(path, "rb") as file:
            yield file


def decode(raw: bytes, where: str) -> str:
    """UTF-8 bytes as text, without a byte order mark.

    Raises:
      FormatError: the bytes are not UTF-8.
    """
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{where}: byte {error.start + 1} (0x{raw[error.start]:02x}) is not UTF-8; convert "
            "the file to UTF-8, for example with iconv"
        ) from None


def lines(path: PathLike) -> Iterator[tuple[int, str]]:
    r"""The lines of a text file, without their ends, with numbers from 1.

    Only `\n` and `\r\n` end a line: other Unicode line separators may stand inside words. A byte
    order mark is dropped from the start of any line, since concatenated files carry several.

    Raises:
      FormatError: the file is not UTF-8, or its compressed data is damaged.
    """
    name = display_name(path)
    with open_bytes(path) as file:
        for number, raw in enumerate(file, start=1):
            line = raw.removesuffix(b"\n").removesuffix(b"\r")
            yield number, decode(line, f"{name}:{number}")


@contextlib.contextmanager
def open_text(target: Target) -> Iterator[IO[str]]:
    """A text file to write to: UTF-8, `\\n` line ends; packed where its name ends in `.gz`."""
    if not isinstance(target, (str, os.PathLike)):
        yield target
    elif os.fspath(target) == STDIN:
        yield sys.stdout
    elif os.fspath(target).endswith(".gz"):
        with gzip.open(target, "wt", encoding="utf-8", newline="\n") as file:
            yield cast(IO[str], file)
    else:
        with open(target, "w", encoding="utf-8", newline="\n") as file:
            yield file


@contextlib.contextmanager
def appearing_text(target: PathLike) -> Iterator[IO[str]]:
    """As `open_text`, but a file appears whole or not at all."""
    path = pathlib.Path(target)
    if os.fspath(target) == STDIN or (path.exists() and not path.is_file()):
        with open_text(target) as file:  # standard output, or a device
            yield file
        return
    fresh = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with open_text(fresh) as file:
            yield file
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def write_all(chunks: Iterable[str], target: Target) -> None:
    """Writes pieces of text one after another."""
    with open_text(target) as file:
        for chunk in chunks:
            file.write(chunk)


def one_cell(text: str) -> str:
    """A value for one column of a tab-separated file: tabs and line ends become blanks."""
    return text.translate({9: " ", 10: " ", 13: " "})

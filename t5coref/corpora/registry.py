"""The table of corpora: which module reads each, and what callers must know about it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import Any

from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, FormatError
from t5coref.corpora import conll2012, conllu, conllua, docred, dwie, jsonl, litbank, preco, text
from t5coref.corpora.files import STDIN, PathLike, display_name, lines, open_bytes
from t5coref.corpora.json_objects import objects
from t5coref.corpora.report import Report, Source


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus or plain format.

    Attributes:
      name: what `--format` takes.
      module: its `read`, and where it is an exchange format also `dumps` and `write`.
      keeps_singletons: whether clusters of one mention are annotated; if not, predictions drop
        them.
      extensions: usual endings of its files.
    """

    name: str
    module: ModuleType
    keeps_singletons: bool
    extensions: tuple[str, ...]

    @property
    def writable(self) -> bool:
        """Whether documents can be written in this format."""
        return hasattr(self.module, "dumps")


_CONLL = (".conll", "_conll", ".v4_gold_conll", ".v4_auto_conll", ".key", ".response")
_JSON = (".jsonl", ".jsonlines", ".json")

_CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus("conll2012", conll2012, False, _CONLL),
        Corpus("ontonotes", conll2012, False, _CONLL),
        Corpus("conll", conll2012, True, _CONLL),
        Corpus("winobias", conll2012, False, _CONLL),
        Corpus("openboek", conll2012, True, _CONLL),
        Corpus("litbank", litbank, True, _CONLL),
        Corpus("conllu", conllu, True, (".conllu",)),
        Corpus("corefud", conllu, True, (".conllu",)),
        Corpus("gum", conllu, True, (".conllu",)),
        Corpus("ontogum", conllu, False, (".conllu",)),
        Corpus("codicrac", conllua, True, (".CONLLUA", ".conllua")),
        Corpus("preco", preco, True, _JSON),
        Corpus("jsonl", jsonl, True, _JSON),
        Corpus("docred", docred, True, (".json", ".jsonl")),
        Corpus("dwie", dwie, True, (".json", ".jsonl")),
        Corpus("text", text, True, (".txt",)),
    )
}

_LOOK_AT = 200  # lines read to detect a format
_BYTES = 1024  # read to see whether it is JSON
_JSON_KEYS = {
    "jsonl": {"doc_id", "tokens"},
    "docred": {"title", "sents"},
    "dwie": {"id", "mentions", "concepts"},
    "preco": {"id", "sentences"},
}
_CONLLU_COMMENT = re.compile(r"#\s*(newdoc|newpar|sent_id|global\.|text\s*=|meta::)")
_CONLLU_ID = re.compile(r"\d+([-.]\d+)?")


def names() -> tuple[str, ...]:
    """All names that `get` knows."""
    return tuple(_CORPORA)


def suffixes() -> tuple[str, ...]:
    """All file name endings that some corpus uses, without `.gz`."""
    return tuple(dict.fromkeys(e for corpus in _CORPORA.values() for e in corpus.extensions))


def get(name: str) -> Corpus:
    """The corpus of that name.

    Raises:
      ConfigError: there is none.
    """
    if name not in _CORPORA:
        raise ConfigError(f"unknown format {name!r}; expected one of {', '.join(_CORPORA)}")
    return _CORPORA[name]


def read(path: PathLike, format: str | None = None, **options: Any) -> Iterator[Document]:
    """Reads a file, or every file of a folder in the order of their names.

    Args:
      path: a file, a folder whose files end in one of the corpus' extensions, or `-`.
      format: a name that `get` knows; None detects it for each file.
      **options: `report`, `lenient`, and for raw text `language`.

    Raises:
      ConfigError: the format is unknown, or cannot be detected.
      FormatError: a file breaks its format.
    """
    corpus = None if format is None else get(format)
    for file in _files(path, corpus):
        module = (corpus or get(detect(file))).module
        yield from module.read(file, **options)


def _files(path: PathLike, corpus: Corpus | None) -> Iterator[PathLike]:
    folder = pathlib.Path(path)
    if os.fspath(path) == STDIN or not folder.is_dir():
        yield path
        return
    endings = corpus.extensions if corpus is not None else suffixes()
    files = [
        file
        for file in sorted(folder.iterdir())
        if file.is_file() and file.name.removesuffix(".gz").endswith(endings)
    ]
    if not files:
        raise ConfigError(
            f"folder {os.fspath(path)!r} has no file that ends in one of {', '.join(endings)}"
        )
    yield from files


def detect(path: PathLike) -> str:
    """The name of a file's format, from its first lines or else from its extension.

    Raises:
      ConfigError: neither says what it is, or the file is standard input.
    """
    name = display_name(path)
    fix = f"; give the format, one of {', '.join(_CORPORA)}"
    if os.fspath(path) == STDIN:
        raise ConfigError("the format of standard input cannot be detected" + fix)
    extension_says = {
        e: corpus.name
        for corpus in reversed(_CORPORA.values())
        for e in corpus.extensions
        if corpus.name not in ("preco", "litbank", "docred", "dwie")
    }
    ending = pathlib.PurePath(path).name.removesuffix(".gz")
    by_name = next((n for e, n in extension_says.items() if ending.endswith(e)), None)
    start = ""
    try:
        start = _start(path)
        found = _json_format(path) if start.startswith(("{", "[")) else _by_lines(path)
    except FormatError:
        found = None  # reading will say what is wrong
    if (found := found or by_name) is None:
        first = f"; it begins with {start.splitlines()[0][:60]!r}" if start else "; it has no lines"
        raise ConfigError(f"{name}: cannot tell its format{first}{fix}")
    return found


def _start(path: PathLike) -> str:
    """The first characters of a file that are no blanks."""
    with open_bytes(path) as file:
        return file.read(_BYTES).removeprefix(BOM_UTF8).decode("utf-8", "replace").strip()


def _by_lines(path: PathLike) -> str | None:
    head = [line for _, line in islice(lines(path), _LOOK_AT) if line.strip()]
    return _by_content(head) if head else None


def _by_content(head: list[str]) -> str | None:
    if head[0].startswith(conll2012.BEGIN):
        row = next((line for line in head if not line.startswith("#")), "").split("\t")
        return "litbank" if len(row) > conll2012.POS and row[conll2012.POS] == "_" else "conll2012"
    if any(line.startswith("# global.columns") and conllua.COLUMN in line for line in head):
        return "codicrac"
    for line in head:
        if _CONLLU_COMMENT.match(line):
            return "conllu"
        columns = line.split("\t")
        if len(columns) == 10 and _CONLLU_ID.fullmatch(columns[0]):
            return "conllu"
    return None


def _json_format(path: PathLike) -> str | None:
    """The format whose keys the first object of a file has."""
    strictly = Source(display_name(path), False, Report())
    with contextlib.closing(objects(path, strictly)) as found:
        keys = next((value.keys() for _, value in found), ())
    return next((name for name, wanted in _JSON_KEYS.items() if wanted <= set(keys)), None)

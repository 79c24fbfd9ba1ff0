"""LitBank's variant of CoNLL-2012: tab-separated, always part 0, an empty last column for nothing.

The doc_id is the name in the header alone, which is also the name of LitBank's files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from t5coref.core.document import Document
from t5coref.corpora.conll2012 import Dialect, dumps_dialect, read_dialect
from t5coref.corpora.files import PathLike, Target, write_all
from t5coref.corpora.report import Report

LITBANK = Dialect(numbered_parts=False, part="d", middle=("_",) * 8, nothing="")


def read(
    path: PathLike, *, report: Report | None = None, lenient: bool = False
) -> Iterator[Document]:
    """Reads documents one by one.

    Raises:
      FormatError: the file breaks the format, and reading is not lenient.
    """
    return read_dialect(path, LITBANK, report=report, lenient=lenient)


def dumps(document: Document, *, report: Report | None = None) -> str:
    """A document as LitBank writes it, with its header and end line.

    Raises:
      FormatError: the header cannot hold the doc_id.
    """
    return dumps_dialect(document, LITBANK, report=report)


def write(documents: Iterable[Document], target: Target, *, report: Report | None = None) -> None:
    """Writes documents to a path, `-` or an open text file.

    Raises:
      FormatError: the header cannot hold a doc_id.
    """
    write_all((dumps(document, report=report) for document in documents), target)

"""Which documents make up a split: files below a folder, and which of their documents."""

from __future__ import annotations

import glob
import os
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from t5coref import corpora
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, DocumentError
from t5coref.corpora.report import Report

SHOWN = 5  # names in a message


@dataclass(frozen=True)
class Files:
    """The files of a split.

    Attributes:
      patterns: files, folders or glob patterns; all that match are read, at least one has to.
      ids: a file with one document id a line: only these documents.
    """

    patterns: tuple[str, ...]
    ids: str | None = None

    @classmethod
    def of(cls, given: Files | str | Sequence[str]) -> Files:
        """The same, where only patterns are given."""
        if isinstance(given, Files):
            return given
        return cls((given,) if isinstance(given, str) else tuple(given))

    def paths(self, root: str = "") -> list[str]:
        """The files and folders that match below `root`, in the order of patterns and names.

        Raises:
          ConfigError: nothing does.
        """
        found: dict[str, None] = {}
        for pattern in self.patterns:
            path = os.path.join(root, pattern)
            there = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))
            found |= dict.fromkeys(there)
        if not found:
            wanted = " or ".join(os.path.join(root, p) for p in self.patterns)
            raise ConfigError(f"no file matches {wanted}")
        return list(found)

    def read(
        self,
        corpus: str | None,
        root: str = "",
        *,
        report: Report | None = None,
        lenient: bool = False,
    ) -> Iterator[Document]:
        """The documents one by one, in the order of the files.

        Raises:
          ConfigError: nothing matches, or a listed document is missing.
          DocumentError: two documents have one name.
          FormatError: a file breaks its format.
        """
        paths = self.paths(root)
        wanted = None if self.ids is None else self._wanted(os.path.join(root, self.ids))
        # A dict: names in a message stand in the order of the files.
        seen: dict[str, None] = {}
        for path in paths:
            for document in corpora.read(path, corpus, report=report, lenient=lenient):
                if document.doc_id in seen:
                    raise DocumentError(
                        f"{path} has document {document.doc_id!r}, which was there before; the "
                        "windows of a document are put together by its name, so give each its own"
                    )
                seen[document.doc_id] = None
                if wanted is None or document.doc_id in wanted:
                    yield document
        if wanted is not None and (missing := wanted - seen.keys()):
            raise ConfigError(
                f"{self.ids} lists {len(missing)} documents that the files do not have: "
                f"{_some(sorted(missing))}; they have {len(seen)}: {_some(list(seen))}"
            )

    def _wanted(self, path: str) -> set[str]:
        if not os.path.exists(path):
            raise ConfigError(f"no file {path}; expected one with a document id a line")
        lines = pathlib.Path(path).read_text("utf-8").splitlines()
        return {line.strip() for line in lines if line.strip()}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")

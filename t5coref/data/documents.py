"""Which documents make up a split: files below a folder, and which of their documents."""

from __future__ import annotations

import glob
import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

from t5coref import corpora
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.corpora.report import Report
from t5coref.data.rows import check_names

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
    ) -> list[Document]:
        """The documents, in the order of the files.

        Raises:
          ConfigError: nothing matches, or a listed document is missing.
          DocumentError: two documents have one name.
          FormatError: a file breaks its format.
        """
        paths = self.paths(root)
        documents = [
            document
            for path in paths
            for document in corpora.read(path, corpus, report=report, lenient=lenient)
        ]
        check_names(documents, ", ".join(paths[:SHOWN]))
        if self.ids is None:
            return documents
        ids = os.path.join(root, self.ids)
        if not os.path.exists(ids):
            raise ConfigError(f"no file {ids}; expected one with a document id a line")
        wanted = dict.fromkeys(pathlib.Path(ids).read_text("utf-8").split())
        chosen = [document for document in documents if document.doc_id in wanted]
        if missing := wanted.keys() - {document.doc_id for document in chosen}:
            raise ConfigError(
                f"{ids} lists {len(missing)} documents that the files do not have: "
                f"{_some(sorted(missing))}; they have {len(documents)}: "
                f"{_some([d.doc_id for d in documents])}"
            )
        return chosen


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")

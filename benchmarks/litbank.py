"""LitBank's documents for the benchmarks."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

from t5coref import corpora
from t5coref.core.document import Document

SHARED = pathlib.Path(__file__).parents[2] / "shared"
FOLD = 2
"""The split of the experiments in docs/results.md."""


def default_folder() -> pathlib.Path:
    """Where LitBank lies in the shared data folder."""
    return pathlib.Path(os.environ.get("T5COREF_SHARED", SHARED), "data", "litbank")


def documents(folder: pathlib.Path, limit: int | None = None) -> Iterator[Document]:
    """Test, dev and training documents of the split, in this order: those not trained on first.

    Raises:
      SystemExit: LitBank is not there.
    """
    names = [
        name
        for part in ("test", "dev", "train")
        for name in _lines(folder / "splits" / str(FOLD) / f"{part}.ids")
    ]
    for name in names[:limit]:
        yield from corpora.read(folder / "conll" / f"{name}.conll", "litbank")


def _lines(path: pathlib.Path) -> list[str]:
    if not path.is_file():
        raise SystemExit(
            f"no LitBank: expected {path}; clone https://github.com/dbamman/litbank, put its "
            "coref/conll and coref/splits into one folder and pass it with --litbank"
        )
    return path.read_text("utf-8").split()

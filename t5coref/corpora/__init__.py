"""Corpus formats: one module each, and the table of the corpora that are written in them.

    for document in corpora.read("dev.conll"):
        ...

Every module has `read(path, *, report=None, lenient=False)`, which yields documents one by one;
those of exchange formats also have `dumps(document, *, report=None)` and
`write(documents, target, *, report=None)`.
"""

from t5coref.corpora.registry import Corpus, detect, get, names, read, suffixes
from t5coref.corpora.report import Report

__all__ = ["Corpus", "Report", "detect", "get", "names", "read", "suffixes"]

"""Predictions and their key, matched by doc_id: what `score` counts and `report` compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from t5coref import corpora
from t5coref.cli.reading import warn
from t5coref.cli.tables import counted
from t5coref.core.document import Document
from t5coref.core.errors import DocumentError, FormatError, MismatchError


def paired(
    key_name: str,
    keys: Mapping[str, Document],
    response_name: str,
    responses: Mapping[str, Document],
) -> Iterator[tuple[Document, Document | None]]:
    """Every document of the key, in its order, and what is predicted for it.

    Raises:
      MismatchError: the key lacks a document, or two texts have different lengths.
    """
    if unknown := [doc_id for doc_id in responses if doc_id not in keys]:
        raise MismatchError(
            f"{response_name} has {counted(len(unknown), 'document')} that {key_name} lacks: "
            f"{_listed(unknown)}; expected names such as {_listed(list(keys))}"
        )
    if missing := [doc_id for doc_id in keys if doc_id not in responses]:
        warn(
            f"{response_name} lacks {counted(len(missing), 'document')}, scored as if without "
            f"clusters: {_listed(missing)}"
        )
    for doc_id, key in keys.items():
        response = responses.get(doc_id)
        if response is not None:
            _check_words(key, response)
        yield key, response


def read_side(
    side: str, form: str | None, lenient: bool, report: corpora.Report
) -> dict[str, Document]:
    """The documents of a file or a folder by doc_id."""
    documents: dict[str, Document] = {}
    for document in corpora.read(side, format=form, lenient=lenient, report=report):
        if document.doc_id in documents:
            raise DocumentError(
                f"{side} has document {document.doc_id!r} twice; documents are matched by doc_id, "
                "so give each its own"
            )
        if document.annotation is None:
            raise DocumentError(
                f"{side}: document {document.doc_id!r} has no annotation, so there is nothing to "
                "score; where it has no clusters, say so with an empty list of them"
            )
        documents[document.doc_id] = document
    if not documents:
        raise FormatError(f"{side} has no documents; expected at least one to score")
    return documents


def _check_words(key: Document, response: Document) -> None:
    """Refuses texts of different lengths; other words at the same places are only warned about.

    The offsets decide which mentions match, and corpora that differ in how they write brackets
    or placeholders still agree on those: some of the official scorer's own tests do.
    """
    pairs = zip(key.words, response.words, strict=False)
    differing = [i for i, (a, b) in enumerate(pairs) if a != b]
    if differing:
        i = differing[0]
        first = f"word {i} is {key.words[i]!r} in the key and {response.words[i]!r} in the response"
    else:
        first = "one text is the beginning of the other"
    if len(key.words) != len(response.words):
        raise MismatchError(
            f"document {key.doc_id!r} has {len(key.words)} words in the key and "
            f"{len(response.words)} in the response: {first}; score two annotations of one text"
        )
    if differing:
        warn(
            f"document {key.doc_id!r}: {counted(len(differing), 'word')} of {len(key.words)} "
            f"differ: {first}; scored by position"
        )


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(map(repr, names[:most]))
    return shown + (", ..." if len(names) > most else "")

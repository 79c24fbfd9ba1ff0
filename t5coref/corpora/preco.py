"""PreCo: one JSON object a line with `id`, `sentences` and `mention_clusters`.

A mention is `[sentence, start, end)`, word offsets within its sentence. Words that are a blank are
real words of PreCo and stay, so that all offsets keep their meaning; empty sentences go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeGuard

from t5coref.core.document import Document, Span
from t5coref.core.errors import DocumentError
from t5coref.corpora.brackets import Clusters
from t5coref.corpora.files import PathLike, Target, display_name, write_all
from t5coref.corpora.jsonl import dump_line, objects
from t5coref.corpora.report import Report, Source


def read(
    path: PathLike, *, report: Report | None = None, lenient: bool = False
) -> Iterator[Document]:
    """Reads documents one by one.

    Raises:
      FormatError: a line is not JSON, or not a PreCo document; reading leniently skips and counts
        it.
    """
    source = Source(display_name(path), lenient, Report() if report is None else report)
    for number, value in objects(path, source):
        try:
            document = _document(value, number, source)
        except DocumentError as error:
            source.mistake("skipped_documents", number, str(error))
            continue
        source.report.counts["documents"] += 1
        yield document


def _document(value: Mapping[str, Any], number: int, source: Source) -> Document:
    doc_id, sentences = value.get("id"), value.get("sentences")
    if not isinstance(doc_id, str) or not doc_id:
        raise DocumentError('"id" is missing or no string; a PreCo document has one')
    if not _is_list_of_word_lists(sentences):
        raise DocumentError(f'document {doc_id!r}: "sentences" is no list of lists of words')
    ends = [0]
    words: list[str] = []
    for sentence in sentences:
        for word in sentence:
            if not word:
                source.mistake(
                    "replaced_words", number, f"document {doc_id!r}: a word is empty; write a blank"
                )
            words.append(word or " ")
        ends.append(len(words))
    groups = value.get("mention_clusters")
    annotation = None
    if groups is not None:
        clusters = Clusters(source)
        for c, group in enumerate(groups if isinstance(groups, list) else [groups]):
            for mention in group if isinstance(group, list) else [group]:
                clusters.add(str(c), _span(doc_id, mention, ends), number)
        annotation = clusters.annotation()
    return Document(
        doc_id=doc_id,
        words=tuple(words),
        sentences=tuple((a, b) for a, b in pairwise(ends) if a < b),
        annotation=annotation,
        extra={k: v for k, v in value.items() if k not in ("id", "sentences", "mention_clusters")},
    )


def _is_list_of_word_lists(value: Any) -> TypeGuard[list[list[str]]]:
    return isinstance(value, list) and all(
        isinstance(sentence, list) and all(isinstance(word, str) for word in sentence)
        for sentence in value
    )


def _span(doc_id: str, mention: Any, ends: Sequence[int]) -> Span:
    if isinstance(mention, list) and [type(x) for x in mention] == [int, int, int]:
        sentence, start, end = mention
        if 0 <= sentence < len(ends) - 1:
            offset, after = ends[sentence], ends[sentence + 1]
            if 0 <= start < end <= after - offset:
                return offset + start, offset + end
    raise DocumentError(
        f"document {doc_id!r}: mention {mention!r}; expected [sentence, start, end) within one of "
        f"the {len(ends) - 1} sentences"
    )


def dumps(document: Document, *, report: Report | None = None) -> str:
    """A document as one line of JSON, with its line end; no mention may leave its sentence."""
    sentence_of = [s for s, (a, b) in enumerate(document.sentences) for _ in range(a, b)]
    clusters: list[list[list[int]]] = []
    for cluster in document.annotation.clusters if document.annotation is not None else ():
        mentions = []
        for start, end in cluster:
            s = sentence_of[start]
            if sentence_of[end - 1] != s:
                if report is not None:
                    report.add(
                        "dropped_mentions",
                        f"document {document.doc_id!r}: mention [{start}, {end}) reaches over a "
                        "sentence end; PreCo cannot hold it",
                    )
                continue
            offset = document.sentences[s][0]
            mentions.append([s, start - offset, end - offset])
        if mentions:
            clusters.append(mentions)
    return dump_line(
        {
            "id": document.doc_id,
            "sentences": [document.words[a:b] for a, b in document.sentences],
            "mention_clusters": None if document.annotation is None else clusters,
        }
    )


def write(documents: Iterable[Document], target: Target, *, report: Report | None = None) -> None:
    """Writes documents to a path, `-` or an open text file."""
    write_all((dumps(document, report=report) for document in documents), target)

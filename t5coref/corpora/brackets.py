"""Coreference brackets: matching them up when reading, and placing them when writing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from t5coref.core.document import Annotation, Document, Span, crosses
from t5coref.core.errors import FormatError
from t5coref.corpora.report import Report, Source


class OpenMentions:
    """Matches opening and closing brackets of one document, last opened first, per cluster."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._open: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def open(self, key: str, start: int, line: int) -> None:
        """A mention of cluster `key` opens at position `start`."""
        self._open[key].append((start, line))

    def close(self, key: str, line: int) -> int | None:
        """The position where the mention that closes here was opened.

        Returns None for a closing bracket without an opening one, if reading is lenient.

        Raises:
          FormatError: nothing is open, and reading is not lenient.
        """
        if self._open[key]:
            return self._open[key].pop()[0]
        self._source.mistake(
            "skipped_brackets",
            line,
            f"mention of cluster {key!r} closes but none is open; add its opening bracket, or "
            "read leniently to skip this one",
        )
        return None

    def finish(self) -> None:
        """Checks at the end of a document that nothing is left open.

        Raises:
          FormatError: a mention is still open, and reading is not lenient.
        """
        for key, left in self._open.items():
            for _, line in left:
                self._source.mistake(
                    "skipped_brackets",
                    line,
                    f"mention of cluster {key!r} opens here and never closes in its document; add "
                    "its closing bracket, or read leniently to skip this one",
                )
        self._open.clear()


class Clusters:
    """Collects the mentions of one document, cluster by cluster."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._spans: dict[str, set[Span]] = defaultdict(set)

    def add(self, key: str, span: Span, line: int) -> None:
        """Adds a mention; one that the cluster has already is counted and merged."""
        if span in self._spans[key]:
            self._source.note(
                "duplicate_mentions",
                line,
                f"cluster {key!r} has the mention of words [{span[0]}, {span[1]}) twice",
            )
        self._spans[key].add(span)

    def annotation(self) -> Annotation:
        """The clusters in text order, whatever their names; an outer mention precedes an inner."""
        clusters = [sorted(spans, key=text_order) for spans in self._spans.values()]
        clusters.sort(key=lambda spans: [text_order(span) for span in spans])
        return Annotation(clusters=tuple(tuple(spans) for spans in clusters))


def bracket_pairs(
    document: Document, report: Report | None = None
) -> tuple[Sequence[list[int]], Sequence[list[int]], Sequence[list[int]]]:
    """Where the brackets of a document stand: clusters that close, open, or do both at each word.

    Outer mentions open first and close last. Two crossing mentions of one cluster cannot be told
    apart by their brackets: the one that starts later is dropped and counted.

    Returns:
      closing, whole, opening: `[n]` lists of cluster numbers each.
    """
    clusters = document.annotation.clusters if document.annotation is not None else ()
    mentions = [
        (span, c)
        for c, cluster in enumerate(clusters)
        for span in without_crossing(document.doc_id, c, cluster, report)
    ]
    placed = place([span for span, _ in mentions], len(document.words))
    closing, whole, opening = ([[mentions[m][1] for m in at] for at in side] for side in placed)
    return closing, whole, opening


def place(
    spans: Sequence[Span], length: int
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Where brackets stand: the spans that close, do both, or open at each of `length` positions.

    Outer spans open first and close last; of equal ones the first of the list is the outer one.
    """
    closing: list[list[int]] = [[] for _ in range(length)]
    whole: list[list[int]] = [[] for _ in range(length)]
    opening: list[list[int]] = [[] for _ in range(length)]
    order = sorted(range(len(spans)), key=lambda m: (*text_order(spans[m]), m))
    for m in order:
        start, end = spans[m]
        (whole if end == start + 1 else opening)[start].append(m)
    for m in sorted(order, key=lambda m: (-spans[m][0], spans[m][1], -m)):
        start, end = spans[m]
        if end > start + 1:
            closing[end - 1].append(m)
    return closing, whole, opening


def without_crossing(
    doc_id: str, number: int, cluster: Sequence[Span], report: Report | None
) -> list[Span]:
    """The mentions of a cluster without those that cross an earlier one, which are counted."""
    kept: list[Span] = []
    open_spans: list[Span] = []  # a stack: each lies within the one before
    for span in sorted(cluster, key=text_order):
        while open_spans and open_spans[-1][1] <= span[0]:
            open_spans.pop()
        if open_spans and crosses(open_spans[-1], span):
            if report is not None:
                report.add(
                    "dropped_mentions",
                    f"document {doc_id!r}: mention [{span[0]}, {span[1]}) of cluster {number} "
                    f"crosses [{open_spans[-1][0]}, {open_spans[-1][1]}) of the same cluster; "
                    "brackets cannot hold both",
                )
            continue
        kept.append(span)
        open_spans.append(span)
    return kept


def text_order(span: Span) -> Span:
    """Sorts spans by their starts, an outer one before an inner one."""
    return span[0], -span[1]


def check_name(document: Document) -> str:
    """The document's name, if a header line can hold it.

    Raises:
      FormatError: the name has a line break, or blanks around it.
    """
    name = document.doc_id
    if "\n" in name or "\r" in name or name != name.strip():
        raise FormatError(
            f"document {name!r}: a CoNLL header cannot hold a doc_id with line breaks or blanks "
            "around it; rename the document or write jsonl"
        )
    return name

"""The text of a document with its marks: nested elements, cut where marks cross.

The text content of what comes out is the document's text, blanks and line ends included: numbers
and speakers are attributes that the style sheet shows. A mark is one `mark` element, or several of
the same `data-m` where another one crosses it or a paragraph ends inside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from t5coref.core.document import Document, Span
from t5coref.view.markup import element, escaped, hued, tag
from t5coref.view.model import Entity, Mark
from t5coref.view.spacing import tight

LONG_PARAGRAPH = 8
"""Sentences that are shown as one paragraph although the text has no line end between them."""


def text_html(document: Document, entities: Sequence[Entity], marks: Sequence[Mark]) -> str:
    """The paragraphs of a document."""
    return "".join(_Writer(document, entities, marks).paragraphs())


def lanes(marks: Sequence[Mark]) -> list[int]:
    """For each mark the height of its line under the text: overlapping marks have different ones.

    The shortest lie highest (0), so that a line runs below those of everything nested in it.
    """
    order = sorted(range(len(marks)), key=lambda m: (marks[m].end - marks[m].start, m))
    used: dict[int, set[int]] = {}  # lanes in use at each word
    out = [0] * len(marks)
    for m in order:
        words = range(marks[m].start, marks[m].end)
        taken = set().union(*(used.get(i, ()) for i in words))
        out[m] = next(lane for lane in range(len(taken) + 1) if lane not in taken)
        for i in words:
            used.setdefault(i, set()).add(out[m])
    return out


def paragraphs(document: Document) -> Iterator[tuple[Span, int | None]]:
    """Word spans that are shown as paragraphs, with the number of the sentence where each is one.

    Blank lines of the raw text and changes of speaker end a paragraph. Where that leaves a long
    stretch without any line end, as in every tokenised text, each sentence is one.
    """
    n = len(document.words)
    cuts = {0, n}
    if document.speakers is not None:
        cuts |= {i for i, (a, b) in enumerate(pairwise(document.speakers), 1) if a != b}
    lines = set()
    for i in range(1, n):
        gap = _gap(document, i) if document.word_offsets is not None else ""
        if "\n" in gap or "\r" in gap:
            lines.add(i)
            if len(gap.replace("\r\n", "\n").replace("\r", "\n").split("\n")) > 2:
                cuts.add(i)
    begins = {start: number for number, (start, _) in enumerate(document.sentences, 1)}
    for start, end in pairwise(sorted(cuts)):
        inner = [i for i in range(start, end) if i in begins]
        most = LONG_PARAGRAPH if document.word_offsets is not None else 0
        if len(inner) <= most or any(start < i < end for i in lines):
            yield (start, end), None
            continue
        edges = sorted({start, end, *inner})
        for first, last in pairwise(edges):
            yield (first, last), begins.get(first)


def _gap(document: Document, i: int) -> str:
    """What stands between words i - 1 and i of the raw text."""
    assert document.text is not None
    assert document.word_offsets is not None
    offsets = document.word_offsets
    return document.text[
        offsets[i - 1][1] if i else 0 : offsets[i][0] if i < len(offsets) else None
    ]


class _Writer:
    """Walks over the words once, with a stack of the marks that are open."""

    def __init__(self, document: Document, entities: Sequence[Entity], marks: Sequence[Mark]):
        self._document, self._entities, self._marks = document, entities, marks
        self._lanes = lanes(marks)
        self._starts: dict[int, list[int]] = {}
        self._ends: dict[int, set[int]] = {}
        for m, mark in enumerate(marks):
            self._starts.setdefault(mark.start, []).append(m)
            self._ends.setdefault(mark.end, set()).add(m)
        for opened in self._starts.values():
            opened.sort(key=lambda m: (-marks[m].end, -self._lanes[m]))
        self._out: list[str] = []
        self._length = 0  # characters of text written
        # The marks that are open: index of the start tag in `_out`, length of the text before it.
        self._stack: list[tuple[int, int, int]] = []
        self._begun: set[int] = set()

    def paragraphs(self) -> list[str]:
        document = self._document
        if not document.words:
            return [element("p", escaped(document.text), dir="auto")] if document.text else []
        before = None
        for (start, end), number in paragraphs(document):
            speaker = document.speakers[start] if document.speakers is not None else None
            self._paragraph(start, end, number, speaker if speaker != before else None)
            before = speaker
        return self._out

    def _paragraph(self, start: int, end: int, number: int | None, speaker: str | None) -> None:
        at = len(self._out)
        self._out.append("")
        carried = [m for m, _, _ in self._stack]
        self._stack = []
        for m in carried:
            self._open(m)
        shown = set(carried)
        joined = [*tight(self._document.words[start:end]), False]
        if start == 0:
            self._gap(0, False)
        for i in range(start, end):
            for m in self._starts.get(i, ()):
                self._open(m)
                shown.add(m)
            self._write(self._word(i))
            if i + 1 in self._ends:
                self._close(self._ends[i + 1])
            self._gap(i + 1, joined[i - start])
        going_on = list(self._stack)
        while self._stack:
            self._end_tag(last=False)
        self._stack = going_on
        self._out.append("</p>")
        deepest = max((self._lanes[m] for m in shown), default=0)
        style = f"--deep:{deepest}" if deepest else None
        self._out[at] = tag("p", dir="auto", data_n=number, data_speaker=speaker, style=style)

    def _word(self, i: int) -> str:
        document = self._document
        if document.text is None or document.word_offsets is None:
            return document.words[i]
        start, end = document.word_offsets[i]
        return document.text[start:end]

    def _gap(self, i: int, joined: bool) -> None:
        """Writes what stands before word i; in tokenised text a blank, not to be seen if joined."""
        if self._document.word_offsets is not None:
            self._write(_gap(self._document, i))
        elif 0 < i < len(self._document.words):
            self._write(" ")
            if joined:
                self._out[-1] = "<i> </i>"

    def _write(self, text: str) -> None:
        self._out.append(escaped(text))
        self._length += len(text)

    def _open(self, m: int) -> None:
        self._stack.append((m, len(self._out), self._length))
        self._out.append("")  # the start tag, which depends on where the element will end

    def _close(self, ending: set[int]) -> None:
        """Ends marks; those opened later that go on are cut in two here."""
        lowest = min(k for k, (m, *_) in enumerate(self._stack) if m in ending)
        on = [m for m, *_ in self._stack[lowest:] if m not in ending]
        while len(self._stack) > lowest:
            self._end_tag(last=self._stack[-1][0] in ending)
        for m in on:
            self._open(m)

    def _end_tag(self, *, last: bool) -> None:
        m, at, before = self._stack.pop()
        if self._length == before:
            return  # it would go on here, but another cut comes first
        mark = self._marks[m]
        hue = self._entities[mark.entity].hue
        classes = (
            mark.status,
            "lone" if hue is None else None,
            "cut-start" if m in self._begun else None,
            None if last else "cut-end",
        )
        lane = f"--k:{self._lanes[m]}" if self._lanes[m] else None
        self._begun.add(m)
        self._out[at] = tag(
            "mark",
            class_=" ".join(filter(None, classes)) or None,
            data_m=m + 1,
            data_e=mark.entity + 1,
            style=";".join(filter(None, (hued(hue), lane))) or None,
        )
        self._out.append("</mark>")

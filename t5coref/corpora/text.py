"""Raw text: one file is one document, cut into words and sentences by spaCy's rules alone.

Character offsets count the characters of the file after decoding, line ends as they are in it,
without a byte order mark.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from t5coref.core.document import Document, Span
from t5coref.core.errors import ConfigError
from t5coref.corpora.files import PathLike, decode, display_name, open_bytes, stem
from t5coref.corpora.report import Report

_ENDLESS = re.compile(r"[!-~]{1000}|\S{5000}")
"""More characters without a blank than any text has, in scripts with blanks and in others. spaCy
takes signs off their ends one by one, and each time reads all that are left.
"""

_PARAGRAPH_END = re.compile(r"(?:\r?\n[^\S\n]*){2,}")


def read(
    path: PathLike,
    *,
    language: str = "en",
    report: Report | None = None,
    lenient: bool = False,
) -> Iterator[Document]:
    """Reads the one document of a file; its doc_id is the file's name without suffix.

    Raises:
      ConfigError: spaCy has no tokenizer for the language, or not all that it needs.
      FormatError: the file is not UTF-8.
    """
    del lenient  # no raw text is malformed
    with open_bytes(path) as file:
        content = decode(file.read(), display_name(path))
    document = from_string(stem(path), content, language)
    if report is not None:
        report.counts["documents"] += 1
    yield document


def from_string(doc_id: str, text: str, language: str = "en") -> Document:
    """A document from raw text; empty lines end a sentence, blank tokens are no words.

    Raises:
      ConfigError: spaCy has no tokenizer for the language, or not all that it needs.
    """
    words: list[str] = []
    offsets: list[Span] = []
    sentences: list[Span] = []
    paragraphs = list(_paragraphs(text))
    parsed = _pipeline(language).pipe(text[start:end] for start, end in paragraphs)
    for (offset, _), doc in zip(paragraphs, parsed, strict=True):
        for sentence in doc.sents:
            first = len(words)
            for token in sentence:
                if token.is_space:
                    continue
                start = offset + token.idx
                words.append(token.text)
                offsets.append((start, start + len(token.text)))
            if len(words) > first:
                sentences.append((first, len(words)))
    return Document(
        doc_id=doc_id,
        words=tuple(words),
        sentences=tuple(sentences),
        text=text,
        word_offsets=tuple(offsets),
    )


def _paragraphs(text: str) -> Iterator[Span]:
    start = 0
    for gap in _PARAGRAPH_END.finditer(text):
        if gap.start() > start:
            yield from _cut(text, start, gap.start())
        start = gap.end()
    if start < len(text):
        yield from _cut(text, start, len(text))


def _cut(text: str, start: int, end: int) -> Iterator[Span]:
    """A paragraph, in parts where it is longer without a blank than any text."""
    ends = [match.end() for match in _ENDLESS.finditer(text, start, end)]
    return pairwise(sorted({start, *ends, end}))


@functools.cache
def _pipeline(language: str) -> Any:
    import spacy

    try:
        pipeline = spacy.blank(language)
    except ImportError as error:
        raise ConfigError(
            f"language {language!r}: {error}; expected a code that spaCy has a tokenizer for, such "
            "as en, nl, ar or zh, or xx for any language that puts blanks between words"
        ) from None
    pipeline.add_pipe("sentencizer")
    # The limit guards the memory of parsers, which a blank pipeline does not have.
    pipeline.max_length = sys.maxsize
    return pipeline

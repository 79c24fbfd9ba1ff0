"""DWIE: one JSON object an article, with `mentions`, `concepts` and `relations`.

Zaporojets et al. 2021, "DWIE: an entity-centric dataset for multi-task document-level information
extraction". Mentions are half-open character offsets into the article's text, which the published
annotations do not have: see `read`.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any, NoReturn

from t5coref.core.document import Document, Span
from t5coref.core.entities import ENTITIES
from t5coref.core.errors import DocumentError
from t5coref.corpora import text as raw_text
from t5coref.corpora.entities import Mention, Record
from t5coref.corpora.files import STDIN, PathLike, decode, display_name, open_bytes
from t5coref.corpora.json_objects import objects
from t5coref.corpora.report import Report, Source

KEYS = ("id", "content", "tokenization", "mentions", "concepts", "relations")

TYPES = ("person", "organization", "location", "event", "misc", "language", "ethnicity", "time",
         "money", "role", "other", "entity", "value")  # fmt: skip
"""Classes that an entity's type is one of: the first of them among its tags (`type::person`)."""

_ZERO_WIDTH = "\u200b"


def read(
    path: PathLike,
    *,
    texts: PathLike | None = None,
    relations: Collection[str] | None = None,
    report: Report | None = None,
    lenient: bool = False,
) -> Iterator[Document]:
    """Reads the document of a file, or those of a file with several.

    The text is the article's `content`, which DWIE's own script `src/dwie_download.py` adds to the
    annotations; without it, the file `ID.txt` in `texts`.

    Args:
      path: a file of DWIE's `data/annos_with_content` or `data/annos`.
      texts: a folder with a text for each article; None = the folder of `path`.
      relations: the relation types that are expected; another is a mistake. None = any.
      report: counts what is left out.
      lenient: leave out and count mistakes instead of raising.

    Raises:
      FormatError: the file is not JSON, an article has no text, or it breaks the format.
    """
    source = Source(display_name(path), lenient, Report() if report is None else report)
    if texts is None and os.fspath(path) != STDIN:
        texts = pathlib.Path(path).parent
    for line, value in objects(path, source):
        try:
            document = _document(value, line, source, texts, relations)
        except DocumentError as error:
            source.mistake("skipped_documents", line, str(error))
            continue
        source.report.counts["documents"] += 1
        yield document


def _document(
    value: Mapping[str, Any],
    line: int,
    source: Source,
    texts: PathLike | None,
    inventory: Collection[str] | None,
) -> Document:
    doc_id = value.get("id")
    if not isinstance(doc_id, str) or not doc_id:
        raise DocumentError('"id" is missing or no string; a DWIE article has one')
    check = _Checker(doc_id)
    mentions = check.objects(value, "mentions", {"begin": int, "end": int, "concept": int})
    concepts = check.objects(value, "concepts", {})
    relations = check.objects(value, "relations", {"s": int, "p": str, "o": int})
    content = _content(doc_id, value, texts)
    characters = [check.mention(mention, content) for mention in mentions]
    offsets, sentences, spans = _cut(content, characters)
    found: list[list[Mention]] = [[] for _ in concepts]
    for mention, (begin, end), span in zip(mentions, characters, spans, strict=True):
        if 0 <= mention["concept"] < len(concepts):
            found[mention["concept"]].append(Mention(span, content[begin:end]))
        else:
            source.mistake(
                "dropped_mentions",
                line,
                f"document {doc_id!r}: mention [{begin}, {end}) is of concept "
                f"{mention['concept']}; expected 0..{len(concepts) - 1}",
            )
    record = Record(
        doc_id=doc_id,
        line=line,
        entities=found,
        types=[_type(_tags(concept)) for concept in concepts],
        relations=[(r["s"], r["o"], r["p"]) for r in relations],
        inventory=inventory,
        empty_entities=True,
    )
    annotation, extra = record.annotate(source)
    for entity, concept in zip(extra[ENTITIES], concepts, strict=True):
        entity["tags"] = _tags(concept)
    return Document(
        doc_id=doc_id,
        words=tuple(content[start:end] for start, end in offsets),
        sentences=tuple(sentences),
        text=content,
        word_offsets=tuple(offsets),
        annotation=annotation,
        extra={**{k: v for k, v in value.items() if k not in KEYS}, **extra},
    )


def _content(doc_id: str, value: Mapping[str, Any], texts: PathLike | None) -> str:
    content = value.get("content")
    if isinstance(content, str) and content:
        return content
    file = None if texts is None else pathlib.Path(texts) / f"{doc_id}.txt"
    if file is not None and file.is_file():
        with open_bytes(file) as opened:
            return decode(opened.read(), display_name(file))
    raise DocumentError(
        f"document {doc_id!r}: no text; DWIE's annotations come without the articles, and this one "
        'has no "content"; run src/dwie_download.py of DWIE and read the files that it writes, or '
        f"put the text into {file or 'a file and give its folder'}"
    )


class _Checker:
    """Checks the types and offsets of an article."""

    def __init__(self, doc_id: str) -> None:
        self._doc_id = doc_id

    def fail(self, message: str) -> NoReturn:
        raise DocumentError(f"document {self._doc_id!r}: {message}")

    def objects(
        self, value: Mapping[str, Any], key: str, fields: Mapping[str, type]
    ) -> list[dict[str, Any]]:
        items = value.get(key)
        if not isinstance(items, list):
            self.fail(f'"{key}" is missing or no list; a DWIE article has one')
        for i, item in enumerate(items):
            # type(), since bool is an int
            if not (
                isinstance(item, dict) and all(type(item.get(f)) is t for f, t in fields.items())
            ):
                wanted = ", ".join(f'"{f}": {t.__name__}' for f, t in fields.items())
                self.fail(f'"{key}[{i}]" is {json.dumps(item)[:60]}; expected {{{wanted}, ...}}')
        return items

    def mention(self, mention: Mapping[str, Any], content: str) -> Span:
        """The character offsets of a mention, if they are those of its text."""
        begin, end = mention["begin"], mention["end"]
        if not (0 <= begin < end <= len(content) and content[begin:end].strip()):
            self.fail(
                f"mention [{begin}, {end}); expected a span with words within the text's "
                f"{len(content)} characters"
            )
        wanted, found = mention.get("text"), content[begin:end]
        if isinstance(wanted, str) and _plain(wanted) != _plain(found):
            self.fail(
                f"characters [{begin}, {end}) of the text are {found!r}; expected the mention "
                f"{wanted!r}; give the text that was annotated, with its line ends as they were"
            )
        return begin, end


def _plain(text: str) -> str:
    """What DWIE's download script compares: any blank as a blank, none without width."""
    return re.sub(r"\s", " ", text).replace(_ZERO_WIDTH, "")


def _tags(concept: Mapping[str, Any]) -> list[str]:
    tags = concept.get("tags")
    return [t for t in tags if isinstance(t, str)] if isinstance(tags, list) else []


def _type(tags: list[str]) -> str | None:
    return next((name for name in TYPES if f"type::{name}" in tags), None)


def _cut(content: str, mentions: list[Span]) -> tuple[list[Span], list[Span], list[Span]]:
    """Character offsets of the words, word spans of the sentences, and word spans of the mentions.

    Words are cut where a mention begins or ends, so that each mention is a span of words. A line of
    its own, as headlines have, is a sentence of its own, and no sentence ends within a mention.
    """
    plain = raw_text.from_string("text", content)
    before = plain.word_offsets or ()
    edges = sorted({edge for mention in mentions for edge in mention})
    offsets = [
        part
        for start, end in before
        for part in pairwise(
            [start, *edges[bisect_right(edges, start) : bisect_left(edges, end)], end]
        )
    ]
    starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
    spans = [(bisect_left(starts, begin), bisect_right(ends, end)) for begin, end in mentions]
    within = {i for first, last in spans for i in range(first + 1, last)}
    begins = {before[first][0] for first, _ in plain.sentences}
    cuts = [
        i
        for i, start in enumerate(starts)
        if i not in within and (i == 0 or start in begins or "\n" in content[ends[i - 1] : start])
    ]
    return offsets, list(pairwise([*cuts, len(offsets)])), spans

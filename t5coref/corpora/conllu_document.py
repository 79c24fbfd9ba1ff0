"""Builds one document from the rows of a CoNLL-U file: words, text, speakers and entities."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from t5coref.core.anaphora import MISC, TREE
from t5coref.core.document import ANAPHORA, Document, Span
from t5coref.core.errors import DocumentError
from t5coref.corpora.anaphora import AnaphoraBuilder
from t5coref.corpora.conllu_entities import COREFERENCE, EntityFields, EntityReader
from t5coref.corpora.numbers import whole_number
from t5coref.corpora.report import Source

HEAD, DEPREL = 6, 7

_ID = re.compile(r"(\d{1,9})(?:-(\d{1,9})|\.(\d{1,9}))?")
_EMPTY = frozenset({"", "_"})


class DocumentBuilder:
    """One document on the way.

    Positions count nodes (words and empty nodes) while reading, since brackets may stand on empty
    nodes and heads are counted so; they become word offsets at the end.
    """

    def __init__(self, doc_id: str, source: Source, fields: EntityFields | None) -> None:
        self.doc_id = doc_id
        self._source = source
        self._meta: dict[str, str] = {}
        self._words: list[str] = []
        self._pos: list[str] = []
        self._speakers: list[str | None] = []
        self._sentences: list[Span] = []
        self._nodes = 0
        self._heads: list[int | None] = []
        self._relations: list[str] = []
        self._text = _Text()
        self._speaker: str | None = None
        self._anaphora = AnaphoraBuilder(source)
        self._entities = EntityReader(source, self._anaphora)
        self._entities.fields = fields

    def header(self, fields: EntityFields) -> None:
        """Takes what brackets have in which field from here on."""
        self._entities.fields = fields

    def comment(self, key: str, value: str) -> None:
        """Takes what a comment line says about the document or the sentence."""
        if key == "speaker":
            self._speaker = value or None
        elif key.startswith("meta::"):
            self._meta[key.removeprefix("meta::")] = value

    def row(self, line: str, number: int) -> None:
        """Adds a word, empty node or multiword token."""
        row = line.split("\t")
        node = _ID.fullmatch(row[0])
        if len(row) != 10 or node is None:
            self._source.mistake(
                "skipped_lines",
                number,
                f"expected an ID and 9 more tab-separated columns, found {len(row)} columns that "
                f"begin with {row[0][:20]!r}",
            )
            return
        misc: dict[str, str] = {}
        for item in row[9].split("|"):
            key, _, value = item.partition("=")
            misc[key] = value
        space = misc.get("SpaceAfter") != "No"
        if node[2] is not None:
            self._text.multiword(row[1], int(node[2]) - int(node[1]) + 1, space)
            return
        if node[3] is None:
            self._word(row, number, space)
        else:
            self._zero(row, int(node[3]))
        self._entities.read(misc, self._nodes, number)
        self._nodes += 1

    def _word(self, row: Sequence[str], number: int, space: bool) -> None:
        word = row[1]
        if not word:
            self._source.mistake(
                "replaced_words", number, "FORM is empty; write _ where there is none"
            )
            word = "_"
        self._words.append(word)
        self._pos.append(row[4] if row[4] not in _EMPTY else row[3] or "_")
        self._speakers.append(self._speaker)
        self._heads.append(whole_number(row[HEAD]))
        self._relations.append(row[DEPREL] or "_")
        self._text.word(word, space)

    def _zero(self, row: Sequence[str], number: int) -> None:
        own = [item for item in row[9].split("|") if item.partition("=")[0] not in COREFERENCE]
        cells = [cell or "_" for cell in row[1:]]
        cells[MISC] = "|".join(own) or "_"
        start = self._sentences[-1][1] if self._sentences else 0
        self._anaphora.zero(len(self._sentences), len(self._words) - start, number, cells)

    def end_sentence(self) -> None:
        """Ends the sentence, if it has words; what comments said about it no longer holds."""
        self._speaker = None
        start = self._sentences[-1][1] if self._sentences else 0
        if len(self._words) > start:
            self._sentences.append((start, len(self._words)))
            self._text.end_sentence()

    def finish(self, number: int) -> Iterator[Document]:
        """The document, unless it is broken and reading lenient."""
        self.end_sentence()
        self._entities.finish(self.doc_id, number)
        fields = self._entities.fields
        annotated = fields is not None or self._entities.seen
        annotation, found = self._anaphora.finish(
            self._sentences, (fields or EntityFields()).fields
        )
        extra: dict[str, object] = {"meta": self._meta} if self._meta else {}
        if tree := self._tree():
            extra[TREE] = tree
        if more := found.to_json():
            extra[ANAPHORA] = more
        known_speakers = any(speaker is not None for speaker in self._speakers)
        known_pos = any(pos not in _EMPTY for pos in self._pos)
        text, offsets = self._text.result()
        try:
            document = Document(
                doc_id=self.doc_id,
                words=tuple(self._words),
                sentences=tuple(self._sentences),
                speakers=tuple(self._speakers) if known_speakers else None,
                pos=tuple(self._pos) if known_pos else None,
                text=text,
                word_offsets=offsets,
                annotation=annotation if annotated else None,
                extra=extra,
            )
        except DocumentError as error:
            self._source.mistake("skipped_documents", number, str(error))
            return
        self._source.report.counts["documents"] += 1
        yield document

    def _tree(self) -> dict[str, object] | None:
        """HEAD and DEPREL of all words, if every sentence is a whole tree and some has edges."""
        for start, end in self._sentences:
            if not _is_tree(self._heads[start:end]):
                return None
        return {"heads": self._heads, "relations": self._relations} if any(self._heads) else None


def _is_tree(heads: Sequence[int | None]) -> bool:
    """Whether every word of a sentence leads up to a root."""
    for head in heads:
        at, steps = head, 0
        while at:
            if at > len(heads) or steps > len(heads):
                return False
            at, steps = heads[at - 1], steps + 1
        if at is None:
            return False
    return True


class _Text:
    """Rebuilds the raw text from forms and `SpaceAfter=No`.

    A multiword token gives its words offsets only if it is spelled as they are, one after the
    other (do + n't); a document with any other (du = de + le) gets no text.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._offsets: list[Span] = []
        self._blank = ""
        self._left = 0
        self._surface = ""
        self._spelled = ""
        self._space = True
        self._aligned = True

    def multiword(self, surface: str, words: int, space: bool) -> None:
        """A token of several words begins."""
        self._left, self._surface, self._spelled, self._space = words, surface, "", space

    def word(self, word: str, space: bool) -> None:
        """Adds a word."""
        if self._left:
            self._left -= 1
            self._spelled += word
            space = False
            if not self._left:
                space = self._space
                self._aligned &= self._spelled == self._surface
        self._pieces += (self._blank, word)
        start = self._length + len(self._blank)
        self._length = start + len(word)
        self._offsets.append((start, self._length))
        self._blank = " " if space else ""

    def end_sentence(self) -> None:
        """A multiword token cannot reach into the next sentence."""
        self._aligned &= not self._left
        self._left = 0

    def result(self) -> tuple[str | None, tuple[Span, ...] | None]:
        """The text and the words' offsets, or None twice."""
        if not self._aligned:
            return None, None
        return "".join(self._pieces), tuple(self._offsets)

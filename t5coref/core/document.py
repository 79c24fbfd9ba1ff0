"""Documents, half-open word spans and annotations: the values that cross every boundary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from t5coref.core.errors import DocumentError

Span = tuple[int, int]
"""Half-open word offsets: `(start, end)` covers words `start .. end - 1`."""

BLANK_LINES = "blank_lines"
"""Key of `Document.extra`: word offsets at which a CoNLL file has a blank line too many. The
published sentence marks count it as the end of a sentence."""

ANAPHORA = "anaphora"
"""Key of `Document.extra`: what a corpus says of this very annotation (`core/anaphora.py`)."""

CHAR_CLUSTERS = "char_clusters"
"""Key of `Document.extra`: the clusters of this very annotation in characters of `text`."""

_OF_ANNOTATION = (ANAPHORA, CHAR_CLUSTERS)


@dataclass(frozen=True, slots=True)
class Relation:
    """A typed relation between two clusters, given by their positions in `Annotation.clusters`."""

    head: int
    tail: int
    type: str


class Confidence(NamedTuple):
    """How sure a model is of a mention: probabilities in 0..1.

    Attributes:
      mention: that the span is a mention.
      link: that it belongs to its cluster, given that it is one.
    """

    mention: float
    link: float


@dataclass(frozen=True, slots=True)
class Annotation:
    """Clusters of mentions and relations between clusters.

    A span may stand in several clusters (some corpora do that); scorers that need a partition
    use `partition()`. Spans of one cluster are unique and sorted; clusters keep their order.
    A model's `confidences` lie beside `clusters`, one for each span; None for gold annotations.
    `types` gives each cluster's entity type, None where one is unknown; None where no types are.
    `split` has (anaphor, antecedent) positions of clusters: several antecedents of one anaphor are
    what it refers to together.
    """

    clusters: tuple[tuple[Span, ...], ...] = ()
    relations: tuple[Relation, ...] = ()
    confidences: tuple[tuple[Confidence, ...], ...] | None = None
    types: tuple[str | None, ...] | None = None
    split: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.confidences is not None:
            lengths = [len(c) for c in self.confidences]
            if lengths != [len(c) for c in self.clusters]:
                raise DocumentError(
                    f"confidences of {lengths} mentions for clusters of "
                    f"{[len(c) for c in self.clusters]}; expected one for each span"
                )
        if self.types is not None:
            object.__setattr__(self, "types", tuple(self.types))
            if len(self.types) != len(self.clusters):
                raise DocumentError(
                    f"types of {len(self.types)} clusters for {len(self.clusters)}; "
                    "expected one for each cluster"
                )
        clusters = tuple(tuple(sorted({_span(s) for s in cluster})) for cluster in self.clusters)
        object.__setattr__(self, "clusters", clusters)
        object.__setattr__(self, "relations", tuple(self.relations))
        object.__setattr__(self, "split", tuple((int(a), int(b)) for a, b in self.split))
        for link in self.split:
            if not all(0 <= end < len(clusters) for end in link) or link[0] == link[1]:
                raise DocumentError(
                    f"split antecedent {link} of {len(clusters)} clusters; expected the positions "
                    "of two of them"
                )
        for i, cluster in enumerate(clusters):
            if not cluster:
                raise DocumentError(
                    f"cluster {i} is empty; expected at least one span; drop it before annotating"
                )
        for r in self.relations:
            for end in (r.head, r.tail):
                if not 0 <= end < len(clusters):
                    raise DocumentError(
                        f"relation {r} refers to cluster {end}; expected 0..{len(clusters) - 1}"
                    )

    def mentions(self) -> Iterator[tuple[int, int, int]]:
        """All (start, end, cluster) triples, cluster by cluster."""
        for c, cluster in enumerate(self.clusters):
            for start, end in cluster:
                yield start, end, c

    def shared_spans(self) -> tuple[Span, ...]:
        """Spans that stand in more than one cluster, in order of first appearance."""
        seen: dict[Span, int] = {}
        for cluster in self.clusters:
            for span in cluster:
                seen[span] = seen.get(span, 0) + 1
        return tuple(span for span, n in seen.items() if n > 1)

    def partition(self) -> tuple[tuple[Span, ...], ...]:
        """Clusters without shared spans: the first cluster keeps the span, emptied ones go."""
        seen: set[Span] = set()
        out = []
        for cluster in self.clusters:
            kept = tuple(s for s in cluster if s not in seen)
            seen.update(kept)
            if kept:
                out.append(kept)
        return tuple(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A tokenised text, checked on construction; offsets are half-open and count words.

    Attributes:
      doc_id: name, unique in its corpus.
      words: `[n]` words, none empty.
      sentences: half-open word spans that cover `0 .. n` without gaps; none empty. Given as None,
        the whole text is one sentence.
      speakers: `[n]` speaker of each word (None where unknown), or None.
      pos: `[n]` part-of-speech tags of the corpus' own tag set, or None.
      text: raw text, or None.
      word_offsets: `[n]` half-open character offsets of the words in `text`, or None.
      annotation: gold or predicted clusters and relations, or None where nothing is known.
      extra: further facts of the source, kept by our jsonl on a round trip.

    Raises:
      DocumentError: an invariant is broken; the message names the document and the word.
    """

    doc_id: str
    words: tuple[str, ...]
    sentences: tuple[Span, ...] = None  # type: ignore[assignment]  # None: one sentence
    speakers: tuple[str | None, ...] | None = None
    pos: tuple[str, ...] | None = None
    text: str | None = None
    word_offsets: tuple[Span, ...] | None = None
    annotation: Annotation | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.words)
        sentences: Iterable[Sequence[int]] | None = self.sentences
        if sentences is None:
            sentences = ((0, n),) if n else ()
        object.__setattr__(self, "words", tuple(self.words))
        object.__setattr__(self, "sentences", tuple(_span(s) for s in sentences))
        for name in ("speakers", "pos"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))
                if len(value) != n:
                    self._fail(f"{name} has {len(value)} entries; expected one a word, {n}")
        if self.word_offsets is not None:
            object.__setattr__(self, "word_offsets", tuple(_span(s) for s in self.word_offsets))
        object.__setattr__(self, "extra", dict(self.extra))
        self._check_words()
        self._check_sentences()
        self._check_offsets()
        self._check_spans()

    def _fail(self, message: str) -> None:
        raise DocumentError(f"document {self.doc_id!r}: {message}")

    def _check_words(self) -> None:
        if not isinstance(self.doc_id, str) or not self.doc_id:
            self._fail("doc_id must be a non-empty string")
        for i, word in enumerate(self.words):
            if not isinstance(word, str) or not word:
                self._fail(f"word {i} is {word!r}; expected a non-empty string")

    def _check_sentences(self) -> None:
        at = 0
        for i, (start, end) in enumerate(self.sentences):
            if start != at or end <= start:
                self._fail(
                    f"sentence {i} is [{start}, {end}); expected a non-empty one that starts at "
                    f"word {at}, where the last one ended"
                )
            at = end
        if at != len(self.words):
            self._fail(f"sentences end at word {at}; expected {len(self.words)}, the last word")

    def _check_offsets(self) -> None:
        if self.word_offsets is None:
            return
        if self.text is None:
            self._fail("word_offsets are given without text; give both or neither")
        text = self.text or ""
        if len(self.word_offsets) != len(self.words):
            self._fail(
                f"word_offsets has {len(self.word_offsets)} entries; expected {len(self.words)}"
            )
        at = 0
        for i, (start, end) in enumerate(self.word_offsets):
            if not at <= start < end <= len(text):
                self._fail(
                    f"word {i} ({self.words[i]!r}) has character offsets [{start}, {end}); "
                    f"expected them after {at} and within the text's {len(text)} characters"
                )
            at = end

    def _check_spans(self) -> None:
        if self.annotation is None:
            return
        for start, end, cluster in self.annotation.mentions():
            if not 0 <= start < end <= len(self.words):
                self._fail(
                    f"cluster {cluster} has span [{start}, {end}); expected a non-empty half-open "
                    f"span within words 0..{len(self.words)}"
                )

    def with_annotation(self, annotation: Annotation | None) -> Document:
        """The same document under another annotation; what `extra` says of the old one goes."""
        extra = {key: value for key, value in self.extra.items() if key not in _OF_ANNOTATION}
        return replace(self, annotation=annotation, extra=extra)

    def span_text(self, span: Span) -> str:
        """The text of a span: from the raw text where there is one, else words and blanks."""
        start, end = span
        if self.text is not None and self.word_offsets is not None:
            return self.text[self.word_offsets[start][0] : self.word_offsets[end - 1][1]]
        return " ".join(self.words[start:end])

    def char_span(self, span: Span) -> Span:
        """Half-open character offsets of a word span in `text`.

        Raises:
          DocumentError: the document has no raw text.
        """
        if self.word_offsets is None:
            raise DocumentError(
                f"document {self.doc_id!r} has no word_offsets; read it from raw text to get them"
            )
        return self.word_offsets[span[0]][0], self.word_offsets[span[1] - 1][1]


def crosses(a: Span, b: Span) -> bool:
    """Whether two spans overlap without one containing the other."""
    return a[0] < b[0] < a[1] < b[1] or b[0] < a[0] < b[1] < a[1]


def _span(value: Sequence[int]) -> Span:
    start, end = value
    return int(start), int(end)

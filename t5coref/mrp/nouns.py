"""Words with part-of-speech tags from a spaCy pipeline, and which of them are nouns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from t5coref.core.errors import ConfigError
from t5coref.corpora.pipelines import load_pipeline

NOUN_TAGS = frozenset({"NN", "NNS", "NNP", "NNPS"})

PARAGRAPHS = 256  # that a pipeline takes at once
LONGEST_PARAGRAPH = 10_000  # characters; longer ones are cut, for the tagger's memory

_COMPONENTS = frozenset({"tok2vec", "transformer", "curated_transformer", "tagger"})


@dataclass(frozen=True)
class Text:
    """An article, a book, or a part of one: no sequence goes across texts.

    Attributes:
      name: says where it is from.
      paragraphs: raw text, without line ends.
    """

    name: str
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class TaggedText:
    """A text in words.

    Attributes:
      name: as the `Text`'s.
      words: as they are written.
      tags: Penn Treebank tags of the words.
      glued: the words that follow the one before them without a blank, in increasing order.
    """

    name: str
    words: Sequence[str]
    tags: Sequence[str]
    glued: Sequence[int]


def noun_key(word: str, tag: str) -> str | None:
    """What mentions of one group have in common, the lower-cased surface; None if it is no noun."""
    return word.lower() if tag in NOUN_TAGS and len(word) > 1 else None


class Tagger:
    """A spaCy pipeline of which nothing runs but what gives tags.

    Args:
      name: an installed package, or a folder.

    Raises:
      ConfigError: there is no such pipeline, or it gives no tags.
    """

    def __init__(self, name: str):
        self._pipeline = load_pipeline(name)
        pipes = self._pipeline.pipe_names
        if "tagger" not in pipes:
            raise ConfigError(
                f"the spaCy pipeline {name!r} has no tagger, only {', '.join(pipes) or 'nothing'}; "
                "expected one that gives Penn Treebank tags, such as en_core_web_sm"
            )
        self._pipeline.select_pipes(enable=[pipe for pipe in pipes if pipe in _COMPONENTS])
        meta = self._pipeline.meta
        self.version = f"{meta['lang']}_{meta['name']} {meta['version']}"

    @property
    def components(self) -> tuple[str, ...]:
        """What runs."""
        return tuple(self._pipeline.pipe_names)

    def tag(self, texts: Iterable[Text]) -> Iterator[TaggedText]:
        """The words of each text, with their tags."""

        def pieces() -> Iterator[tuple[str, Text]]:
            for text in texts:
                for paragraph in text.paragraphs:
                    for part in _short(paragraph):
                        yield part, text
                yield "", text  # also of a text without a word

        words: list[str] = []
        tags: list[str] = []
        glued: list[int] = []
        for parsed, text in self._pipeline.pipe(pieces(), as_tuples=True, batch_size=PARAGRAPHS):
            if not len(parsed):
                yield TaggedText(text.name, words, tags, glued)
                words, tags, glued = [], [], []
            joined = False
            for token in parsed:
                if token.is_space:
                    joined = False
                    continue
                if joined:
                    glued.append(len(words))
                joined = not token.whitespace_
                words.append(token.text)
                tags.append(token.tag_)


def _short(paragraph: str) -> Iterator[str]:
    """A paragraph in parts that are cut at blanks; none if it is blank."""
    while len(paragraph) > LONGEST_PARAGRAPH:
        cut = paragraph.rfind(" ", 1, LONGEST_PARAGRAPH)
        cut = LONGEST_PARAGRAPH if cut < 0 else cut
        yield paragraph[:cut]
        paragraph = paragraph[cut:].lstrip()
    if paragraph.strip():
        yield paragraph

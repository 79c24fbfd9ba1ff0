"""Noun chunks as mentions, from a spaCy pipeline."""

from __future__ import annotations

from typing import Any

from t5coref.core.document import Document, Span
from t5coref.core.errors import ConfigError
from t5coref.core.given_mentions import PREDICTED, GivenMentions
from t5coref.corpora.pipelines import load_pipeline
from t5coref.mentions.sources import OfEach

_NOT_NEEDED = ("ner", "lemmatizer")


class NounChunks(OfEach):
    """The noun chunks that a spaCy pipeline finds: flat, pronouns among them, sentence by sentence.

    Args:
      pipeline: an installed package, or a folder.

    Raises:
      ConfigError: there is none, or it has no parser.
    """

    def __init__(self, pipeline: str):
        self.name = f"spacy:{pipeline}"
        self._pipeline = load_pipeline(pipeline)
        pipes = self._pipeline.pipe_names
        if "parser" not in pipes:
            raise ConfigError(
                f"the spaCy pipeline {pipeline!r} has {', '.join(pipes) or 'nothing'}; expected "
                "one with a parser, which noun chunks need, such as en_core_web_sm"
            )
        self._pipeline.select_pipes(disable=[pipe for pipe in pipes if pipe in _NOT_NEEDED])

    @property
    def identity(self) -> dict[str, Any]:
        """See `MentionSource.identity`."""
        meta = self._pipeline.meta
        version = f"{meta['lang']}_{meta['name']} {meta['version']}"
        return {"source": PREDICTED, "pipeline": self.name, "version": version}

    def mentions(self, document: Document) -> GivenMentions:
        """See `OfEach.mentions`."""
        from spacy.tokens import Doc

        vocab = self._pipeline.vocab
        sentences = (Doc(vocab, words=list(document.words[a:b])) for a, b in document.sentences)
        spans: list[Span] = []
        for (start, _), parsed in zip(
            document.sentences, self._pipeline.pipe(sentences), strict=True
        ):
            spans += [(start + chunk.start, start + chunk.end) for chunk in parsed.noun_chunks]
        return GivenMentions(tuple(spans), PREDICTED)

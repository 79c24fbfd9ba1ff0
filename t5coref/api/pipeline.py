"""Texts in, entities out: a model behind one method."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from t5coref.api.prediction import ERROR, Prediction
from t5coref.api.pronouns import pronouns_of
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, DocumentError
from t5coref.corpora import text as raw_text
from t5coref.released import named

if TYPE_CHECKING:
    from t5coref.mentions.sources import MentionSource
    from t5coref.predict import Extractor

Input = str | Document
"""A text, or a document whose words are known."""

LARGEST_ROUND = 64
"""Documents that are read ahead at most, unless a batch needs more."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def load(
    model: str | os.PathLike[str] | None = None,
    *,
    language: str = "en",
    batch_size: int = 8,
    beams: int = 1,
    singletons: bool | None = None,
    window: int | None = None,
    mentions: str | os.PathLike[str] | MentionSource | None = None,
    relation_model: str | os.PathLike[str] | None = None,
    dtype: str | None = None,
    devices: Sequence[Any] | None = None,
) -> Pipeline:
    """A model, ready to predict; it accepts every folder that `t5coref predict --model` accepts.

    Nothing is fetched unless `model` names a checkpoint on the Hugging Face hub.

    Args:
      model: the folder of a model, a published checkpoint (docs/checkpoints.md) or its name on the
        hub; None or english-small = the model that comes with t5coref.
      language: of raw texts, as spaCy names it.
      batch_size: windows computed at once.
      beams: hypotheses that the search keeps; 1 = greedy.
      singletons: whether to keep entities of one mention; None = as the model was trained.
      window: pieces of a window, for a model with heads those of the longest document; None = the
        model's own.
      mentions: for formats that are told the mentions: what `t5coref predict --mentions` takes,
        or a source; None = those of the proposer in the model's folder, else those that the
        documents carry.
      relation_model: the folder of a second model, which finds relations between the entities.
      dtype: float32 or bfloat16; None = as trained, float32 on CPUs.
      devices: of JAX; None = all local ones.

    Raises:
      ConfigError: there is no such model, or an argument does not suit it.
      MismatchError: the files of the model do not belong together.
    """
    from t5coref import extractors
    from t5coref.decode.search import Beam

    if beams < 1 or batch_size < 1:
        raise ConfigError(f"beams {beams}, batch_size {batch_size}; expected at least 1 each")
    if isinstance(mentions, str | os.PathLike):
        mentions = extractors.mention_source(mentions, dtype=dtype, batch_size=batch_size)
    options = {} if singletons is None else {"min_mentions": 1 if singletons else 2}
    extractor = extractors.load_extractor(
        named(model),
        dtype=dtype,
        window=window,
        options=options,
        mentions=mentions,
        relation_model=relation_model,
        batch_size=batch_size,
        devices=devices,
        search=Beam(beams) if beams > 1 else None,
        round_size=max(min(2 * batch_size, LARGEST_ROUND), batch_size),
    )
    return Pipeline(extractor, language=language)


class Pipeline:
    """Predicts entities for texts and documents, many at a time.

    One thread may use it at a time; `t5coref serve` takes requests from many.

    Args:
      extractor: the model at work.
      language: of raw texts, as spaCy names it; resolving pronouns is known for en alone.
    """

    def __init__(self, extractor: Extractor, *, language: str = "en"):
        self.extractor, self.language = extractor, language
        self._pronouns = pronouns_of(language)

    @overload
    def predict(self, texts: Input) -> Prediction: ...

    @overload
    def predict(self, texts: Iterable[Input]) -> Iterator[Prediction]: ...

    def predict(self, texts: Input | Iterable[Input]) -> Prediction | Iterator[Prediction]:
        """What the model finds in a text, in a document, or in each of many.

        Many are read as they are needed, a round ahead (`extractor.round_size`), and their windows
        are computed in common batches; so they may be without end. Their predictions come in their
        order. One that cannot be predicted does not stop the others: its `Prediction.error` says
        why. Where reading itself fails, all that was read before is predicted first.

        Raises:
          DocumentError: what was given is neither, or the one text could not be predicted.
        """
        if isinstance(texts, Input):
            found = next(self._stream([texts], "text"))
            if found.error is not None:
                raise DocumentError(found.error)
            return found
        if isinstance(texts, bytes | bytearray | Mapping) or not isinstance(texts, Iterable):
            raise _unreadable(texts)
        return self._stream(texts, "text-{}")

    def __repr__(self) -> str:
        return f"Pipeline({type(self.extractor).__name__}, language={self.language!r})"

    def _stream(self, texts: Iterable[Input], name: str) -> Iterator[Prediction]:
        failure: list[Exception] = []

        def documents() -> Iterator[Document]:
            try:
                for number, item in enumerate(texts):
                    yield self._document(item, name.format(number))
            except Exception as error:  # whatever the caller's iterator raises
                failure.append(error)

        for document in self.extractor.predict(documents()):
            yield Prediction(document, self._pronouns)
        if failure:
            raise failure[0]

    def _document(self, item: Input, doc_id: str) -> Document:
        """The words of an input; without any, and with the reason, where it is no text."""
        if isinstance(item, Document):
            extra = {key: value for key, value in item.extra.items() if key != ERROR}
            return _torn(" ".join(item.words), item.doc_id) or replace(item, extra=extra)
        if not isinstance(item, str):
            raise _unreadable(item)
        return _torn(item, doc_id) or raw_text.from_string(doc_id, item, self.language)


def _torn(text: str, doc_id: str) -> Document | None:
    """A document that says why it has no words, if the text has half of a surrogate pair."""
    half = _LONE_SURROGATE.search(text)
    if half is None:
        return None
    why = (
        f"character {half.start()} is U+{ord(half[0]):04X}, half of a surrogate pair, which is no "
        "text; decode the bytes that it came from again, or drop such halves with "
        ".encode('utf-8', 'ignore').decode()"
    )
    return Document(doc_id=doc_id, words=(), extra={ERROR: why})


def _unreadable(item: Any) -> DocumentError:
    return DocumentError(
        f"got {type(item).__name__} {str(item)[:40]!r}; expected a text (str), a Document, or an "
        "iterable of these"
    )

"""A tiny random model, saved once; an extractor that needs none; documents with marked mentions."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from t5coref.core.document import Annotation, Confidence, Document


class Marker:
    """Finds the same in every document: word 0 with word 2, and words 1 to 3 alone.

    Documents of a word that says so cannot be predicted.
    """

    round_size, memory = 4, None
    identity: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.read = 0

    def predict(self, documents: Iterable[Document]) -> Iterator[Document]:
        stream = iter(documents)
        while taken := list(itertools.islice(stream, self.round_size)):
            self.read += len(taken)
            for document in taken:
                yield self._found(document)

    def _found(self, document: Document) -> Document:
        from t5coref.core.errors import DocumentError
        from t5coref.predict import failed

        if "impossible" in document.words:
            return failed(document, DocumentError("it is impossible"))
        n = len(document.words)
        clusters, sure = [], []
        for spans in (((0, 1), (2, 3)), ((1, 3),)):
            if kept := tuple(span for span in spans if span[1] <= n):
                clusters.append(kept)
                sure.append(tuple(Confidence(0.5, 0.25 * (k + 1)) for k in range(len(kept))))
        return document.with_annotation(Annotation(tuple(clusters), confidences=tuple(sure)))


@pytest.fixture
def marker() -> Marker:
    return Marker()


@pytest.fixture(scope="session")
def model_folder(tokenizer, tmp_path_factory):
    """Of a random full-copy model whose windows are shorter than some texts."""
    from t5coref.model import Format, from_scratch
    from t5coref.nn.t5 import T5Config

    config = T5Config(
        vocab_size=tokenizer.size, emb_dim=16, num_heads=2, num_encoder_layers=1,
        num_decoder_layers=1, head_dim=8, mlp_dim=32,
    )  # fmt: skip
    options = {"window": 48, "max_clusters": 20, "max_depth": 3}
    folder = tmp_path_factory.mktemp("models") / "tiny"
    from_scratch(config, tokenizer, format=Format("full-copy", options), seed=3).save(folder)
    return folder

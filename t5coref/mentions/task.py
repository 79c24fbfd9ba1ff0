"""Learning to find mentions: a `HeadTask` for `HeadObjective`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.core.segment import check_window
from t5coref.downstream.head_objective import Outputs, Score
from t5coref.mentions.metrics import MentionScorer, gold_spans
from t5coref.mentions.rows import Row, rows_of, scores_of, side_by_side, with_tags
from t5coref.mentions.tags import best_in_sentences, spans_of, tags
from t5coref.nn.downstream import TaggingHead
from t5coref.tokenizer import Tokenizer
from t5coref.train.inputs import digest

NAME = "mentions"
"""Of the task: what the cards of proposers say."""


class MentionTagging:
    """A `HeadTask`: which spans are mentions, whatever they refer to.

    Args:
      train_set: annotated documents.
      dev_set: the same.
      window: pieces that are read at once, `</s>` included.
      stride: largest distance between the starts of windows; None = three quarters of one.
      max_depth: mentions that are open at once; deeper ones are not learned.
      bias: of `best_tags`, for the dev documents and, stored with the model, for proposing. 0 =
        as learned; 1 = a mention is worth e times more. Where formats are told the mentions, a
        missing one is lost and a wrong one may still be left alone.
      hidden_dim: see `TaggingHead`.
      dropout_rate: see `TaggingHead`.

    Raises:
      ConfigError: an argument is out of range.
    """

    name, score = NAME, "mention_f1"

    def __init__(
        self,
        *,
        train_set: Sequence[Document],
        dev_set: Sequence[Document] = (),
        window: int = 512,
        stride: int | None = None,
        max_depth: int = 5,
        bias: float = 0.0,
        hidden_dim: int = 1024,
        dropout_rate: float = 0.1,
    ):
        stride = max(1, window * 3 // 4) if stride is None else stride
        check_window(window, stride)
        if not math.isfinite(bias):
            raise ConfigError(f"bias is {bias}; expected a number, such as 0.5")
        self.head = TaggingHead(len(tags(max_depth)), hidden_dim, dropout_rate)
        self.window, self.stride, self.max_depth, self.bias = window, stride, max_depth, bias
        self._train, self._dev = train_set, dev_set
        self._lost = 0

    @property
    def data(self) -> Mapping[str, Any]:
        """What prediction needs."""
        return {
            "window": self.window,
            "stride": self.stride,
            "max_depth": self.max_depth,
            "bias": self.bias,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a resumed run must share."""
        return {**self.data, "train": digest(self._train), "dev": digest(self._dev)}

    def rows(self, tokenizer: Tokenizer) -> list[Row]:
        """The windows of the training documents with their tags."""
        found = []
        self._lost = 0
        for document in self._train:
            labeled, lost = with_tags(self._windows(document, tokenizer), document, self.max_depth)
            found += labeled
            self._lost += lost
        return found

    def batch(
        self, rows: Sequence[Row], random: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        """Windows side by side."""
        del random
        return side_by_side(rows)

    def scorer(self, tokenizer: Tokenizer) -> Score | None:
        """Precision, recall and F1 of the mentions, all gold ones counted."""
        if not self._dev:
            return None
        windows = [self._windows(document, tokenizer) for document in self._dev]
        rows = list(itertools.chain.from_iterable(windows))

        def score(computed: Outputs) -> dict[str, float]:
            logits = iter(computed(rows))
            scores = [
                scores_of(d, of_document, [next(logits) for _ in of_document], self.head.classes)
                for d, of_document in zip(self._dev, windows, strict=True)
            ]
            scorer = MentionScorer()
            found = best_in_sentences(self._dev, scores, self.max_depth, self.bias)
            for document, chosen in zip(self._dev, found, strict=True):
                scorer.add(gold_spans(document), spans_of(chosen, self.max_depth))
            prf = scorer.compute()
            return {"mention_f1": prf.f1, "mention_precision": prf.precision,
                    "mention_recall": prf.recall}  # fmt: skip

        return score

    def notes(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """What training does not see."""
        del rows
        if not self._lost:
            return ()
        return (f"{self._lost} gold mentions cross others or lie deeper than {self.max_depth}; "
                "they are not learned",)  # fmt: skip

    def _windows(self, document: Document, tokenizer: Tokenizer) -> list[Row]:
        return rows_of(document, tokenizer, self.window, self.stride)

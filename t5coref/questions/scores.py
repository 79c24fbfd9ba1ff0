"""What a model says to all questions of a document: computed once, all inference reads it.

n mentions in reading order, P pairs (i, j) with i < j.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from t5coref.core.document import Span
from t5coref.linearize.questions import (
    ANSWER_SYMBOLS,
    BACKWARD,
    FORWARD,
    NO,
    NONE,
    NULL,
    SINGLETON,
    YES,
    Questionnaire,
)


@dataclass(frozen=True, eq=False)
class QuestionScores:
    """Log-probabilities of the answers, float64; NaN where nobody was asked.

    Attributes:
      spans: `[n]` of the mentions, half-open words.
      pairs: `int32[P, 2]` all pairs (i, j) that some question may link, ordered by j, then i.
      forward: `[P]` that j refers back to i.
      backward: `[P]` that i is referred to by j.
      nothing_before: `[n]` that a mention refers back to none.
      nothing_behind: `[n]` that none refers back to it.
      alone: `[n]` probability that it stands alone, as a singleton or as no mention.
      null: `[n]` probability that it is no mention; 0 where that is no answer.
    """

    spans: tuple[Span, ...]
    pairs: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    nothing_before: np.ndarray
    nothing_behind: np.ndarray
    alone: np.ndarray
    null: np.ndarray

    @property
    def no_mentions(self) -> list[int]:
        """The mentions that are likelier none than singletons."""
        return np.flatnonzero(self.null > self.alone - self.null).tolist()

    @classmethod
    def of(cls, asked: Questionnaire, log_probs: Iterable[np.ndarray]) -> QuestionScores:
        """Puts the answers of a document's windows together.

        Args:
          asked: the questions.
          log_probs: of each window, `[Q, A]` over the answers of the format, -inf where illegal.
        """
        count = len(asked.spans)
        nothing = np.full((2, count), np.nan)
        alone, null = np.full(count, np.nan), np.zeros(count)
        # Of forward and of backward answers: j * count + i of each pair, and what is said of it.
        said: list[tuple[int, np.ndarray, np.ndarray]] = []
        for window, found in zip(asked.windows, log_probs, strict=True):
            rows = np.asarray(found, np.float64)
            mentions, handles = np.asarray(window.mentions), rows.shape[1] - len(ANSWER_SYMBOLS)
            tasks, asked_about = window.turn.asked.T
            me = mentions[asked_about]
            single = tasks == SINGLETON
            yes, no, none = (np.exp(rows[single, handles + kind]) for kind in (YES, NO, NULL))
            alone[me[single]], null[me[single]] = (yes + none) / (yes + no + none), none
            for task in (FORWARD, BACKWARD):
                mine = np.flatnonzero(tasks == task)
                nothing[task, me[mine]] = rows[mine, handles + NONE]
                row, other = np.nonzero(np.isfinite(rows[mine, :handles]))
                ends = mentions[other], me[mine][row]
                i, j = ends if task == FORWARD else ends[::-1]
                kept = i < j
                values = rows[mine[row], other]
                said.append((task, (j * count + i)[kept], values[kept]))
        codes = np.unique(np.concatenate([[], *(code for _, code, _ in said)]).astype(np.int64))
        both = np.full((2, len(codes)), np.nan)
        for task, code, values in said:
            both[task, np.searchsorted(codes, code)] = values
        return cls(
            spans=tuple(asked.spans),
            pairs=np.stack([codes % max(count, 1), codes // max(count, 1)], -1).astype(np.int32),
            forward=both[FORWARD],
            backward=both[BACKWARD],
            nothing_before=nothing[FORWARD],
            nothing_behind=nothing[BACKWARD],
            alone=alone,
            null=null,
        )

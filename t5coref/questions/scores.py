"""What a model says to all questions of a document: computed once, all inference reads it.

n mentions in reading order, P pairs (i, j) with i < j.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from t5coref.core.document import Span
from t5coref.linearize.questions import (
    BACKWARD,
    FORWARD,
    NO,
    NONE,
    NULL,
    SINGLETON,
    YES,
    Asked,
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
        unknown = np.full(count, np.nan)
        nothing = {FORWARD: unknown.copy(), BACKWARD: unknown.copy()}
        alone, null = unknown, np.zeros(count)
        said: dict[tuple[int, int], list[float]] = {}
        for window, found in zip(asked.windows, log_probs, strict=True):
            _collect(window, np.asarray(found, np.float64), nothing, alone, null, said)
        pairs = sorted(said, key=lambda pair: pair[::-1])
        both = np.asarray([said[pair] for pair in pairs]).reshape(-1, 2)
        return cls(
            spans=tuple(asked.spans),
            pairs=np.asarray(pairs, np.int32).reshape(-1, 2),
            forward=both[:, 0],
            backward=both[:, 1],
            nothing_before=nothing[FORWARD],
            nothing_behind=nothing[BACKWARD],
            alone=alone,
            null=null,
        )


def _collect(
    window: Asked,
    log_probs: np.ndarray,
    nothing: dict[int, np.ndarray],
    alone: np.ndarray,
    null: np.ndarray,
    said: dict[tuple[int, int], list[float]],
) -> None:
    mentions = window.mentions
    handles = log_probs.shape[1] - 4
    for (task, handle), row in zip(window.turn.asked.tolist(), log_probs, strict=True):
        me = mentions[handle]
        if task == SINGLETON:
            yes, no, none = (np.exp(row[handles + k]) for k in (YES, NO, NULL))
            alone[me], null[me] = (yes + none) / (yes + no + none), none
            continue
        nothing[task][me] = row[handles + NONE]
        for other in np.flatnonzero(np.isfinite(row[:handles])).tolist():
            pair = (mentions[other], me) if task == FORWARD else (me, mentions[other])
            if pair[0] < pair[1]:
                said.setdefault(pair, [np.nan, np.nan])[task] = row[other]

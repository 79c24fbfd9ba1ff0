"""The weights of joint inference that suit annotated documents best: a grid search.

The model has answered before; a document is scored once for each set of links.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from t5coref.core.document import Annotation, Document
from t5coref.core.links import Link, linked
from t5coref.core.metrics import Scorer
from t5coref.questions.inference import Evidence, Weights, best_links, matched_links
from t5coref.questions.scores import QuestionScores

ALPHAS = tuple(k / 10 for k in range(11))
GAMMAS = (0.0, 0.25, 0.5, 1.0, 2.0)
TAUS = tuple(k / 2 for k in range(-6, 7))


class Tuned(NamedTuple):
    """What a search has found.

    Attributes:
      weights: the best ones.
      score: their CoNLL F1, a fraction.
      before: that of the weights that the search was to improve.
      tried: how many weights were compared.
    """

    weights: Weights
    score: float
    before: float
    tried: int


def grid() -> Iterator[Weights]:
    """All weights that are compared, the preferred ones of equal score first.

    Those are larger alpha, then smaller gamma, then tau nearest to 0 (of two, the larger one).
    """
    taus = sorted(TAUS, key=lambda tau: (abs(tau), -tau))
    for weights in itertools.product(ALPHAS[::-1], GAMMAS, taus):
        yield Weights(*weights)


def tune(
    documents: Sequence[Document],
    scores: Sequence[QuestionScores],
    *,
    start: Weights,
    one_to_one: bool = False,
    min_mentions: int = 1,
    remove_singletons: bool = False,
    listener: Callable[[int], None] = lambda tried: None,
) -> Tuned:
    """Finds the weights with the best CoNLL F1.

    Args:
      documents: with gold clusters.
      scores: the answers about them.
      start: the weights to compare with.
      one_to_one: see `inference.clusters`.
      min_mentions: likewise.
      remove_singletons: score without clusters of one mention, on both sides.
      listener: hears how many weights have been tried.
    """
    find = matched_links if one_to_one else best_links
    evidence = [Evidence.of(s) for s in scores]
    counted: list[dict[tuple[Link, ...], Scorer]] = [{} for _ in documents]

    def score(weights: Weights) -> float:
        total = Scorer(("conll",), remove_singletons=remove_singletons)
        for i, document in enumerate(documents):
            links = tuple(find(evidence[i], weights))
            if links not in counted[i]:
                found = linked(
                    scores[i].spans,
                    links,
                    min_mentions=min_mentions,
                    no_mentions=scores[i].no_mentions,
                )
                one = Scorer(("conll",), remove_singletons=remove_singletons)
                one.add((document.annotation or Annotation()).clusters, found.clusters)
                counted[i][links] = one
            total.merge(counted[i][links])
        return total.compute()["conll"].f1

    before = score(start)
    best, best_score, tried = start, -np.inf, 0
    for weights in grid():
        found = score(weights)
        tried += 1
        if found > best_score:
            best, best_score = weights, found
        listener(tried)
    return Tuned(best, float(best_score), before, tried)

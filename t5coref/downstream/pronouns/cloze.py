"""A T5 fills the pronoun's gap: each candidate is as probable as its pieces there.

The encoder reads the text with `<extra_id_0>` in the pronoun's place, once for all candidates; the
decoder is given `<extra_id_0> candidate <extra_id_1>`. log Pr(c | S) is the sum over the pieces of
the candidate alone (Ye et al. 2020, equation 5, with T5's gap for BERT's masks).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from t5coref.downstream.predict import Scored, TextPredictor
from t5coref.downstream.pronouns.example import (
    CLOSE,
    SENTINEL,
    PronounExample,
    cloze_input,
    fillings,
)
from t5coref.downstream.pronouns.metrics import Prediction

OfLength = Callable[[np.ndarray], float]
"""float32[pieces], the log-probability of each piece of a candidate -> its score."""


def total(log_probs: np.ndarray) -> float:
    """The log-probability of the candidate, as in equation 5."""
    return float(np.sum(log_probs, dtype=np.float64))


def mean(log_probs: np.ndarray) -> float:
    """The log-probability for each piece, which does not punish long candidates."""
    return total(log_probs) / len(log_probs)


def cloze_target(filling: str) -> str:
    """What the decoder is given for a candidate."""
    return f"{SENTINEL} {filling} {CLOSE}"


def predict(
    predictor: TextPredictor,
    examples: Iterable[PronounExample],
    *,
    of_length: OfLength = total,
    params: Mapping[str, Any] | None = None,
) -> Iterator[Prediction]:
    """Scores the candidates of each example, in order.

    An example that cannot be computed has an `error` instead of scores; the others go on. One
    without candidates has no scores.

    Args:
      predictor: the model. Its `max_source_length` should be None: snippets are read whole.
      examples: read as they are needed.
      of_length: `total` or `mean`.
      params: other weights than the model's.
    """
    kept, asked = itertools.tee(examples)

    def requests() -> Iterator[tuple[str, list[str]]]:
        for example in asked:
            if example.candidates:
                # Candidates that are written alike are scored once, so that they tie exactly.
                targets = [cloze_target(filling) for filling in dict.fromkeys(fillings(example))]
                yield cloze_input(example), targets

    results = predictor.score(requests(), params)
    for example in kept:
        if not example.candidates:
            yield Prediction(example.name)
            continue
        scored = next(results)
        if scored.error is not None:
            yield Prediction(example.name, (), scored.error)
            continue
        yield _prediction(example, scored, of_length)


def _prediction(example: PronounExample, scored: Scored, of_length: OfLength) -> Prediction:
    filled = fillings(example)
    # <extra_id_0> comes before a candidate, <extra_id_1> and </s> after it.
    pieces = [target.log_probs[1:-2] for target in scored.targets]
    by_filling = dict(zip(dict.fromkeys(filled), pieces, strict=True))
    for filling, found in by_filling.items():
        if not len(found):  # it would be certain, and win
            return Prediction(example.name, (), f"the candidate {filling!r} has no pieces")
    return Prediction(example.name, tuple(of_length(by_filling[filling]) for filling in filled))

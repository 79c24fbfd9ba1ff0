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

from t5coref.downstream.predict import Target, TextPredictor
from t5coref.downstream.pronouns.example import (
    CLOSE,
    SENTINEL,
    PronounExample,
    cloze_input,
    fillings,
)
from t5coref.downstream.pronouns.metrics import Prediction
from t5coref.tokenizer import Tokenizer

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

    An example that cannot be computed has an `error` instead of scores; the others go on.

    Args:
      predictor: the model. Its `max_source_length` should be None: snippets are read whole.
      examples: read as they are needed.
      of_length: `total` or `mean`.
      params: other weights than the model's.
    """
    kept, asked = itertools.tee(examples)
    tokenizer = predictor.model.tokenizer

    def requests() -> Iterator[tuple[str, list[str]]]:
        for example in asked:
            # Candidates that are written alike are scored once, so that they tie exactly.
            yield cloze_input(example), [cloze_target(f) for f in dict.fromkeys(fillings(example))]

    for example, scored in zip(kept, predictor.score(requests(), params), strict=True):
        if scored.error is not None:
            yield Prediction(example.name, (), scored.error)
            continue
        filled = fillings(example)
        targets = zip(dict.fromkeys(filled), scored.targets, strict=True)
        scores = {filling: of_length(_of_candidate(tokenizer, t)) for filling, t in targets}
        yield Prediction(example.name, tuple(scores[filling] for filling in filled))


def _of_candidate(tokenizer: Tokenizer, target: Target) -> np.ndarray:
    """The log-probabilities of the pieces between the two sentinels."""
    framed = 1 + 2  # <extra_id_0>; <extra_id_1> and </s>
    assert len(target.tokens) > framed, tokenizer.piece(int(target.tokens[0]))
    return target.log_probs[1:-2]

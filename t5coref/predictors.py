"""The predictor that suits a model's format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from t5coref import linearize
from t5coref.linearize.questions import Questions
from t5coref.model import Model
from t5coref.predict import Predictor
from t5coref.questions import QuestionPredictor


def asks_questions(model: Model) -> bool:
    """Whether the model's format consists of questions, which are answered without a search."""
    format_ = linearize.named(model.format.name)
    return issubclass(format_, Questions) and not format_.in_words


def predictor_of(
    model: Model,
    *,
    batch_size: int = 8,
    devices: Sequence[Any] | None = None,
    **search: Any,
) -> Predictor | QuestionPredictor:
    """A predictor for the model.

    Args:
      model: weights, tokenizer and format.
      batch_size: rows computed at once at most.
      devices: where to run; None = all local devices.
      **search: further arguments of `Predictor`; they mean nothing to formats of questions.
    """
    if asks_questions(model):
        return QuestionPredictor(model, batch_size=batch_size, devices=devices)
    return Predictor(model, batch_size=batch_size, devices=devices, **search)

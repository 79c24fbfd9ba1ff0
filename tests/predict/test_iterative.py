"""Formats that are told the mentions: whatever a model's weights, each mention gets one symbol."""

from __future__ import annotations

import pytest

from t5coref.core.document import Annotation
from t5coref.core.given_mentions import PREDICTED, with_mentions
from t5coref.linearize import symbols_of
from t5coref.linearize.known_clusters import known
from t5coref.model import Format, from_scratch
from t5coref.predict import Predictor, error_of
from t5coref.tokenizer import Tokenizer

OPTIONS = {"max_clusters": 24, "max_depth": 4, "carry": True, "nulls": True}
OWN = {
    "iterative-handles": {"window": 40, "sets": True},
    "iterative-text": {"window": 64, "memory": 24},
}


def proposed(document):
    """Every third word, and longer mentions around some of them."""
    spans = {(i, i + 1) for i in range(0, len(document.words), 3)}
    spans |= {(i, i + 2) for i in range(0, len(document.words) - 1, 6)}
    return with_mentions(document, spans, PREDICTED)


@pytest.mark.parametrize("name", OWN)
def test_a_random_model_answers_every_mention_of_every_window(model, stories, name):
    options = OPTIONS | OWN[name]
    format_ = Format(name, options)
    tokenizer = Tokenizer(model.tokenizer.model, symbols_of(name, options))
    predictor = Predictor(from_scratch(model.config, tokenizer, format=format_, seed=3))
    lin = predictor.linearization
    documents = [d for d in stories if len(d.words) in (0, 7, 49, 60)]
    answered, lines, carried = [], [], 0
    of_slots = lin.slots

    def slots(turn, answer):
        nonlocal carried
        said = list(of_slots(turn, answer))
        marks = int((turn.source == lin.close).sum())
        assert [s.slot for s in said] == list(range(marks))
        linked = sum(len(s.links) for s in said)
        assert answer.actions[-1] == lin.tokenizer.eos_id
        steps = len(turn.source) if lin.rules.recites else marks + 1 + 2 * linked
        assert len(answer.actions) == steps
        assert answer.actions[: len(turn.forced)].tolist() == turn.forced.tolist()
        assert not answer.log_probs[: len(turn.forced)].any()
        carried += len(turn.forced)
        lines.append(len(known(turn)))
        answered.append(marks)
        return iter(said)

    lin.slots = slots
    unknown = documents[1]
    found = list(predictor.predict([*map(proposed, documents), unknown]))
    assert [error_of(d) is None for d in found] == [True] * len(documents) + [False]
    assert "gives no mentions" in error_of(found[-1])
    assert found[-1].annotation == Annotation()
    assert sum(answered) > 60
    assert carried > 0
    assert any(lines) == ("memory" in OWN[name])
    assert any(d.annotation.split for d in found) == ("sets" in OWN[name])
    for document in found[:-1]:
        told = {tuple(span) for span in document.extra["mentions"]["spans"]}
        assert {(s, e) for s, e, _ in document.annotation.mentions()} <= told

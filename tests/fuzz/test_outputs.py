"""Stored and free outputs of a model, however wrong: annotations that fit, or our errors."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import bounded, examples
from strategies import documents
from walks import CASES, IDS, make

from t5coref.core.errors import T5CorefError
from t5coref.downstream import fever, quoref, squad
from t5coref.downstream.glue import TASKS
from t5coref.linearize import replay
from t5coref.linearize.audit import audit


@pytest.mark.parametrize(("name", "constraint"), CASES, ids=IDS)
def test_any_numbers_are_read_or_refused(tokenizer, name, constraint):
    made = make(tokenizer, name, constraint)
    symbols = [s for s in made.rules.inventory.ids if s >= 0]
    ids = st.integers(-2, made.tokenizer.size + 3) | st.sampled_from(symbols)
    outputs = st.lists(st.lists(ids, max_size=30), min_size=1, max_size=3)

    @settings(max_examples=examples(8))
    @given(documents(max_words=10), outputs)
    def run(document, rows):
        stored = [np.asarray(row, np.int32) for row in rows]
        with bounded(), contextlib.suppress(T5CorefError):
            document.with_annotation(replay(made, document, stored))  # which checks the spans
        with bounded(), contextlib.suppress(T5CorefError):
            audit(made, document, stored)

    run()


@settings(max_examples=examples(60))
@given(st.text(alphabet="ab |<>extra_id_0123.-\n", max_size=60) | st.text(max_size=40))
def test_any_text_is_an_answer(text):
    assert isinstance(squad.answer_of(text), str)
    assert all(isinstance(span, str) for span in quoref.answer_of(text))
    fever.label_of(text)
    for task in TASKS.values():
        task.label(text)

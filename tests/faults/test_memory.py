"""A batch that does not fit into the device's memory is computed in smaller ones, and said so."""

from __future__ import annotations

import logging

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from t5coref.core.errors import ConfigError
from t5coref.nn.partition import DATA, MODEL
from t5coref.rounds import RoundPredictor


class Predictor(RoundPredictor):
    """Computes rows up to a number of pieces at once, as a device with so much memory does."""

    def __init__(self, room, *, batch_size=8, copies=1):
        mesh = Mesh(np.asarray(jax.local_devices()[:copies]).reshape(copies, 1), (DATA, MODEL))
        super().__init__(None, batch_size=batch_size, round_size=16, mesh=mesh)  # type: ignore[arg-type]
        self.room, self.calls = room, []

    def _round(self, documents, params):
        raise NotImplementedError

    def computed(self, lengths):
        return self._computed(lengths, self._compute)

    def _compute(self, rows, length):
        padded = self._padded_rows(len(rows))
        self.calls.append((padded, length))
        if padded * length > self.room:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating ...")
        return [(row, length) for row in rows]


def test_halves_are_tried_until_they_fit_and_remembered(caplog):
    predictor = Predictor(room=128)
    lengths = [64] * 5 + [16] * 3 + [96]
    with caplog.at_level(logging.WARNING, "t5coref"):
        found = predictor.computed(lengths)
    assert found == list(enumerate(lengths))
    assert predictor.calls == [(4, 16), (8, 64), (4, 64), (2, 64), (2, 64), (1, 64), (1, 96)]
    assert [record.args for record in caplog.records] == [(8, 64, 4), (4, 64, 2)]
    # The next round begins with what was learned; shorter rows still fill their batches.
    predictor.calls.clear()
    assert predictor.computed([64, 64, 64, 16]) == [(0, 64), (1, 64), (2, 64), (3, 16)]
    assert predictor.calls == [(1, 16), (2, 64), (1, 64)]


def test_a_batch_is_never_smaller_than_the_copies_of_the_model():
    predictor = Predictor(room=256, copies=2)
    assert predictor.computed([64] * 8) == [(row, 64) for row in range(8)]
    assert predictor.calls == [(8, 64), (4, 64), (4, 64)]
    with pytest.raises(ConfigError, match=r"2 rows of 200 pieces need more memory"):
        predictor.computed([200])


def test_other_errors_of_the_device_are_not_taken_for_it():
    class Broken(Predictor):
        def _compute(self, rows, length):
            raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        Broken(room=1).computed([8])

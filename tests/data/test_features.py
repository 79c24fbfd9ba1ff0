"""Model features: those of the local training loop, for the same examples."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("seqio")

import seqio

from t5coref import linearize
from t5coref.core.errors import ConfigError
from t5coref.data.features import CorefFeatureConverter
from t5coref.data.task import task_linearization
from t5coref.train.batches import batches, training_examples

LENGTHS = {"inputs": 24, "targets": 96, "feeds": 96}


@pytest.mark.parametrize("name", sorted(set(linearize.FORMATS) - set(linearize.PLAIN_TEXT)))
def test_features_are_those_of_the_local_loop(task, documents, name):
    made = task(linearization=name, options={"window": 20})
    format_ = task_linearization(made)
    examples, _ = training_examples(format_, documents[8:])
    assert len(examples) > 4  # several windows a document
    batch = batches(
        examples, format_.rules, len(examples), seed=0, source_length=24, target_length=96
    )[0]
    local = {}
    for row, example in enumerate(batch.names):
        local[example] = {k: v[row] for k, v in batch.features.items()}
    found = seqio.get_dataset(made, LENGTHS, CorefFeatureConverter(), "validation", shuffle=False)
    order = [f"{e.turn.doc_id!r} turn {e.turn.index}" for e in examples]
    rows = list(found.as_numpy_iterator())
    assert len(rows) == len(order) == len(set(order))
    for example, row in zip(order, rows, strict=True):
        assert set(row) == set(local[example]) - {"decoder_target_actions"}
        for key, value in row.items():
            assert value.dtype == np.int32
            if key == "decoder_loss_weights":
                # The converter knows nothing of rules; the loss in T5X does.
                value = value * format_.rules.loss_weights(row["decoder_target_tokens"][None])[0]
            np.testing.assert_array_equal(value, local[example][key], err_msg=key)


def test_feeds_are_shifted_and_end_with_the_targets():
    import tensorflow as tf

    rows = {
        "inputs": np.array([[7, 8, 1]], np.int32),
        "targets": np.array([[5, 5, 6]], np.int32),
        "feeds": np.array([[7, 8, 1]], np.int32),
    }
    converted = CorefFeatureConverter()(
        tf.data.Dataset.from_tensor_slices(rows), {"inputs": 4, "targets": 5, "feeds": 5}
    )
    (row,) = converted.as_numpy_iterator()
    assert row["encoder_input_tokens"].tolist() == [7, 8, 1, 0]
    assert row["decoder_input_tokens"].tolist() == [0, 7, 8, 0, 0]
    assert row["decoder_target_tokens"].tolist() == [5, 5, 6, 0, 0]
    assert row["decoder_loss_weights"].tolist() == [1, 1, 1, 0, 0]


def test_packing_is_refused():
    with pytest.raises(ConfigError, match="pack"):
        CorefFeatureConverter(pack=True)

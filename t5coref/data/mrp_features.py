"""What rows of mention reference prediction are to SeqIO and to models; imports seqio.

S input pieces, T target pieces, Q queries, J referents of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import seqio
import tensorflow as tf

from t5coref.data.features import CorefFeatureConverter
from t5coref.data.vocabulary import CorefVocabulary
from t5coref.mrp.rows import MRPRow

QUERIES, REFERENTS = 15, 32
"""Q and J. What a row has beyond them is left out; the log says how much."""

PIECES = ("inputs", "targets", "feeds")
"""Task features int32 `[S]`, `[T]`, `[T]`; feeds are the targets, as in tasks that copy nothing."""

QUERY = ("mrp_q_start", "mrp_q_end", "mrp_q_mask", "mrp_q_single")
"""Task features int32 `[Q]`, the last two 0 or 1."""

REFERENT = ("mrp_ref_start", "mrp_ref_end", "mrp_ref_mask")
"""Task features int32 `[Q, J]`, the last one 0 or 1."""

FLAGS = ("mrp_q_mask", "mrp_q_single", "mrp_ref_mask")


class Fixed(NamedTuple):
    """A row's queries in arrays of one size.

    Attributes:
      features: those of `QUERY` and `REFERENT`.
      queries: how many there was no room for.
      referents: how many, of the queries that are left.
    """

    features: dict[str, np.ndarray]
    queries: int
    referents: int


def fixed(row: MRPRow) -> Fixed:
    """The queries of a row in arrays `[Q]` and `[Q, J]`."""
    made = {name: np.zeros(QUERIES, np.int32) for name in QUERY}
    made |= {name: np.zeros((QUERIES, REFERENTS), np.int32) for name in REFERENT}
    count = min(len(row.query_start), QUERIES)
    given = row.query_start, row.query_end, np.ones_like(row.query_start), row.query_single
    for name, values in zip(QUERY, given, strict=True):
        made[name][:count] = values[:count]
    lost = 0
    for q in range(count):
        there = np.flatnonzero(row.ref_mask[q])
        lost += max(len(there) - REFERENTS, 0)
        there = there[:REFERENTS]
        made["mrp_ref_start"][q, : len(there)] = row.ref_start[q, there]
        made["mrp_ref_end"][q, : len(there)] = row.ref_end[q, there]
        made["mrp_ref_mask"][q, : len(there)] = 1
    return Fixed(made, len(row.query_start) - count, lost)


def task_features(vocabulary: CorefVocabulary) -> dict[str, seqio.Feature]:
    """What tasks of mention reference prediction, and those mixed with them, put out."""

    def feature(rank: int) -> seqio.Feature:
        return seqio.Feature(vocabulary, add_eos=False, dtype=tf.int32, rank=rank)

    return {
        **{name: feature(1) for name in (*PIECES, *QUERY)},
        **{name: feature(2) for name in REFERENT},
    }


class MRPFeatureConverter(CorefFeatureConverter):
    """Pads the features of `mrp_task` and `mrp_mixture` and names them as the local loop does.

    Lengths are those of `inputs` and `targets`. Rows with queries and rows without are alike.

    Raises:
      ConfigError: packing is asked for.
    """

    TASK_FEATURES: Mapping[str, seqio.FeatureConverter.FeatureSpec] = {
        **{name: seqio.FeatureConverter.FeatureSpec(dtype=tf.int32) for name in PIECES},
        **{name: seqio.FeatureConverter.FeatureSpec(dtype=tf.int32) for name in QUERY},
        **{name: seqio.FeatureConverter.FeatureSpec(dtype=tf.int32, rank=2) for name in REFERENT},
    }
    MODEL_FEATURES: Mapping[str, seqio.FeatureConverter.FeatureSpec] = {
        **seqio.EncDecFeatureConverter.MODEL_FEATURES,
        **{
            name: seqio.FeatureConverter.FeatureSpec(
                dtype=tf.bool if name in FLAGS else tf.int32, rank=2 if name in REFERENT else 1
            )
            for name in (*QUERY, *REFERENT)
        },
    }

    def __call__(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        """As in the base class; what is not said of lengths is known."""
        return super().__call__(ds, _lengths(task_feature_lengths))

    def get_model_feature_lengths(
        self, task_feature_lengths: Mapping[str, int]
    ) -> Mapping[str, int]:
        """Lengths of the padded features."""
        given = _lengths(task_feature_lengths)
        found = {"encoder_input_tokens": given["inputs"]}
        for name in ("decoder_input_tokens", "decoder_target_tokens", "decoder_loss_weights"):
            found[name] = given["targets"]
        return found | dict.fromkeys((*QUERY, *REFERENT), QUERIES)

    def _convert_example(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        asked = {
            name: features[name] > 0 if name in FLAGS else features[name]
            for name in (*QUERY, *REFERENT)
        }
        return super()._convert_example(features) | asked


def _lengths(given: Mapping[str, int]) -> dict[str, int]:
    lengths = {"inputs": given["inputs"], "targets": given["targets"]}
    return {**lengths, "feeds": given["targets"], **dict.fromkeys((*QUERY, *REFERENT), QUERIES)}

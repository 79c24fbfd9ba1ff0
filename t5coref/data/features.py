"""Task features to model features; imports seqio.

S source pieces, T steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import seqio
import tensorflow as tf

from t5coref.core.errors import ConfigError

_TOKENS = seqio.FeatureConverter.FeatureSpec(dtype=tf.int32)
_FEEDS = ("feeds", "decoder_input_tokens")


class CorefFeatureConverter(seqio.EncDecFeatureConverter):
    """Pads `inputs`, `targets` and `feeds`, and shifts what the decoder reads.

    The decoder is scored on `targets` and reads `feeds`, which differ wherever a format copies.
    Feeds of input-feed and iterative-handles are pairs, `[T, 2]`, and stay pairs.

    Model features, int32: `encoder_input_tokens` `[S]`; `decoder_input_tokens` (0, then the feeds)
    and `decoder_target_tokens`, `[T]`; `decoder_loss_weights` `[T]`, 1 where there is a target.

    Raises:
      ConfigError: packing is asked for. The rules of a format know one source and one target.
    """

    TASK_FEATURES: Mapping[str, seqio.FeatureConverter.FeatureSpec] = {
        "inputs": _TOKENS,
        "targets": _TOKENS,
        "feeds": _TOKENS,
    }

    def __init__(self, pack: bool = False, **options):
        if pack:
            raise ConfigError("packing is asked for; expected pack = False for coreference tasks")
        super().__init__(pack=False, **options)

    def _validate_dataset(self, ds, expected_features, *args, **kwargs):
        """As in the base class; feeds may be tokens or pairs of them."""
        expected = dict(expected_features)
        for name in _FEEDS:
            if name in expected and name in ds.element_spec:
                rank = ds.element_spec[name].shape.rank
                if rank == 2:
                    expected[name] = dataclasses.replace(expected[name], rank=rank)
        return super()._validate_dataset(ds, expected, *args, **kwargs)

    def _convert_example(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        weights = seqio.non_padding_position(features["targets"])
        feeds = features["feeds"]
        inputs = seqio.utils.make_autoregressive_inputs(feeds, bos_id=self.bos_id)
        # What is fed after the last action is never read.
        read = weights[:, None] if feeds.shape.rank == 2 else weights
        converted = {
            "encoder_input_tokens": features["inputs"],
            "decoder_input_tokens": inputs * read,
            "decoder_target_tokens": features["targets"],
            "decoder_loss_weights": weights,
        }
        return converted | {name: features[name] for name in self._passthrough_features}

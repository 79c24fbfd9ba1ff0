"""A T5 that reads and writes plain text, and what belongs to it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from t5coref import model as models
from t5coref.checkpoints import home, load
from t5coref.checkpoints.folders import appearing
from t5coref.core.errors import ConfigError
from t5coref.model import CARD_FILE, TEXT_KEY, Model
from t5coref.nn.checkpoint import save_hf
from t5coref.nn.t5 import T5, T5Config
from t5coref.nn.weight_files import CONFIG, CheckpointError, find
from t5coref.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, eq=False)
class TextModel:
    """Weights and tokenizer; there is no linearization.

    Attributes:
      config: the network's shape.
      params: its parameters, host or device arrays, not scanned.
      tokenizer: text to pieces.
    """

    config: T5Config
    params: Mapping[str, Any]
    tokenizer: Tokenizer

    @property
    def network(self) -> T5:
        """The Flax module."""
        return T5(self.config)

    def card(self) -> dict[str, Any]:
        """What identifies the model's parts."""
        return models.card(self.tokenizer, None, self.config.dtype) | {TEXT_KEY: {}}

    def fingerprint(self) -> str:
        """A digest of the card and the weights."""
        return models.fingerprint(self.card(), self.params)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes a folder that `load` and transformers can read; it appears whole or not at all."""
        with appearing(pathlib.Path(folder), overwrite=True, foreign=lambda names: []) as fresh:
            save_hf(fresh, self.config, self.params)
            self.tokenizer.save(fresh)
            models.write_card(fresh, self.card())

    @classmethod
    def of(cls, model: Model) -> TextModel:
        """The network of a model that was made for a linearization."""
        return cls(model.config, model.params, model.tokenizer)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        tokenizer: str | os.PathLike[str] | None = None,
        dtype: str | None = None,
    ) -> TextModel:
        """Reads any T5: what `save` or `t5coref train` wrote, a folder or hub name of transformers,
        or a T5X checkpoint.

        Args:
          folder: the model's folder or name.
          tokenizer: a SentencePiece model from elsewhere, for folders without one.
          dtype: computation type; None = as saved, or float32.

        Raises:
          ConfigError: there is no model, or it has no decoder.
          MismatchError: the tokenizer is not the one that the weights were trained with, or the
            weights are not those that were saved.
        """
        try:
            place = find(folder)
            beside = home(place)
            if (beside / CARD_FILE).is_file():
                card = models.read_card(beside)
                pieces, saved = models.tokenizer_of(beside, card), card["dtype"]
                models.check_weights(beside, card)
            else:
                pieces, saved = Tokenizer(tokenizer or beside, ()), "float32"
            config, params = load(place, dtype=dtype or saved)
        except CheckpointError as error:
            raise ConfigError(f"{error}; expected a folder with {CONFIG} and weights") from error
        if config.num_decoder_layers == 0:
            raise ConfigError(f"{folder} is an encoder with heads; expected a T5 that can write")
        return cls(config, params, pieces)

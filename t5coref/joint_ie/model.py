"""A T5 encoder, or a whole T5, with heads for entities and relations, and what belongs to them.

Its folder is that of all models with heads, `t5coref.headed`.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from t5coref import headed
from t5coref import model as models
from t5coref.core.errors import ConfigError
from t5coref.headed import HEADS, HeadedModel, apart, describe
from t5coref.joint_ie.composition import build, for_types
from t5coref.joint_ie.inventory import inventory
from t5coref.model import CARD_FILE, HEADS_KEY, Format, Model
from t5coref.nn.joint_ie import JointIE


@dataclasses.dataclass(frozen=True, eq=False)
class JointModel(HeadedModel):
    """Weights, tokenizer, heads and relation types.

    Attributes:
      config: the T5's shape; without decoder layers it is an encoder alone.
      params: the T5's parameters, not scanned, and those of the heads under `heads`.
      tokenizer: words to pieces.
      heads: what is computed from encoder states.
      relations: `[R]` names of the relation types.
      setting: what the composition is called, for people.
      segment_length: texts are encoded in segments of so many pieces; None = in one.
      format: the linearization that the decoder has learned beside; None = there is no decoder.
    """

    heads: JointIE
    relations: tuple[str, ...]
    setting: str
    segment_length: int | None = None
    format: Format | None = None

    @property
    def types(self) -> dict[str, int]:
        """Relation name -> its class, from 1 on."""
        return {name: number for number, name in enumerate(self.relations, start=1)}

    def card(self) -> dict[str, Any]:
        """What identifies the model's parts."""
        return models.card(self.tokenizer, self.format, self.config.dtype) | {
            HEADS_KEY: {
                "setting": self.setting,
                "heads": describe(self.heads),
                "relations": list(self.relations),
                "segment_length": self.segment_length,
            }
        }

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, dtype: str | None = None) -> JointModel:
        """Reads what `save` wrote.

        Args:
          folder: of the model.
          dtype: computation type of the T5; None = as saved.

        Raises:
          ConfigError: there is no such model.
          MismatchError: the tokenizer, the T5 or the heads are not those that the card names.
        """
        place = pathlib.Path(folder)
        if not models.has_heads(place):
            raise ConfigError(
                f"{folder} is no model for joint entity and relation extraction: expected "
                f"{CARD_FILE} with {HEADS_KEY!r} in it; train one, see docs/joint_ie.md"
            )
        card = models.read_card(place)
        config, params, tokenizer = headed.load_folder(place, card, dtype=dtype)
        described = card[HEADS_KEY]
        heads = build(described["heads"])
        wanted = jax.eval_shape(lambda key: _init(heads, config.emb_dim, key), jax.random.key(0))
        headed.refuse_misfits(place, wanted, params)
        format = card["format"] and Format(card["format"]["name"], card["format"]["options"])
        return cls(
            config,
            params,
            tokenizer,
            heads,
            tuple(described["relations"]),
            described["setting"],
            described["segment_length"],
            format,
        )

    def language_model(self) -> Model:
        """The T5 alone, which writes sequences.

        Raises:
          ConfigError: the model has no decoder.
        """
        if self.format is None:
            raise ConfigError("the model is an encoder with heads; it has learned no linearization")
        return Model(self.config, apart(self.params)[0], self.tokenizer, self.format)


def joint_model(
    *,
    base: Model,
    heads: JointIE,
    relations: Sequence[str],
    setting: str,
    segment_length: int | None = None,
    decoder: bool = False,
    seed: int = 0,
) -> JointModel:
    """A pretrained T5 with new heads.

    Args:
      base: the T5; its format counts only with `decoder`.
      heads: their parts; the number of relation types is that of `relations`.
      relations: names of the relation types; there may be none for heads that find none.
      setting: what the composition is called.
      segment_length: encode texts in segments of so many pieces; None = in one piece.
      decoder: keep the decoder and its format, which are to be trained beside the heads.
      seed: of the heads' parameters.

    Raises:
      ConfigError: segments together with a decoder, or no relation types.
    """
    if decoder and segment_length is not None:
        raise ConfigError(
            "segment_length with a decoder, which reads the windows of its format; set one of them"
        )
    names = inventory(relations) if heads.relations is not None else tuple(relations)
    heads = for_types(heads, len(names))
    config, params, tokenizer = base.config, dict(base.params), base.tokenizer
    if not decoder:
        config, params, tokenizer = headed.without_decoder(base)
    params[HEADS] = initial_heads(heads, config.emb_dim, seed)
    return JointModel(
        config,
        params,
        tokenizer,
        heads,
        names,
        setting,
        segment_length,
        base.format if decoder else None,
    )


def initial_heads(heads: JointIE, width: int, seed: int) -> Mapping[str, Any]:
    """Random parameters of heads on an encoder of that width."""
    return jax.device_get(jax.jit(lambda key: _init(heads, width, key))(jax.random.key(seed)))


def _init(heads: JointIE, width: int, key: jax.Array) -> Any:
    length = 64  # any will do: no parameter depends on it

    def zeros(*shape: int, dtype: Any = jnp.int32) -> jax.Array:
        return jnp.zeros((1, *shape), dtype)

    features = {name: zeros(length) for name in ("encoder_input_tokens", "sentence")}
    features |= {name: zeros(length, dtype=bool) for name in ("word_start", "word_end")}
    features |= {f"mention_{name}": zeros(1) for name in ("start", "end", "cluster")}
    features |= {f"relation_{name}": zeros(1) for name in ("head", "tail", "type")}
    states = zeros(length, width, dtype=jnp.float32)
    return heads.init(key, states, features, deterministic=True)["params"]

"""A model with everything that belongs to it: weights, tokenizer, format, and where they fit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t5coref import linearize, published
from t5coref._version import __version__
from t5coref.checkpoints import home, load
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.linearize import Linearization
from t5coref.nn.checkpoint import alike, grow_vocab, save_hf
from t5coref.nn.t5 import T5, T5Config
from t5coref.nn.weight_files import CONFIG, CheckpointError, find, read_json
from t5coref.released import named
from t5coref.tokenizer import MODEL_FILE, Tokenizer

CARD_FILE = "t5coref.json"

HEADS_KEY = "joint_ie"
"""Of the cards of models with heads (`t5coref.joint_ie`), and of no others."""

TEXT_KEY = "text"
"""Of the cards of models that were trained on texts (`t5coref.downstream`), and of no others."""

LOADERS = {
    HEADS_KEY: "t5coref.joint_ie.JointModel.load",
    "head": "t5coref.downstream.head_model.HeadModel.load",
    TEXT_KEY: "t5coref.downstream.model.TextModel.load",
}
"""What loads models without a linearization, by the key that their cards have."""


@dataclasses.dataclass(frozen=True)
class Format:
    """The name of a linearization and the options that it was made with."""

    name: str = "full-copy"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The added symbols that the format needs, in their order."""
        return linearize.symbols_of(self.name, self.options)

    def make(self, tokenizer: Tokenizer) -> Linearization:
        """The linearization for this tokenizer."""
        try:
            return linearize.get(self.name, tokenizer, **self.options)
        except TypeError as e:
            raise ConfigError(f"format {self.name!r} does not take these options: {e}") from None


def card(tokenizer: Tokenizer, format: Format | None, dtype: str) -> dict[str, Any]:
    """What identifies the parts of a model; without a format it writes no sequences."""
    linearization = None
    if format is not None:
        linearization = {"name": format.name, "options": dict(format.options)}
    return {
        "t5coref": __version__,
        "format": linearization,
        "tokenizer": {
            "symbols": list(tokenizer.symbols),
            "word_rule": tokenizer.word_rule,
            "fingerprint": tokenizer.fingerprint,
        },
        "dtype": dtype,
    }


def write_card(folder: pathlib.Path, card: Mapping[str, Any]) -> None:
    """Writes the card of a folder that has the weights already, with their digests."""
    weights = {file.name: digest(file) for file in sorted(folder.glob("*.safetensors"))}
    text = json.dumps({**card, "weights": weights}, indent=2)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")


def read_card(folder: pathlib.Path) -> dict[str, Any]:
    """Reads what `write_card` wrote.

    Raises:
      ConfigError: it is no card.
    """
    try:
        card = read_json(folder / CARD_FILE)
    except CheckpointError as e:
        raise ConfigError(str(e)) from None
    format, tokenizer = card.get("format", ""), card.get("tokenizer")
    whole = (
        (format is None or _has(format, name=str, options=dict))
        and _has(tokenizer, symbols=list, word_rule=str, fingerprint=str)
        and card.get("dtype") in ("float32", "bfloat16")
        and isinstance(card.get("weights", {}), dict)
    )
    if not whole:
        raise ConfigError(
            f"{folder / CARD_FILE}: expected a format, a tokenizer and a dtype as they are saved "
            "with a model; copy the whole folder again"
        )
    return card


def _has(value: Any, **kinds: type) -> bool:
    """Whether it is a JSON object with such values."""
    return isinstance(value, dict) and all(
        isinstance(value.get(key), kind) for key, kind in kinds.items()
    )


def store_options(folder: str | os.PathLike[str], options: Mapping[str, Any]) -> None:
    """Sets options of the format of a model folder, which its weights do not depend on.

    Raises:
      ConfigError: it is no folder of a model with a format.
    """
    place = pathlib.Path(folder)
    if not (place / CARD_FILE).is_file() or not (card := read_card(place))["format"]:
        raise ConfigError(
            f"{folder} has no {CARD_FILE} with a format; expected a folder of `t5coref train`"
        )
    card["format"]["options"] |= options
    fresh = place / f".{CARD_FILE}.new"
    fresh.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    fresh.replace(place / CARD_FILE)


def has_heads(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a model with heads for entities and relations."""
    place = pathlib.Path(folder)
    return (place / CARD_FILE).is_file() and HEADS_KEY in read_card(place)


def is_plain(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a T5 that was trained on texts: one without symbols or heads."""
    place = pathlib.Path(folder)
    return (place / CARD_FILE).is_file() and TEXT_KEY in read_card(place)


def tokenizer_of(folder: pathlib.Path, card: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a model folder.

    Raises:
      MismatchError: it is not the one that the card names.
    """
    saved = card["tokenizer"]
    tokenizer = Tokenizer(folder / MODEL_FILE, saved["symbols"])
    tokenizer = tokenizer.with_word_rule(saved["word_rule"])
    if tokenizer.fingerprint != saved["fingerprint"]:
        raise MismatchError(
            f"{folder}: the tokenizer has fingerprint {tokenizer.fingerprint}; the weights "
            f"were trained with {saved['fingerprint']}; restore its {MODEL_FILE}"
        )
    return tokenizer


def check_weights(folder: pathlib.Path, card: Mapping[str, Any]) -> None:
    """Compares the files of weights with the digests that the card has of them.

    Raises:
      MismatchError: a file is missing, or is not the one that the card was written with.
    """
    for name, expected in card.get("weights", {}).items():
        path = folder / name
        found = digest(path) if path.is_file() else "no such file"
        if found != expected:
            raise MismatchError(
                f"{path}: expected SHA-256 {expected}, as {CARD_FILE} says, got {found}; the file "
                "is damaged or of another model: copy the whole folder again"
            )


def digest(path: pathlib.Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(card: Mapping[str, Any], params: Any) -> str:
    """A digest of a card and of weights: predictions of one job must share it."""
    found = hashlib.sha256(json.dumps(card, sort_keys=True).encode())
    for leaf in jax.tree.leaves(params):
        found.update(np.ascontiguousarray(np.asarray(leaf)).tobytes())
    return found.hexdigest()[:16]


@dataclasses.dataclass(frozen=True, eq=False)
class Identity:
    """What belongs to a model's weights, and is written beside them.

    Attributes:
      tokenizer: words to pieces.
      format: how documents become sequences.
      dtype: computation type, float32 or bfloat16.
    """

    tokenizer: Tokenizer
    format: Format
    dtype: str = "float32"

    def card(self) -> dict[str, Any]:
        """What identifies the parts."""
        return card(self.tokenizer, self.format, self.dtype)

    def save(self, folder: pathlib.Path) -> None:
        """Writes the tokenizer and the card into a folder that has the weights already."""
        self.tokenizer.save(folder)
        write_card(folder, self.card())

    @classmethod
    def load(cls, folder: pathlib.Path) -> Identity:
        """Reads what `save` wrote.

        Raises:
          MismatchError: the tokenizer there is not the one that the weights were trained with.
          ConfigError: the model was trained without a linearization.
        """
        card = read_card(folder)
        if card["format"] is None:
            loader = next((LOADERS[key] for key in LOADERS if key in card), "its own class")
            raise ConfigError(
                f"{folder} is a model without a linearization, which writes no clusters; load it "
                f"with {loader}"
            )
        format = Format(card["format"]["name"], card["format"]["options"])
        return cls(tokenizer_of(folder, card), format, card["dtype"])

    @classmethod
    def published(
        cls,
        folder: pathlib.Path,
        name: str | os.PathLike[str],
        format: Format | str | None = None,
    ) -> Identity:
        """That of a published checkpoint.

        Args:
          folder: its files.
          name: what the caller called it.
          format: the caller's word for its linearization, where the files do not say it.

        Raises:
          ConfigError: nothing says which linearization it was trained with.
          MismatchError: what is found contradicts itself or `format`.
        """
        pieces = Tokenizer(published.vocabulary(folder), ())
        given = format.name if isinstance(format, Format) else format
        try:
            found = Format(*published.identify(folder, name, pieces.size, given))
            description = read_json(folder / CONFIG)
        except CheckpointError as e:
            raise ConfigError(str(e)) from e
        if not isinstance(format, Format):
            format = found
        tokenizer = Tokenizer(pieces.model, format.symbols).with_word_rule(published.WORD_RULE)
        trained = description.get("dtype") or description.get("torch_dtype")
        return cls(tokenizer, format, "bfloat16" if trained == "bfloat16" else "float32")


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """Weights, tokenizer and format: what training makes and prediction needs.

    Attributes:
      config: the network's shape.
      params: its parameters, host or device arrays, not scanned.
      tokenizer: words to pieces.
      format: how documents become sequences.
    """

    config: T5Config
    params: Mapping[str, Any]
    tokenizer: Tokenizer
    format: Format = dataclasses.field(default_factory=Format)

    def __post_init__(self) -> None:
        if self.config.vocab_size < self.tokenizer.size:
            raise MismatchError(
                f"the network has {self.config.vocab_size} rows for a tokenizer of "
                f"{self.tokenizer.size} ids; grow it with nn.checkpoint.grow_vocab"
            )

    @property
    def network(self) -> T5:
        """The Flax module."""
        return T5(self.config)

    @property
    def identity(self) -> Identity:
        """Everything but the weights."""
        return Identity(self.tokenizer, self.format, self.config.dtype)

    def card(self) -> dict[str, Any]:
        """What identifies the model's parts; written beside the weights and into checkpoints."""
        return self.identity.card()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes a folder that `load` and transformers can read; it appears whole or not at all."""
        target = pathlib.Path(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as tmp:
            fresh = pathlib.Path(tmp, "new")
            save_hf(fresh, self.config, self.params)
            self.identity.save(fresh)
            if target.exists():
                target.rename(pathlib.Path(tmp, "old"))
            fresh.rename(target)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        format: Format | str | None = None,
    ) -> Model:
        """Reads what `save` or `t5coref convert` wrote, or a published checkpoint.

        Args:
          folder: the model's folder, or its name on the Hugging Face hub; weights may be laid out
            as T5X does it.
          dtype: computation type; None = as saved.
          format: another format or window than the saved one (the symbols must be the same); a
            name alone keeps the saved options. Published checkpoints need it only where nothing
            in them says how they were trained; their options are those of the published results.

        Raises:
          ConfigError: there is no model, or nothing says which linearization it was trained with.
          MismatchError: the tokenizer is not the one that the weights were trained with, or the
            weights are not those that were saved.
        """
        place = _found(folder)
        beside = home(place)
        if (beside / CARD_FILE).is_file():
            identity = Identity.load(beside)
            check_weights(beside, read_card(beside))
            if not isinstance(format, Format):
                format = Format(format or identity.format.name, identity.format.options)
            config, params = _weights(place, dtype or identity.dtype)
            return cls(config, params, identity.tokenizer, format)
        if (beside / CONFIG).is_file():
            identity = Identity.published(beside, folder, format)
            size = identity.tokenizer.size
            config, params = _weights(place, dtype or identity.dtype, at_least=size)
            return cls(config, params, identity.tokenizer, identity.format)
        raise ConfigError(
            f"{folder} is no t5coref model: expected {CARD_FILE} in it, or {CONFIG} of a published "
            "checkpoint; train one with `t5coref train`, which writes RUN/best, or make one of a "
            "T5X checkpoint with `t5coref convert`"
        )

    def fingerprint(self) -> str:
        """A digest of the card and the weights: predictions of one job must share it."""
        return fingerprint(self.card(), self.params)


def pretrained(
    folder: str,
    *,
    tokenizer: str | None = None,
    word_rule: str = "strict",
    format: Format | None = None,
    dtype: str = "float32",
    numbers_as_pieces: bool = False,
) -> Model:
    """A T5, T0 or Flan-T5 to be trained: a Hugging Face folder or hub name, or a T5X checkpoint.

    A model that was trained on another format keeps what it knows of the symbols of both.

    Args:
      folder: with weights (of Hugging Face, and `config.json`, or of T5X: a `checkpoint_N` or the
        folder that holds it) and, unless `tokenizer` is given, `spiece.model`; or english-small.
      tokenizer: a SentencePiece model from elsewhere.
      word_rule: how words become pieces, `strict` or `reference`.
      format: the linearization to train.
      dtype: computation type, float32 or bfloat16.
      numbers_as_pieces: symbols with a number, as `<c12>`, start as what the vocabulary has for the
        number, instead of as random draws; not for models that were trained on these symbols.
    """
    format = format or Format()
    place = _found(folder)
    made = Tokenizer(tokenizer or home(place), format.symbols).with_word_rule(word_rule)
    config, params = _weights(place, dtype, at_least=made.size)
    rows = _moved(home(place), made) | (made.numbered() if numbers_as_pieces else {})
    return Model(config, alike(params, rows) if rows else params, made, format)


def from_scratch(
    config: T5Config,
    tokenizer: Tokenizer,
    *,
    format: Format | None = None,
    seed: int = 0,
) -> Model:
    """A network with random weights; `config.vocab_size` is raised to the tokenizer's."""
    config = dataclasses.replace(config, vocab_size=max(config.vocab_size, tokenizer.size))
    token = jnp.zeros((1, 1), jnp.int32)
    variables = T5(config).init(jax.random.key(seed), token, token, token, enable_dropout=False)
    return Model(config, variables["params"], tokenizer, format or Format())


def _moved(folder: pathlib.Path, tokenizer: Tokenizer) -> dict[int, tuple[int, ...]]:
    """By their ids, the symbols that the model of a folder has under other ids, and these."""
    if not (folder / CARD_FILE).is_file():
        return {}
    theirs = tokenizer_of(folder, read_card(folder))
    both = [symbol for symbol in tokenizer.symbols if symbol in theirs.symbols]
    ids = {tokenizer.symbol(symbol): (theirs.symbol(symbol),) for symbol in both}
    return {new: old for new, old in ids.items() if (new,) != old}


def _found(folder: str | os.PathLike[str]) -> pathlib.Path:
    try:
        return find(named(folder))
    except CheckpointError as e:
        raise ConfigError(str(e)) from e


def _weights(
    folder: pathlib.Path, dtype: str, at_least: int = 0
) -> tuple[T5Config, Mapping[str, Any]]:
    """The network of a folder, grown to `at_least` so many rows."""
    try:
        config, params = load(folder, dtype=dtype)
    except CheckpointError as e:
        raise ConfigError(str(e)) from e
    if config.vocab_size < at_least:
        config, params = grow_vocab(config, params, at_least)
    return config, params

"""Checkpoints from one layout to another, with the tokenizer and the format that belong to them."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any, NamedTuple

from t5coref import published
from t5coref.checkpoints import (
    HUGGING_FACE,
    T5X,
    T5X_LEGACY,
    Checkpoint,
    Layout,
    Summary,
    open_checkpoint,
    transfer,
)
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.linearize import named, symbols_of
from t5coref.model import CARD_FILE, Format, Identity, is_plain
from t5coref.nn.weight_files import CheckpointError, find
from t5coref.tokenizer import MODEL_FILE, Tokenizer


class Target(NamedTuple):
    """What a checkpoint may become.

    Attributes:
      layout: of the weights.
      whole: whether the tokenizer and the format must be known, so that `Model.load` reads it.
    """

    layout: Layout
    whole: bool = False


TARGETS = {
    "hf": Target(HUGGING_FACE),
    "t5coref": Target(HUGGING_FACE, whole=True),
    "t5x": Target(T5X),
    "t5x-legacy": Target(T5X_LEGACY),
}


class Conversion(NamedTuple):
    """What a conversion did.

    Attributes:
      summary: of the weights.
      identity: the tokenizer and the format that were written; None where they are not known.
    """

    summary: Summary
    identity: Identity | None


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    target: Target,
    *,
    format: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    word_rule: str | None = None,
    numbers_as_pieces: bool = False,
    **options: Any,
) -> Conversion:
    """Writes a checkpoint in another layout, one tensor in memory at a time.

    A format adds its symbols to the vocabulary: the table gets the rows that it lacks for them.

    Args:
      source: a checkpoint's folder, of any layout, or its name on the Hugging Face hub.
      destination: the folder to make.
      target: what it becomes, one of `TARGETS`.
      format: the linearization that it is, or will be, trained for; None = what lies beside the
        source says.
      tokenizer: a SentencePiece model; None = that beside the source.
      word_rule: how words become pieces, `strict` or `reference`; None = as said beside the source,
        else `strict`.
      numbers_as_pieces: as in `model.pretrained`; only where a format adds its symbols.
      options: those of `checkpoints.transfer`.

    Raises:
      ConfigError: something is missing, in the way, or does not fit; the message says what.
      MismatchError: the tokenizer, the format and the weights do not belong together.
    """
    try:
        folder = find(source)
        checkpoint = open_checkpoint(folder)
        identity = _identity(checkpoint, source, target, format, tokenizer, word_rule)
        if numbers_as_pieces and (identity is None or (checkpoint.folder / CARD_FILE).is_file()):
            raise ConfigError(
                f"{folder}: numbers_as_pieces is for symbols that a format adds; expected the T5 "
                "that training is to begin with, and --format"
            )
        summary = transfer(
            checkpoint,
            pathlib.Path(destination),
            target.layout,
            at_least=identity.tokenizer.size if identity else 0,
            means=identity.tokenizer.numbered() if identity and numbers_as_pieces else {},
            beside=identity.save if identity else _without,
            **options,
        )
    except CheckpointError as e:
        raise ConfigError(str(e)) from e
    return Conversion(summary, identity)


def _without(folder: pathlib.Path) -> None:
    """Nothing is known that could be written beside the weights."""


def _identity(
    checkpoint: Checkpoint,
    name: str | os.PathLike[str],
    target: Target,
    format: str | None,
    tokenizer: str | os.PathLike[str] | None,
    word_rule: str | None,
) -> Identity | None:
    """The tokenizer and the format of a checkpoint, from beside it and from the caller."""
    folder = checkpoint.folder
    if (folder / CARD_FILE).is_file() and not is_plain(folder):
        return _known(folder, format, tokenizer, word_rule)
    hugging_face = checkpoint.layout == HUGGING_FACE.title
    trained = hugging_face and _has_symbols(folder)
    if format is None and not (target.whole and hugging_face):
        given = {"tokenizer": tokenizer, "word rule": word_rule}
        useless = [what for what, value in given.items() if value is not None]
        if useless or target.whole:
            raise ConfigError(
                f"{folder}: nothing says for which format this checkpoint is"
                f"{', so there is no use for a ' + ' and a '.join(useless) if useless else ''}; "
                "name it with --format (`t5coref linearize --list` shows them)"
            )
        return None
    if format is None or (trained and tokenizer is None and word_rule is None):
        return Identity.published(folder, name, format)
    place = tokenizer or folder
    if tokenizer is None and not (folder / MODEL_FILE).is_file():
        raise ConfigError(
            f"{folder}: expected a {MODEL_FILE} beside the checkpoint; give that of any T5 with "
            "--tokenizer"
        )
    made = Tokenizer(place, named(format).symbols).with_word_rule(word_rule or "strict")
    return Identity(made, Format(format, published.options_of(name, format)))


def _known(
    folder: pathlib.Path,
    format: str | None,
    tokenizer: str | os.PathLike[str] | None,
    word_rule: str | None,
) -> Identity:
    """What the card says; the caller may choose another format of the same symbols."""
    identity = Identity.load(folder)
    known = identity.tokenizer
    if format is not None and symbols_of(format, identity.format.options) != known.symbols:
        raise MismatchError(
            f"{folder}: the rows behind the pieces are those of {identity.format.name}; format "
            f"{format!r} has other symbols; convert the checkpoint that training began with"
        )
    if tokenizer is not None and Tokenizer(tokenizer, ()).model != known.model:
        raise MismatchError(
            f"{folder}: {os.fspath(tokenizer)!r} is not the tokenizer that the weights were "
            f"trained with; leave --tokenizer out, {MODEL_FILE} lies beside them"
        )
    if format is not None and format != identity.format.name:
        identity = dataclasses.replace(identity, format=Format(format, identity.format.options))
    if word_rule is not None:
        identity = dataclasses.replace(identity, tokenizer=known.with_word_rule(word_rule))
    return identity


def _has_symbols(folder: pathlib.Path) -> bool:
    """Whether symbols were added to the tokenizer: then it was trained for coreference."""
    try:
        pieces = Tokenizer(published.vocabulary(folder), ())
    except ConfigError:
        return False
    return bool(published.added_symbols(folder, pieces.size))

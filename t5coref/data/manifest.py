"""`manifest.json`: what a folder of prepared data holds and how it was made."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from t5coref.core.errors import FormatError, MismatchError
from t5coref.data import places
from t5coref.tokenizer import MODEL_FILE, Tokenizer

MANIFEST = "manifest.json"
LAYOUT = 1
"""Of the records; raised whenever older code could not read newer ones."""


@dataclass(frozen=True)
class Shard:
    """One file of records: its name, how many there are, its size and its digest."""

    file: str
    examples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Split:
    """What a split holds.

    Attributes:
      documents: that have examples.
      examples: one a turn.
      skipped: documents left out, by reason.
      longest_source: pieces of the longest input.
      longest_target: actions of the longest answer.
      digest: of the documents that it was made of.
      shards: its files.
    """

    documents: int
    examples: int
    skipped: Mapping[str, int]
    longest_source: int
    longest_target: int
    digest: str
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Manifest:
    """How the data was made, and its splits.

    Attributes:
      corpus: the reader, as `t5coref.corpora` names it; None = detected file by file.
      format: name of the linearization.
      options: that it was made with.
      symbols: added to the tokenizer.
      tokenizer: its fingerprint; the model lies in the folder.
      word_rule: `strict` or `reference`.
      feed_rank: 2 where the decoder reads pairs, else 1.
      versions: of what made it.
      splits: by name.
    """

    corpus: str | None
    format: str
    options: Mapping[str, Any]
    symbols: tuple[str, ...]
    tokenizer: str
    word_rule: str
    feed_rank: int
    versions: Mapping[str, str]
    splits: Mapping[str, Split]
    layout: int = LAYOUT

    def settings(self) -> dict[str, Any]:
        """All that every split must share; versions and splits are left out."""
        found = json.loads(self.to_json())
        return {k: v for k, v in found.items() if k not in ("versions", "splits")}

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Manifest:
        """The manifest that a file holds.

        Raises:
          FormatError: it is none.
          MismatchError: it is of another layout.
        """
        try:
            value = json.loads(text)
            if value["layout"] != LAYOUT:
                raise MismatchError(
                    f"{where} has layout {value['layout']}, this release reads {LAYOUT}; run "
                    "`t5coref prepare` again"
                )
            splits = {
                name: Split(**split | {"shards": tuple(Shard(**s) for s in split["shards"])})
                for name, split in value["splits"].items()
            }
            return cls(**value | {"splits": splits, "symbols": tuple(value["symbols"])})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, MismatchError):
                raise
            raise FormatError(
                f"{where} is not a manifest of `t5coref prepare` ({error!r}); prepare it again"
            ) from None

    @classmethod
    def load(cls, folder: str) -> Manifest:
        """The manifest of a folder.

        Raises:
          FormatError: there is none, or it is damaged.
        """
        path = places.join(folder, MANIFEST)
        if not places.exists(path):
            raise FormatError(
                f"no {MANIFEST} in {folder}; expected a folder that `t5coref prepare` has finished"
            )
        return cls.from_json(places.read_bytes(path), path)

    def load_tokenizer(self, folder: str) -> Tokenizer:
        """The tokenizer that lies in the folder.

        Raises:
          MismatchError: it is not the one that the data was made with.
        """
        model = places.read_bytes(places.join(folder, MODEL_FILE))
        tokenizer = Tokenizer(model, self.symbols).with_word_rule(self.word_rule)
        self.check_tokenizer(tokenizer, folder)
        return tokenizer

    def check_tokenizer(self, tokenizer: Tokenizer, where: str) -> None:
        """Refuses another tokenizer than the one that the data was made with.

        Raises:
          MismatchError: it is another.
        """
        if tokenizer.fingerprint != self.tokenizer:
            raise MismatchError(
                f"{where} was prepared with tokenizer {self.tokenizer}, the one given has "
                f"fingerprint {tokenizer.fingerprint}; use the {MODEL_FILE} in that folder, or "
                "prepare the data again"
            )

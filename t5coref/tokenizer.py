"""Words to SentencePiece pieces and back, added symbols, and the fingerprint of it all."""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np
import sentencepiece

from t5coref.core.document import BLANK_LINES, Document
from t5coref.core.errors import ConfigError
from t5coref.core.segment import INSERTED, Pieces
from t5coref.core.symbols import INTEGER_SYMBOLS

SENTINELS = 100
"""T5 reserves this many ids after its pieces for span corruption; mT5 has them among its pieces."""

MODEL_FILE = "spiece.model"

_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]"}
_QUOTES = {"``": '"', "''": '"', "`": "'"}
_STOPS = {"/.": ".", "/?": "?"}
_REWRITTEN = _BRACKETS | _QUOTES | _STOPS
# Words that follow the word before them without a blank.
_ATTACHED = frozenset((*".,?!;:)]}-", "'s", "'m", "'ve", "n't", "'ll"))


class Tokenizer:
    """A T5 or mT5 SentencePiece vocabulary with a format's symbols added behind its sentinels.

    Args:
      model: path of a SentencePiece model, or its bytes.
      symbols: added symbols; they take the ids behind the last sentinel, `<extra_id_0>`.
      word_pieces: how a document's words become pieces: `strict_pieces` (no word is lost) or
        `reference_pieces` (exactly what the published checkpoints were trained with).
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        symbols: Sequence[str] = INTEGER_SYMBOLS,
        word_pieces: WordPieces | None = None,
    ):
        if not isinstance(model, bytes):
            path = pathlib.Path(model)
            if path.is_dir():
                path = path / MODEL_FILE
            if not path.is_file():
                raise ConfigError(f"no SentencePiece model at {path}; expected a {MODEL_FILE}")
            model = path.read_bytes()
        self.model = model
        self.symbols = tuple(symbols)
        self._word_pieces = word_pieces or strict_pieces
        try:
            self._sp = sentencepiece.SentencePieceProcessor(model_proto=model)  # pyright: ignore
        except RuntimeError as error:
            raise ConfigError(
                f"no SentencePiece model in these {len(model)} bytes ({error}); expected T5's "
                f"{MODEL_FILE}"
            ) from None
        ids = self._sp.pad_id(), self._sp.eos_id(), self._sp.unk_id()
        if ids != (0, 1, 2):
            raise ConfigError(
                f"the SentencePiece model has pad, eos, unk = {ids}; expected T5's (0, 1, 2)"
            )
        pieces = self._sp.vocab_size()
        whole = self._sp.id_to_piece(pieces - 1).lstrip("▁") == "<extra_id_0>"
        self._first_symbol = pieces + (0 if whole else SENTINELS)
        self._symbol_ids = {s: self._first_symbol + i for i, s in enumerate(self.symbols)}
        self._encode = lru_cache(maxsize=1 << 16)(self._encode_uncached)

    pad_id, eos_id, unk_id = 0, 1, 2

    @classmethod
    def train(
        cls, sentences: Iterable[str], size: int, symbols: Sequence[str] = INTEGER_SYMBOLS
    ) -> Tokenizer:
        """A small vocabulary of its own, laid out as T5's (pad, eos, unk = 0, 1, 2).

        Args:
          sentences: what it is to spell; digits and the separator are always in it.
          size: pieces, the three special ones included.
          symbols: added symbols.
        """
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(  # pyright: ignore
            sentence_iterator=iter(sentences),
            model_writer=model,
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=1.0,
            required_chars="0123456789|",
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
        return cls(model.getvalue(), symbols)

    @property
    def size(self) -> int:
        """How many ids there are: pieces, sentinels, added symbols."""
        return self._first_symbol + len(self.symbols)

    @property
    def fingerprint(self) -> str:
        """A digest of the vocabulary, the symbols and the word rules, written into artefacts."""
        digest = hashlib.sha256(self.model)
        digest.update("\n".join((self._word_pieces.__name__, *self.symbols)).encode())
        return digest.hexdigest()[:16]

    @property
    def word_rule(self) -> str:
        """Name of the word rules: `strict` or `reference`."""
        return self._word_pieces.__name__.removesuffix("_pieces")

    def with_word_rule(self, name: str) -> Tokenizer:
        """The same vocabulary under the word rules `strict` or `reference`."""
        try:
            rule = {"strict": strict_pieces, "reference": reference_pieces}[name]
        except KeyError:
            raise ConfigError(f"word rules {name!r}; expected strict or reference") from None
        return Tokenizer(self.model, self.symbols, rule)

    def symbol(self, name: str) -> int:
        """Id of an added symbol.

        Raises:
          ConfigError: the tokenizer was made without it.
        """
        try:
            return self._symbol_ids[name]
        except KeyError:
            raise ConfigError(
                f"the tokenizer has no symbol {name!r}; it has {', '.join(self.symbols)}"
            ) from None

    def encode(self, text: str) -> list[int]:
        """Pieces of a string, without `</s>`."""
        return list(self._encode(text))

    def _encode_uncached(self, text: str) -> tuple[int, ...]:
        return tuple(self._sp.encode(text))

    def numbered(self) -> dict[int, tuple[int, ...]]:
        """Ids of the symbols with a number in their names, as `<c12>`, and the number's pieces."""
        numbers = {s: re.search(r"\d+", s) for s in self.symbols}
        return {
            self.symbol(s): tuple(t for t in self.encode(found[0]) if not self.is_blank(t))
            for s, found in numbers.items()
            if found is not None
        }

    def piece(self, token: int) -> str:
        """The text of an id: a piece, a sentinel or an added symbol."""
        if 0 <= token < self._first_symbol - SENTINELS:
            return self._sp.id_to_piece(int(token))
        if 0 <= token < self._first_symbol:
            return f"<extra_id_{self._first_symbol - 1 - token}>"
        if 0 <= token < self.size:
            return self.symbols[token - self._first_symbol]
        raise ConfigError(f"id {token} is outside the vocabulary of {self.size}")

    def is_blank(self, token: int) -> bool:
        """Whether the piece is the lone word mark."""
        return token < self._sp.vocab_size() and self._sp.id_to_piece(token) == "▁"

    def pieces(self, document: Document) -> Pieces:
        """A document as pieces, with its words, sentences and speaker insertions marked."""
        return self._word_pieces(self, document)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the SentencePiece model to `folder`."""
        pathlib.Path(folder, MODEL_FILE).write_bytes(self.model)


WordPieces = Callable[[Tokenizer, Document], Pieces]


def strict_pieces(tokenizer: Tokenizer, document: Document) -> Pieces:
    """Our rules: as the reference ones, but every word keeps at least one piece.

    Attached punctuation loses only a lone word mark, tags and hyphens of the corpus do not matter,
    and speakers are inserted where they change to a known one.
    """

    def word_ids(i: int) -> list[int]:
        word = _REWRITTEN.get(document.words[i], document.words[i])
        ids = tokenizer.encode(word)
        if word in _ATTACHED and len(ids) > 1 and tokenizer.is_blank(ids[0]):
            ids = ids[1:]
        return ids or [tokenizer.unk_id]

    def speaker_name(i: int) -> str | None:
        return document.speakers[i] if document.speakers is not None else None

    return _assemble(tokenizer, document, word_ids, speaker_name)


def reference_pieces(tokenizer: Tokenizer, document: Document) -> Pieces:
    """The rules under which the published checkpoints were trained.

    Attached punctuation loses its first piece, whatever it is (a word of one piece vanishes); a
    word after one tagged HYPH is read as its continuation; an unknown speaker is called "-".
    """
    after_hyphen = False
    encoded: list[list[int]] = []
    for i, original in enumerate(document.words):
        word = _REWRITTEN.get(original, original)
        if word in _ATTACHED:
            ids = tokenizer.encode(word)[1:]
        elif after_hyphen:
            ids = tokenizer.encode("-" + word)
            ids = ids[2:] if len(ids) > 1 and tokenizer.piece(ids[1]) == "-" else ids[1:]
            after_hyphen = False
        else:
            ids = tokenizer.encode(word)
        if document.pos is not None and document.pos[i] == "HYPH":
            after_hyphen = True
        encoded.append(ids)

    def speaker_name(i: int) -> str | None:
        if document.speakers is None:
            return None
        return (document.speakers[i] or "-").replace("_", " ").replace("#", " ").strip()

    blank_lines = document.extra.get(BLANK_LINES, ())
    return _assemble(tokenizer, document, encoded.__getitem__, speaker_name, blank_lines)


def _assemble(
    tokenizer: Tokenizer,
    document: Document,
    word_ids: Callable[[int], list[int]],
    speaker_name: Callable[[int], str | None],
    blank_lines: Sequence[int] = (),
) -> Pieces:
    """Pieces of all words, `<speaker> name </speaker>` inserted where the speaker changes.

    `blank_lines` are word offsets at which one more sentence ends.
    """
    ids: list[int] = []
    words: list[int] = []
    word_end: list[bool] = []
    sentence_end: list[bool] = []
    bounds: list[tuple[int, int]] = [(0, 1)] * list(blank_lines).count(0)
    speaker: str | None = None
    for start, end in document.sentences:
        bounds.append((len(ids), 0))
        for i in range(start, end):
            name = speaker_name(i)
            if name is not None and name != speaker:
                marks = tokenizer.symbol("<speaker>"), tokenizer.symbol("</speaker>")
                inserted = [marks[0], *tokenizer.encode(name), marks[1]]
                ids += inserted
                words += [INSERTED] * len(inserted)
                word_end += [True] + [False] * (len(inserted) - 3) + [True] * (len(inserted) > 2)
                word_end += [True]
                sentence_end += [False] * len(inserted)
            speaker = name
            pieces = word_ids(i)
            ids += pieces
            words += [i] * len(pieces)
            word_end += [False] * (len(pieces) - 1) + [True] * bool(pieces)
            sentence_end += [False] * len(pieces)
        if sentence_end:
            sentence_end[-1] = True
        bounds += [(len(ids), 1)] * (1 + list(blank_lines).count(end))
    return Pieces(
        np.asarray(ids, np.int32),
        np.asarray(words, np.int32),
        np.asarray(sentence_end, bool),
        np.asarray(word_end, bool),
        np.asarray(bounds, np.int32).reshape(-1, 2),
    )

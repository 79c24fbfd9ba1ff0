"""SentencePiece and a format's symbols as one SeqIO vocabulary; imports seqio."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from t5coref.tokenizer import SENTINELS, Tokenizer


class CorefVocabulary(seqio.Vocabulary):
    """What the ids of a task stand for: pieces, T5's sentinels, added symbols.

    The tokenizer is looked for when it is first needed. Two vocabularies are equal if their
    tokenizers have one fingerprint.

    Args:
      find: gives the tokenizer.
    """

    def __init__(self, find: Callable[[], Tokenizer]):
        super().__init__(extra_ids=0)
        self._find = find

    @property
    def wrapped(self) -> Tokenizer:
        """The tokenizer."""
        return self._find()

    @property
    def eos_id(self) -> int:
        """Of `</s>`."""
        return Tokenizer.eos_id

    @property
    def unk_id(self) -> int:
        """Of what cannot be spelt."""
        return Tokenizer.unk_id

    @property
    def bos_id(self) -> None:
        """There is none: decoders start from padding."""
        return None

    @property
    def _base_vocab_size(self) -> int:
        return self.wrapped.size

    def encode(self, s: Sequence[int] | str) -> Sequence[int]:
        """Ids of a text in which symbols stand between blanks; ids stay what they are."""
        return self._encode(s) if isinstance(s, str) else [int(i) for i in s]

    def _encode(self, s: str) -> list[int]:
        tokenizer = self.wrapped
        names = {name: tokenizer.symbol(name) for name in tokenizer.symbols}
        last = tokenizer.size - len(tokenizer.symbols) - 1
        names |= {f"<extra_id_{i}>": last - i for i in range(SENTINELS)}
        names["</s>"] = tokenizer.eos_id
        ids: list[int] = []
        for symbol, words in itertools.groupby(s.split(), lambda word: word in names):
            if symbol:
                ids += [names[word] for word in words]
            else:
                ids += tokenizer.encode(" ".join(words))
        return ids

    def _decode(self, ids: Iterable[int]) -> str:
        tokenizer = self.wrapped
        added = tokenizer.size - len(tokenizer.symbols) - SENTINELS
        text = ""
        for i in ids:
            if i == tokenizer.eos_id or i >= added:
                text += f" {tokenizer.piece(int(i))} "
            elif i != tokenizer.pad_id:
                text += tokenizer.piece(int(i)).replace("▁", " ")
        return " ".join(text.split())

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        def encode(text: Any) -> np.ndarray:
            # Bytes within a graph, an array of them outside.
            return np.asarray(self._encode(np.asarray(text).item().decode()), np.int32)

        ids = tf.numpy_function(encode, [s], tf.int32)
        ids.set_shape([None])
        return ids

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        def decode(rows: np.ndarray) -> Any:
            flat = rows.reshape(-1, rows.shape[-1])
            texts = [self._decode(row.tolist()).encode() for row in flat]
            return np.asarray(texts, object).reshape(rows.shape[:-1])

        text = tf.numpy_function(decode, [ids], tf.string)
        text.set_shape(ids.shape[:-1])
        return text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CorefVocabulary):
            return False
        return self is other or self.wrapped.fingerprint == other.wrapped.fingerprint

    def __hash__(self) -> int:
        return hash(CorefVocabulary)

    def __str__(self) -> str:
        tokenizer = self.wrapped
        return f"CorefVocabulary(size={tokenizer.size}, fingerprint={tokenizer.fingerprint})"

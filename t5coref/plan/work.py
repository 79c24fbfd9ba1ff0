"""What is to be computed: a network, the lengths of its texts, and the format that it writes."""

from __future__ import annotations

import dataclasses
import functools

from t5coref import linearize
from t5coref.core.errors import ConfigError
from t5coref.linearize import Linearization
from t5coref.nn.stack import T5Config
from t5coref.tokenizer import SENTINELS, Tokenizer

PIECES = 32000
"""Of the vocabulary of T5."""

ROWS = 128
"""The vocabulary is padded to a multiple of this, as that of T5 is."""

BLOCK = 256
"""Queries that look at once."""


def _size(emb_dim: int, num_heads: int, layers: int, mlp_dim: int) -> T5Config:
    return T5Config(
        vocab_size=PIECES + ROWS,
        emb_dim=emb_dim,
        num_heads=num_heads,
        num_encoder_layers=layers,
        num_decoder_layers=layers,
        head_dim=64,
        mlp_dim=mlp_dim,
        dtype="bfloat16",
    )


SIZES = {
    "small": _size(512, 6, 8, 1024),
    "base": _size(768, 12, 12, 2048),
    "large": _size(1024, 16, 24, 2816),
    "xl": _size(2048, 32, 24, 5120),
    "xxl": _size(4096, 64, 24, 10240),
}
"""T5 1.1 and what was trained from it: T0, Flan-T5, LM-adapted T5."""


@dataclasses.dataclass(frozen=True)
class Work:
    """One step of training, or the decoding of one batch.

    Attributes:
        config: the network; `for_training` and `for_decoding` set how it is computed.
        batch: documents of a step.
        source: S, pieces of an input.
        target: T, steps of an output.
        format: name of the linearization.
        decode: whether outputs are decoded instead of learned.
        accumulate: parts of the batch that are computed one after the other; None = as many as
            leave one document for each group of chips that shares the network.
    """

    config: T5Config
    batch: int
    source: int
    target: int
    format: str = "full-copy"
    decode: bool = False
    accumulate: int | None = None

    @classmethod
    def of_size(cls, size: str, **fields) -> Work:
        """Work of a T5 1.1 called `size`, computed with little memory.

        Raises:
            ConfigError: there is no such size or format, or a number is below 1.
        """
        if size not in SIZES:
            raise ConfigError(f"no model size is called {size!r}; expected {', '.join(SIZES)}")
        work = cls(SIZES[size], **fields)
        for name in ("batch", "source", "target"):
            if getattr(work, name) < 1:
                raise ConfigError(f"--{name} is {getattr(work, name)}; expected at least 1")
        if work.accumulate is not None and work.accumulate < 1:
            raise ConfigError(f"--accumulate is {work.accumulate}; expected at least 1")
        symbols = len(linearize.named(work.format).symbols)
        vocabulary = -(-(PIECES + SENTINELS + symbols) // ROWS) * ROWS
        # Decoding copies a scanned cache at each step.
        config = dataclasses.replace(
            work.config,
            vocab_size=vocabulary,
            scan_layers=not work.decode,
            remat=not work.decode,
            attention_block=BLOCK,
        )
        return dataclasses.replace(work, config=config)

    def parts(self, data: int) -> int:
        """Micro-batches of a step on a mesh whose axis `data` has so many chips.

        Raises:
            ConfigError: the documents cannot be divided evenly.
        """
        parts = self.accumulate or (1 if self.decode else max(self.batch // data, 1))
        if self.batch % (parts * data):
            raise ConfigError(
                f"{self.batch} documents cannot be divided into {parts} part(s) over {data} groups "
                f"of chips; expected --batch to be a multiple of {parts * data}, or a larger "
                "--model-parallel, which makes fewer groups"
            )
        return parts

    @functools.cached_property
    def linearization(self) -> Linearization:
        """The format, with a small vocabulary: its symbols and rules are those of any other."""
        symbols = linearize.named(self.format).symbols
        return linearize.get(self.format, Tokenizer.train(["a b c"], 64, symbols))

    @property
    def symbols(self) -> tuple[int, ...] | None:
        """Vocabulary ids that the loss is over; None = the whole vocabulary."""
        return self.linearization.rules.scored_ids

    @property
    def actions(self) -> int:
        """A, how many logits there are."""
        return self.config.vocab_size if self.symbols is None else len(self.symbols)

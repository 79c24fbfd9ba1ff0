"""Outputs as transcripts (`core.transcript`): what the formats share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from t5coref.core.transcript import Transcript
from t5coref.linearize.base import PieceEncoder, Turn
from t5coref.linearize.reading import Brackets

BLANK = "▁"  # SentencePiece's mark of a blank


def text(tokenizer: PieceEncoder, ids: Sequence[int] | np.ndarray) -> str:
    """Pieces as a string."""
    pieces = (tokenizer.piece(int(token)) for token in ids)
    return "".join(pieces).replace(BLANK, " ")


def written(tokenizer: PieceEncoder, turn: Turn, read: Brackets) -> Transcript:
    """An output that writes pieces as themselves."""
    source, output = turn.source[:-1], np.asarray(read.pieces, np.int32)
    output = output[: len(output) - read.ended]
    texts = text(tokenizer, source), text(tokenizer, output)
    return _transcript(turn, output, read, texts)


def copied(eos_id: int, turn: Turn, read: Brackets) -> Transcript:
    """An output that writes an action for each piece of the source."""
    ended = bool(read.pieces) and read.pieces[-1] == eos_id
    count = min(len(read.pieces) - ended, len(turn.source) - 1)
    return _transcript(turn, turn.source[:count], read)


def _transcript(
    turn: Turn, output: np.ndarray, read: Brackets, texts: tuple[str, str] | None = None
) -> Transcript:
    # What was closed behind `</s>` encloses it; it is no text.
    pairs = [p._replace(end=min(p.end, len(output))) for p in read.pairs]
    return Transcript(
        source=turn.source[:-1],
        word=turn.word[:-1],
        output=output,
        pairs=tuple(pairs),
        stray=read.stray,
        unclosed=read.depth,
        ended=read.ended,
        texts=texts,
    )

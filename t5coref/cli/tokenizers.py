"""Which tokenizer a command uses when there is no model to take it from."""

from __future__ import annotations

import argparse
import os
import pathlib
from collections.abc import Sequence

from t5coref.core.errors import ConfigError
from t5coref.core.symbols import INTEGER_SYMBOLS
from t5coref.tokenizer import MODEL_FILE, Tokenizer

VARIABLE = "T5COREF_TOKENIZER"


def add_tokenizer_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--tokenizer`."""
    parser.add_argument(
        "--tokenizer",
        metavar="PATH",
        help=f"a T5 {MODEL_FILE}, or a folder with one (default: ${VARIABLE}, else {MODEL_FILE} "
        "in this folder, else data/t5 in $T5COREF_SHARED)",
    )


def find_tokenizer(path: str | None, symbols: Sequence[str] = INTEGER_SYMBOLS) -> Tokenizer:
    """The tokenizer at `path`, in the environment variable, here, or in the shared data folder.

    Args:
      path: a SentencePiece model or its folder; None = look for one.
      symbols: added symbols of the format that it is for.

    Raises:
      ConfigError: there is none.
    """
    beside_checkout = pathlib.Path(__file__).parents[3] / "shared"
    shared = pathlib.Path(os.environ.get("T5COREF_SHARED", beside_checkout), "data/t5", MODEL_FILE)
    tried = [path] if path else [os.environ.get(VARIABLE), MODEL_FILE, shared]
    places = [pathlib.Path(place) for place in tried if place]
    for place in places:
        if place.exists():
            return Tokenizer(place, symbols)
    raise ConfigError(
        f"no tokenizer at {', '.join(map(str, places))}; pass --tokenizer with the {MODEL_FILE} of "
        f"any T5 (it lies beside the weights of Hugging Face checkpoints) or set {VARIABLE}"
    )

"""How a published checkpoint was trained, from what its folder says.

Zhang, Wiseman, Stratos, "Seq2seq is All You Need for Coreference Resolution" (EMNLP 2023) published
seven checkpoints. Nothing in them names the linearization. Three things tell: the checkpoint's
name, the symbols that were added to its tokenizer, and the class of the model (`ConstrainedT5`
where outputs are actions, the plain T5 where they are text). Bohnet, Alberti, Collins (TACL 2023)
published one mT5 for link-append, which only its name tells from any other mT5.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from t5coref.core.errors import ConfigError, MismatchError
from t5coref.linearize import named
from t5coref.nn.weight_files import CONFIG, read_json
from t5coref.tokenizer import MODEL_FILE

WORD_RULE = "reference"
OPTIONS: Mapping[str, Any] = {"constraint": "reference", "window": 4096, "min_mentions": 2}
"""How the published results were obtained; checkpoints of unknown training are taken for those of
OntoNotes, which annotates no clusters of one mention."""
WINDOWS: Mapping[str, int] = {"link-append": 3000}
"""Where another window was the published one."""


class Checkpoint(NamedTuple):
    """A published checkpoint.

    Attributes:
      format: its linearization.
      min_mentions: the smallest cluster that its training data had.
    """

    format: str
    min_mentions: int = 2


CHECKPOINTS = {
    "seq2seq-coref-t0-3b": Checkpoint("full-copy"),
    "seq2seq-coref-t0-3b-token-action": Checkpoint("full-token"),
    "seq2seq-coref-t0-3b-partial-linear": Checkpoint("partial"),
    "seq2seq-coref-t0-3b-integer-free": Checkpoint("integer-free"),
    "seq2seq-coref-t0-3b-integer-free-add-mention-end": Checkpoint("integer-free-end"),
    "seq2seq-coref-t0-3b-joint": Checkpoint("full-copy", min_mentions=1),
    "seq2seq-coref-t0-pp": Checkpoint("full-copy"),
    "link-append-xxl": Checkpoint("link-append"),
    "checkpoint_1140000": Checkpoint("link-append"),
}
"""Their names on the Hugging Face hub, behind `VincentNLP/`; that of link-append is behind
`mt5-coref-pytorch/`, and beside it stands the name of the same weights in T5X's layout."""

ARCHITECTURES = {
    "ConstrainedT5": ("full-copy", "integer-free", "integer-free-end"),
    "T5ForConditionalGeneration": ("full-token", "partial"),
}
FORMATS = tuple(dict.fromkeys(c.format for c in CHECKPOINTS.values() if named(c.format).symbols))
"""Those that added symbols can tell."""

# Every T5 before mT5 has the same pieces, and every mT5.
VOCABULARIES = ("google-t5/t5-small", "t5-small", "bigscience/T0_3B", "bigscience/T0pp")
MT5_VOCABULARIES = tuple(f"google/mt5-{size}" for size in ("xxl", "xl", "large", "base", "small"))
MT5_PIECES = 250_000

# Where transformers writes added tokens, by its versions and kinds of tokenizers.
_ADDED, _WHOLE, _CONFIG = "added_tokens.json", "tokenizer.json", "tokenizer_config.json"


def identify(
    folder: pathlib.Path, name: str | os.PathLike[str], first: int, format: str | None = None
) -> tuple[str, dict[str, Any]]:
    """The name and the options of the linearization that a checkpoint was trained with.

    Args:
      folder: the checkpoint's files.
      name: what the caller called it: this folder, or a name on the hub.
      first: id of the first added symbol.
      format: the caller's word for it, where the files do not say it.

    Raises:
      ConfigError: nothing says which linearization it is.
      MismatchError: what is found contradicts itself or `format`.
    """
    description = read_json(folder / CONFIG)
    symbols = added_symbols(folder, first)
    known = next((n for n in _names(folder, name) if n in CHECKPOINTS), None)
    if format is not None:
        wanted = named(format).symbols
        # Symbols behind those that the format needs do no harm.
        if symbols and symbols[: len(wanted)] != wanted:
            raise MismatchError(
                f"{folder}: linearization {format!r} needs {_differing(wanted, symbols)}; name "
                "the one that it was trained with"
            )
    elif known is not None:
        format = CHECKPOINTS[known].format
        if symbols and named(format).symbols and not _suits(format, symbols):
            raise MismatchError(
                f"{folder}: {known} was trained for {format}, which needs "
                f"{_differing(named(format).symbols, symbols)}; rename the folder, or name the "
                "linearization that it was trained with"
            )
    else:
        fits = [f for f in FORMATS if _suits(f, symbols)] if symbols else []
        base = str(description.get("_name_or_path", "")).rstrip("/").rpartition("/")[2]
        if base in CHECKPOINTS and (not symbols or CHECKPOINTS[base].format in fits):
            known, format = base, CHECKPOINTS[base].format
        else:
            format = _chosen(folder, description, symbols, fits, first)
    return format, _options(format, known)


def options_of(name: str | os.PathLike[str], format: str) -> dict[str, Any]:
    """The options of the published results, if a checkpoint of this name was trained for `format`.

    None of them otherwise: the format's own hold then.
    """
    known = pathlib.PurePath(name).name
    published = known in CHECKPOINTS and CHECKPOINTS[known].format == format
    return _options(format, known) if published else {}


def _options(format: str, known: str | None) -> dict[str, Any]:
    options = {**OPTIONS, "window": WINDOWS.get(format, OPTIONS["window"])}
    if known is not None and CHECKPOINTS[known].format == format:
        options["min_mentions"] = CHECKPOINTS[known].min_mentions
    return options


def vocabulary(folder: pathlib.Path) -> pathlib.Path:
    """The SentencePiece model of a checkpoint: its own, or T5's or mT5's in the hub client's cache.

    Raises:
      ConfigError: there is none.
    """
    if (folder / MODEL_FILE).is_file():
        return folder / MODEL_FILE
    multilingual = read_json(folder / CONFIG).get("vocab_size", 0) >= MT5_PIECES
    repositories = MT5_VOCABULARIES if multilingual else VOCABULARIES
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        pass
    else:
        for repository in repositories:
            cached = try_to_load_from_cache(repository, MODEL_FILE)
            if isinstance(cached, str):
                return pathlib.Path(cached)
    raise ConfigError(
        f"{folder} has no {MODEL_FILE}, and {_WHOLE} cannot stand in for it; all "
        f"{'mT5' if multilingual else 'T5'} checkpoints share one, so put that of "
        f"{repositories[0]} there"
    )


def added_symbols(folder: pathlib.Path, first: int) -> tuple[str, ...]:
    """The tokens that were added to a tokenizer, by id from `first` on; none if nothing says so.

    Raises:
      MismatchError: their ids are not consecutive from `first`.
    """
    for tokens in _added_tokens(folder):
        added = sorted((i, token) for i, token in tokens.items() if i >= first)
        if not added:
            continue
        ids = [i for i, _ in added]
        if ids != list(range(first, first + len(ids))):
            raise MismatchError(
                f"{folder}: the tokenizer's added tokens have ids {ids[0]} to {ids[-1]}; expected "
                f"{len(ids)} from {first} on, behind the pieces of {MODEL_FILE}; is that file "
                "the checkpoint's?"
            )
        return tuple(token for _, token in added)
    return ()


def _added_tokens(folder: pathlib.Path) -> Iterator[dict[int, str]]:
    """What each of the tokenizer's files says."""
    if (folder / _ADDED).is_file():
        yield {i: token for token, i in read_json(folder / _ADDED).items()}
    if (folder / _WHOLE).is_file():
        yield {t["id"]: t["content"] for t in read_json(folder / _WHOLE).get("added_tokens", [])}
    if (folder / _CONFIG).is_file():
        decoder = read_json(folder / _CONFIG).get("added_tokens_decoder", {})
        yield {int(i): token["content"] for i, token in decoder.items()}


def _names(folder: pathlib.Path, name: str | os.PathLike[str]) -> Iterator[str]:
    """What the checkpoint is called, by the caller and by its place."""
    yield pathlib.PurePath(name).name
    yield folder.resolve().name
    for part in folder.resolve().parts:
        if part.startswith("models--"):  # the hub client's cache
            yield part.rpartition("--")[2]


def _suits(format: str, symbols: tuple[str, ...]) -> bool:
    return named(format).symbols == symbols


def _differing(wanted: tuple[str, ...], symbols: tuple[str, ...]) -> str:
    fits = " or ".join(f for f in FORMATS if _suits(f, symbols))
    return (
        f"the added tokens {_brief(wanted)}; the tokenizer has {_brief(symbols)}, those of "
        f"{fits or 'no published format'}"
    )


def _chosen(
    folder: pathlib.Path,
    description: Mapping[str, Any],
    symbols: tuple[str, ...],
    fits: list[str],
    first: int,
) -> str:
    """The only linearization that tokens, rows and the model's class leave."""
    rows = description.get("vocab_size")
    if not symbols:  # training adds rows where symbols need them, and no more
        fits = [f for f in FORMATS if first + len(named(f).symbols) == rows]
    architectures = description.get("architectures") or ["none"]
    # The class is evidence where training wrote it, with transformers 4; whoever converts the
    # files with a later version loses the constrained class.
    trained = not str(description.get("transformers_version", "")).startswith("5")
    if len(fits) > 1 and trained:
        usual = ARCHITECTURES.get(architectures[0], ())
        fits = [f for f in fits if f in usual] or fits
    if len(fits) == 1:
        return fits[0]
    raise ConfigError(
        f"{folder}: cannot tell which linearization it was trained with: it has the name of no "
        f"published checkpoint, architecture {architectures[0]}, vocab_size {rows} and "
        f"{'added tokens ' + _brief(symbols) if symbols else 'no added tokens'}; if it was trained "
        f"for coreference, say how: --linearization {(fits or FORMATS)[0]} or "
        f"format={(fits or FORMATS)[0]!r}, one of {', '.join(fits or FORMATS)}"
    )


def _brief(symbols: tuple[str, ...]) -> str:
    shown = " ".join(symbols[:7])
    return shown if len(symbols) <= 7 else f"{shown} ... ({len(symbols)})"

"""`t5coref convert`: checkpoints between Hugging Face, T5X and our own folder."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from t5coref.convert import Conversion

HELP = "convert a checkpoint between Hugging Face, T5X and our own folder"

DESCRIPTION = """\
Writes the checkpoint SRC anew as DST in another layout:

  hf          safetensors and config.json, for transformers
  t5coref     the same with tokenizer and format, for every --model of t5coref
  t5x         checkpoint_N as T5X writes it today (orbax)
  t5x-legacy  checkpoint_N as T5X wrote it before (msgpack and zarr)

The layout of SRC is found out: Hugging Face (safetensors; .bin where torch is installed; whole or
in shards; a folder or a name on the hub), either of T5X (a checkpoint_N, or a folder of them, of
which the last is taken), or our own. Numbers are copied bit by bit unless --dtype says otherwise.
A tensor that is missing, left over or of the wrong shape is an error that names it.

One tensor is in memory at a time. DST appears when all is done: an interrupted conversion leaves
nothing, and is started again from the beginning.
"""

EPILOG = """\
examples:
  t5coref convert google/flan-t5-xl flan-xl --to t5x --format full-copy
                                     start T5X training from flan-xl/checkpoint_0
  t5coref convert runs/xl/checkpoint_20000 models/xl --to t5coref --format full-copy \\
      --tokenizer spiece.model       what T5X trained, for `t5coref predict --model models/xl`
  t5coref convert runs/litbank/best litbank-hf --to hf --dtype bfloat16
  t5coref convert checkpoint_1140000 link-append --to t5coref --format link-append \\
      --tokenizer mt5/spiece.model --dtype bfloat16
                                     the 13B model of docs/link_append.md, from T5X's own files
  t5coref convert t5_1_1_xxl t5_1_1_xxl_scanned --to t5x --scan

--format adds the format's symbols: where the table has too few rows, it grows to the next multiple
of 128, and the new rows are drawn like the old ones. Beside a T5X checkpoint, in the folder that
holds it, lie config.json, spiece.model and t5coref.json if they are known; where there is no
config.json, the shape of the model is derived from its tensors. The optimizer's state is not
copied. For buckets (gs://...), copy the folder with `gcloud storage cp -r` before or after.
"""

TARGETS = ("hf", "t5coref", "t5x", "t5x-legacy")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add = parser.add_argument
    add("source", metavar="SRC", help="the checkpoint: a folder, or a name on the hub")
    add("destination", metavar="DST", help="the folder to make")
    add("--to", required=True, choices=TARGETS, help="the layout of DST")
    add("--dtype", choices=("float32", "bfloat16"),
        help="type of the numbers (default: as in SRC)")  # fmt: skip
    add("--scan", action=argparse.BooleanOptionalAction,
        help="T5X: stack the layers, as models with scan_layers have them (default: as in "
        "SRC)")  # fmt: skip
    add("--step", type=int, metavar="N",
        help="T5X: the step of checkpoint_N (default: that of SRC, else 0)")  # fmt: skip
    add("--format", "--linearization", metavar="NAME",
        help="the format that the model is, or will be, trained for (default: as SRC says); see "
        "`t5coref linearize --list`")  # fmt: skip
    add("--tokenizer", metavar="PATH",
        help="spiece.model of a T5 or mT5, or its folder (default: that beside SRC)")  # fmt: skip
    add("--word-rule", choices=("strict", "reference"),
        help="how words become pieces (default: as SRC says, else strict)")  # fmt: skip
    add("--numbers-as-pieces", action="store_true",
        help="with --format: symbols with a number, as <c12>, begin as what the vocabulary has for "
        "the number, and not as random draws")  # fmt: skip
    add("--overwrite", action="store_true", help="replace the checkpoint that is in DST")
    add("--quiet", action="store_true", help="no progress, no summary")


def run(args: argparse.Namespace) -> int:
    """Converts; returns the exit status."""
    from t5coref.cli.tensor_progress import TensorProgress
    from t5coref.convert import TARGETS, convert

    with TensorProgress(args.quiet) as progress:
        conversion = convert(
            args.source,
            args.destination,
            TARGETS[args.to],
            format=args.format,
            tokenizer=args.tokenizer,
            word_rule=args.word_rule,
            numbers_as_pieces=args.numbers_as_pieces,
            dtype=args.dtype,
            scan=args.scan,
            step=args.step,
            overwrite=args.overwrite,
            advanced=progress.advanced,
        )
    if not args.quiet:
        print("\n".join(report(args.source, conversion)))
    return 0


def report(source: str, conversion: Conversion) -> list[str]:
    """What was done, line by line."""
    from t5coref.cli.tensor_progress import size

    summary, identity = conversion
    types = " and ".join(f"{count:,} {name}" for name, count in sorted(summary.dtypes.items()))
    types = types if len(summary.dtypes) > 1 else next(iter(summary.dtypes))
    layers = ", scanned layers" if summary.scanned else ""
    lines = [
        f"{source} ({summary.source}) -> {summary.folder} ({summary.target}{layers})",
        f"{summary.tensors:,} tensors, {summary.numbers:,} parameters, "
        f"{size(summary.nbytes)} ({types}), {summary.seconds:.1f} s",
    ]
    before, after = summary.rows
    if after > before:
        lines.append(f"vocabulary: grown from {before:,} to {after:,} rows")
    if identity is not None:
        tokenizer = identity.tokenizer
        lines.append(
            f"format: {identity.format.name}, {len(tokenizer.symbols)} added symbols; "
            f"tokenizer: {tokenizer.size:,} ids, fingerprint {tokenizer.fingerprint}"
        )
    if summary.left_behind:
        lines.append(f"left behind: {summary.left_behind:,} arrays of the optimizer")
    return lines

"""`t5coref compress`: small model folders."""

from __future__ import annotations

import argparse

HELP = "write a model in eight bits, without what decoding does not need"

DESCRIPTION = """\
Writes the model SRC anew as DST, about a quarter as large as in float32: matrices in eight bits,
each row with a scale of its own; of the head, only the rows of the symbols that its format writes.
Every --model of t5coref takes DST; computation is in floats, as before. transformers does not read
it, and it cannot be trained on for another format: keep SRC.

--drop-decoder-layers leaves layers out. Such a model has to be trained on before it is of use: give
the layers, then DST as the start of a run, then compress what comes out.
"""

EPILOG = """\
examples:
  t5coref compress runs/litbank/best models/litbank-small
  t5coref evaluate --model models/litbank-small --corpus litbank dev/*.conll
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add = parser.add_argument
    add("source", metavar="SRC", help="a folder of `t5coref train`")
    add("destination", metavar="DST", help="the folder to make")
    add("--drop-decoder-layers", type=int, nargs="+", metavar="N", default=[],
        help="layers to leave out, counted from 0")  # fmt: skip
    add("--window", type=int, metavar="N",
        help="pieces of a window, and half of it as stride (default: as in SRC)")  # fmt: skip
    add("--overwrite", action="store_true", help="replace DST")
    add("--quiet", action="store_true", help="no summary")


def run(args: argparse.Namespace) -> int:
    """Compresses; returns the exit status."""
    import dataclasses
    import pathlib
    import sys

    from t5coref.compress import compress, without_decoder_layers
    from t5coref.core.errors import ConfigError
    from t5coref.mentions.propose import PROPOSER
    from t5coref.model import Format, Model
    from t5coref.nn.weight_files import CheckpointError

    model = Model.load(args.source)
    if args.drop_decoder_layers:
        model = without_decoder_layers(model, args.drop_decoder_layers)
    if args.window:
        options = {**model.format.options, "window": args.window, "stride": None}
        model = dataclasses.replace(model, format=Format(model.format.name, options))
    try:
        made = compress(model, pathlib.Path(args.destination), overwrite=args.overwrite)
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
    if (pathlib.Path(args.source) / PROPOSER).is_dir():
        print(
            f"t5coref: note: {args.source}/{PROPOSER} is not copied: adapters fit the weights that "
            "they were trained beside, and these are others now (docs/proposer.md)",
            file=sys.stderr,
        )
    if not args.quiet:
        there, all_ = made.head_rows
        print(f"{args.source} -> {args.destination}: {made.nbytes / 1e6:.1f} MB of weights")
        print(
            f"head: {there:,} of {all_:,} rows; {model.config.num_decoder_layers} decoder layers; "
            f"rounding changed a matrix by {made.error:.2%} in the mean"
        )
    return 0

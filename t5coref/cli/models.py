"""The arguments of commands that run a model, and the model they name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from t5coref.core.errors import ConfigError

if TYPE_CHECKING:
    from t5coref.model import Model
    from t5coref.predict import Predictor


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--model` and what can be changed about it."""
    parser.add_argument("--model", required=True, metavar="DIR", help="a folder of `t5coref train`")
    parser.add_argument("--window", type=int, metavar="N",
                        help="pieces of a window (default: the model's own)")  # fmt: skip
    parser.add_argument("--stride", type=int, metavar="N",
                        help="most pieces from one window to the next (default: half)")  # fmt: skip
    parser.add_argument("--drop-singletons", action="store_true",
                        help="leave out clusters of one mention")  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=8, metavar="N",
                        help="windows decoded at once (default: 8)")  # fmt: skip
    parser.add_argument("--target-ratio", type=float, default=3.0, metavar="X",
                        help="steps of an output for each source piece (default: 3)")  # fmt: skip
    parser.add_argument("--dtype", choices=("float32", "bfloat16"),
                        help="computation type (default: as trained; float32 on CPUs)")  # fmt: skip


def load_model(args: argparse.Namespace) -> Model:
    """The model that the arguments name, with the windows that they ask for."""
    import jax

    from t5coref.model import Format, Model

    # CPUs compute bfloat16 in software.
    on_cpu = "float32" if jax.default_backend() == "cpu" else None
    model = Model.load(args.model, dtype=args.dtype or on_cpu)
    options = dict(model.format.options)
    options.pop("suffixes", None)  # windows that only training wants
    if args.window:
        options |= {"window": args.window, "stride": args.stride}
    elif args.stride:
        options["stride"] = args.stride
    if args.drop_singletons:
        options["min_mentions"] = 2
    return Model(model.config, model.params, model.tokenizer, Format(model.format.name, options))


def load_predictor(args: argparse.Namespace) -> Predictor:
    """A predictor for `load_model`."""
    from t5coref.predict import Predictor

    if args.batch_size < 1:
        raise ConfigError(f"--batch-size is {args.batch_size}; expected at least 1")
    model = load_model(args)
    return Predictor(model, batch_size=args.batch_size, target_ratio=args.target_ratio)

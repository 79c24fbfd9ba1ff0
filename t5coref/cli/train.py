"""`t5coref train`: training on this machine from gin files."""

from __future__ import annotations

import argparse
import functools
import re
from collections.abc import Sequence

from t5coref.cli import compile_cache

HELP = "train a model on this machine, from gin files"

DESCRIPTION = """\
Trains a model as gin files say, on all devices of this machine.

A gin file is a Python call written down: it binds the arguments of functions of t5coref, foremost
those of `t5coref.train.train`, or, where a file binds `fit.objective`, those of
`t5coref.train.fit` and of that objective. --gin.NAME=VALUE overrides one binding (NAME has a dot:
an argument) or one macro (upper case: a value that the files use). Values are Python literals; what
is none, a path for example, is taken as a string.

OUTPUT receives the models `best` (by its score on the dev documents) and `last`, checkpoints,
metrics.jsonl, event files for TensorBoard, and config.gin, the bindings that were used. Killed at
any moment and started again, the same command goes on and ends with the same result. On SIGTERM
(exit status 143) and Ctrl-C (130) it saves the step it is in first; a second signal ends it there.
"""

EPILOG = f"""\
examples:
  t5coref train --gin_file gin/experiments/demo.gin --gin.OUTPUT=runs/demo
  t5coref train --gin_file gin/experiments/litbank_small.gin --gin.MODEL=flan-t5-small \\
      --gin.TRAIN_FILES='litbank/*_brat.conll' --gin.TRAIN_IDS=train.ids \\
      --gin.DEV_FILES='litbank/*_brat.conll' --gin.DEV_IDS=dev.ids --gin.OUTPUT=runs/litbank
  t5coref train --gin_file gin/experiments/redocred_joint_m.gin --gin.MODEL=flan-t5-small \\
      --gin.TRAIN_FILES=train_revised.json --gin.DEV_FILES=dev_revised.json --gin.OUTPUT=runs/re
  t5coref train --gin_file mine.gin --gin.train.steps=500 --gin.adamw.peak=1e-4
  tensorboard --logdir runs

Files are looked for here, then in `t5coref gin-root`; docs/training.md tells more.

{compile_cache.HELP}"""

_BINDING = re.compile(r"--gin\.(.*)", re.DOTALL)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--gin_file", "--gin-file", action="append", required=True, metavar="FILE",
                        help="what to do; several files are read in order")  # fmt: skip
    parser.add_argument("--gin_bindings", "--gin-bindings", action="append", default=[],
                        metavar="NAME=VALUE", help="the same as --gin.NAME=VALUE")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    # The names after `--gin.` are not known here, and argparse has no such options.
    parse = parser.parse_known_args

    @functools.wraps(parse)
    def parse_known_args(args: Sequence[str], namespace: argparse.Namespace | None = None):
        return parse(spread(args), namespace)

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign]


def spread(args: Sequence[str]) -> list[str]:
    """Rewrites `--gin.X=Y` as `--gin_bindings=X=Y`."""
    found = ((_BINDING.fullmatch(arg), arg) for arg in args)
    return [f"--gin_bindings={match[1]}" if match else arg for match, arg in found]


def run(args: argparse.Namespace) -> int:
    """Trains and prints where the models are."""
    from t5coref.cli import gin_files
    from t5coref.cli.train_progress import TrainingProgress, score_name

    compile_cache.keep_compiled_programs()
    gin_files.load(args.gin_file, [gin_files.binding(text) for text in args.gin_bindings])
    with TrainingProgress(quiet=args.quiet, config=gin_files.operative) as progress:
        training = "fit" if gin_files.is_bound("fit.objective") else "train"
        result = gin_files.call(training, listener=progress)
    if result.best_step is not None:
        best = f"{score_name(result.score)} {100 * result.scores[result.score]:.2f}"
        print(f"{best} on the dev documents, after step {result.best_step}")
    print(f"model: {result.best}")
    return 0

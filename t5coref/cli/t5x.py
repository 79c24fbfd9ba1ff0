"""`t5coref t5x`: T5X's own programs with our model, search and gin files."""

from __future__ import annotations

import argparse
import re
import runpy
import sys
import warnings
from collections.abc import Sequence

HELP = "train, evaluate or infer with T5X, from gin files"

DESCRIPTION = """\
Runs T5X's train, eval or infer as `python -m t5x.train` would, with three differences: our gin
files are found wherever the package is installed, names that T5X's dependencies miss in newer
releases of jax are put back, and a value that is plainly a string, as a path is, needs no quotes.

Everything behind the program's name is T5X's: --gin_file FILE, several of which are read in order;
--gin.NAME=VALUE for single bindings; --gin_search_paths; --helpfull for the rest. T5X has to be
installed from its repository; docs/t5x.md says how.
"""

EPILOG = """\
examples:
  t5coref t5x train --gin_file gin/experiments/litbank_t5x.gin \\
      --gin.INITIAL_CHECKPOINT_PATH=flan-base/checkpoint_0 --gin.MODEL_DIR=runs/litbank \\
      --gin.TOKENIZER=flan-base/spiece.model --gin.DATA=data
  t5coref t5x eval --gin_file gin/models/sizes/base.gin --gin_file gin/decode/greedy.gin \\
      --gin_file gin/runs/eval.gin --gin.MIXTURE_OR_TASK_NAME=... \\
      --gin.CHECKPOINT_PATH=runs/litbank/checkpoint_1000 --gin.EVAL_OUTPUT_DIR=runs/litbank/test
  t5coref t5x infer --gin_file gin/models/sizes/base.gin --gin_file gin/decode/beam.gin \\
      --gin_file gin/runs/infer.gin --gin.MIXTURE_OR_TASK_NAME=... \\
      --gin.CHECKPOINT_PATH=runs/litbank/checkpoint_1000 --gin.INFER_OUTPUT_DIR=runs/litbank/out
  t5coref t5x --multihost train ...      on every host of a slice
"""

PROGRAMS = ("train", "eval", "infer")
REFERENCE = re.compile(r"[@%]\w")  # to another binding, somewhere in a value


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("--multihost", action="store_true",
                        help="this command runs on every host of a TPU slice, or as every task of "
                        "a Slurm or Open MPI job; the environment says which is which")  # fmt: skip
    parser.add_argument("program", choices=PROGRAMS, help="which of T5X's programs")
    parser.add_argument("flags", nargs=argparse.REMAINDER, metavar="...", help="T5X's flags")


def run(args: argparse.Namespace) -> int:
    """Hands over to T5X, which ends the process."""
    from t5coref.core.errors import ConfigError

    if args.multihost:
        from t5coref.jobs import hosts

        hosts.join_detected()
    try:
        # Not for its names, which the gin files import: it mends jax for T5X.
        import t5coref.t5x_adapter  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("t5coref"):
            raise
        raise ConfigError(
            f"T5X cannot be imported: there is no module {error.name!r}; "
            "docs/t5x.md says how T5X is installed"
        ) from error
    import gin

    from t5coref.cli import gin_files

    gin.add_config_file_search_path(str(gin_files.gin_root()))
    # T5X has imported its programs, and runpy warns that one of them is run again.
    warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
    sys.argv = [f"t5coref t5x {args.program}", *flags(args.flags)]
    runpy.run_module(f"t5x.{args.program}", run_name="__main__", alter_sys=True)
    return 0


def flags(given: Sequence[str]) -> list[str]:
    """T5X's flags, with the strings among the single bindings quoted for gin."""
    from t5coref.cli import gin_files, train

    out = []
    for flag in train.spread(given):
        name, _, value = flag.partition("=")
        if name == "--gin_bindings" and not REFERENCE.search(value):
            flag = f"{name}={gin_files.binding(value)}"
        out.append(flag)
    return out

"""The command line: one module a command; the only place that prints."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence

from t5coref._version import __version__
from t5coref.core.errors import T5CorefError

COMMANDS = {
    "demo": "demo",
    "demo-training": "demo_training",
    "predict": "predict",
    "serve": "serve",
    "propose": "propose",
    "evaluate": "evaluate",
    "score": "score",
    "report": "report",
    "view": "view",
    "cloze": "cloze",
    "answers": "answers",
    "train": "train",
    "tune": "tune",
    "t5x": "t5x",
    "linearize": "linearize",
    "prepare": "prepare",
    "convert": "convert",
    "compress": "compress",
    "adapters": "adapters",
    "plan": "plan",
    "gin-root": "gin_root",
}
"""Command -> module of this package with HELP, `configure(parser)` and `run(args)`."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a disk, a quota or a file that is full."""

DESCRIPTION = "Coreference and entity-centric relation extraction with T5, in JAX."

EPILOG = """\
first steps:
  t5coref demo                                     watch the model that comes with t5coref
  t5coref predict --input story.txt --output story.jsonl
  t5coref score gold.conll predicted.jsonl
  t5coref view --demo --output page.html           look at documents with relations
  t5coref COMMAND --help                           what a command does, with examples
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status (2 for anything that the user can mend)."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        args = _parser(argv).parse_args(argv)
        return args.run(args)
    except T5CorefError as error:
        print(f"t5coref: error: {error}", file=sys.stderr)
        return 2
    except FileNotFoundError as error:
        print(f"t5coref: error: no file {error.filename!r}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("t5coref: interrupted; start the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        print(f"t5coref: error: nothing more can be written: {error.strerror}; make room and start "
              "the same command again", file=sys.stderr)  # fmt: skip
        return 2


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="t5coref",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"t5coref {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    # The command that is asked for is the only one that needs importing.
    wanted = [argv[0]] if argv and argv[0] in COMMANDS else list(COMMANDS)
    for name in wanted:
        module = importlib.import_module(f"t5coref.cli.{COMMANDS[name]}")
        command = commands.add_parser(
            name, help=module.HELP, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.configure(command)
        command.set_defaults(run=module.run)
    return parser

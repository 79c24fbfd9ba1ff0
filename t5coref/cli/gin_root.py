"""`t5coref gin-root`: where the gin files are."""

from __future__ import annotations

import argparse

HELP = "print the folder that contains gin/, for --gin_search_paths"

DESCRIPTION = """\
Prints the folder that holds `gin/`, in a checkout, an editable install or a wheel alike. Includes
in our files are always written `gin/...`, relative to it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command (none)."""
    parser.description = DESCRIPTION


def run(args: argparse.Namespace) -> int:
    """Prints the folder."""
    from t5coref.cli.gin_files import gin_root

    print(gin_root())
    return 0

"""What reading left out or changed: one line for a command's user, more if they ask."""

from __future__ import annotations

import argparse
import sys

from t5coref.corpora.report import Report

FEW = 3
"""So many cases are named in any case."""


def add_verbose_argument(parser: argparse.ArgumentParser) -> None:
    """Declares `--verbose`."""
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="name file and line of what was left out or changed in reading, the first 20 of each "
        "command; without it, how often it happened",
    )


def print_notes(report: Report, *, verbose: bool) -> None:
    """Prints what a report has, on standard error: each case where there are few, or a count."""
    if verbose or report.problems() <= FEW:
        for message in report.messages:
            warn(message)
        if (unshown := report.problems() - len(report.messages)) > 0:
            warn(f"... and {unshown:,} more")
    else:
        warn(f"reading changed some documents: {report.summary()} (docs/formats.md); --verbose "
             "says where")  # fmt: skip


def warn(message: str) -> None:
    """Prints a warning on standard error."""
    print(f"warning: {message}", file=sys.stderr)

"""`t5coref report KEY RUN ...`: what is wrong with predictions, and where runs differ."""

from __future__ import annotations

import argparse
import json
import os

from t5coref import corpora
from t5coref.cli.pairing import paired, read_side
from t5coref.cli.reading import add_verbose_argument, print_notes
from t5coref.cli.tables import counted
from t5coref.core.errors import ConfigError
from t5coref.corpora.files import appearing_text

HELP = "compare runs: scores, and their errors by kind, type and distance, as a page"

DESCRIPTION = """\
Compares the clusters of one or more RUNs with those of KEY: scores with and without singletons
and how sure they are, errors by kind (wrong span, merged or split cluster, missed or extra mention
or entity) and by the type of the mention, what each kind costs, which links are found at which
distance, every document, and examples. The page needs nothing but a browser and asks for nothing
over the network.

Documents are matched by doc_id, as `t5coref score` does it. Types of mentions (pronoun, name,
nominal) and heads are found by rules for English; docs/report.md states them.
"""

EPILOG = """\
examples:
  t5coref report dev.conll predicted.jsonl --output report.html
  t5coref report dev.conll greedy.jsonl beam.jsonl --names greedy,beam --output report.html
  t5coref report gold/ run_a/ run_b/ --format litbank --remove-singletons --output report.html
  t5coref report dev.conll a.jsonl --json | jq '.runs[0].errors["missed mention"].by_type'

To see the errors of a run in its text: t5coref view RUN --gold KEY --output errors.html
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("key", metavar="KEY", help="the true clusters: a file, a folder or -")
    parser.add_argument("runs", metavar="RUN", nargs="+",
                        help="predicted clusters; differences are from the first")  # fmt: skip
    parser.add_argument("--output", metavar="PAGE", help="the HTML page to write, or -")
    parser.add_argument("--json", action="store_true",
                        help="print all numbers of the page as JSON")  # fmt: skip
    parser.add_argument("--names", metavar="A,B,...",
                        help="what to call the runs (default: by their files)")  # fmt: skip
    parser.add_argument("--remove-singletons", action="store_true",
                        help="leave clusters of one mention out of the analysis, on both sides, "
                        "for keys that have none (scores are given with and without)")  # fmt: skip
    parser.add_argument("--format", choices=corpora.names(), metavar="FORMAT",
                        help=f"of all files: {', '.join(corpora.names())} (default: detect "
                        "it)")  # fmt: skip
    parser.add_argument("--key-format", choices=corpora.names(), metavar="FORMAT",
                        help="of KEY alone")  # fmt: skip
    parser.add_argument("--lenient", action="store_true",
                        help="skip and count what breaks a file's format")  # fmt: skip
    add_verbose_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Writes the page or prints JSON; returns the exit status.

    Raises:
      T5CorefError: a side cannot be read, or sides do not belong together.
    """
    if not (args.output or args.json):
        raise ConfigError("give --output PAGE, or --json to print the numbers")
    if args.output == "-" and args.json:
        raise ConfigError("--output - and --json would both print; give --output a file")
    from t5coref.report import page, summary

    runs = _runs(args)
    if args.json:
        print(json.dumps(summary(runs), indent=2, ensure_ascii=False))
    if args.output:
        content = page(runs, title=f"{os.path.basename(os.path.normpath(args.key))}: report")
        with appearing_text(args.output) as file:
            file.write(content)
        if args.output != "-" and not args.json:
            print(f"{args.output}: {counted(len(runs), 'run')}, "
                  f"{counted(len(runs[0].cases), 'document')}; open it in a browser")  # fmt: skip
    return 0


def _runs(args: argparse.Namespace):
    from t5coref.report import Case, Run

    if [args.key, *args.runs].count("-") > 1:
        raise ConfigError("only one side can be standard input; give files for the others")
    names = _names(args)
    report = corpora.Report()
    keys = read_side(args.key, args.key_format or args.format, args.lenient, report)
    smallest = 2 if args.remove_singletons else 1
    runs = []
    for name, path in zip(names, args.runs, strict=True):
        found = read_side(path, args.format, args.lenient, report)
        pairs = paired(args.key, keys, path, found)
        runs.append(Run(name, [Case.of(key, one, smallest=smallest) for key, one in pairs]))
    print_notes(report, verbose=args.verbose)
    return runs


def _names(args: argparse.Namespace) -> list[str]:
    """The names of the runs, each another."""
    if args.names is None:
        names = [os.path.basename(os.path.normpath(path)) for path in args.runs]
        return names if len(set(names)) == len(names) else list(args.runs)
    names = [name.strip() for name in args.names.split(",")]
    if len(names) != len(args.runs) or len(set(names)) != len(names) or not all(names):
        raise ConfigError(
            f"--names {args.names!r} for {counted(len(args.runs), 'run')}; expected as many "
            "different names, joined by commas"
        )
    return names

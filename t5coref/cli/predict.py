"""`t5coref predict`: clusters for raw text or any corpus format, as a resumable job."""

from __future__ import annotations

import argparse
import os
import sys

from t5coref import corpora
from t5coref.cli.models import add_model_arguments, load_predictor
from t5coref.core.errors import ConfigError
from t5coref.corpora.files import STDIN

HELP = "predict clusters for raw text or any corpus format"

DESCRIPTION = """\
Predicts the clusters of every document of the inputs and writes them into one file, in the order
of the inputs.

Documents longer than the model's window are cut into windows and their clusters merged. A document
that cannot be read or predicted is reported, and its record has no clusters but the key "error";
the others go on. A job that was interrupted goes on where it stopped when the same command is
started again; OUTPUT appears when all is done. OUTPUT.job.json says what it was made with.

Beside `clusters`, jsonl records have `confidences`: for each mention how probable the model finds
it that the span is a mention, and that it belongs to its cluster.
"""

EPILOG = """\
examples:
  t5coref predict --model runs/litbank/best --input story.txt --output story.jsonl
  t5coref predict --model M --input dev/*.conllu --output dev.conll --output-format conll
  t5coref predict --model VincentNLP/seq2seq-coref-t0-3b --beams 4 --input DEV --output OUT
  echo "Mara fed her dog. It was hungry." | t5coref predict --model M --input - --output -

Raw text needs no preparation: it is split by spaCy's rules for --language, and the records carry
`token_offsets` and `char_clusters`, half-open character offsets into `text`.
"""

OUTPUT_FORMATS = {"jsonl": "jsonl", "conll": "conll2012", "conllu": "conllu"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add_model_arguments(parser)
    parser.add_argument("--input", required=True, nargs="+", metavar="FILE",
                        help="files, folders, or - for standard input")  # fmt: skip
    parser.add_argument("--format", choices=corpora.names(), metavar="NAME",
                        help=f"one of {', '.join(corpora.names())} (default: detect it; raw text "
                        "for standard input)")  # fmt: skip
    parser.add_argument(
        "--language", default="en", help="of raw text, as spaCy names it (default: en)"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="the file to write, or -")
    parser.add_argument("--output-format", choices=sorted(OUTPUT_FORMATS), default="jsonl")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace a finished output, forget an unfinished one")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress, only warnings")


def run(args: argparse.Namespace) -> int:
    """Runs the job; exit status 1 if some document failed."""
    from t5coref import jobs
    from t5coref.cli.progress import DocumentProgress

    if args.input.count(STDIN) > 1:
        raise ConfigError("--input names standard input twice; expected - once at most")
    for path in args.input:
        if path != STDIN and not os.path.exists(path):
            raise ConfigError(f"no input {path!r}; expected a file, a folder or -")
    predictor = load_predictor(args)
    options = {"language": args.language} if _all_text(args) else {}
    format_ = args.format or ("text" if args.input == [STDIN] else None)
    total = None
    if STDIN not in args.input:
        total = sum(1 for _ in jobs.read_inputs(args.input, format_, **options))
    with DocumentProgress(total, args.quiet) as progress:
        failures = jobs.run(
            predictor,
            jobs.read_inputs(args.input, format_, **options),
            args.output,
            output_format=OUTPUT_FORMATS[args.output_format],
            settings={"inputs": [os.fspath(p) for p in args.input], **options},
            overwrite=args.overwrite,
            listener=progress,
        )
    if failures:
        plural = "s" if failures > 1 else ""
        print(
            f"t5coref: {failures} document{plural} without a prediction; see the records with the "
            f'key "error" in the output',
            file=sys.stderr,
        )
    return 1 if failures else 0


def _all_text(args: argparse.Namespace) -> bool:
    """Whether every input is raw text, so that its language matters."""
    if args.format:
        return args.format == "text"
    return all(
        p == STDIN or (os.path.isfile(p) and corpora.detect(p) == "text") for p in args.input
    )

"""`t5coref propose`: mentions for text or any corpus format, a resumable job."""

from __future__ import annotations

import argparse
from typing import Any

from t5coref.cli import compile_cache
from t5coref.cli.mentions import load_proposer
from t5coref.cli.predict import add_job_arguments, run_job
from t5coref.cli.tables import counted, table
from t5coref.core.errors import ConfigError
from t5coref.corpora.files import STDIN

HELP = "find the mentions of texts, for formats that are told them"

DESCRIPTION = """\
Finds the mentions of every document of the inputs with a proposer, and writes jsonl whose records
have them: "mentions": {"source": "predicted", "spans": [[start, end], ...]}, half-open words. What
the documents are annotated with stays. `t5coref predict` and `t5coref evaluate` read these records;
they can also run a proposer themselves, with --mentions.

Where documents are annotated, precision and recall of the mentions are printed.
"""

EPILOG = f"""\
examples:
  t5coref propose --model runs/mentions/best --input story.txt --output story.jsonl
  t5coref predict --model runs/ids/best --input story.jsonl --output clusters.jsonl

  t5coref propose --model runs/mentions/best --bias 1 --input dev.conll --output more.jsonl

training documents with gold and proposed mentions, from a proposer that has not seen them:
  t5coref propose --model runs/fold0/best --input 'litbank/conll' --ids fold0.ids --with-gold \\
      --output fold0.jsonl

docs/proposer.md says how to train a proposer.

{compile_cache.HELP}"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    group = parser.add_argument_group("proposer")
    add = group.add_argument
    add("--model", required=True, metavar="DIR",
        help="a folder of `t5coref train` with gin/experiments/litbank_mentions.gin or one like "
        "it")  # fmt: skip
    add("--bias", type=float, metavar="X",
        help="more mentions with a higher number: with 1, one is worth e times more (default: the "
        "model's own)")  # fmt: skip
    add("--with-gold", action="store_true",
        help="put the gold mentions of annotated documents among the proposed ones: for "
        "training")  # fmt: skip
    add("--batch-size", type=int, default=8, metavar="N",
        help="windows computed at once (default: 8)")  # fmt: skip
    add("--dtype", choices=("float32", "bfloat16"),
        help="computation type (default: as trained; float32 on CPUs)")  # fmt: skip
    parser.add_argument("--ids", metavar="FILE",
                        help="only these documents, one id a line (with --output)")  # fmt: skip
    add_job_arguments(parser)
    parser.set_defaults(output_format="jsonl")


def run(args: argparse.Namespace) -> int:
    """Runs the job; exit status 1 if some document failed."""
    documents = None
    if args.ids is not None:
        from t5coref.train.inputs import corpus_files

        if args.output_dir is not None:
            raise ConfigError("--ids with --output-dir; expected --output, one file for them")
        documents = corpus_files(files=args.input, corpus=args.format, ids=args.ids)
    status = run_job(args, _load, documents)
    if args.output not in (None, STDIN) and not (args.with_gold or args.quiet):
        _print_scores(args.output)
    return status


def _load(args: argparse.Namespace) -> Any:
    if args.batch_size < 1:
        raise ConfigError(f"--batch-size is {args.batch_size}; expected at least 1")
    proposer = load_proposer(args.model, args, bias=args.bias)
    if not args.with_gold:
        return proposer
    from t5coref.mentions.sources import GoldToo

    return GoldToo(proposer)


def _print_scores(output: str) -> None:
    """Compares the mentions of annotated documents in a finished output with the gold ones."""
    from t5coref.core.given_mentions import given
    from t5coref.corpora import jsonl
    from t5coref.mentions import MentionScorer
    from t5coref.mentions.metrics import gold_spans
    from t5coref.predict import error_of

    scorer, count = MentionScorer(), 0
    for document in jsonl.read(output):
        if document.annotation is not None and error_of(document) is None:
            scorer.add(gold_spans(document), given(document).spans)
            count += 1
    if count:
        print("\n".join(table({"mentions": scorer.compute()})))
        print(counted(count, "annotated document"))

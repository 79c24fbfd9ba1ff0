"""`t5coref evaluate`: predict annotated documents and score the predictions."""

from __future__ import annotations

import argparse
import json
import sys

from t5coref import corpora
from t5coref.cli import compile_cache
from t5coref.cli.ledger import DESCRIPTION as LEDGER
from t5coref.cli.ledger import LedgerReport, add_ledger_arguments
from t5coref.cli.mentions import ToldScores
from t5coref.cli.models import add_model_arguments, load_predictor
from t5coref.cli.relations import (
    METRICS,
    add_train_argument,
    has_relations,
    relation_json,
    relation_lines,
    relation_scorer,
)
from t5coref.cli.tables import as_json, counted, table
from t5coref.core.errors import ConfigError

HELP = "predict annotated documents and score the predictions"

DESCRIPTION = f"""\
Decodes annotated documents with the model and scores its clusters against theirs. Where a corpus
annotates no singletons, clusters of one mention are left out on both sides. Where documents have
relations, those of the model are scored, too.

{LEDGER}"""

EPILOG = f"""\
{METRICS}
examples:
  t5coref evaluate --model runs/litbank/best --corpus litbank dev/*.conll
  t5coref evaluate --model runs/ontogum/best --corpus ontogum ontogum/dev --json
  t5coref evaluate --model runs/joint/best --corpus docred dev.json --train train_annotated.json
  t5coref evaluate --model runs/ids/best --mentions gold --corpus litbank dev/*.conll
  t5coref evaluate --model runs/ids/best --mentions runs/mentions/best --corpus litbank dev/*.conll
  t5coref evaluate --model runs/litbank/best --free --ledger-output free.jsonl --corpus litbank dev
  t5coref evaluate --model VincentNLP/seq2seq-coref-t0-3b --beams 4 --corpus ontonotes test/

{compile_cache.HELP}"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add_model_arguments(parser)
    parser.add_argument("files", nargs="+", metavar="FILE", help="annotated documents or folders")
    parser.add_argument("--corpus", required=True, choices=corpora.names(), metavar="NAME",
                        help=f"one of {', '.join(corpora.names())}")  # fmt: skip
    parser.add_argument(
        "--ids", metavar="FILE", help="evaluate only these documents, one id a line"
    )
    add_train_argument(parser)
    add_ledger_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON with fractions")
    parser.add_argument("--quiet", action="store_true", help="no progress, only warnings")


def run(args: argparse.Namespace) -> int:
    """Prints the scores; exit status 1 if some document failed."""
    from t5coref.cli.progress import DocumentProgress
    from t5coref.core.metrics import Scorer
    from t5coref.predict import error_of
    from t5coref.train.inputs import corpus_files

    documents = corpus_files(files=args.files, corpus=args.corpus, ids=args.ids)
    if unannotated := [d.doc_id for d in documents if d.annotation is None]:
        raise ConfigError(
            f"document {unannotated[0]!r} has no annotation; evaluation needs one a document"
        )
    singletons = corpora.get(args.corpus).keeps_singletons and not args.drop_singletons
    scorer, failures = Scorer(remove_singletons=not singletons), 0
    relations, speaks = relation_scorer(args), False
    predictor = load_predictor(args)
    ledger = LedgerReport(args, predictor, remove_singletons=not singletons)
    told = ToldScores(predictor)
    with DocumentProgress(len(documents), args.quiet) as progress:
        for gold, found in zip(documents, predictor.predict(documents), strict=True):
            assert gold.annotation is not None
            assert found.annotation is not None
            scorer.add(gold.annotation.clusters, found.annotation.clusters)
            relations.add(gold, found.annotation)
            speaks |= has_relations(gold, found.annotation)
            told.add(gold, found)
            ledger.add(gold, found)
            failures += error_of(found) is not None
            progress.advanced([found])
    ledger.write()
    scores = scorer.compute()
    if args.json:
        out = as_json(scores) | told.to_json()
        out |= ledger.to_json()
        out |= {"relations": relation_json(relations)} if speaks else {}
        print(json.dumps(out, indent=2))
    else:
        print("\n".join(table(scores)))
        kept = "singletons kept" if singletons else "without singletons"
        print(
            f"{counted(len(documents), 'document')}, {kept}",
            *told.lines(),
            *ledger.lines(),
            sep="\n",
        )
        if speaks:
            print("", *relation_lines(relations), sep="\n")
    if failures:
        print(f"t5coref: {failures} documents failed and count as empty", file=sys.stderr)
    return 1 if failures else 0

"""`t5coref tune`: the weights of joint inference that suit dev documents best."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from t5coref import corpora
from t5coref.cli import compile_cache
from t5coref.cli.example_progress import counting
from t5coref.cli.mentions import add_mentions_arguments, mention_source
from t5coref.cli.tables import counted
from t5coref.core.errors import ConfigError

if TYPE_CHECKING:
    from t5coref.questions import QuestionPredictor

HELP = "tune how a model of questions weighs its answers, on dev documents"

DESCRIPTION = """\
Tunes joint inference of a model of the format qa or qa-passage: how much forward answers count
(alpha; backward ones count 1 - alpha), how much it counts that mentions stand alone (gamma), and
what evidence a link needs (tau). The model answers the questions about each document once; then a
grid of 715 weights is searched for the best CoNLL F1 (docs/questions.md). The result is stored in
the model's folder, where `t5coref predict` and `evaluate` find it.

Tune on dev documents, never on those that you report, and again for each corpus.
"""

EPILOG = f"""\
examples:
  t5coref tune --model runs/qa/best --mentions gold --corpus litbank dev/*.conll
  t5coref tune --model runs/qa/best --mentions runs/mentions/best --corpus litbank dev/*.conll
  t5coref tune --model runs/qa/best --mentions gold --corpus gum gum/dev --dry-run --json

{compile_cache.HELP}"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="a folder of `t5coref train`")
    add("files", nargs="+", metavar="FILE", help="annotated documents or folders")
    add("--corpus", required=True, choices=corpora.names(), metavar="NAME",
        help=f"one of {', '.join(corpora.names())}")  # fmt: skip
    add("--ids", metavar="FILE", help="tune on these documents alone, one id a line")
    add_mentions_arguments(add)
    add("--one-to-one", action="store_true",
        help="link each mention with one earlier and one later one at most: tune that, and store "
        "it too")  # fmt: skip
    add("--dry-run", action="store_true", help="say what is best, store nothing")
    add("--batch-size", type=int, default=8, metavar="N",
        help="windows computed at once (default: 8)")  # fmt: skip
    add("--dtype", choices=("float32", "bfloat16"),
        help="computation type (default: as trained; float32 on CPUs)")  # fmt: skip
    add("--json", action="store_true", help="print JSON with fractions")
    add("--quiet", action="store_true", help="no progress, only the result")


def run(args: argparse.Namespace) -> int:
    """Tunes, stores and prints the weights."""
    from t5coref.extractors import own_mentions
    from t5coref.model import store_options
    from t5coref.questions import Weights, tune
    from t5coref.train.inputs import corpus_files

    documents = corpus_files(files=args.files, corpus=args.corpus, ids=args.ids)
    if unannotated := [d.doc_id for d in documents if d.annotation is None]:
        raise ConfigError(
            f"document {unannotated[0]!r} has no annotation; tuning needs one a document"
        )
    source = mention_source(args)
    predictor = _predictor(args)
    source = own_mentions(args.model, predictor) if source is None else source
    told = list(source(documents))
    answers = counting(predictor.scores(told), "documents", len(told), args.quiet)
    singletons = corpora.get(args.corpus).keeps_singletons
    found = tune(
        documents,
        list(answers),
        start=Weights(),
        one_to_one=args.one_to_one,
        min_mentions=predictor.linearization.min_mentions,
        remove_singletons=not singletons,
    )
    stored = {**found.weights._asdict(), "one_to_one": args.one_to_one}
    if not args.dry_run:
        store_options(args.model, stored)
    if args.json:
        tuned = {**stored, "conll": found.score}
        untuned = {**Weights()._asdict(), "conll": found.before}
        print(json.dumps({"untuned": untuned, "tuned": tuned, "documents": len(told)}, indent=2))
        return 0
    print(f"{'':10}{'alpha':>8}{'gamma':>8}{'tau':>8}{'conll':>10}")
    for name, weights, score in (
        ("untuned", Weights(), found.before),
        ("tuned", found.weights, found.score),
    ):
        print(f"{name:10}" + "".join(f"{x:8.2f}" for x in weights) + f"{100 * score:10.2f}")
    kept = "singletons kept" if singletons else "without singletons"
    print(f"{counted(len(told), 'document')}, {kept}, mentions: {source.name}")
    where = "nothing was stored" if args.dry_run else f"stored in {args.model}"
    print(where, file=sys.stderr)
    return 0


def _predictor(args: argparse.Namespace) -> QuestionPredictor:
    import jax

    from t5coref.model import Model
    from t5coref.predictors import asks_questions
    from t5coref.questions import QuestionPredictor

    compile_cache.keep_compiled_programs()
    # CPUs compute bfloat16 in software.
    on_cpu = "float32" if jax.default_backend() == "cpu" else None
    model = Model.load(args.model, dtype=args.dtype or on_cpu)
    if not asks_questions(model):
        raise ConfigError(
            f"{args.model} is of the format {model.format.name}, which has nothing to tune; "
            "expected qa or qa-passage"
        )
    return QuestionPredictor(model, batch_size=args.batch_size)

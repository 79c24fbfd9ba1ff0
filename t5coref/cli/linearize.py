"""`t5coref linearize`: look at the sequences of a format, or measure its ceiling."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import itertools
import json
import os
from collections.abc import Iterable

import numpy as np

from t5coref import corpora, linearize
from t5coref.cli.reading import add_verbose_argument, print_notes
from t5coref.cli.tokenizers import add_tokenizer_argument, find_tokenizer
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.core.metrics import Scorer
from t5coref.core.relation_metrics import RelationScorer
from t5coref.corpora.report import Report

HELP = "print documents as sequences of actions, or check that they come back"

DESCRIPTION = """\
Prints every turn (model input and gold output) of annotated documents as one line of JSON:

  doc_id, turn, offset   the document, the number of the turn, pieces before its first
  source                 the pieces that the encoder reads
  actions                what the decoder is scored on
  feeds                  what the decoder reads back after each action; pairs, where the
                         embeddings of two pieces are averaged

With --check the gold actions are turned back into clusters instead and scored against the gold
clusters: the best that any model can reach with the format, per file and, on the last line, in
all. Formats of relations know the names that the given files have, and score relations too.
"""

EPILOG = """\
examples:
  t5coref linearize --list
  t5coref linearize --format full-copy --corpus litbank emma.conll --tokenizer t5/spiece.model
  t5coref linearize --format full-copy --corpus gum dev/*.conllu --check --window 512
  t5coref linearize --format relation-copy --corpus docred dev.json --check

`--pieces reference` gives the targets of the published checkpoints, piece by piece: their word
rules, their windows, which go on to the end of a document in steps of the stride, and their looser
constraint, which shows in a few targets (docs/linearizations.md). `--pieces strict` is ours.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("files", metavar="FILE", nargs="*", help="annotated documents")
    parser.add_argument("--list", action="store_true", help="describe the formats and exit")
    parser.add_argument("--format", default="full-copy", help="linearization (default: full-copy)")
    parser.add_argument("--corpus", help="format of the files (default: detect it)")
    parser.add_argument("--window", type=int, default=2048, metavar="N",
                        help="pieces of a window, </s> included (default: 2048)")  # fmt: skip
    parser.add_argument("--stride", type=int, metavar="N",
                        help="most pieces from one window to the next (default: half)")  # fmt: skip
    parser.add_argument("--pieces", choices=("strict", "reference"), default="strict",
                        help="our targets or the published ones (default: strict)")  # fmt: skip
    parser.add_argument("--check", action="store_true", help="print the round-trip score instead")
    parser.add_argument("--lenient", action="store_true", help="skip and count broken parts")
    parser.add_argument("--json", action="store_true", help="with --check: scores as JSON lines")
    add_verbose_argument(parser)
    add_tokenizer_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Prints turns or scores; returns the exit status."""
    if args.list:
        width = max(map(len, linearize.FORMATS))
        for name, format_ in sorted(linearize.FORMATS.items()):
            description = (inspect.getdoc(format_) or "").splitlines()[:1]
            print(f"{name:{width}}", *description, sep="  ")
        return 0
    if not args.files:
        raise ConfigError("no FILE given; name at least one, or pass --list to see the formats")
    report = Report()
    files: list[Iterable[Document]] = [
        corpora.read(path, args.corpus, report=report, lenient=args.lenient) for path in args.files
    ]
    options = {}
    if args.format in linearize.RELATIONS:
        files = [list(documents) for documents in files]
        options = linearize.inventory(itertools.chain.from_iterable(files))
    symbols = linearize.symbols_of(args.format, options)
    tokenizer = find_tokenizer(args.tokenizer, symbols).with_word_rule(args.pieces)
    format_ = linearize.get(
        args.format,
        tokenizer,
        window=args.window,
        stride=args.stride,
        suffixes=args.pieces == "reference",
        constraint=args.pieces,
        **options,
    )
    if args.check:
        _check(args, format_, files)
    else:
        for document in itertools.chain.from_iterable(files):
            for example in linearize.examples(format_, document):
                print(json.dumps(_row(example, tokenizer), ensure_ascii=False))
    print_notes(report, verbose=args.verbose)
    return 0


def _row(example: linearize.Example, tokenizer) -> dict[str, object]:
    def pieces(tokens) -> list:
        return [tokenizer.piece(int(t)) if np.ndim(t) == 0 else pieces(t) for t in tokens]

    return {
        "doc_id": example.turn.doc_id,
        "turn": example.turn.index,
        "offset": example.turn.offset,
        "source": pieces(example.turn.source),
        "actions": pieces(example.actions),
        "feeds": pieces(example.feeds),
    }


@dataclasses.dataclass(frozen=True)
class _Scorers:
    """Of clusters alone, and of relations."""

    clusters: Scorer = dataclasses.field(default_factory=Scorer)
    relations: RelationScorer = dataclasses.field(default_factory=RelationScorer)


def _check(
    args: argparse.Namespace,
    format_: linearize.Linearization,
    files: Iterable[Iterable[Document]],
) -> None:
    total, lost_in_all, documents = _Scorers(), 0, 0
    for path, found in zip(args.files, files, strict=True):
        scorer, lost, count = _Scorers(), 0, 0
        for document in found:
            back = linearize.round_trip(format_, document)
            assert document.annotation is not None  # round_trip refuses that
            scorer.clusters.add(document.annotation.clusters, back.clusters)
            if args.format in linearize.RELATIONS:
                scorer.relations.add(document, back)
            kept = {(s, e) for s, e, _ in back.mentions()}
            lost += sum((s, e) not in kept for s, e, _ in document.annotation.mentions())
            count += 1
        total.clusters.merge(scorer.clusters)
        total.relations.merge(scorer.relations)
        lost_in_all += lost
        documents += count
        _print_scores(args, os.fspath(path), scorer, lost, count)
    _print_scores(args, "all", total, lost_in_all, documents)


def _print_scores(
    args: argparse.Namespace, name: str, scorer: _Scorers, lost: int, documents: int
) -> None:
    scores = scorer.clusters.compute()
    if scorer.relations.documents:
        scores["re"] = scorer.relations.compute()["re"]
    if args.json:
        values = {metric: score._asdict() for metric, score in scores.items()}
        row = {"file": name, "documents": documents, "lost_mentions": lost, **values}
        print(json.dumps(row, ensure_ascii=False))
        return
    figures = "  ".join(f"{metric} {100 * score.f1:.2f}" for metric, score in scores.items())
    plural = "" if documents == 1 else "s"
    print(f"{name}: {figures}  ({documents} document{plural}, {lost} mentions lost)")

"""`t5coref score KEY RESPONSE`: the metrics of predictions, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence

from t5coref import corpora
from t5coref.cli.pairing import paired, read_side
from t5coref.cli.reading import add_verbose_argument, print_notes, warn
from t5coref.cli.relations import (
    METRICS,
    add_train_argument,
    has_relations,
    relation_json,
    relation_lines,
    relation_scorer,
)
from t5coref.cli.schemes import (
    EXAMPLES,
    add_scheme_arguments,
    cluster_scorer,
    described,
    more_json,
    more_lines,
    without_heads,
)
from t5coref.cli.schemes import HELP as SCHEME_HELP
from t5coref.cli.tables import as_json, counted, table
from t5coref.core import metrics
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import MismatchError
from t5coref.core.relation_metrics import RelationScorer
from t5coref.corpora import docred

HELP = "score predicted clusters and relations against a key"

DESCRIPTION = """\
Scores the clusters and relations of RESPONSE against those of KEY. Either side is a file of any
format that t5coref reads, a folder of such files, or - for standard input. Documents are matched by
doc_id, mentions by their exact bounds or as --scheme says, and counts are added over all documents
before they are divided, as the official scorers do.

A document that RESPONSE lacks counts as one without clusters, and a warning says so. Documents
that KEY lacks, texts of different lengths and missing annotations are errors.
"""

EPILOG = f"""\
metrics:
  muc, b3 (or bcub), ceafm, ceafe, blanc, lea, mentions; conll is the mean of muc, b3 and ceafe.
  With --scheme ua or corefud also mor, the overlap of mentions, and zeros, anaphoric ones.

{SCHEME_HELP}
{METRICS}
docs/metrics.md defines each of them.

examples:
  t5coref score dev.conll predicted.conll
  t5coref score dev.conll predicted.jsonl --metrics all --remove-singletons
  t5coref score gold/ predicted/ --format conllu --per-document
  t5coref score dev.jsonl predicted.jsonl --json | jq .conll.f1
{EXAMPLES}  t5coref score docred/dev.json predicted.jsonl --train docred/train_annotated.json
  t5coref score dev.json predicted.jsonl --json | jq .relations.re.f1
  t5coref score docred/test.json predicted.jsonl --codalab result.json

--codalab writes the relations of RESPONSE as DocRED's Codalab competition wants them: a cluster
with exactly the mentions of an entity of KEY has its number, any other one a number of its own.
The test set says nothing of relations, so that only its clusters are scored.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("key", metavar="KEY", help="the true clusters: a file, a folder or -")
    parser.add_argument(
        "response", metavar="RESPONSE", help="the predicted clusters: a file, a folder or -"
    )
    parser.add_argument(
        "--format",
        choices=corpora.names(),
        metavar="FORMAT",
        help=f"format of both sides: {', '.join(corpora.names())} (default: detect it)",
    )
    parser.add_argument(
        "--key-format", choices=corpora.names(), metavar="FORMAT", help="format of KEY alone"
    )
    parser.add_argument(
        "--response-format",
        choices=corpora.names(),
        metavar="FORMAT",
        help="format of RESPONSE alone",
    )
    parser.add_argument(
        "--lenient", action="store_true", help="skip and count what breaks a file's format"
    )
    add_scheme_arguments(parser)
    add_train_argument(parser)
    parser.add_argument(
        "--codalab", metavar="FILE", help="write RESPONSE's relations as a Codalab submission"
    )
    parser.add_argument(
        "--per-document", action="store_true", help="give every document's scores, too"
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON with fractions instead of a table"
    )
    add_verbose_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the scores; returns the exit status.

    Raises:
      T5CorefError: a side cannot be read, or the two do not belong together.
    """
    report = corpora.Report()
    total = cluster_scorer(args)
    relations, speaks = relation_scorer(args), False
    pairs = list(_paired(args, report))
    documents: dict[str, tuple[metrics.Scores, metrics.Scores]] = {}
    for key, response in pairs:
        one = cluster_scorer(args)
        one.add(key, response)
        total.merge(one)  # type: ignore[arg-type]  # both are made of the same options
        annotation = _annotation(response)
        own = RelationScorer(relations.train_facts)
        own.add(key, annotation)
        relations.merge(own)
        speaks |= has_relations(key, annotation)
        if args.per_document:
            documents[key.doc_id] = one.compute(), own.compute()
    print_notes(report, verbose=args.verbose)
    if n := without_heads(pairs, total):
        warn(f"{args.key} states no heads in {counted(n, 'document')} where {args.response} does: "
             "there the key's first words count as heads; --match exact needs none")  # fmt: skip
    if speaks and relations.documents < len(pairs):
        unknown = len(pairs) - relations.documents
        warn(f"{args.key} does not say which relations {counted(unknown, 'document')} have; "
              "theirs are not scored")  # fmt: skip
    if args.codalab is not None:
        _write_submission([(key, _annotation(found)) for key, found in pairs], args.codalab)
    if args.json:
        out = as_json(total.compute()) | more_json(total)
        if speaks:
            out["relations"] = relation_json(relations)
        if args.per_document:
            out["documents"] = {
                doc_id: as_json(scores) | ({"relations": as_json(re)} if speaks else {})
                for doc_id, (scores, re) in documents.items()
            }
        print(json.dumps(out, indent=2, ensure_ascii=False))
    else:
        if args.per_document:
            columns = [name for name in ("re", "ign") if speaks and name in relations.compute()]
            print("\n".join(_document_table(documents, columns)), end="\n\n")
        print("\n".join(table(total.compute())))
        for line in more_lines(total):
            print(line)
        print(f"{counted(total.documents, 'document')}, {described(total, args)}")
        if speaks:
            print("", *relation_lines(relations), sep="\n")
    return 0


def _write_submission(pairs: Sequence[tuple[Document, Annotation]], target: str) -> None:
    docred.write_submission(pairs, target)
    if not any(response.relations for _, response in pairs):
        warn(f"{target} is empty: there are no relations; the official script cannot read that")


def _annotation(response: Document | None) -> Annotation:
    return (None if response is None else response.annotation) or Annotation()


def _paired(
    args: argparse.Namespace, report: corpora.Report
) -> Iterator[tuple[Document, Document | None]]:
    """Every document of the key, in its order, and what is predicted for it."""
    if args.key == args.response == "-":
        raise MismatchError("KEY and RESPONSE are both standard input; give a file for one of them")
    keys = read_side(args.key, args.key_format or args.format, args.lenient, report)
    responses = read_side(args.response, args.response_format or args.format, args.lenient, report)
    return paired(args.key, keys, args.response, responses)


def _document_table(
    documents: dict[str, tuple[metrics.Scores, metrics.Scores]], columns: Sequence[str]
) -> Iterator[str]:
    """F1 of every metric and of these columns of relations, one document a line."""
    width = max(len("f1"), *map(len, documents))
    names = [*next(iter(documents.values()))[0], *columns]
    yield f"{'f1':{width}}" + "".join(f"{name:>10}" for name in names)
    for doc_id, (scores, relations) in documents.items():
        both = [*scores.values(), *(relations.get(name) for name in columns)]
        cells = ("" if score is None else f"{100 * score.f1:.2f}" for score in both)
        yield f"{doc_id:{width}}" + "".join(f"{cell:>10}" for cell in cells)

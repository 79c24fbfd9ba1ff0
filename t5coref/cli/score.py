"""`t5coref score KEY RESPONSE`: the metrics of predicted clusters, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence

from t5coref import corpora
from t5coref.core import metrics
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import DocumentError, FormatError, MismatchError

HELP = "score predicted clusters against a key"

DESCRIPTION = """\
Scores the clusters of RESPONSE against those of KEY. Either side is a file of any format that
t5coref reads, a folder of such files, or - for standard input. Documents are matched by doc_id,
mentions by their exact bounds, and counts are added over all documents before they are divided,
as the official CoNLL scorer does.

A document that RESPONSE lacks counts as one without clusters, and a warning says so. Documents
that KEY lacks, texts of different lengths and missing annotations are errors.
"""

EPILOG = """\
metrics:
  muc, b3 (or bcub), ceafm, ceafe, blanc, lea, mentions; conll is the mean of muc, b3 and ceafe.
  docs/metrics.md defines each of them.

examples:
  t5coref score dev.conll predicted.conll
  t5coref score dev.conll predicted.jsonl --metrics all --remove-singletons
  t5coref score gold/ predicted/ --format conllu --per-document
  t5coref score dev.jsonl predicted.jsonl --json | jq .conll.f1
"""

ALIASES = {"bcub": "b3"}


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
    parser.add_argument(
        "--metrics",
        type=_metric_names,
        default=metrics.DEFAULT,
        metavar="NAMES",
        help=f"names joined by commas, or all (default: {','.join(metrics.DEFAULT)})",
    )
    parser.add_argument(
        "--remove-singletons",
        action="store_true",
        help="leave out clusters of one mention, on both sides",
    )
    parser.add_argument(
        "--per-document", action="store_true", help="give every document's scores, too"
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON with fractions instead of a table"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the scores; returns the exit status.

    Raises:
      T5CorefError: a side cannot be read, or the two do not belong together.
    """
    report = corpora.Report()
    total = metrics.Scorer(args.metrics, remove_singletons=args.remove_singletons)
    documents: dict[str, metrics.Scores] = {}
    for doc_id, key, response in _paired(args, report):
        one = metrics.Scorer(args.metrics, remove_singletons=args.remove_singletons)
        one.add(key.clusters, response.clusters)
        total.merge(one)
        if args.per_document:
            documents[doc_id] = one.compute()
    for message in report.messages:
        _warn(message)
    if (unshown := report.problems() - len(report.messages)) > 0:
        _warn(f"... and {unshown:,} more of this kind")
    if args.json:
        out = as_json(total.compute())
        if args.per_document:
            out["documents"] = {doc_id: as_json(scores) for doc_id, scores in documents.items()}
        print(json.dumps(out, indent=2, ensure_ascii=False))
    else:
        if args.per_document:
            print("\n".join(_document_table(documents)), end="\n\n")
        print("\n".join(table(total.compute())))
        singletons = "without singletons" if args.remove_singletons else "singletons kept"
        print(f"{_counted(total.documents, 'document')}, {singletons}")
    return 0


def _metric_names(text: str) -> tuple[str, ...]:
    if text == "all":
        return metrics.NAMES
    names = tuple(ALIASES.get(name, name) for name in text.replace(" ", "").split(",") if name)
    if unknown := [name for name in names if name not in metrics.NAMES] or not names:
        raise argparse.ArgumentTypeError(
            f"unknown metrics {unknown if names else text!r}; "
            f"expected some of {','.join(metrics.NAMES)} joined by commas, or all"
        )
    return names


def _paired(
    args: argparse.Namespace, report: corpora.Report
) -> Iterator[tuple[str, Annotation, Annotation]]:
    """The doc_id and both annotations of every document, in the order of the key."""
    if args.key == args.response == "-":
        raise MismatchError("KEY and RESPONSE are both standard input; give a file for one of them")
    keys = _read_side(args.key, args.key_format or args.format, args.lenient, report)
    responses = _read_side(args.response, args.response_format or args.format, args.lenient, report)
    if unknown := [doc_id for doc_id in responses if doc_id not in keys]:
        raise MismatchError(
            f"{args.response} has {_counted(len(unknown), 'document')} that {args.key} lacks: "
            f"{_listed(unknown)}; expected names such as {_listed(list(keys))}"
        )
    if missing := [doc_id for doc_id in keys if doc_id not in responses]:
        _warn(
            f"{args.response} lacks {_counted(len(missing), 'document')}, scored as if without "
            f"clusters: {_listed(missing)}"
        )
    for doc_id, key in keys.items():
        response = responses.get(doc_id)
        if response is not None:
            _check_words(key, response)
        yield (
            doc_id,
            key.annotation or Annotation(),
            response.annotation or Annotation() if response is not None else Annotation(),
        )


def _read_side(
    side: str, form: str | None, lenient: bool, report: corpora.Report
) -> dict[str, Document]:
    """The documents of a file or a folder by doc_id."""
    documents: dict[str, Document] = {}
    for document in corpora.read(side, format=form, lenient=lenient, report=report):
        if document.doc_id in documents:
            raise DocumentError(
                f"{side} has document {document.doc_id!r} twice; documents are matched by doc_id, "
                "so give each its own"
            )
        if document.annotation is None:
            raise DocumentError(
                f"{side}: document {document.doc_id!r} has no annotation, so there is nothing to "
                "score; where it has no clusters, say so with an empty list of them"
            )
        documents[document.doc_id] = document
    if not documents:
        raise FormatError(f"{side} has no documents; expected at least one to score")
    return documents


def _check_words(key: Document, response: Document) -> None:
    """Refuses texts of different lengths; other words at the same places are only warned about.

    The offsets decide which mentions match, and corpora that differ in how they write brackets
    or placeholders still agree on those: some of the official scorer's own tests do.
    """
    pairs = zip(key.words, response.words, strict=False)
    differing = [i for i, (a, b) in enumerate(pairs) if a != b]
    if differing:
        i = differing[0]
        first = f"word {i} is {key.words[i]!r} in the key and {response.words[i]!r} in the response"
    else:
        first = "one text is the beginning of the other"
    if len(key.words) != len(response.words):
        raise MismatchError(
            f"document {key.doc_id!r} has {len(key.words)} words in the key and "
            f"{len(response.words)} in the response: {first}; score two annotations of one text"
        )
    if differing:
        _warn(
            f"document {key.doc_id!r}: {_counted(len(differing), 'word')} of {len(key.words)} "
            f"differ: {first}; scored by position"
        )


def as_json(scores: metrics.Scores) -> dict[str, dict]:
    """Fractions of all metrics, as the JSON output has them."""
    return {name: score._asdict() for name, score in scores.items()}


def table(scores: metrics.Scores) -> Iterator[str]:
    """Percentages of all metrics, one a line."""
    yield f"{'':10}{'precision':>10}{'recall':>10}{'f1':>10}"
    for name, score in scores.items():
        yield f"{name:10}" + "".join(f"{100 * value:10.2f}" for value in score)


def _document_table(documents: dict[str, metrics.Scores]) -> Iterator[str]:
    """F1 of every metric, one document a line."""
    width = max(len("f1"), *map(len, documents))
    first = next(iter(documents.values()))
    yield f"{'f1':{width}}" + "".join(f"{name:>10}" for name in first)
    for doc_id, scores in documents.items():
        yield f"{doc_id:{width}}" + "".join(f"{100 * s.f1:10.2f}" for s in scores.values())


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(map(repr, names[:most]))
    return shown + (", ..." if len(names) > most else "")


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)

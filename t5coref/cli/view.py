"""`t5coref view`: annotated documents on a page of their own, or on the terminal."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
from collections.abc import Iterator
from itertools import islice

from t5coref import corpora
from t5coref.cli.reading import add_verbose_argument, print_notes
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, DocumentError, FormatError, MismatchError
from t5coref.corpora.files import STDIN, appearing_text

HELP = "look at annotated or predicted documents: a page, or the terminal"

DESCRIPTION = """\
Writes a page that needs nothing but a browser and asks for nothing over the network: the text with
its mentions, nested and crossing ones too, a list of entities, a table and a graph of relations. A
mention or an entity that is pointed at shows its whole chain; clicked, it is followed. Without
--output the documents are printed in colour instead.

With --gold it shows what is right, missed and extra. Documents are matched by doc_id; those that
are not in FILE are left out.
"""

EPILOG = """\
examples:
  t5coref view --demo --output page.html          documents that come with t5coref
  t5coref view predicted.jsonl --output page.html
  t5coref view predicted.jsonl --gold dev.conll --output errors.html
  t5coref view dev/ --format litbank --limit 20 --output page.html
  t5coref view dev.json --format docred --relation-names rel_info.json --output page.html
  t5coref predict --model M --input story.txt --output - | t5coref view -

on the page:
  click            follow an entity; again on nested mentions: the next one around
  arrows           with a mention in focus: left and right from mention to mention, up and down
                   along the chain; Enter follows, Esc stops
  [ ] and /        previous and next document, find a document
  e                next error (with --gold)

docs/viewing.md tells more.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("files", nargs="*", metavar="FILE",
                        help="files or folders of any format that t5coref reads, or - for "
                        "standard input")  # fmt: skip
    parser.add_argument("--demo", action="store_true",
                        help="show documents that come with t5coref instead of FILE")  # fmt: skip
    parser.add_argument("--output", metavar="PAGE",
                        help="the HTML page to write, or - (default: print in colour)")  # fmt: skip
    parser.add_argument("--gold", nargs="+", metavar="FILE",
                        help="the true annotation, to compare with (needs --output)")  # fmt: skip
    parser.add_argument("--format", choices=corpora.names(), metavar="NAME",
                        help=f"of FILE: {', '.join(corpora.names())} (default: detect it; jsonl "
                        "for standard input)")  # fmt: skip
    parser.add_argument("--gold-format", choices=corpora.names(), metavar="NAME",
                        help="of the --gold files (default: detect it)")  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="show the first N documents only")
    parser.add_argument("--relation-names", metavar="FILE",
                        help="what to call relation types: JSON such as "
                        '{"P17": "country"}')  # fmt: skip
    parser.add_argument("--lenient", action="store_true",
                        help="skip and count what breaks a file's format")  # fmt: skip
    add_verbose_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Writes the page or prints; returns the exit status."""
    if bool(args.files) == args.demo:
        raise ConfigError(
            "give either FILE or --demo: t5coref view predicted.jsonl --output page.html, or "
            "t5coref view --demo"
        )
    if args.gold and not args.output:
        raise ConfigError("--gold needs --output PAGE, where the two are compared")
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit {args.limit} leaves no document; expected at least 1")
    names = _relation_names(args.relation_names) if args.relation_names else {}
    report = corpora.Report()
    documents = islice(_documents(args, report), args.limit)
    if args.output:
        _write_page(args, documents, names, report)
    else:
        _print(documents, names)
    print_notes(report, verbose=args.verbose)
    return 0


def _documents(args: argparse.Namespace, report: corpora.Report) -> Iterator[Document]:
    if args.demo:
        from t5coref import demo

        yield from demo.biographies()
        yield from islice(demo.stories(), 6)
        return
    for path in args.files:
        format_ = args.format or ("jsonl" if path == STDIN else None)
        yield from corpora.read(path, format_, report=report, lenient=args.lenient)


def _relation_names(path: str) -> dict[str, str]:
    expected = 'expected one object of strings, such as {"P17": "country"}'
    try:
        names = json.loads(pathlib.Path(path).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not JSON: {error}; {expected}") from None
    if not (isinstance(names, dict) and all(isinstance(name, str) for name in names.values())):
        raise FormatError(f"{path}: found {repr(names)[:40]}...; {expected}")
    return names


def _print(documents: Iterator[Document], names: dict[str, str]) -> None:
    from rich.console import Console

    from t5coref.cli.show import shown

    console = Console(highlight=False)
    for i, document in enumerate(documents):
        if i:
            console.print()
        console.print(shown(document, names))


def _write_page(
    args: argparse.Namespace,
    documents: Iterator[Document],
    names: dict[str, str],
    report: corpora.Report,
) -> None:
    from t5coref.view import compared, page, plain

    if args.gold:
        key = _key(args, report)
        views = [compared(document, gold) for document, gold in _matched(documents, key)]
    else:
        views = [plain(document) for document in documents]
    if not views:
        raise FormatError(f"no documents in {', '.join(args.files)}; expected at least one to show")
    content = page(views, title=_title(args), relation_names=names)
    with appearing_text(args.output) as file:
        file.write(content)
    if args.output != STDIN:
        count = f"{len(views):,} document{'' if len(views) == 1 else 's'}"
        print(f"{args.output}: {count}, {len(content.encode()) / 1e6:.1f} MB; open it in a browser")


def _title(args: argparse.Namespace) -> str:
    if args.demo:
        return "t5coref view --demo"
    first = os.path.basename(os.path.normpath(args.files[0]))
    return first if len(args.files) == 1 else f"{first} and {len(args.files) - 1:,} more"


def _key(args: argparse.Namespace, report: corpora.Report) -> dict[str, Document]:
    key: dict[str, Document] = {}
    for path in args.gold:
        for gold in corpora.read(path, args.gold_format, report=report, lenient=args.lenient):
            if gold.doc_id in key:
                raise DocumentError(
                    f"--gold has document {gold.doc_id!r} twice; documents are matched by doc_id, "
                    "so give each its own"
                )
            key[gold.doc_id] = gold
    return key


def _matched(
    documents: Iterator[Document], key: dict[str, Document]
) -> Iterator[tuple[Document, Document]]:
    for document in documents:
        if document.doc_id not in key:
            some = ", ".join(map(repr, list(key)[:3])) or "no document"
            raise MismatchError(
                f"document {document.doc_id!r} is not in the --gold files, which have {some}, ...; "
                "give the key of the documents to show"
            )
        yield document, key[document.doc_id]

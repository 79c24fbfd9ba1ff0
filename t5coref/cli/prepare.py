"""`t5coref prepare`: linearize a corpus once, into TFRecord files that SeqIO tasks read."""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib.util
import os
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from t5coref import corpora
from t5coref.cli import prepare_mrp
from t5coref.cli.reading import add_verbose_argument, print_notes
from t5coref.cli.tokenizers import add_tokenizer_argument, find_tokenizer
from t5coref.core.errors import ConfigError
from t5coref.corpora.report import Report

if TYPE_CHECKING:
    from t5coref.data.documents import Files
    from t5coref.data.manifest import Manifest
    from t5coref.data.recipe import Recipe

HELP = "linearize a corpus once, into sharded TFRecord files for SeqIO and T5X"

DESCRIPTION = """\
Turns annotated documents into the integers that a model is trained and evaluated on, in parallel,
and writes them as sharded TFRecord files with a manifest. SeqIO tasks find a folder by the task's
name below $T5COREF_PREPARED (docs/seqio.md). Needs the extra: pip install 't5coref[seqio]'.

An interrupted job goes on where it stopped when the same command is started again: finished shards
are kept. The files have the same bytes whatever the number of workers. A folder holds data of one
kind: other settings or documents are refused. Further splits can be added later.
"""

EPILOG = """\
examples:
  a registered task, its corpus below ./data, then trained on from a bucket:
    t5coref prepare --task ontonotes_full_copy --tokenizer t5/spiece.model \\
      --output prepared/ontonotes_full_copy --workers 16
    gsutil -m cp -r prepared gs://BUCKET/ && export T5COREF_PREPARED=gs://BUCKET/prepared

  files of your own, by split:
    t5coref prepare --corpus jsonl --split train=train.jsonl --split validation=dev.jsonl \\
      --format full-copy --option window=1024 --tokenizer t5/spiece.model --output prepared/mine

  one set of files, and lists of document ids:
    t5coref prepare --corpus litbank --input 'litbank/conll/*.conll' --format full-copy \\
      --split train=litbank/splits/2/train.ids --split validation=litbank/splits/2/dev.ids \\
      --tokenizer t5/spiece.model --output prepared/litbank_fold2_full_copy

  t5coref prepare --check prepared/mine

  plain text for pre-training:
    t5coref prepare mrp --help
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    what = parser.add_argument_group("what")
    add = what.add_argument
    add("--task", metavar="NAME", help="a registered task: its corpus, files, format and options")
    add("--data", metavar="DIR",
        help="with --task: the folder of corpora (default: $T5COREF_DATA, else data)")  # fmt: skip
    add("--corpus", metavar="NAME", choices=corpora.names(),
        help=f"one of {', '.join(corpora.names())} (default: detect it)")  # fmt: skip
    add("--input", nargs="+", metavar="FILE",
        help="files, folders or quoted glob patterns that all splits are taken from")  # fmt: skip
    add("--split", action="append", default=[], metavar="NAME=PATH",
        help="files of a split (a file, folder or glob), or with --input a file of document ids; "
        "may be repeated. SeqIO calls them train, validation and test")  # fmt: skip
    add = parser.add_argument_group("how").add_argument
    add("--format", metavar="NAME", help="linearization (default: full-copy)")
    add("--option", action="append", default=[], metavar="NAME=VALUE",
        help="of the linearization, such as window=1024; may be repeated")  # fmt: skip
    add("--pieces", choices=("strict", "reference"),
        help="word rules: ours or the published ones (default: strict)")  # fmt: skip
    add("--lenient", action="store_true", help="skip and count broken parts of files")
    add_tokenizer_argument(parser)
    add = parser.add_argument_group("where").add_argument
    add("--output", metavar="DIR", help="the folder to write, local or gs://")
    add("--shards", type=int, default=16, metavar="N",
        help="files a split, at most one a document; as many hosts can read at once (default: "
        "16)")  # fmt: skip
    add("--workers", type=int, default=os.cpu_count() or 1, metavar="N",
        help="processes that linearize (default: one a core)")  # fmt: skip
    add("--check", metavar="DIR", help="verify prepared data instead")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the summary")
    add_verbose_argument(parser)
    kinds = parser.add_subparsers(title="other kinds of data", metavar="KIND")
    mrp = kinds.add_parser(
        "mrp", help=prepare_mrp.HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    prepare_mrp.configure(mrp)
    mrp.set_defaults(run_kind=prepare_mrp.run)
    parser.set_defaults(run_kind=None)


def run(args: argparse.Namespace) -> int:
    """Prepares or checks; exit status 1 if a check fails."""
    if args.run_kind is not None:
        return args.run_kind(args)
    if importlib.util.find_spec("tensorflow") is None:
        raise ConfigError(
            "prepared data is written and read with TensorFlow, which is not installed; "
            "pip install 't5coref[seqio]' (1.9 GB)"
        )
    # Its messages about CPU features are not about this job.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if args.check:
        return _check(args.check)
    if not args.output:
        raise ConfigError("no --output given; name the folder to write")
    from t5coref.cli.prepare_progress import PrepareProgress
    from t5coref.data.prepare import prepare
    from t5coref.data.workers import Job

    wanted = _of_task(args) if args.task else _of_arguments(args)
    model = find_tokenizer(args.tokenizer, ()).model
    job = Job(wanted.corpus, wanted.format, wanted.options, model, wanted.word_rule)
    report = Report()
    with PrepareProgress(args.quiet) as progress:
        documents = {
            name: files.read(wanted.corpus, wanted.root, report=report, lenient=args.lenient)
            for name, files in wanted.splits.items()
        }
        manifest = prepare(
            args.output,
            job,
            documents,
            shards=args.shards,
            workers=args.workers,
            listener=progress,
        )
    print_notes(report, verbose=args.verbose)
    _summarize(args.output, manifest)
    return 0


class _Wanted:
    """What is to be prepared."""

    def __init__(
        self,
        corpus: str | None,
        format_: str,
        options: Mapping[str, Any],
        word_rule: str,
        splits: Mapping[str, Files],
        root: str = "",
    ):
        self.corpus, self.format, self.options = corpus, format_, options
        self.word_rule, self.splits, self.root = word_rule, splits, root


def _of_arguments(args: argparse.Namespace) -> _Wanted:
    from t5coref.data.documents import Files
    from t5coref.data.recipe import options_for

    if args.data:
        raise ConfigError("--data belongs to --task; with --split give whole paths")
    paths = _pairs(args.split, "--split")
    if args.input:
        splits = {name: Files(tuple(args.input), path) for name, path in paths.items()}
        splits = splits or {"train": Files(tuple(args.input))}
    else:
        splits = {name: Files((path,)) for name, path in paths.items()}
    if not splits:
        raise ConfigError("no documents given; pass --split NAME=PATH, --input or --task")
    options = {name: _value(text) for name, text in _pairs(args.option, "--option").items()}
    return _Wanted(
        args.corpus,
        args.format or "full-copy",
        options_for(args.corpus, options),
        args.pieces or "strict",
        splits,
    )


def _of_task(args: argparse.Namespace) -> _Wanted:
    from t5coref.data.settings import Settings, settings

    for given, name in (
        (args.corpus, "--corpus"),
        (args.input, "--input"),
        (args.format, "--format"),
        (args.pieces, "--pieces"),
    ):
        if given:
            raise ConfigError(f"{name} is given with --task, which says it already; leave it out")
    recipe = _recipe(args.task)
    chosen = _pairs([s if "=" in s else f"{s}=" for s in args.split], "--split")
    if unknown := [name for name in chosen if name not in recipe.files or chosen[name]]:
        raise ConfigError(
            f"--split {unknown[0]}: with --task, name one of its splits: {', '.join(recipe.files)}"
        )
    root = settings(data=args.data).data
    splits = {name: recipe.files[name] for name in chosen or recipe.files}
    options = {name: _value(text) for name, text in _pairs(args.option, "--option").items()}
    return _Wanted(
        recipe.corpus,
        recipe.linearization,
        recipe.options_with(Settings(data=root, options=options)),
        recipe.word_rule,
        splits,
        root,
    )


def _recipe(name: str) -> Recipe:
    """The recipe of a registered task."""
    if importlib.util.find_spec("seqio") is None:
        raise ConfigError(
            "--task needs SeqIO, which is not installed; pip install 't5coref[seqio]'"
        )
    import_tasks()
    import seqio

    from t5coref.data.task import CorefTask, coref_recipe

    names = seqio.TaskRegistry.names()
    known = sorted(n for n in names if isinstance(seqio.TaskRegistry.get(n), CorefTask))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or known[:3]
        raise ConfigError(f"no task is called {name!r}; did you mean {', '.join(near)}?")
    return coref_recipe(name)


def import_tasks() -> None:
    """Registers our tasks.

    Raises:
      ConfigError: another `tasks` stands before ours on Python's path.
    """
    import t5coref

    here = pathlib.Path(t5coref.__file__).parent.parent / "tasks" / "__init__.py"
    found = importlib.util.find_spec("tasks")
    if found is None or found.origin is None or not os.path.samefile(found.origin, here):
        raise ConfigError(
            f"`import tasks` finds {found.origin if found else 'nothing'}, expected {here}; start "
            "from another folder or rename your tasks.py"
        )
    importlib.import_module("tasks")


def _pairs(given: list[str], flag: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ConfigError(f"{flag} {text}: expected {flag} NAME=VALUE")
        if name in found:
            raise ConfigError(f"{flag} {name} is given twice")
        found[name] = value
    return found


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _check(folder: str) -> int:
    from t5coref.data.manifest import Manifest
    from t5coref.data.prepare import verify

    bad = 0
    for file, problem in verify(folder):
        if problem is not None:
            bad += 1
            print(f"{folder}: {file} {problem}", file=sys.stderr)
    if bad:
        plural = "s" if bad > 1 else ""
        print(f"t5coref: {bad} bad file{plural}; delete the folder and prepare it again",
              file=sys.stderr)  # fmt: skip
        return 1
    _summarize(folder, Manifest.load(folder))
    print("all files are as they were written")
    return 0


def _summarize(folder: str, manifest: Manifest) -> None:
    options = ", ".join(f"{k} {v}" for k, v in manifest.options.items()) or "default options"
    print(f"{folder}: {manifest.format} ({options}), tokenizer {manifest.tokenizer}")
    columns = ("split", "documents", "examples", "shards", "longest source", "longest target")
    row: Callable[..., str] = "{:<12}{:>11}{:>10}{:>8}{:>16}{:>16}".format
    print(row(*columns))
    for name, split in manifest.splits.items():
        figures = (split.documents, split.examples, len(split.shards), split.longest_source,
                   split.longest_target)  # fmt: skip
        print(row(name, *(f"{n:,}" for n in figures)))
        for reason, n in split.skipped.items():
            print(f"  left out: {n:,} document{'s' if n > 1 else ''} {reason}")

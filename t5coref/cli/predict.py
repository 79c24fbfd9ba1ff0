"""`t5coref predict`: clusters and relations for text or any corpus format, a resumable job."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from t5coref import corpora
from t5coref.cli import compile_cache
from t5coref.cli.models import add_model_arguments, load_predictor
from t5coref.core.errors import ConfigError
from t5coref.corpora.files import STDIN

if TYPE_CHECKING:
    from t5coref.core.document import Document
    from t5coref.jobs import Host
    from t5coref.predict import Extractor

HELP = "predict clusters and relations for raw text or any corpus format"

DESCRIPTION = """\
Predicts the clusters of every document of the inputs, and with a model that knows relations also
those between the clusters. --output writes them into one file, in the
order of the inputs; --output-dir writes a file for each input, on any number of machines.

Documents longer than the model's window are cut into windows and their clusters merged. A document
that cannot be read or predicted is reported, and its record has no clusters but the key "error";
the others go on. A job that was interrupted goes on where it stopped when the same command is
started again; an output appears when all of it is done. OUTPUT.job.json says what it was made with.

Beside `clusters`, jsonl records have `relations`, where the model finds some, and `confidences`,
where it writes its clusters: for each mention how probable the model finds it that the span is a
mention, and that it belongs to its cluster.
"""

EPILOG = f"""\
examples:
  t5coref predict --model runs/litbank/best --input story.txt --output story.jsonl
  t5coref predict --model M --input dev/*.conllu --output dev.conll --output-format conll
  t5coref predict --model VincentNLP/seq2seq-coref-t0-3b --beams 4 --input DEV --output OUT
  t5coref predict --model runs/joint_m/best --input dev.json --format docred --output dev.jsonl
  t5coref predict --model runs/coref/best --relation-model runs/relations/best --input ...
  t5coref predict --model runs/ids/best --mentions runs/mentions/best --input story.txt --output ...
  echo "Mara fed her dog. It was hungry." | t5coref predict --model M --input - --output -

Raw text needs no preparation: it is split by spaCy's rules for --language, and the records carry
`token_offsets` and `char_clusters`, half-open character offsets into `text`.

many files, many machines:
  t5coref predict --model M --input 'docs/**/*.txt' --output-dir out --shard-size 256
  t5coref predict --model M --input 'gs://b/docs/*.jsonl' --output-dir gs://b/out --multihost
  t5coref predict --model M --input docs --output-dir out --num-processes 4 --process-id 2

Quote patterns: t5coref expands them, alike on every machine. out/_SUCCESS appears when all is done
and says what is in every file; out/_job is how an interrupted job goes on. Started again, finished
files are left alone. On a TPU slice, run the same command on every host:

  gcloud compute tpus tpu-vm ssh NAME --worker=all --command="t5coref predict ... --multihost"

docs/batch_inference.md tells more.

{compile_cache.HELP}"""

OUTPUT_FORMATS = {"jsonl": "jsonl", "conll": "conll2012", "conllu": "conllu", "docred": "docred"}

_MANY = ("shard_size", "multihost", "num_processes", "process_id", "coordinator")
"""Arguments that need --output-dir."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add_model_arguments(parser)
    add_job_arguments(parser)
    parser.add_argument("--output-format", choices=sorted(OUTPUT_FORMATS), default="jsonl")


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares inputs and outputs, the progress, and how many machines share the work."""
    parser.add_argument("--input", required=True, nargs="+", metavar="FILE",
                        help="files, folders, or - for standard input; with --output-dir also "
                        "quoted patterns and URLs such as gs://BUCKET/*.jsonl")  # fmt: skip
    parser.add_argument("--format", choices=corpora.names(), metavar="NAME",
                        help=f"one of {', '.join(corpora.names())} (default: detect it; raw text "
                        "for standard input)")  # fmt: skip
    parser.add_argument(
        "--language", default="en", help="of raw text, as spaCy names it (default: en)"
    )
    output = parser.add_mutually_exclusive_group(required=True)
    output.add_argument("--output", metavar="FILE", help="the file to write, or -")
    output.add_argument("--output-dir", metavar="DIR",
                        help="write a file for each input into this folder or URL, named like "
                        "it")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true",
                        help="replace a finished output, forget an unfinished one")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress, only warnings")

    add = parser.add_argument_group("many files, many machines (with --output-dir)").add_argument
    add("--shard-size", type=int, metavar="N",
        help="write N documents a file, across inputs: cuts large inputs so that several machines "
        "can share them, and decodes small ones together")  # fmt: skip
    add("--multihost", action="store_true",
        help="this command runs on every host of a TPU slice, or as every task of a Slurm, Open "
        "MPI or Kubernetes job; the environment says which is which")  # fmt: skip
    add("--num-processes", type=int, metavar="N",
        help="without --multihost: this command is started N times, on machines that all reach "
        "DIR ...")  # fmt: skip
    add("--process-id", type=int, metavar="I", help="... and this is number I, from 0 on")
    add("--coordinator", metavar="HOST:PORT",
        help="process 0 listens there, and all end when one is lost; needed where their devices "
        "start together (default: processes know nothing of each other)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Runs the job; exit status 1 if some document failed."""
    return run_job(args, load_predictor)


def run_job(
    args: argparse.Namespace,
    load: Callable[[argparse.Namespace], Extractor],
    documents: Sequence[Document] | None = None,
) -> int:
    """Runs the job that the arguments describe; exit status 1 if some document failed.

    Args:
      args: `add_job_arguments` declares them; `output_format` beside them.
      load: makes the predictor of the arguments, once they are known to be right.
      documents: those of the inputs that are wanted, in one file; None = all.
    """
    return _one_file(args, load, documents) if args.output_dir is None else _folder(args, load)


def _one_file(
    args: argparse.Namespace,
    load: Callable[[argparse.Namespace], Extractor],
    documents: Sequence[Document] | None,
) -> int:
    from t5coref import jobs
    from t5coref.cli.progress import DocumentProgress

    if given := [name for name in _MANY if getattr(args, name)]:
        option = "--" + given[0].replace("_", "-")
        raise ConfigError(f"{option} is for a folder of outputs; give --output-dir, not --output")
    if args.input.count(STDIN) > 1:
        raise ConfigError("--input names standard input twice; expected - once at most")
    for path in args.input:
        if path != STDIN and not os.path.exists(path):
            raise ConfigError(
                f"no input {path!r}; expected a file, a folder or - (patterns and URLs: with "
                "--output-dir)"
            )
    predictor = load(args)
    options = {"language": args.language} if _all_text(args) else {}
    format_ = args.format or ("text" if args.input == [STDIN] else None)
    total = None
    if documents is not None:
        total = len(documents)
    elif STDIN not in args.input:
        total = sum(1 for _ in jobs.read_inputs(args.input, format_, **options))
    with DocumentProgress(total, args.quiet) as progress:
        failures = jobs.run(
            predictor,
            jobs.read_inputs(args.input, format_, **options) if documents is None else documents,
            args.output,
            output_format=OUTPUT_FORMATS[args.output_format],
            settings={"inputs": [os.fspath(p) for p in args.input], **options},
            overwrite=args.overwrite,
            listener=progress,
        )
    return _status(failures, "the output")


def _folder(args: argparse.Namespace, load: Callable[[argparse.Namespace], Extractor]) -> int:
    from t5coref import jobs
    from t5coref.cli.shard_progress import ShardProgress

    if STDIN in args.input:
        raise ConfigError(
            "standard input cannot be shared out among files; name inputs, or write one file with "
            "--output"
        )
    if args.output_dir == STDIN:
        raise ConfigError("--output-dir is -; expected a folder or URL")
    host = _host(args)
    inputs = jobs.find_inputs(args.input, args.format, args.output_dir)  # before a long load
    if not host.index and not args.quiet:
        _advise(args, inputs)
    predictor = load(args)
    _check_alone(host)
    with ShardProgress(host, args.quiet) as progress:
        summary = jobs.run_shards(
            predictor,
            args.input,
            args.output_dir,
            host=host,
            input_format=args.format,
            language=args.language,
            output_format=OUTPUT_FORMATS[args.output_format],
            shard_size=args.shard_size,
            overwrite=args.overwrite,
            listener=progress,
        )
    tally = summary.tally
    if host.joined and host.index:  # process 0 says it for all
        return 1 if tally.failures else 0
    if summary.complete:
        files = _number(summary.shards, "file")
        print(f"{_number(tally.documents, 'document')} in {files}: {args.output_dir}")
    return _status(tally.failures, args.output_dir)


def _host(args: argparse.Namespace) -> Host:
    """Which process this is; meets the others, if there is a way to.

    Raises:
      ConfigError: the arguments contradict each other.
    """
    from t5coref import jobs

    numbers = args.num_processes is not None, args.process_id is not None
    if args.multihost:
        if any(numbers) or args.coordinator:
            raise ConfigError(
                "--multihost takes the number of processes from the environment; leave out "
                "--num-processes, --process-id and --coordinator, or --multihost"
            )
        return jobs.join_detected()
    if any(numbers) != all(numbers) or (args.coordinator and not all(numbers)):
        raise ConfigError(
            "--num-processes and --process-id are given together, and --coordinator with both"
        )
    if args.coordinator:
        return jobs.join(args.coordinator, args.num_processes, args.process_id)
    return jobs.Host(args.process_id, args.num_processes) if all(numbers) else jobs.Host()


def _advise(args: argparse.Namespace, inputs: Iterable[str]) -> None:
    """Says how many small files are decoded faster."""
    texts = sum(path.removesuffix(".gz").endswith(".txt") for path in inputs)
    if texts >= 2 * args.batch_size and args.shard_size is None:
        print(
            f"t5coref: note: each of {texts:,} texts is decoded alone, for a file of its own; "
            "--shard-size 256 decodes and writes many together, which is faster",
            file=sys.stderr,
        )


def _check_alone(host: Host) -> None:
    """Refuses to do all of the work on every host of a slice."""
    import jax

    if not host.joined and jax.process_count() > 1:
        raise ConfigError(
            f"this machine is one of {jax.process_count()} hosts of a slice; add --multihost and "
            "start the command on all of them"
        )


def _status(failures: int, where: str) -> int:
    if failures:
        print(
            f"t5coref: {_number(failures, 'document')} without a prediction; see the records with "
            f'the key "error" in {where}',
            file=sys.stderr,
        )
    return 1 if failures else 0


def _number(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _all_text(args: argparse.Namespace) -> bool:
    """Whether every input is raw text, so that its language matters."""
    if args.format:
        return args.format == "text"
    return all(
        p == STDIN or (os.path.isfile(p) and corpora.detect(p) == "text") for p in args.input
    )

"""`t5coref serve`: a model behind HTTP, with batches across requests."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import math
import sys
import time

from t5coref.cli import compile_cache
from t5coref.cli.models import add_model_arguments, load_predictor
from t5coref.core.errors import ConfigError

HELP = "answer requests over HTTP"

DESCRIPTION = """\
Answers documents with their clusters over HTTP, JSON in and JSON out: the records that `t5coref
predict` writes for them. Documents of different requests are predicted in one batch where they are
of like length, and nobody's answer depends on that.

The model is warmed up first: the programs for documents of every length are compiled, which takes
minutes on a CPU the first time and seconds from then on. GET /ready says when it is done. On
SIGTERM or Ctrl-C no more requests are taken, those that were taken are answered, and the exit
status is 0.

There is no login and no encryption: the server listens to this machine alone unless --host says
otherwise. For others put it behind a proxy (docs/serving.md).
"""

EPILOG = f"""\
examples:
  t5coref serve --model runs/litbank/best
  curl -H 'Content-Type: application/json' http://127.0.0.1:8000/predict \\
    -d '{{"text": "Mara fed her dog. It was hungry."}}'
  curl -H 'Content-Type: application/json' http://127.0.0.1:8000/predict \\
    -d '{{"documents": ["A text.", {{"doc_id": "b", "tokens": ["Another", "one", "."]}}]}}'
  curl http://127.0.0.1:8000/metrics

  t5coref serve --model M --batch-size 16 --max-wait-ms 50     fuller batches, later answers
  t5coref serve --model M --max-queue 32 --timeout 10          refuse early rather than late
  t5coref serve --model M --host 0.0.0.0 --port 80             for other machines

The server needs the packages of `pip install "t5coref[serve]"`.

{compile_cache.HELP}"""

PACKAGES = ("starlette", "uvicorn", "prometheus_client")
SECONDS_BETWEEN_LINES = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add_model_arguments(parser)
    add = parser.add_argument_group("server").add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS",
        help="where to listen (default: 127.0.0.1, this machine alone; 0.0.0.0 or :: is "
        "everywhere)")  # fmt: skip
    add("--port", type=int, default=8000, metavar="N", help="(default: 8000; 0: any free one)")
    add("--language", default="en",
        help="of raw text, as spaCy names it (default: en)")  # fmt: skip
    add("--quiet", action="store_true", help="say nothing but warnings")

    add = parser.add_argument_group("load").add_argument
    add("--max-wait-ms", type=float, default=10, metavar="MS",
        help="a document waits so long for others of its length (default: 10; 0: not at all). "
        "While the model is at work they wait and gather anyway")  # fmt: skip
    add("--max-queue", type=int, default=128, metavar="N",
        help="documents that may wait; further requests are refused with status 429 (default: "
        "128)")  # fmt: skip
    add("--timeout", type=float, default=60, metavar="S",
        help="seconds that a request may take; then its work is dropped and its status is 504 "
        "(default: 60)")  # fmt: skip
    add("--max-words", type=int, default=5000, metavar="N",
        help="words of all documents of a request; a longer one is refused with status 413 "
        "(default: 5000)")  # fmt: skip
    add("--max-bytes", type=int, default=2 << 20, metavar="N",
        help="of a request's body (default: 2097152)")  # fmt: skip
    add("--warm-up-words", type=int, metavar="N",
        help="compile programs for documents of up to N words before the first request; longer "
        "ones are compiled for when they come, and their senders wait (default: all that "
        "--max-words allows; 0: none)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Serves until it is told to stop."""
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f"the server needs {', '.join(missing)}, which is not installed; expected the packages "
            'of pip install "t5coref[serve]"'
        )
    from t5coref.serve.limits import Limits

    limits = Limits(
        max_queue=args.max_queue,
        max_wait=args.max_wait_ms / 1000,
        timeout=args.timeout,
        max_words=args.max_words,
        max_bytes=args.max_bytes,
    )
    warm_up_words = args.max_words if args.warm_up_words is None else args.warm_up_words
    if warm_up_words < 0:
        raise ConfigError(f"--warm-up-words is {warm_up_words}; expected at least 0")

    from t5coref.corpora import text
    from t5coref.serve import server, sizes
    from t5coref.serve.app import Service
    from t5coref.serve.batcher import Batcher

    logging.basicConfig(level=logging.WARNING, format="t5coref: %(levelname)s: %(message)s")
    text.from_string("warm-up", "Is there such a language?", args.language)
    with server.bind(args.host, args.port) as bound:
        predictor = load_predictor(args)
        predictor.round_size = max(predictor.round_size, args.batch_size)
        size_of = sizes.sizer(predictor)
        warm_up = sizes.warm_up(size_of, min(warm_up_words, limits.max_words), args.batch_size)
        said = _Said(server.url(bound), args.quiet, ready=not warm_up)
        batcher = Batcher(
            predictor,
            size_of=size_of,
            batch_size=args.batch_size,
            limits=limits,
            listeners=[said],
            warm_up=warm_up,
        )
        service = Service(
            batcher, limits=limits, language=args.language, identity=predictor.identity
        )
        server.serve(service, batcher, bound, started=said.started)
    said.ended()
    return 0


class _Said:
    """Says on standard error how the server gets on."""

    def __init__(self, url: str, quiet: bool, *, ready: bool):
        self._url, self._quiet, self._is_ready = url, quiet, ready
        self._began, self._spoke, self._documents = time.monotonic(), -math.inf, 0

    def started(self) -> None:
        """The server listens."""
        self._print(f"serving at {self._url} (Ctrl-C stops)")
        if self._is_ready:
            self._print("ready, without a warm-up")

    def warmed(self, done: int, total: int) -> None:
        """So many of the batches before the first request are done."""
        now = time.monotonic()
        if done == total:
            self._print(f"ready after {now - self._began:.0f} s")
        elif now - self._spoke > SECONDS_BETWEEN_LINES:
            self._spoke = now
            self._print(f"warming up: {done} of {total} batches")

    def predicted(self, documents: int, words: int, seconds: float) -> None:
        """A batch of so many documents took so long."""
        del words, seconds
        self._documents += documents

    def broke(self, documents: int) -> None:
        """The log says more."""

    def dropped(self) -> None:
        """Counted elsewhere."""

    def ended(self) -> None:
        """All is done."""
        number = f"{self._documents:,} document{'' if self._documents == 1 else 's'}"
        self._print(f"stopped after {number}; none is left")

    def _print(self, line: str) -> None:
        if not self._quiet:
            print(f"t5coref: {line}", file=sys.stderr, flush=True)

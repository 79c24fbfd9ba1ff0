"""Documents and source pieces per second, and memory, of every format's gold sequences.

    python benchmarks/linearize.py [--write]

LitBank's annotated documents, read beforehand, become training examples: pieces, windows, actions,
feeds. Each format has a process of its own, which says how much memory it has held at most,
documents included; each measurement begins with a fresh tokenizer, whose cache of words is empty.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import litbank
import report

from t5coref.cli.tokenizers import add_tokenizer_argument
from t5coref.linearize import FORMATS, RELATIONS, examples
from t5coref.tokenizer import Tokenizer


def measure(name: str, model: bytes, args: argparse.Namespace) -> dict[str, float]:
    """Makes every document's examples; medians over the repeats."""
    documents = list(litbank.documents(args.litbank, args.documents))
    before = report.peak_mib()
    format_ = FORMATS[name]
    seconds, counts = [], (0, 0)
    for _ in range(args.repeat):
        linearization = format_(Tokenizer(model, format_.symbols), window=args.window)
        start = time.perf_counter()
        made = [example for d in documents for example in examples(linearization, d)]
        seconds.append(time.perf_counter() - start)
        counts = (sum(len(e.turn.source) for e in made), sum(len(e.actions) for e in made))
    return {
        "documents": len(documents),
        "source_pieces": counts[0],
        "actions": counts[1],
        "seconds": statistics.median(seconds),
        "before_mib": before,
        "peak_mib": report.peak_mib(),
    }


def table(found: dict[str, dict[str, float]]) -> str:
    """One line a format."""
    n = report.number
    header = ("format", "documents/s", "source pieces/s", "actions/s", "MiB before", "peak MiB")
    rows = [
        (name, n(f["documents"] / f["seconds"]), n(f["source_pieces"] / f["seconds"]),
         n(f["actions"] / f["seconds"]), n(f["before_mib"]), n(f["peak_mib"]))
        for name, f in found.items()
    ]  # fmt: skip
    return report.table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, metavar="N", help="only this many")
    parser.add_argument("--window", type=int, default=2048, metavar="N")
    parser.add_argument("--repeat", type=int, default=3, metavar="N")
    parser.add_argument("--litbank", type=pathlib.Path, default=litbank.default_folder(),
                        metavar="DIR", help="folder with conll/ and splits/")  # fmt: skip
    parser.add_argument("--write", action="store_true", help="write docs/results.md")
    parser.add_argument("--format", choices=sorted(FORMATS), help=argparse.SUPPRESS)
    add_tokenizer_argument(parser)
    args = parser.parse_args()
    model = report.vocabulary(args.tokenizer)
    if args.format:
        print(json.dumps(measure(args.format, model, args)))
        return
    found = {}
    for name in sorted(set(FORMATS) - set(RELATIONS)):
        command = [sys.executable, __file__, *sys.argv[1:], "--format", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name} ended with status {done.returncode}; see above")
        found[name] = json.loads(done.stdout)
    n_documents = next(iter(found.values()))["documents"]
    body = (
        "    make bench MODEL=DIR\n\n"
        f"{n_documents:.0f} LitBank documents as gold sequences, windows of {args.window:,} pieces "
        f"with a stride of half a window, one process and core. {report.machine('numpy')}. Median "
        f"of {args.repeat}, each with an empty cache of words; reading the corpus is not in the "
        "times, its documents are in the memory. See `benchmarks/linearize.py`.\n\n" + table(found)
    )
    print(body)
    if args.write:
        report.write_section("linearize", body)


if __name__ == "__main__":
    main()

"""Constrained decoding against transformers' `generate` with the published constraint.

    python benchmarks/decode.py --model RUN/best [--write]

Both sides decode the same windows of LitBank with the same float32 weights on the same machine, in
turn: a batch by the rival (`rival.py`), the same batch by us, and so on, each side in a process of
its own. Loading, compilation and a first call are not in the times. Token ids are compared.

A row is a search, a window's length in pieces and a batch size (`greedy-1024-8`). Of several
measurements of a batch the median counts, and all figures of a row are of the documents that both
sides have decoded. The columns:

  s/document       seconds for a batch, shared out to its documents
  ms/call          the time, the encoder's included, over the calls of the decoder
  calls/document   calls of the decoder, shared out to the documents of a batch
  actions/call     what a call adds to the output of a document, on average
  constraint       share of our time that is not the network: the time of a call in the same jitted
                   loop with a stand-in for the network that returns constant logits, over that of
                   a call with the network
  compile s        first call less second call, of a few pieces, without a compilation cache
  peak MiB         resident memory of the side's process, weights and compilation included
"""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import json
import os
import pathlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import litbank
import report
from sides import Worker, load_tokenizer

from t5coref import linearize
from t5coref.tokenizer import Tokenizer

PIECES, BATCHES, BEAMS = (512, 1024, 2048), (1, 8), (1, 4)
GOALS = {(1, 1024): 20, (4, 1024): 10}
"""(beams, pieces) -> the ratio of source pieces/s that we want."""

STEPS_PER_PIECE = 3
"""An output may be this many times as long as its window: `Predictor`'s default."""

SHORT = 32
"""Pieces of the sources of first calls; padded like all others, they take the same programs."""

NO_MODEL = """\
the benchmark needs a trained full-copy model: pass --model DIR (make bench MODEL=DIR).
Train one with

    t5coref train --gin_file gin/experiments/litbank_small.gin --gin.MODEL=DIR_OF_A_T5 ...

which writes RUN/best (docs/training.md); demo_out/run/best of `make demo-training` will do for a
first look.
"""


@dataclass(frozen=True)
class Row:
    """What one line of the table measures."""

    beams: int
    pieces: int
    batch: int

    @property
    def search(self) -> str:
        return "greedy" if self.beams == 1 else f"beam {self.beams}"

    @property
    def name(self) -> str:
        return f"{self.search.replace(' ', '')}-{self.pieces}-{self.batch}"


@dataclass(frozen=True)
class Cost:
    """One side's part of a row: totals over `documents` documents."""

    seconds: float
    calls: int
    actions: int
    peak_mib: float


@dataclass(frozen=True)
class Result:
    """A measured row."""

    row: Row
    documents: int
    source_pieces: int
    identical: int
    ours: Cost
    rival: Cost
    compile_seconds: float
    constraint_share: float

    @property
    def ratio(self) -> float:
        return self.rival.seconds / self.ours.seconds


def first_windows(documents, tokenizer: Tokenizer, pieces: int, limit: int) -> list[list[int]]:
    """The first window of each document that fills nine tenths of `pieces` at least."""
    format_ = linearize.get("full-copy", tokenizer, window=pieces)
    windows = (next(format_.turns(d))[0].source.tolist() for d in documents if d.words)
    return list(itertools.islice((w for w in windows if len(w) >= 0.9 * pieces), limit))


def measure(row: Row, sources: Sequence[list[int]], args: argparse.Namespace) -> Result:
    """Decodes with both sides in turn until the repeats are done or the rival's time is spent."""
    batches = [list(b) for b in zip(*[iter(sources)] * row.batch, strict=False)]
    settings = {
        "model": args.model,
        "beams": row.beams,
        "pieces": row.pieces,
        "max_steps": STEPS_PER_PIECE * row.pieces,
    }
    seconds: dict[int, list[tuple[float, float]]] = {}
    last: dict[int, tuple[dict, dict]] = {}
    spent = 0.0
    with Worker("rival", **settings) as rival, Worker("ours", **settings) as ours:
        short = [source[:SHORT] + source[-1:] for source in batches[0]]
        rival.ask({"do": "first", "sources": short})
        compiled = ours.ask({"do": "first", "sources": short})
        for i in itertools.chain.from_iterable([range(len(batches))] * args.repeat):
            if spent and spent >= args.rival_budget:
                break
            request = {"do": "decode", "sources": batches[i]}
            last[i] = rival.ask(request), ours.ask(request)
            seconds.setdefault(i, []).append((last[i][0]["seconds"], last[i][1]["seconds"]))
            spent += last[i][0]["seconds"]
        stand_in = [
            ours.ask({"do": "without_network", "sources": batches[0]}) for _ in range(args.repeat)
        ]
    done = list(last)
    pairs = [
        (source, theirs, mine)
        for i in done
        for source, theirs, mine in zip(
            batches[i], last[i][0]["tokens"], last[i][1]["tokens"], strict=True
        )
    ]
    for k, (_, theirs, mine) in enumerate(pairs):
        if theirs != mine:
            print(f"  {row.name} document {k}: {difference(theirs, mine)}", flush=True)

    def cost(side: int) -> Cost:
        return Cost(
            seconds=sum(statistics.median(s[side] for s in seconds[i]) for i in done),
            calls=sum(last[i][side]["calls"] for i in done),
            actions=sum(len(tokens) for i in done for tokens in last[i][side]["tokens"]),
            peak_mib=max(last[i][side]["peak_mib"] for i in done),
        )

    mine = cost(1)
    per_call = statistics.median(s["seconds"] / s["calls"] for s in stand_in)
    return Result(
        row=row,
        documents=len(pairs),
        source_pieces=sum(len(source) for source, _, _ in pairs),
        identical=sum(theirs == mine for _, theirs, mine in pairs),
        ours=mine,
        rival=cost(0),
        compile_seconds=compiled["compile_seconds"],
        constraint_share=per_call / (mine.seconds / mine.calls),
    )


def difference(theirs: Sequence[int], mine: Sequence[int]) -> str:
    """Where two outputs part."""
    same = sum(1 for _ in itertools.takewhile(lambda p: p[0] == p[1], zip(theirs, mine)))  # noqa: B905
    return (
        f"{len(theirs)} and {len(mine)} tokens, differ from token {same} on: "
        f"{theirs[same : same + 6]} and {mine[same : same + 6]}"
    )


def tables(results: Sequence[Result]) -> str:
    """The two tables: who is faster, and where the time goes."""
    n = report.number
    speed, detail = [], []
    for r in results:
        row = (r.row.search, r.row.pieces, r.row.batch)
        goal = GOALS.get((r.row.beams, r.row.pieces))
        speed.append((
            *row, r.documents, n(r.ours.seconds / r.documents), n(r.rival.seconds / r.documents),
            n(r.source_pieces / r.ours.seconds), n(r.source_pieces / r.rival.seconds),
            f"**{n(r.ratio)}**", goal or "", f"{r.identical} of {r.documents}",
        ))  # fmt: skip
        detail.append((
            *row,
            n(1000 * r.ours.seconds / r.ours.calls), n(1000 * r.rival.seconds / r.rival.calls),
            n(r.ours.calls / r.documents, 4), n(r.rival.calls / r.documents, 4),
            n(r.ours.actions / r.ours.calls / r.row.batch),
            f"{100 * r.constraint_share:.1f} %", n(r.compile_seconds),
            n(r.ours.peak_mib, 4), n(r.rival.peak_mib, 4),
        ))  # fmt: skip
    row = ("search", "pieces", "batch")
    return "\n".join((
        report.table((*row, "documents", "s/document", "rival", "source pieces/s", "rival", "ratio",
                      "goal", "identical"), speed),
        report.table((*row, "ms/call", "rival", "calls/document", "rival", "actions/call",
                      "constraint", "compile s", "peak MiB", "rival"), detail),
    ))  # fmt: skip


def head(args: argparse.Namespace, load: float) -> str:
    """What the tables were measured with."""
    config = json.loads(pathlib.Path(args.model, "config.json").read_text("utf-8"))
    settings = f"--repeat {args.repeat} --rival-budget {args.rival_budget:.0f}"
    if args.rows != ["*"]:
        settings += f" --rows {' '.join(args.rows)}"
    layers = f"{config['num_layers']} + {config['num_decoder_layers']} layers"
    return (
        f"    python benchmarks/decode.py --model {pathlib.Path(args.model).name} {settings}\n\n"
        f"The model has {layers} of width {config['d_model']}, weights and arithmetic in float32. "
        f"First windows of LitBank documents, test documents first. "
        f"{report.machine('jax', 'torch', 'transformers')}; load average before the run "
        f"{load:.1f}. Median of up to {args.repeat} measurements of each batch. A row ends after "
        f"{args.rival_budget:.0f} s of the rival's time; its figures are of the documents that "
        "both sides have decoded. `rival` columns are the rival's; the others are explained by "
        "`python benchmarks/decode.py --help`.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", metavar="DIR", help="a trained full-copy model")
    parser.add_argument("--rows", nargs="+", default=["*"], metavar="NAME",
                        help="only rows like these, as 'greedy-1024-*' (default: all)")  # fmt: skip
    parser.add_argument("--beams", nargs="+", type=int, default=BEAMS, metavar="K")
    parser.add_argument("--documents", type=int, default=8, metavar="N",
                        help="documents of a row (default: 8, or the batch)")  # fmt: skip
    parser.add_argument("--repeat", type=int, default=3, metavar="N",
                        help="measurements of each batch (default: 3)")  # fmt: skip
    parser.add_argument("--rival-budget", type=float, default=300, metavar="SECONDS",
                        help="the rival starts no further batch of a row after this time "
                        "(default: 300)")  # fmt: skip
    parser.add_argument("--litbank", type=pathlib.Path, default=litbank.default_folder(),
                        metavar="DIR", help="folder with conll/ and splits/")  # fmt: skip
    parser.add_argument("--write", action="store_true", help="write docs/results.md")
    args = parser.parse_args()
    if not args.model or not pathlib.Path(args.model, "t5coref.json").is_file():
        raise SystemExit(NO_MODEL)
    rows = [Row(*key) for key in itertools.product(args.beams, PIECES, BATCHES)]
    rows = [row for row in rows if any(fnmatch.fnmatch(row.name, p) for p in args.rows)]
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: the machine is busy (load average {load:.1f}); ratios will be off")
    tokenizer = load_tokenizer(args.model)
    documents = list(litbank.documents(args.litbank))
    results: list[Result] = []
    for row in rows:
        wanted = max(args.documents, row.batch)
        sources = first_windows(documents, tokenizer, row.pieces, wanted)
        if len(sources) < wanted:
            raise SystemExit(f"{row.name}: {len(sources)} windows; expected {wanted}")
        results.append(measure(row, sources, args))
        print(f"{row.name}: ratio {report.number(results[-1].ratio)}", flush=True)
        if args.write:  # after each row: a run takes hours
            report.write_section("decode", head(args, load) + "\n" + tables(results))
    print("\n" + head(args, load) + "\n" + tables(results))


if __name__ == "__main__":
    main()

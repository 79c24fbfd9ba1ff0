"""`t5coref demo-training`: the whole way, from stories to clusters, in a few minutes."""

from __future__ import annotations

import argparse
import pathlib
import time

from t5coref.core.errors import T5CorefError

HELP = "train a tiny model on stories and watch it work"

DESCRIPTION = """\
Trains a tiny T5 from scratch on short English stories (those that come with t5coref and generated
ones), predicts the clusters of stories that it has never seen, prints some in colour, scores them
all and writes a page that shows every error. At the end stands a document with relations, as those
that come with t5coref have. Everything that it writes stays in the output folder; started again, it
goes on there.
"""

EXPERIMENT = "gin/experiments/demo.gin"
UNSEEN, UNSEEN_SEED, SHOWN = 50, 20_000, 4


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument("--output", default="demo_out", metavar="DIR",
                        help="folder for everything (default: demo_out)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Trains, predicts, shows and scores; returns the exit status."""
    from rich.console import Console

    from t5coref import cli
    from t5coref.cli.gin_files import gin_root
    from t5coref.cli.show import coloured, shown
    from t5coref.cli.tables import table
    from t5coref.core.metrics import Scorer
    from t5coref.corpora import jsonl
    from t5coref.demo import biographies, generate

    console = Console(highlight=False)
    folder = pathlib.Path(args.output)
    started = time.monotonic()
    console.print(f"[bold]1. Training[/] a tiny T5 on stories ({EXPERIMENT})")
    status = cli.main(
        ["train", "--gin_file", str(gin_root() / EXPERIMENT),
         f"--gin.OUTPUT={str(folder / 'run')!r}"]
    )  # fmt: skip
    if status:
        return status
    trained = time.monotonic()

    console.print(f"\n[bold]2. Predicting[/] {UNSEEN} stories that it has never seen")
    gold = list(generate(UNSEEN, UNSEEN_SEED))
    gold_file, found_file = folder / "gold.jsonl", folder / "predicted.jsonl"
    jsonl.write(gold, gold_file)
    status = cli.main(
        ["predict", "--model", str(folder / "run" / "best"), "--input", str(gold_file),
         "--output", str(found_file), "--overwrite", "--quiet"]
    )  # fmt: skip
    if status:
        return status
    predicted = list(jsonl.read(found_file))
    for document in predicted[:SHOWN]:
        console.print()
        console.print(coloured(document))

    console.print("\n[bold]3. Scoring[/] them against what they mean (percent)\n")
    scorer = Scorer()
    for a, b in zip(gold, predicted, strict=True):
        if a.annotation is None or b.annotation is None:
            raise T5CorefError(f"document {a.doc_id!r} came back without clusters")
        scorer.add(a.annotation.clusters, b.annotation.clusters)
    print("\n".join(table(scorer.compute())))

    console.print("\n[bold]4. Looking[/] at every story and every error on one page")
    page = folder / "stories.html"
    status = cli.main(
        ["view", str(found_file), "--gold", str(gold_file), "--output", str(page)]
    )  # fmt: skip
    if status:
        return status

    console.print("\n[bold]5. Relations[/] between entities, as written by hand\n")
    console.print(shown(next(biographies())))

    model = folder / "run" / "best"
    console.print(
        f"\ntrained in {trained - started:.0f} s, "
        f"all else in {time.monotonic() - trained:.0f} s\n\n[bold]Written[/]"
    )
    for path, what in (
        (model, "the model"),
        (folder / "run" / "metrics.jsonl", "its training, step by step"),
        (page, "the stories, predicted and true, for a browser"),
        (found_file, "the predictions"),
        (gold_file, "the key"),
    ):
        print(f"  {path}  {what}")
    print(
        "\nNow try\n"
        f"  echo 'Anna lost her hat. A king found it. He thanked her.' | \\\n"
        f"    t5coref predict --model {model} --input - --output - | t5coref view -\n"
        "  t5coref view --demo --output page.html    more documents with relations\n"
    )
    return 0

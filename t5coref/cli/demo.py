"""`t5coref demo`: the model that comes with t5coref, on two short texts."""

from __future__ import annotations

import argparse
import pathlib
import time

HELP = "watch the model that comes with t5coref at work"

DESCRIPTION = """\
Reads two short texts that come with t5coref, a report and a story, with the model that comes with
it: prints their entities in colour, says who the pronouns are, and writes a page to look at.
Nothing is fetched.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument("--output", default="demo_out", metavar="DIR",
                        help="folder for the page (default: demo_out)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Predicts and shows; returns the exit status."""
    from rich.console import Console
    from rich.table import Table

    import t5coref
    from t5coref import demo
    from t5coref.cli.compile_cache import keep_compiled_programs
    from t5coref.cli.show import coloured
    from t5coref.released import NAME
    from t5coref.view import page, plain

    console = Console(highlight=False)
    keep_compiled_programs()
    started = time.monotonic()
    coref = t5coref.load()
    texts = list(demo.texts())
    with console.status(f"{NAME} reads {len(texts)} texts; the first time, it is compiled"):
        found = list(coref.predict(texts))
    seconds = time.monotonic() - started
    for prediction in found:
        console.print()
        console.print(coloured(prediction.document))
        table = Table("entity", "mentions", title="named more than once", title_justify="left")
        for cluster in prediction.clusters:
            if len(cluster) > 1:
                mentions = ", ".join(mention.text for mention in cluster)
                table.add_row(cluster.representative.text, mentions)
        console.print(table)
    console.print("\n[bold]With names for pronouns[/]\n")
    console.print(str(found[0].resolve()))
    target = pathlib.Path(args.output, "texts.html")
    target.parent.mkdir(parents=True, exist_ok=True)
    views = [plain(prediction.document) for prediction in found]
    target.write_text(page(views, title="Two texts"), encoding="utf-8")
    print(
        f"\nread in {seconds:.0f} s; {target} shows the same in a browser\n\n"
        "Now try\n"
        "  echo 'Anna lost her hat. A king found it.' | t5coref predict --input - --output - | "
        "t5coref view -\n"
        "  t5coref predict --input story.txt --output story.jsonl\n"
        "  t5coref demo-training    how a model is trained, in a few minutes\n"
    )
    return 0

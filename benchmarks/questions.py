"""All questions of a window behind one encoding of it against one passage a question.

    python benchmarks/questions.py [--write]

Both ask the same questions about the same mentions with the same random weights. `qa` encodes a
window once and answers all of its questions in one call of the decoder; `qa-passage`, the form that
is published for larger models, encodes the window again for each question, with the mention in
question marked. One document at a time, a window each; passages are computed eight at a time.
Compilation is not in the times.

The documents are generated stories, put one after the other.

  pieces           of the source, marks included
  questions        about a document
  packed, passage  seconds for a document, the fastest of the repeats
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import report
from iterative import SHAPES, long_stories

from t5coref import linearize
from t5coref.linearize.questions import TASKS
from t5coref.model import Format, Model, from_scratch
from t5coref.nn.t5 import T5Config
from t5coref.questions import QuestionPredictor
from t5coref.tokenizer import Tokenizer
from t5coref.train.inputs import demo_stories, vocabulary

PIECES = (256, 512)


class Result(NamedTuple):
    """One line of the table; totals over the documents."""

    shape: str
    pieces: int
    documents: int
    questions: int
    packed: float
    passage: float

    @property
    def ratio(self) -> float:
        return self.passage / self.packed


def measure(
    shape: str, pieces: int, documents: int, repeats: int, tasks: Sequence[str], rows: int
) -> Result:
    """Answers the questions of the documents in both forms, in turn."""
    words = vocabulary(documents=demo_stories(count=200, seed=11), size=1000)
    tokenizer = Tokenizer(words.model, linearize.symbols_of("qa"))
    size: dict[str, Any] = dict(SHAPES[shape])
    layers = size.pop("layers")
    config = T5Config(vocab_size=tokenizer.size, num_encoder_layers=layers,
                      num_decoder_layers=layers, dropout_rate=0.0, **size)  # fmt: skip
    model = from_scratch(config, tokenizer, seed=5)
    stories = long_stories(pieces, documents, tokenizer)
    seconds, asked = [], []
    for name in ("qa", "qa-passage"):
        options = {"window": 2 * pieces, "tasks": tuple(tasks)}
        format_ = Format(name, options)
        predictor = QuestionPredictor(
            Model(model.config, model.params, tokenizer, format_), batch_size=rows,
            devices=jax.devices()[:1],
        )  # fmt: skip
        list(predictor.scores(stories))  # compiles
        total = 0.0
        for story in stories:
            total += report.timed(lambda s=story, p=predictor: list(p.scores([s])), repeats)[0]
        seconds.append(total)
        windows = [w for d in stories for w in predictor.linearization.ask(d).windows]
        asked.append(sum(len(w.turn.asked) for w in windows))
        longest = max(len(w.turn.source) for w in windows)
    assert asked[0] == asked[1]
    return Result(shape, longest, len(stories), asked[0], *seconds)


def table(results: Sequence[Result]) -> str:
    """The results as Markdown."""
    n = report.number
    rows = [
        (
            r.shape, r.pieces, n(r.questions / r.documents), n(r.packed / r.documents),
            n(r.passage / r.documents), f"**{n(r.ratio)}**",
        )
        for r in results
    ]  # fmt: skip
    return report.table(("weights", "pieces", "questions", "packed", "passage", "ratio"), rows)


def main() -> None:
    """Measures and prints, or writes, the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--shapes", nargs="+", default=list(SHAPES), choices=sorted(SHAPES))
    add("--pieces", nargs="+", type=int, default=list(PIECES), help="lengths of sources, about")
    add("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    add("--documents", type=int, default=1)
    add("--repeat", type=int, default=2)
    add("--batch-size", type=int, default=8, help="passages computed at once")
    add("--write", action="store_true", help="put the table into docs/results.md")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    results = []
    for shape in args.shapes:
        for pieces in args.pieces:
            results.append(
                measure(shape, pieces, args.documents, args.repeat, args.tasks, args.batch_size)
            )
            print(table(results[-1:]).splitlines()[-1], flush=True)
    settings = (
        f"--pieces {' '.join(map(str, args.pieces))} --documents {args.documents} "
        f"--repeat {args.repeat} --tasks {' '.join(args.tasks)}"
    )
    head = (
        f"    python benchmarks/questions.py {settings}\n\n"
        f"Random weights in float32, one document at a time. {report.machine('jax')}; load average "
        f"before the run {load:.1f}. Columns: `python benchmarks/questions.py --help`.\n"
    )
    body = f"{head}\n{table(results)}"
    if args.write:
        report.write_section("questions", body)
    else:
        print(body)


if __name__ == "__main__":
    main()

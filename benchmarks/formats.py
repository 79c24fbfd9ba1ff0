"""Formats compared: one start, one number of training tokens, gold mentions and proposed ones.

    python benchmarks/formats.py --start flan-t5-small --litbank litbank --gum gum \\
      --tokens 200000 --litbank-proposer runs/litbank-mentions/best --output runs/formats

Each row is a model of its own, trained from the start with `t5coref train` on the training
documents of all corpora that are given. Steps are as many as see `--tokens` pieces of sources and
targets, padding not counted; batch, rate and window are the same for all. A format that is told the
mentions is trained with gold ones; dev documents are read with gold mentions and with those of a
proposer. Weights of joint inference are tuned on training documents that are held out of training
(`--held-out`), with mentions of the same kind, never on the dev documents.

A start that was trained on one format favors it and its kin: the table compares what the same few
steps make of one model. Symbols with numbers start as the pieces of their numbers.

Columns: CoNLL F1 with singletons, and without them on both sides; EM and Pass under the constraint,
where an output is written (docs/ledger.md); seconds for a document, from a second pass over the
first two, when everything is compiled, without the time of the proposer; calls of the decoder for a
document.

What is in `--output` is not done again: give the same command once more to go on. `--write` puts
the table into docs/results.md.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import math
import multiprocessing
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import report
from litbank import FOLD

from t5coref import corpora
from t5coref.core.document import Document
from t5coref.core.ledger import LedgerScorer
from t5coref.core.metrics import Scorer
from t5coref.corpora import jsonl
from t5coref.linearize.audit import audit
from t5coref.mentions import MentionProposer
from t5coref.mentions.sources import GoldMentions, MentionSource, ProposedMentions
from t5coref.model import Format, Model, store_options
from t5coref.predict import ACTIONS, Predictor
from t5coref.predictors import predictor_of
from t5coref.questions import QuestionPredictor, Weights, tune
from t5coref.tokenizer import Tokenizer
from t5coref.train.batches import training_examples

SECTION, EXPERIMENT = "formats", "gin/experiments/formats.gin"
TIMED = 2
"""Documents that are predicted once more for the time."""

GOLD, PROPOSED, FOUND = "gold", "proposed", "found by the format"


@dataclasses.dataclass(frozen=True)
class Row:
    """A format as it is compared.

    Attributes:
      label: of the row.
      format: its name.
      options: beside the window.
      told: whether it is told the mentions.
      tuned: whether weights of joint inference are tuned.
    """

    label: str
    format: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    told: bool = False
    tuned: bool = False


FORWARD = {"tasks": ["forward"], "alpha": 1.0, "gamma": 0.0, "tau": 0.0}

ROWS = {
    row.label: row
    for row in (
        Row("full-copy", "full-copy"),
        Row("integer-free", "integer-free"),
        Row("partial", "partial"),
        Row("link-append", "link-append"),
        Row("qa-forward", "qa", FORWARD, told=True),
        Row("qa-joint", "qa", told=True, tuned=True),
        Row("iterative-ids", "iterative-ids", told=True),
        Row("iterative-handles", "iterative-handles", told=True),
        Row("iterative-text", "iterative-text", told=True),
    )
}


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Documents of a corpus.

    Attributes:
      name: of the corpus.
      train: to train on.
      held_out: of the training documents, to tune on.
      dev: to report on.
    """

    name: str
    train: list[Document]
    held_out: list[Document]
    dev: list[Document]


def read(name: str, folder: pathlib.Path, args: argparse.Namespace) -> Corpus:
    """LitBank's fold 2, or the documents of GUM that are there."""

    def documents(part: str) -> Iterator[Document]:
        if name == "litbank":
            names = (folder / "splits" / str(FOLD) / f"{part}.ids").read_text("utf-8").split()
            files = [folder / "conll" / f"{name}.conll" for name in names]
        else:
            files = sorted((folder / part).glob("*.conllu"))
        for file in files:
            yield from corpora.read(file, name)

    train, dev = list(documents("train")), list(documents("dev"))
    return Corpus(name, train[args.held_out :], train[: args.held_out], dev[: args.dev_documents])


def steps_for(row: Row, train: list[Document], args: argparse.Namespace) -> tuple[int, float]:
    """Steps that see `--tokens` pieces, and the pieces of an example, on average."""
    format_ = Format(row.format, {**row.options, "window": args.window})
    made = format_.make(Tokenizer(args.start, format_.symbols))
    examples, _ = training_examples(made, train)
    mean = float(np.mean([len(e.turn.source) + len(e.actions) for e in examples]))
    return max(1, math.ceil(args.tokens / (args.batch_size * mean))), mean


def trained(row: Row, train: list[Document], args: argparse.Namespace) -> dict[str, Any]:
    """Trains a row's model unless that is done, and says how; a stopped run goes on."""
    folder = pathlib.Path(args.output, row.label)
    done = folder / "trained.json"
    if done.is_file():
        return json.loads(done.read_text("utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    documents = folder / "train.jsonl"
    if not documents.is_file():
        jsonl.write(train, documents)
    steps, mean = steps_for(row, train, args)
    bindings = {
        "MODEL": args.start, "TRAIN_FILES": str(documents), "STEPS": steps, "SEED": args.seed,
        "OUTPUT": str(folder / "run"), "BATCH_SIZE": args.batch_size,
        "LEARNING_RATE": args.learning_rate, "Format.name": row.format,
        "Format.options": {**row.options, "window": args.window},
    }  # fmt: skip
    command = [sys.executable, "-m", "t5coref", "train", "--gin_file", EXPERIMENT]
    start = time.perf_counter()
    subprocess.run([*command, *(f"--gin.{k}={v!r}" for k, v in bindings.items())], check=True)
    found = {"steps": steps, "pieces": mean, "seconds": time.perf_counter() - start}
    done.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return found


@dataclasses.dataclass(frozen=True)
class Job:
    """What a process of its own measures.

    Attributes:
      model: folder.
      row: the model's.
      mentions: folder of a proposer, or GOLD; None = the format finds them.
      held_out: documents to tune on.
      dev: documents to report on.
      batch_size: windows decoded at once.
    """

    model: str
    row: Row
    mentions: str | None
    held_out: list[Document]
    dev: list[Document]
    batch_size: int


def measure(job: Job) -> dict[str, Any]:
    """The figures of one row of the table."""
    model = Model.load(job.model, dtype="float32")
    told = job.dev
    figures: dict[str, Any] = {}
    if job.mentions is not None:
        source = _source(job.mentions)
        if job.row.tuned:
            figures["weights"] = _tuned(model, job, source)
            model = Model.load(job.model, dtype="float32")
        told = list(source(job.dev))
    predictor = predictor_of(model, batch_size=job.batch_size)
    writes = isinstance(predictor, Predictor)
    if writes:
        predictor.keep_actions = True
    found = list(predictor.predict(told))
    figures["calls"] = predictor.decoder_calls / len(told)
    start = time.perf_counter()
    again = list(predictor.predict(told[:TIMED]))
    figures["seconds"] = (time.perf_counter() - start) / len(again)
    for name, without in (("conll", False), ("conll_without_singletons", True)):
        scorer = Scorer(remove_singletons=without)
        for gold, predicted in zip(job.dev, found, strict=True):
            scorer.add(_clusters(gold), _clusters(predicted))
        figures[name] = scorer.compute()["conll"].f1
    if writes:
        ledger = LedgerScorer()
        for gold, predicted in zip(job.dev, found, strict=True):
            seen = predicted.with_annotation(gold.annotation)
            made = audit(predictor.linearization, seen, predicted.extra[ACTIONS])
            ledger.add(_clusters(gold), made.read, made.aligned, made.account)
        figures["em"], figures["pass"] = ledger.compute().exact, ledger.compute().passed
    return figures


def _source(mentions: str) -> MentionSource:
    if mentions == GOLD:
        return GoldMentions()
    return ProposedMentions(MentionProposer.load(mentions, dtype="float32"), mentions)


def _tuned(model: Model, job: Job, source: MentionSource) -> dict[str, float]:
    """Tunes the weights of joint inference, and stores them with the model."""
    asked = QuestionPredictor(model, batch_size=job.batch_size)
    scores = list(asked.scores(source(job.held_out)))
    weights = tune(job.held_out, scores, start=Weights()).weights._asdict()
    store_options(job.model, weights)
    return weights


def _clusters(document: Document) -> Any:
    assert document.annotation is not None
    return document.annotation.clusters


def measured(row: Row, corpus: Corpus, mentions: str, args: argparse.Namespace) -> dict[str, Any]:
    """`measure` in a process of its own, unless that is done."""
    folder = pathlib.Path(args.output, row.label)
    done = folder / f"{corpus.name}-{mentions.split()[0]}.json"
    if done.is_file():
        return json.loads(done.read_text("utf-8"))
    proposer = getattr(args, f"{corpus.name}_proposer")
    told = {GOLD: GOLD, PROPOSED: proposer, FOUND: None}[mentions]
    job = Job(
        str(folder / "run" / "last"), row, told, corpus.held_out, corpus.dev, args.eval_batch_size
    )
    # Compiled programs of one format are of no use to the next, and fill the memory.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        found = pool.submit(measure, job).result()
    done.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return found


def table(corpus: Corpus, args: argparse.Namespace) -> str:
    """Measures what is not done, and puts the figures of trained models side by side."""
    percent, lines = lambda value: f"{100 * value:.2f}", []
    for row in (ROWS[label] for label in args.formats):
        kinds = [GOLD, PROPOSED] if row.told else [FOUND]
        if getattr(args, f"{corpus.name}_proposer") is None:
            kinds = [kind for kind in kinds if kind != PROPOSED]
        for kind in kinds:
            figures = measured(row, corpus, kind, args)
            faithful = [percent(figures[k]) if k in figures else "-" for k in ("em", "pass")]
            lines.append((
                row.label, kind, percent(figures["conll"]),
                percent(figures["conll_without_singletons"]), *faithful,
                report.number(figures["seconds"]), report.number(figures["calls"]),
            ))  # fmt: skip
    header = (
        "format", "mentions", "CoNLL", "without singletons", "EM", "Pass", "s/document",
        "calls/document",
    )  # fmt: skip
    return f"{corpus.name}, {len(corpus.dev)} dev documents:\n\n{report.table(header, lines)}"


def training(corpora: Sequence[Corpus], args: argparse.Namespace) -> str:
    """Trains what is not done, one model for all corpora, and says how long that took."""
    lines, train = [], [document for corpus in corpora for document in corpus.train]
    for row in (ROWS[label] for label in args.formats):
        how = trained(row, train, args)
        minutes = report.number(how["seconds"] / 60)
        lines.append((row.label, how["steps"], report.number(how["pieces"]), minutes))
    header = ("format", "steps", "pieces an example", "training, min")
    counts = " and ".join(f"{len(c.train)} of {c.name}" for c in corpora)
    return f"Training documents: {counts}.\n\n{report.table(header, lines)}"


def main() -> None:
    """Trains, measures, and prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--start", required=True, metavar="DIR", help="a T5 with its spiece.model")
    add("--output", required=True, metavar="DIR", help="gets the models and the figures")
    for name, what in (("litbank", "conll and splits in it"), ("gum", "train and dev in it")):
        add(f"--{name}", type=pathlib.Path, metavar="DIR", help=f"the corpus: {what}")
        add(f"--{name}-proposer", metavar="DIR", help="a proposer that was trained on it")
    add("--formats", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME",
        help=f"of {', '.join(ROWS)} (default: all)")  # fmt: skip
    add("--tokens", type=int, default=200_000, help="source and target pieces (default: 200,000)")
    add("--window", type=int, default=512, help="pieces of a window (default: 512)")
    add("--batch-size", type=int, default=4, help="windows in a step (default: 4)")
    add("--eval-batch-size", type=int, default=4, help="windows decoded at once (default: 4)")
    add("--learning-rate", type=float, default=1e-3, help="(default: 1e-3)")
    add("--held-out", type=int, default=5, help="documents to tune on (default: 5)")
    add("--dev-documents", type=int, metavar="N", help="the first N (default: all)")
    add("--seed", type=int, default=0, help="(default: 0)")
    add("--write", action="store_true", help="write the section of docs/results.md")
    args = parser.parse_args()
    folders = {name: getattr(args, name) for name in ("litbank", "gum")}
    if not any(folders.values()):
        parser.error("expected --litbank or --gum")
    parts = [read(name, folder, args) for name, folder in folders.items() if folder]
    made = training(parts, args)
    body = "\n".join([*(table(corpus, args) for corpus in parts), made])
    shown = f"{body}\n{report.machine('jax', 'flax')}."
    print(shown)
    if args.write:
        report.write_section(SECTION, shown)


if __name__ == "__main__":
    main()

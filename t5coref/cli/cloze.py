"""`t5coref cloze`: which candidate does an ambiguous pronoun stand for? A T5 fills the gap."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from t5coref.cli import compile_cache
from t5coref.cli.tables import counted
from t5coref.core.errors import ConfigError
from t5coref.corpora.files import write_all
from t5coref.downstream.pronouns import gap, gap_scorer, metrics, sets
from t5coref.downstream.pronouns.example import PronounExample
from t5coref.downstream.pronouns.persons import spacy_persons, with_persons
from t5coref.downstream.text import Mistakes

if TYPE_CHECKING:
    from t5coref.downstream.pronouns.gap_scorer import Counts, GapScores
    from t5coref.downstream.pronouns.metrics import Prediction, Tally

    Ask = Callable[[Sequence[PronounExample], str], list[Prediction]]

HELP = "resolve ambiguous pronouns by filling gaps: GAP, Winograd schemas, Winogender, WinoBias"

DESCRIPTION = """\
Puts T5's sentinel <extra_id_0> in the pronoun's place and asks how probable the decoder finds each
candidate there; the likeliest one is the answer. Nothing is trained: any T5 that has learned span
corruption can be asked, as it is or after more pre-training or fine-tuning.

A problem whose pronoun cannot be found is reported, counts as wrong, and the others go on. Ties
count as wrong, too; the column `published` is the accuracy as the published scorer counts it, with
ties and pronouns without blanks around them as right (docs/pronouns.md).
"""

_LISTED = "\n".join(
    f"  {name:14} {entry.title}\n{'':17}{entry.source}" for name, entry in sets.SETS.items()
)

EPILOG = f"""\
sets:
{_LISTED}

examples:
  t5coref cloze --model runs/mrp/best --set gap gap-validation.tsv
  t5coref cloze --model flan-t5-small --set gap gap-validation.tsv --set wsc273 wsc273.txt \\
    --set winogender all_sentences.tsv --output-dir out
  t5coref cloze --model RUN/best --set winobias *_stereotyped_type*.txt.test
  t5coref cloze --model RUN/best --set dpr test.c.txt --length mean --json | jq .[0].accuracy
  t5coref cloze --model RUN/best --set gap gap-test.tsv --persons en_core_web_lg
  t5coref cloze --predicted system.tsv --set gap gap-test.tsv     score what another system wrote

--output-dir gets a file for each FILE: NAME.tsv as the official scorer of GAP reads it, and
NAME.jsonl with the score of every candidate.

{compile_cache.HELP}"""

LENGTHS = ("sum", "mean")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", metavar="DIR",
                        help="any T5: a folder of `t5coref train`, a folder or hub name of "
                        "transformers, a T5X checkpoint")  # fmt: skip
    source.add_argument("--predicted", metavar="TSV",
                        help="score this official prediction file of GAP instead of asking a "
                        "model")  # fmt: skip
    parser.add_argument("--tokenizer", metavar="FILE",
                        help="the SentencePiece model, where the folder has none")  # fmt: skip
    parser.add_argument("--set", required=True, action="append", nargs="+", dest="sets",
                        metavar=("NAME", "FILE"),
                        help=f"a set and its files, which are scored together; NAME is one of "
                        f"{', '.join(sets.SETS)}; may be given several times")  # fmt: skip
    parser.add_argument("--length", choices=LENGTHS, default="sum",
                        help="a candidate's score: the sum of its pieces' log-probabilities, its "
                        "log-probability; or their mean, which does not prefer short names "
                        "(default: sum)")  # fmt: skip
    parser.add_argument("--persons", metavar="PIPELINE",
                        help="ask GAP about all persons that this spaCy pipeline finds, as the "
                        "published results do; a name that it does not find is FALSE (default: "
                        "about the two names)")  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=32, metavar="N",
                        help="candidates scored at once (default: 32)")  # fmt: skip
    parser.add_argument("--dtype", choices=("float32", "bfloat16"),
                        help="computation type (default: as trained; float32 on CPUs)")  # fmt: skip
    parser.add_argument("--output-dir", metavar="DIR", help="write predictions there")
    parser.add_argument("--json", action="store_true", help="print scores as JSON, fractions")
    parser.add_argument("--quiet", action="store_true", help="no progress, only warnings")


def run(args: argparse.Namespace) -> int:
    """Scores all files; exit status 1 if some example could not be read or scored."""
    asked = [Asked(given[0], _files(given)) for given in args.sets]
    if args.predicted is not None:
        return _score_predicted(args, asked)
    for one in asked:  # all, before the model is loaded
        one.read()
    outputs = _outputs(args.output_dir, [path for one in asked for path in one.paths])
    _change_candidates(args, asked)
    ask = _asker(args)
    reports, failed = [], 0
    for one in asked:
        predictions = ask(one.asked, one.set)
        for example, prediction in zip(one.examples, predictions, strict=True):
            if prediction.error is not None:
                _warn(f"{one.set}: {example.name}: {prediction.error}")
        failed += one.unread + sum(p.error is not None for p in predictions)
        reports.append(_report(one, predictions))
        _write(one, predictions, outputs)
    _show(args, reports)
    if failed:
        _warn(f"{counted(failed, 'example')} could not be read or scored; they count as wrong")
    return 1 if failed else 0


@dataclasses.dataclass
class Asked:
    """One --set: its files are scored together.

    Attributes:
      set: its name.
      paths: its files.
      examples: of all files, in their order.
      asked: the same, perhaps with other candidates.
      counts: examples of each file.
      unread: how many could not be read.
    """

    set: str
    paths: Sequence[str]
    examples: list[PronounExample] = dataclasses.field(default_factory=list)
    asked: list[PronounExample] = dataclasses.field(default_factory=list)
    counts: list[int] = dataclasses.field(default_factory=list)
    unread: int = 0

    def read(self) -> None:
        """Reads the files, and warns of what cannot be read."""
        for path in self.paths:
            mistakes = Mistakes()
            found = sets.read(self.set, path, mistakes)
            for message in mistakes.messages:
                _warn(message)
            self.examples += found
            self.counts.append(len(found))
            self.unread += len(mistakes.messages)
        self.asked = self.examples

    def gold(self) -> dict[str, tuple[str, gap.Labels]]:
        """What GAP's scorer wants: of the rows that could not be read, too, if they say it."""
        return {k: v for path in self.paths for k, v in gap.read_labels(path, Mistakes()).items()}


def _files(given: Sequence[str]) -> Sequence[str]:
    """The files of one --set.

    Raises:
      ConfigError: there are none, or there is no such set.
    """
    name, *files = given
    if name not in sets.SETS:
        raise ConfigError(f"--set {name}: no such set; there are {', '.join(sets.SETS)}")
    if not files:
        raise ConfigError(
            f"--set {name} without a file; {sets.SETS[name].title} is at {sets.SETS[name].source}"
        )
    return files


def _change_candidates(args: argparse.Namespace, asked: Sequence[Asked]) -> None:
    """Asks GAP about the persons that --persons finds."""
    if args.persons is None:
        return
    of_gap = [one for one in asked if one.set == "gap"]
    if not of_gap:
        raise ConfigError("--persons changes the candidates of GAP; expected --set gap FILE")
    find = spacy_persons(args.persons)
    for one in of_gap:
        found = find(example.text for example in one.examples)
        one.asked = [with_persons(e, p) for e, p in zip(one.examples, found, strict=True)]


def _asker(args: argparse.Namespace) -> Ask:
    """Examples and their set's name -> predictions, with progress."""
    import jax

    from t5coref.cli.example_progress import counting
    from t5coref.downstream.model import TextModel
    from t5coref.downstream.predict import TextPredictor
    from t5coref.downstream.pronouns import cloze

    compile_cache.keep_compiled_programs()
    on_cpu = "float32" if jax.default_backend() == "cpu" else None
    model = TextModel.load(args.model, tokenizer=args.tokenizer, dtype=args.dtype or on_cpu)
    predictor = TextPredictor(model, batch_size=args.batch_size, round_size=8 * args.batch_size)
    of_length = {"sum": cloze.total, "mean": cloze.mean}[args.length]

    def ask(examples: Sequence[PronounExample], title: str) -> list[Prediction]:
        found = cloze.predict(predictor, examples, of_length=of_length)
        return list(counting(found, title, len(examples), args.quiet))

    return ask


@dataclasses.dataclass(frozen=True)
class Report:
    """Scores of one set.

    Attributes:
      set: its name.
      files: where they are.
      tallies: of all examples that stand for a candidate, first, and of groups of them.
      gap: what GAP's official scorer says.
      changes: what gender changes: (pairs that do, pairs) by title.
    """

    set: str
    files: Sequence[str]
    tallies: dict[str, Tally] = dataclasses.field(default_factory=dict)
    gap: GapScores | None = None
    changes: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


GROUPS = ("gender", "answer", "gotcha", "type", "stereotype")
"""What tables are broken down by, where a set has it."""


def _report(asked: Asked, predictions: Sequence[Prediction]) -> Report:
    scores = None
    if asked.set == "gap":
        labels = gap_scorer.all_labels(asked.examples, predictions, asked.asked)
        scores = gap_scorer.score(asked.gold(), labels)
    if asked.asked is not asked.examples:  # a right candidate may be missing
        return Report(asked.set, asked.paths, gap=scores)
    rows = [i for i, example in enumerate(asked.examples) if example.true]
    answerable = [asked.examples[i] for i in rows]
    answers = [predictions[i] for i in rows]
    tallies = {"all": metrics.tally(answerable, answers, asked.unread)}
    for key in GROUPS:
        found = metrics.by_group(answerable, answers, key)
        if len(found) > 1:
            tallies |= {f"{key} {value}": tally for (value,), tally in found.items()}
    changes = {}
    pairs = metrics.changed_by("gender", ("masculine", "feminine"), answerable, answers)
    if pairs[1]:
        changes["he/she"] = pairs
    return Report(asked.set, asked.paths, tallies, scores, changes)


def _score_predicted(args: argparse.Namespace, asked: Sequence[Asked]) -> int:
    if [one.set for one in asked] != ["gap"]:
        raise ConfigError("--predicted is scored by GAP's scorer; expected one --set gap FILE")
    (one,) = asked
    scores = gap_scorer.score(one.gold(), gap.read_predictions(args.predicted))
    if scores.missing:
        _warn(
            f"{args.predicted} lacks {counted(len(scores.missing), 'example')}; they count as "
            "false negatives"
        )
    _show(args, [Report("gap", one.paths, gap=scores)])
    return 0


def _show(args: argparse.Namespace, reports: Sequence[Report]) -> None:
    if args.json:
        print(json.dumps([_as_json(report) for report in reports], indent=2))
        return
    for number, report in enumerate(reports):
        print("\n" * bool(number) + "\n".join(_table(report)))


def _table(report: Report) -> Iterator[str]:
    """Percentages, one group a line."""
    yield f"{report.set}  {' '.join(report.files)}"
    if report.gap is not None:
        yield f"{'':22}{'precision':>10}{'recall':>10}{'f1':>10}"
        for name, counts in _gap_rows(report.gap):
            values = (counts.precision, counts.recall, counts.f1)
            yield f"{name:22}" + "".join(f"{100 * value:10.1f}" for value in values)
        bias = "-" if report.gap.bias is None else f"{report.gap.bias:.2f}"
        yield f"{'bias (F/M)':42}{bias:>10}"
    if report.tallies:
        columns = ("examples", "right", "tied", "errors", "accuracy", "published")
        yield f"{'':22}" + "".join(f"{name:>10}" for name in columns)
    for name, tally in report.tallies.items():
        numbers = (tally.total, tally.right, tally.tied, tally.errors)
        yield (
            f"{name:22}"
            + "".join(f"{number:10}" for number in numbers)
            + f"{100 * tally.accuracy:10.1f}{100 * tally.published:10.1f}"
        )
    for name, (changed, pairs) in report.changes.items():
        yield f"{name} changes the answer of {changed} of {counted(pairs, 'pair')}"


def _gap_rows(scores: GapScores) -> Iterator[tuple[str, Counts]]:
    yield "overall", scores.overall
    yield "masculine", scores.masculine
    yield "feminine", scores.feminine


def _as_json(report: Report) -> dict[str, object]:
    found: dict[str, object] = {"set": report.set, "files": list(report.files)}
    if report.gap is not None:
        found["gap"] = {
            name: dataclasses.asdict(counts)
            | {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}
            for name, counts in _gap_rows(report.gap)
        } | {"bias": report.gap.bias, "missing": len(report.gap.missing)}
    if report.tallies:
        tallies = {
            name: dataclasses.asdict(tally)
            | {"accuracy": tally.accuracy, "published": tally.published}
            for name, tally in report.tallies.items()
        }
        found |= tallies.pop("all") | {"groups": tallies}
    if report.changes:
        found["changes"] = report.changes
    return found


def _outputs(folder: str | None, paths: Sequence[str]) -> dict[str, str]:
    """Where the predictions of each input go, without a suffix; the folder is made.

    Raises:
      ConfigError: two inputs have the same name.
    """
    if folder is None:
        return {}
    names = [pathlib.PurePath(path).name.removesuffix(".gz") for path in paths]
    names = [name.removesuffix(".tsv").removesuffix(".txt").removesuffix(".xml") for name in names]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(
            f"two inputs are called {min(twice)!r}; outputs are named like them, so score them by "
            "two commands with two --output-dir"
        )
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    return {path: f"{folder}/{name}" for path, name in zip(paths, names, strict=True)}


def _write(asked: Asked, predictions: Sequence[Prediction], outputs: Mapping[str, str]) -> None:
    """The files of one --set, if any are wanted."""
    start = 0
    for path, count in zip(asked.paths, asked.counts, strict=True):
        rows = slice(start, start + count)
        start += count
        if path not in outputs:
            continue
        found = metrics.records(asked.asked[rows], predictions[rows])
        lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in found)
        write_all(lines, f"{outputs[path]}.jsonl")
        if asked.set == "gap":
            labels = gap_scorer.all_labels(
                asked.examples[rows], predictions[rows], asked.asked[rows]
            )
            gap.write_predictions(labels, f"{outputs[path]}.tsv")


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)

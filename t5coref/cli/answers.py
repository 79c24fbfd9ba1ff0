"""`t5coref answers`: questions about texts, answered by a model, and answers scored."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from t5coref.cli import compile_cache
from t5coref.cli.tables import counted
from t5coref.core.errors import ConfigError
from t5coref.downstream import answer_metrics
from t5coref.downstream.answers import (
    QUESTION_SETS,
    QuestionSet,
    read_predictions,
    write_predictions,
)
from t5coref.downstream.text import Mistakes, TextExample

HELP = "answer questions about texts and score answers: SQuAD, MRQA, QUOREF"

DESCRIPTION = """\
Answers the questions of some files with a model, or reads answers that are there, and scores them
as the official scripts do. A question without an answer counts 0 and is reported. One that cannot
be read is reported and left out.

The model is a T5 that writes answers (gin/experiments/quoref_text.gin trains one), or an encoder
with a head that points at them (gin/experiments/quoref_spans.gin).

SET is the format of the files and the measure:
  squad    SQuAD 1.1: exact match and F1 of bags of tokens, the best over the gold answers
  squad2   SQuAD 2.0: the same, where an empty answer is right if there is none
  mrqa     MRQA, .jsonl or .jsonl.gz: the measure of SQuAD 1.1
  quoref   QUOREF: exact match and F1 of sets of spans, as for DROP
"""

EPILOG = f"""\
examples:
  t5coref answers squad dev-v1.1.json --predictions predictions.json
  t5coref answers quoref quoref-dev-v0.1.json --model runs/quoref/best --output predictions.json
  t5coref answers mrqa dev/NewsQA.jsonl.gz dev/SearchQA.jsonl.gz --model RUN/best --json
  t5coref answers quoref quoref-test.json --model RUN/best --output answers.json --no-gold

Prediction files are those of the official scripts: {{id: answer}}, for QUOREF {{id: [span, ...]}}.
docs/downstream.md says where the data sets come from and what their measures do.

{compile_cache.HELP}"""

SHOWN = 5  # mistakes and missing questions that are named

QUESTIONS_AT_ONCE = 64  # that a head is asked; so often there is progress


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("set", choices=QUESTION_SETS, metavar="SET",
                        help=f"one of {', '.join(QUESTION_SETS)}")  # fmt: skip
    parser.add_argument("files", nargs="+", metavar="FILE", help="questions; .gz is unpacked")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", metavar="DIR",
                        help="a T5 or an encoder with a span head: RUN/best of `t5coref train`, or "
                        "any T5 that transformers or T5X have written")  # fmt: skip
    source.add_argument("--predictions", metavar="FILE", help="score these answers")
    parser.add_argument("--tokenizer", metavar="FILE",
                        help="the SentencePiece model, where the folder has none")  # fmt: skip
    parser.add_argument("--output", metavar="FILE",
                        help="write the model's answers there; - is standard output")  # fmt: skip
    parser.add_argument("--no-gold", action="store_true",
                        help="answer only: do not look at gold answers")  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=16, metavar="N",
                        help="rows computed at once (default: 16)")  # fmt: skip
    parser.add_argument("--max-target-length", type=int, default=64, metavar="N",
                        help="pieces of a written answer (default: 64)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print scores as JSON, in percent")
    parser.add_argument("--quiet", action="store_true", help="no progress, only warnings")


def run(args: argparse.Namespace) -> int:
    """Answers and scores; exit status 1 if questions could not be read or lack an answer."""
    if args.no_gold and (args.model is None or args.output is None):
        raise ConfigError("--no-gold scores nothing; expected --model and --output with it")
    if args.output is not None and args.model is None:
        raise ConfigError("--output is for a model's answers; expected --model with it")
    questions = QUESTION_SETS[args.set]
    examples, mistakes = _read(questions, args.files, args.no_gold)
    if args.model is not None:
        found = dict(_answers(args, questions, examples))
        if args.output is not None:
            write_predictions(found, args.output)
    else:
        found = read_predictions(args.predictions, several=questions.several)
    _warn_of("question", "that cannot be read, left out", mistakes)
    if args.no_gold:
        return 1 if mistakes else 0
    scores = answer_metrics.score(examples, found, questions.rule)
    _warn_of("question", "without a prediction, counted as 0", scores.missing)
    _warn_of("prediction", "for no question", scores.unknown)
    # Answers on standard output are not to be mixed with scores.
    stream = sys.stderr if args.output == "-" else sys.stdout
    if args.json:
        lists = {"missing": list(scores.missing), "unknown": list(scores.unknown)}
        print(json.dumps(dataclasses.asdict(scores) | lists, indent=2), file=stream)
    else:
        print(f"exact {scores.exact:6.2f}   f1 {scores.f1:6.2f}", file=stream)
        print(counted(scores.questions, "question"), file=stream)
    return 1 if mistakes or scores.missing else 0


def _read(
    questions: QuestionSet, paths: Sequence[str], bare: bool
) -> tuple[list[TextExample], list[str]]:
    """The questions of all files, and what could not be read.

    Raises:
      ConfigError: no question is left, or two files share one.
    """
    reader = questions.read_questions if bare else questions.read
    mistakes = Mistakes()
    seen: dict[str, str] = {}
    examples: list[TextExample] = []
    for path in paths:
        for example in reader(path, mistakes):
            if example.name in seen:
                raise ConfigError(
                    f"question {example.name} is in {seen[example.name]} and in {path}; give each "
                    "file once"
                )
            seen[example.name] = path
            examples.append(example)
    if not examples:
        first = f"; {mistakes.messages[0]}" if mistakes.messages else ""
        raise ConfigError(f"no question in {', '.join(paths)}{first}")
    return examples, mistakes.messages


def _answers(
    args: argparse.Namespace, questions: QuestionSet, examples: Sequence[TextExample]
) -> Iterator[tuple[str, Any]]:
    """The names of questions, and the model's answers to them; none where it failed."""
    from t5coref.cli.example_progress import counting

    compile_cache.keep_compiled_programs()
    found = _pointed if _has_head(args.model) else _written
    answers = counting(found(args, questions, examples), "questions", len(examples), args.quiet)
    return (pair for pair in answers if pair[1] is not None)


def _written(
    args: argparse.Namespace, questions: QuestionSet, examples: Sequence[TextExample]
) -> Iterator[tuple[str, Any]]:
    from t5coref.downstream.model import TextModel
    from t5coref.downstream.predict import TextPredictor

    model = TextModel.load(args.model, tokenizer=args.tokenizer)
    predictor = TextPredictor(
        model,
        batch_size=args.batch_size,
        max_target_length=args.max_target_length,
        round_size=16 * args.batch_size,
    )
    texts = predictor.write(example.inputs for example in examples)
    for example, text in zip(examples, texts, strict=True):
        if text.error is not None:
            _warn(f"question {example.name}: {text.error}")
        yield example.name, None if text.error is not None else questions.answer_of(text.text)


def _pointed(
    args: argparse.Namespace, questions: QuestionSet, examples: Sequence[TextExample]
) -> Iterator[tuple[str, Any]]:
    import functools

    from t5coref.downstream.head_model import HeadModel, outputs
    from t5coref.downstream.span_head import answered, side_by_side

    model = HeadModel.load(args.model)
    if model.task not in QUESTION_SETS:
        raise ConfigError(
            f"{args.model} has a head for {model.task}; expected one that was trained on "
            f"{', '.join(QUESTION_SETS)}"
        )
    compute = functools.partial(outputs, model, collate=side_by_side, batch_size=args.batch_size)
    for first in range(0, len(examples), QUESTIONS_AT_ONCE):
        part = examples[first : first + QUESTIONS_AT_ONCE]
        yield from answered(part, model.tokenizer, compute, questions, model.data).items()


def _has_head(model: str) -> bool:
    from t5coref.downstream.head_model import HEAD_KEY
    from t5coref.model import CARD_FILE, read_card

    folder = pathlib.Path(model)
    return (folder / CARD_FILE).is_file() and HEAD_KEY in read_card(folder)


def _warn_of(noun: str, what: str, items: Sequence[str]) -> None:
    if items:
        more = f"; and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
        _warn(f"{counted(len(items), noun)} {what}: {'; '.join(items[:SHOWN])}{more}")


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)

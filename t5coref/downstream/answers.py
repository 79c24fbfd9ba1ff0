"""Data sets of questions by name, and files of predicted answers in their official formats."""

from __future__ import annotations

import glob
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t5coref.core.errors import ConfigError, FormatError
from t5coref.corpora.files import decode, open_bytes, open_text
from t5coref.downstream import answer_metrics, mrqa, quoref, squad
from t5coref.downstream.answer_metrics import Rule
from t5coref.downstream.text import Metric, Mistakes, Reader, TextExample

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class QuestionSet:
    """How the questions of a data set are read, and what answers to them look like.

    Attributes:
      read: questions with gold answers.
      read_questions: questions whose answers are not looked at.
      answer_of: the answer that a model's text stands for.
      metric: scores what a model wrote.
      rule: how an answer is scored.
      several: whether an answer is a list of spans.
    """

    read: Reader
    read_questions: Reader
    answer_of: Callable[[str], Any]
    metric: Metric
    rule: Rule
    several: bool = False


QUESTION_SETS: Mapping[str, QuestionSet] = {
    "squad": QuestionSet(
        squad.read, squad.read_questions, str, squad.squad_metric, answer_metrics.squad
    ),
    "squad2": QuestionSet(
        squad.read,
        squad.read_questions,
        squad.answer_of,
        squad.squad2_metric,
        answer_metrics.squad2,
    ),
    "mrqa": QuestionSet(
        mrqa.read, mrqa.read_questions, str, squad.squad_metric, answer_metrics.squad
    ),
    "quoref": QuestionSet(
        quoref.read,
        quoref.read_questions,
        quoref.answer_of,
        quoref.quoref_metric,
        answer_metrics.spans,
        several=True,
    ),
}
"""Name -> data set."""


def question_set(name: str) -> QuestionSet:
    """The data set of a name.

    Raises:
      ConfigError: there is none.
    """
    if name not in QUESTION_SETS:
        raise ConfigError(f"questions {name!r}; expected one of {', '.join(QUESTION_SETS)}")
    return QUESTION_SETS[name]


def question_files(*, questions: str, files: str | Sequence[str]) -> list[TextExample]:
    """The questions of some files; those that cannot be read are left out, and the log names them.

    Args:
      questions: the data set, a name of `QUESTION_SETS`.
      files: files or glob patterns.

    Raises:
      ConfigError: a pattern matches nothing, or no question is left.
      FormatError: a file as a whole breaks the format.
    """
    read = question_set(questions).read
    mistakes = Mistakes()
    patterns = [files] if isinstance(files, str) else list(files)
    examples: list[TextExample] = []
    for pattern in patterns:
        paths = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise ConfigError(
                f"no file matches {pattern!r}; docs/downstream.md says where to get it"
            )
        examples += [example for path in paths for example in read(path, mistakes)]
    for message in mistakes.messages:
        _LOG.warning("left out: %s", message)
    if not examples:
        raise ConfigError(f"no question in {', '.join(patterns)}; expected at least one")
    return examples


def question_metric(*, questions: str) -> Metric:
    """How texts that a model wrote for a data set's questions are scored."""
    return question_set(questions).metric


def read_predictions(path: str, *, several: bool) -> dict[str, Any]:
    """Reads `{id: answer}` as SQuAD and MRQA have it, or `{id: [span, ...]}` as QUOREF has it.

    Args:
      path: of the file, `.gz` or not.
      several: answers may be lists of spans.

    Raises:
      FormatError: the file has another format; the message names the question.
    """
    with open_bytes(path) as file:
        text = decode(file.read(), path)
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except _TwiceError as error:
        raise FormatError(f"{path}: question {error} is answered twice; expected it once") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: expected JSON, an answer for each question: {error}") from None
    wanted = "a text or a list of texts" if several else "a text"
    if not isinstance(found, dict):
        raise FormatError(f"{path}: expected an object, question id -> {wanted}")
    for name, answer in found.items():
        spans = [answer] if isinstance(answer, str) else answer if several else None
        if not isinstance(spans, list) or not all(isinstance(span, str) for span in spans):
            raise FormatError(
                f"{path}: question {name}: expected {wanted}, got {json.dumps(answer)[:60]}"
            )
    return found


def write_predictions(predictions: Mapping[str, Any], path: str) -> None:
    """Writes what `read_predictions` and the official scripts read; `-` is standard output."""
    with open_text(path) as file:
        file.write(json.dumps(predictions, ensure_ascii=False, indent=0) + "\n")


class _TwiceError(Exception):
    """A key of an object comes twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(next(key for key in keys if keys.count(key) > 1))
    return found

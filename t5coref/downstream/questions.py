"""Questions about texts: what their data sets have in common.

`TextExample.data` of a question has, as JSON:

    question, context   the texts
    answers             [[start, end], ...] half-open character spans of gold answers in the context
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from t5coref.core.errors import FormatError
from t5coref.corpora.files import decode, open_bytes
from t5coref.downstream.text import Mistakes, TextExample


class WrongQuestionError(Exception):
    """What is wrong with one question."""


def inputs(question: str, context: str) -> str:
    """What a model reads: T5's own form of reading comprehension (Raffel et al. 2020, app. D)."""
    return f"question: {question} context: {context}"


def of_articles(
    path: str, mistakes: Mistakes | None
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The questions of a file in SQuAD's layout, `{"data": [{"paragraphs": [...]}]}`.

    Yields:
      Where it is, for messages; its context; the question's own object, which has an `id`.

    Raises:
      FormatError: the file is not JSON or has no such layout; or a mistake, if none are collected.
    """
    with open_bytes(path) as file:
        text = decode(file.read(), path)
    try:
        articles = json.loads(text)["data"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(
            f'{path}: expected JSON with a list "data", as SQuAD has it; {type(error).__name__}: '
            f"{error}"
        ) from None
    seen: set[str] = set()
    for number, article in enumerate(_listed(articles), start=1):
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(paragraphs, list):
            Mistakes.report(mistakes, f'{path}: article {number}: expected a list "paragraphs"')
            continue
        for place, paragraph in enumerate(paragraphs, start=1):
            where = f"{path}: article {number}, paragraph {place}"
            try:
                context = string(paragraph, "context")
                questions = field(paragraph, "qas", list)
            except WrongQuestionError as error:
                Mistakes.report(mistakes, f"{where}: {error}")
                continue
            for order, question in enumerate(questions, start=1):
                try:
                    name = identifier(question, "id", seen)
                except WrongQuestionError as error:
                    Mistakes.report(mistakes, f"{where}, question {order}: {error}")
                    continue
                yield f"{path}: question {name}", context, question


def example(
    question: Mapping[str, Any],
    context: str,
    *,
    name: str,
    targets: str,
    references: tuple[Any, ...],
    answers: list[list[int]],
) -> TextExample:
    """A question as an example.

    Raises:
      WrongQuestionError: it has no text.
    """
    asked = " ".join(string(question, "question").split())
    data = {"question": asked, "context": context, "answers": answers}
    return TextExample(name, inputs(asked, context), targets, references, data)


def gold(question: Mapping[str, Any], context: str) -> list[tuple[str, list[int]]]:
    """The texts and spans of `answers`, `[{"text": ..., "answer_start": ...}]`.

    Blanks between `answer_start` and the answer are passed over: annotators marked them, too.

    Raises:
      WrongQuestionError: an answer is not where it is said to be.
    """
    found = []
    for answer in field(question, "answers", list):
        text = string(answer, "text")
        start = field(answer, "answer_start", int)
        while 0 <= start < len(context) and context[start].isspace() and not text[0].isspace():
            start += 1
        if start < 0 or not context.startswith(text, start):
            there = context[max(start, 0) : max(start, 0) + len(text)]
            raise WrongQuestionError(
                f"expected the answer {text!r} at character {start} of the context, found {there!r}"
            )
        found.append((text, [start, start + len(text)]))
    return found


def identifier(question: Any, key: str, seen: set[str]) -> str:
    """The name of a question, which nobody else may have.

    Raises:
      WrongQuestionError: there is none, or another question has it.
    """
    name = string(question, key)
    if name in seen:
        raise WrongQuestionError(f"{key} {name!r} was there before; expected it once")
    seen.add(name)
    return name


def string(object_: Any, key: str) -> str:
    """A text that is not empty.

    Raises:
      WrongQuestionError: it is missing or something else.
    """
    value = field(object_, key, str)
    if not value.strip():
        raise WrongQuestionError(f'"{key}" is empty; expected a text')
    return value


def field(object_: Any, key: str, kind: type) -> Any:
    """A value of a JSON object.

    Raises:
      WrongQuestionError: it is missing or of another kind.
    """
    if not isinstance(object_, dict):
        raise WrongQuestionError(f"expected an object, got {str(object_)[:60]!r}")
    if key not in object_:
        raise WrongQuestionError(f'no "{key}"; there are {", ".join(map(str, object_))}')
    value = object_[key]
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise WrongQuestionError(
            f'expected "{key}" to be a {_KINDS[kind]}, got {type(value).__name__}'
        )
    return value


_KINDS = {str: "text", list: "list", int: "number", bool: "true or false"}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

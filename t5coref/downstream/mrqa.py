"""MRQA 2019 (Fisch et al. 2019): eighteen sets of questions in one format, six of them to train on.

A file has a header line `{"header": {"dataset": ..., "split": ...}}` and then a text a line, with
its questions. `answers` are what predictions are compared with; `detected_answers` say where they
were found in the text, with *inclusive* ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from t5coref.corpora.files import lines
from t5coref.downstream import questions
from t5coref.downstream.questions import WrongQuestionError
from t5coref.downstream.text import Mistakes, TextExample

SETS = ("SQuAD", "NewsQA", "TriviaQA", "SearchQA", "HotpotQA", "NaturalQuestions")
"""Those that one trains on, as the official download scripts call their files (`.jsonl.gz`)."""


def read(path: str, mistakes: Mistakes | None = None) -> Iterator[TextExample]:
    """The questions of a file, `.jsonl` or `.jsonl.gz`.

    References are `answers`; the target is the first detected answer. Of each detected answer the
    first place counts.

    Args:
      path: of the file.
      mistakes: see `Mistakes`.

    Raises:
      FormatError: the file is damaged; or a mistake, where none are collected.
    """
    return _read(path, mistakes, answered=True)


def read_questions(path: str, mistakes: Mistakes | None = None) -> Iterator[TextExample]:
    """As `read`, of files whose answers are not published, or are not to be looked at."""
    return _read(path, mistakes, answered=False)


def read_first_half(path: str, mistakes: Mistakes | None = None) -> Iterator[TextExample]:
    """The questions about half of the texts of a file: CorefBERT's development questions.

    CorefBERT divides each dev file in random halves, because the test answers are not published; it
    does not say which. Here the digests of the texts decide, so that everybody has the same.
    """
    return _half(path, mistakes, second=False)


def read_second_half(path: str, mistakes: Mistakes | None = None) -> Iterator[TextExample]:
    """The questions about the other texts, see `read_first_half`: the test questions."""
    return _half(path, mistakes, second=True)


def _half(path: str, mistakes: Mistakes | None, *, second: bool) -> Iterator[TextExample]:
    examples = list(read(path, mistakes))
    texts = {example.data["context"] for example in examples}
    by_digest = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())
    chosen = set(by_digest[len(texts) // 2 :] if second else by_digest[: len(texts) // 2])
    return (example for example in examples if example.data["context"] in chosen)


def _read(path: str, mistakes: Mistakes | None, *, answered: bool) -> Iterator[TextExample]:
    seen: set[str] = set()
    for number, line in lines(path):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise WrongQuestionError(f"not JSON: {error}") from None
            if isinstance(record, dict) and "header" in record:
                continue
            context = questions.string(record, "context")
            asked = questions.field(record, "qas", list)
        except WrongQuestionError as error:
            Mistakes.report(mistakes, f"{where}: {error}")
            continue
        for order, question in enumerate(asked, start=1):
            named = f"{where}: question {order}"
            try:
                name = questions.identifier(question, "qid", seen)
                named = f"{where}: question {name}"
                yield _example(question, record, context, name, answered=answered)
            except WrongQuestionError as error:
                Mistakes.report(mistakes, f"{named}: {error}")


def _example(
    question: Mapping[str, Any],
    record: Mapping[str, Any],
    context: str,
    name: str,
    *,
    answered: bool,
) -> TextExample:
    references: list[str] = []
    spans: list[list[int]] = []
    if answered:
        references = questions.field(question, "answers", list)
        if not references or not all(isinstance(answer, str) for answer in references):
            raise WrongQuestionError('expected "answers" to be a list of at least one text')
        for answer in questions.field(question, "detected_answers", list):
            spans.append(_detected(answer, record, context))
    first = context[spans[0][0] : spans[0][1]] if spans else "".join(references[:1])
    return questions.example(
        question,
        context,
        name=name,
        targets=" ".join(first.split()),
        references=tuple(references),
        answers=spans,
    )


def _detected(answer: Any, record: Mapping[str, Any], context: str) -> list[int]:
    """The first place of a detected answer, half-open; all of its places are checked."""
    text = questions.string(answer, "text")
    characters = [_pair(span) for span in questions.field(answer, "char_spans", list)]
    if not characters:
        raise WrongQuestionError(f'no "char_spans" of {text!r}; expected at least one')
    for start, last in characters:
        there = context[start : last + 1]
        if not 0 <= start <= last < len(context) or not _same(there, text):
            raise WrongQuestionError(
                f"expected {text!r} at characters {start} to {last}, the last included, found "
                f"{there!r}"
            )
    if "token_spans" in answer:
        tokens = [_pair(span) for span in questions.field(answer, "token_spans", list)]
        places = [_characters(span, record) for span in tokens]
        if places != characters:
            raise WrongQuestionError(
                f'"token_spans" of {text!r} are at the characters {places}; expected '
                f'{characters}, its "char_spans"'
            )
    start, last = characters[0]
    return [start, last + 1]


def _same(there: str, text: str) -> bool:
    """Whether a place has an answer; case was overlooked where answers were detected."""
    return there.casefold() == text.casefold()


def _characters(span: tuple[int, int], record: Mapping[str, Any]) -> tuple[int, int]:
    """First and last character of a span of tokens; tokens are `[text, start]`."""
    tokens = questions.field(record, "context_tokens", list)
    first, last = span
    if not 0 <= first <= last < len(tokens):
        raise WrongQuestionError(f"token span {span}; there are {len(tokens)} tokens")
    try:
        (_, start), (text, end) = tokens[first], tokens[last]
        return start, end + len(text) - 1
    except (TypeError, ValueError):
        raise WrongQuestionError('expected "context_tokens" to be [text, start] each') from None


def _pair(span: Any) -> tuple[int, int]:
    if isinstance(span, list) and len(span) == 2 and all(type(x) is int for x in span):
        return span[0], span[1]
    raise WrongQuestionError(f"span {span!r}; expected [first, last]")

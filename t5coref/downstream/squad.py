"""SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018): questions with one answer in a text, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from t5coref.downstream import answer_metrics, questions
from t5coref.downstream.questions import WrongQuestionError
from t5coref.downstream.text import Mistakes, TextExample

NO_ANSWER = "unanswerable"
"""What a model writes where a text has no answer (SQuAD 2.0)."""


def read(path: str, mistakes: Mistakes | None = None) -> Iterator[TextExample]:
    """The questions of `train-v1.1.json`, `dev-v2.0.json` or any file in their layout.

    References are the texts of the gold answers, none for a question that has none; the first of
    them is the target.

    Args:
      path: of the file, `.gz` or not.
      mistakes: see `Mistakes`.

    Raises:
      FormatError: as `questions.of_articles`.
    """
    return _read(path, mistakes, answered=True)


def read_questions(path: str, mistakes: Mistakes | None = None) -> Iterator[TextExample]:
    """As `read`, of files whose answers are not published, or are not to be looked at."""
    return _read(path, mistakes, answered=False)


def _read(path: str, mistakes: Mistakes | None, *, answered: bool) -> Iterator[TextExample]:
    for where, context, question in questions.of_articles(path, mistakes):
        try:
            found = questions.gold(question, context) if answered else []
            impossible = question.get("is_impossible", False) is True
            if answered and not found and not impossible:
                raise WrongQuestionError(
                    'no answer; expected one, or "is_impossible": true as in SQuAD 2.0'
                )
            if impossible and found:
                raise WrongQuestionError('"is_impossible", but there is an answer')
            texts = tuple(text for text, _ in found)
            made = questions.example(
                question,
                context,
                name=question["id"],
                targets=texts[0] if texts else NO_ANSWER if answered else "",
                references=texts,
                answers=[span for _, span in found],
            )
        except WrongQuestionError as error:
            Mistakes.report(mistakes, f"{where}: {error}")
        else:
            yield made


def answer_of(text: str) -> str:
    """The answer that a model's text stands for; empty where it found none."""
    return "" if text.strip() == NO_ANSWER else text


def squad_metric(
    examples: Sequence[TextExample], predictions: Sequence[str]
) -> Mapping[str, float]:
    """Exact match and F1 of SQuAD 1.1 and MRQA, in percent."""
    return _scores(examples, predictions, answer_metrics.squad)


def squad2_metric(
    examples: Sequence[TextExample], predictions: Sequence[str]
) -> Mapping[str, float]:
    """Exact match and F1 of SQuAD 2.0, in percent."""
    return _scores(examples, [answer_of(text) for text in predictions], answer_metrics.squad2)


def _scores(
    examples: Sequence[TextExample], answers: Sequence[str], rule: answer_metrics.Rule
) -> Mapping[str, float]:
    named = {example.name: answer for example, answer in zip(examples, answers, strict=True)}
    found = answer_metrics.score(examples, named, rule)
    return {"exact": found.exact, "f1": found.f1}

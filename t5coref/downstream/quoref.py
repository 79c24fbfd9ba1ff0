"""QUOREF (Dasigi et al. 2019): questions whose answers, one or several spans, need coreference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from t5coref.downstream import answer_metrics, questions
from t5coref.downstream.questions import WrongQuestionError
from t5coref.downstream.text import Mistakes, TextExample

SEPARATOR = "|"
"""Between the spans that a model writes."""


def read(path: str, mistakes: Mistakes | None = None) -> Iterator[TextExample]:
    """The questions of `quoref-train-v0.1.json` or any file in its layout.

    There is one reference, the list of the gold spans' texts; the target has them in the order of
    the text.

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
            if answered and not found:
                raise WrongQuestionError("no answer; expected at least one span")
            in_order = sorted(found, key=lambda answer: answer[1])
            made = questions.example(
                question,
                context,
                name=question["id"],
                targets=written([text for text, _ in in_order]),
                references=(tuple(text for text, _ in found),) if answered else (),
                answers=[span for _, span in in_order],
            )
        except WrongQuestionError as error:
            Mistakes.report(mistakes, f"{where}: {error}")
        else:
            yield made


def written(spans: Sequence[str]) -> str:
    """Spans as one text."""
    return f" {SEPARATOR} ".join(spans)


def answer_of(text: str) -> list[str]:
    """The spans that a model's text stands for."""
    return [span.strip() for span in text.split(SEPARATOR) if span.strip()]


def quoref_metric(
    examples: Sequence[TextExample], predictions: Sequence[str]
) -> Mapping[str, float]:
    """Exact match and F1 of QUOREF, in percent."""
    answers = {e.name: answer_of(text) for e, text in zip(examples, predictions, strict=True)}
    found = answer_metrics.score(examples, answers, answer_metrics.spans)
    return {"exact": found.exact, "f1": found.f1}

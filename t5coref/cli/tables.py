"""Scores as text and as JSON, and numbers of things."""

from __future__ import annotations

from collections.abc import Iterator

from t5coref.core.metrics import Scores


def as_json(scores: Scores) -> dict[str, dict]:
    """Fractions of all metrics, as the JSON output has them."""
    return {name: score._asdict() for name, score in scores.items()}


def table(scores: Scores, title: str = "") -> Iterator[str]:
    """Percentages of all metrics, one a line."""
    width = max(10, *(len(name) + 1 for name in (title, *scores)))
    yield f"{title:{width}}{'precision':>10}{'recall':>10}{'f1':>10}"
    for name, score in scores.items():
        yield f"{name:{width}}" + "".join(f"{100 * value:10.2f}" for value in score)


def counted(n: int, noun: str) -> str:
    """A number of things."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")

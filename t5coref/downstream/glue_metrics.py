"""The metrics of GLUE's tasks, from classes or scores, and from what a T5 has written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from t5coref.core.errors import ConfigError
from t5coref.downstream.glue import task_of
from t5coref.downstream.text import TextExample

Numbers = Sequence[float]


def accuracy(gold: Numbers, found: Numbers) -> float:
    """How many of the classes are right."""
    return float(np.mean(np.asarray(gold) == np.asarray(found))) if len(gold) else 0.0


def f1(gold: Numbers, found: Numbers) -> float:
    """F1 of class 1; 0 where nothing can be divided."""
    wanted, given = np.asarray(gold) == 1, np.asarray(found) == 1
    total = int(wanted.sum() + given.sum())
    return float(2 * np.sum(wanted & given) / total) if total else 0.0


def matthews(gold: Numbers, found: Numbers) -> float:
    """Matthews' correlation, for any number of classes (Gorodkin 2004, "R_K"); 0 where either side
    has one class only.
    """
    classes = sorted({*gold, *found})
    place = {c: i for i, c in enumerate(classes)}
    table = np.zeros((len(classes), len(classes)))
    for g, f in zip(gold, found, strict=True):
        table[place[g], place[f]] += 1
    rows, columns, total = table.sum(1), table.sum(0), table.sum()
    covariance = np.trace(table) * total - rows @ columns
    spread = (total**2 - rows @ rows) * (total**2 - columns @ columns)
    return float(covariance / math.sqrt(spread)) if spread > 0 else 0.0


def pearson(gold: Numbers, found: Numbers) -> float:
    """Pearson's correlation; 0 where either side is constant."""
    from scipy import stats  # takes a second

    return _correlation(stats.pearsonr, gold, found)


def spearman(gold: Numbers, found: Numbers) -> float:
    """Spearman's correlation of ranks, equal values sharing theirs; 0 where a side is constant."""
    from scipy import stats

    return _correlation(stats.spearmanr, gold, found)


METRICS: Mapping[str, Callable[[Numbers, Numbers], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}


def scores(name: str, gold: Numbers, found: Numbers) -> dict[str, float]:
    """The metrics of a task and their mean, which counts in GLUE's average; all fractions.

    Args:
      name: of the task.
      gold: classes, or scores of STS-B.
      found: the same; `NO_CLASS` is wrong in every metric.

    Raises:
      ConfigError: there is nothing to score, or not one prediction for each example.
    """
    if len(gold) != len(found) or not gold:
        raise ConfigError(f"{len(found)} predictions for {len(gold)} examples of {name}; expected "
                          "one for each of at least one")  # fmt: skip
    values = {metric: METRICS[metric](gold, found) for metric in task_of(name).metrics}
    return {**values, "glue": sum(values.values()) / len(values)}


@dataclass(frozen=True)
class GlueMetric:
    """`scores` of what a model has written, in percent; equal for equal names.

    Attributes:
      name: of the task.
    """

    name: str

    def __call__(self, examples: Sequence[TextExample], texts: Sequence[str]) -> dict[str, float]:
        """Scores the examples that have a label.

        Args:
          examples: of `GlueReader`.
          texts: what was written for each.

        Raises:
          ConfigError: no example has a label.
        """
        task = task_of(self.name)
        known = [
            (example.data["label"], task.label(text))
            for example, text in zip(examples, texts, strict=True)
            if example.data["label"] is not None
        ]
        if not known:
            raise ConfigError(
                f"no example of {self.name} has a label: this is a test file; write a submission "
                "instead, or score the dev file"
            )
        gold, found = zip(*known, strict=True)
        return {name: 100 * value for name, value in scores(self.name, gold, found).items()}


def _correlation(rule: Callable, gold: Numbers, found: Numbers) -> float:
    if len(set(gold)) < 2 or len(set(found)) < 2:
        return 0.0
    return float(rule(np.asarray(gold, float), np.asarray(found, float)).statistic)

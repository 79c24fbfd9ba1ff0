"""Files for GLUE's leaderboard."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

from t5coref.core.errors import ConfigError
from t5coref.downstream.glue import NO_CLASS, GlueTask, task_of
from t5coref.downstream.text import TextExample


def write_submission(
    folder: str | os.PathLike[str],
    name: str,
    examples: Sequence[TextExample],
    labels: Sequence[float],
    *,
    mismatched: bool = False,
) -> pathlib.Path:
    """Writes the labels of a test file as the leaderboard wants them; all files make one zip.

    Args:
      folder: made if it is not there.
      name: of the task.
      examples: of its test file, all of them.
      labels: a class, or a score, for each. What is no class becomes class 0, since every row must
        have one; scores are cut to 0 .. 5.
      mismatched: the test file of MNLI is the mismatched one.

    Returns:
      The file.

    Raises:
      ConfigError: not one label for each example, rows of one name, or a class that is none.
    """
    task = task_of(name)
    rows = [str(example.data["row"]) for example in examples]
    if len(labels) != len(rows) or len(set(rows)) != len(rows):
        raise ConfigError(
            f"{len(labels)} labels for {len(rows)} rows of {name}, {len(set(rows))} of them "
            "different; expected a label for each row of one test file"
        )
    if mismatched and len(task.submission) < 2:
        raise ConfigError(f"mismatched: {name} has one test file only; expected mnli")
    file = pathlib.Path(folder, f"{task.submission[mismatched]}.tsv")
    body = [f"{row}\t{_code(task, label)}" for row, label in zip(rows, labels, strict=True)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(["index\tprediction", *body]) + "\n", encoding="utf-8")
    return file


def _code(task: GlueTask, label: float) -> str:
    if not task.words:
        return f"{min(max(label, 0.0), 5.0):.3f}"
    if label == NO_CLASS:
        return task.codes[0]
    if label not in range(len(task.codes)):
        raise ConfigError(f"class {label} of {task.name}; expected 0 to {len(task.codes) - 1}")
    return task.codes[int(label)]
